"""POST /v1/payins/{id}/captures: all of it, parts, too much, final, failed and asked again, two at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from caudal.connectors import Declined
from caudal.kernel.context import Context
from tests.payins.books import assert_in_order, balances, rows
from tests.payins.cast import DAY_S, Merchant, key_of
from tests.payins.desk import Desk


@pytest.fixture
async def held(ana: Merchant, desk: Desk) -> dict[str, Any]:
    """100.00 BRL, authorized."""
    return await ana.card(capture="manual")


async def test_everything_at_once(ana: Merchant, held: dict[str, Any], context: Context) -> None:
    answered = await ana.capture(held)
    assert answered.status == 201
    capture = answered.json
    assert capture["id"].startswith("capture_") and capture["object"] == "capture"
    assert (capture["payin"], capture["status"], capture["amount"]) == (held["id"], "succeeded", 10_000)
    assert (capture["currency"], capture["final"], capture["status_reason"]) == ("BRL", False, None)
    seen = await ana.seen(held)
    assert (seen["status"], seen["amount_captured"], seen["amount_received"], seen["fees"]) == (
        "paid",
        10_000,
        10_000,
        390,
    )
    assert (await ana.get(f"/v1/captures/{capture['id']}")).json == capture
    assert (await ana.get(f"/v1/captures?payin={held['id']}")).json["data"] == [capture]
    await assert_in_order(context)


async def test_parts_cost_what_the_whole_costs(ana: Merchant, held: dict[str, Any], context: Context) -> None:
    for part, fees in ((3_333, 40 + 117), (3_333, 40 + 233), (3_334, 40 + 350)):
        assert (await ana.capture(held, part)).json["status"] == "succeeded"
        assert (await ana.seen(held))["fees"] == fees
    assert await balances(ana) == {"BRL": {"pending": 10_000 - 390}}
    types = [event["type"] for event in await ana.events()]
    assert [kind for kind in types if not kind.startswith("instrument")] == [
        "payin.created",
        "payin.authorized",
        *("capture.succeeded", "payin.paid"),
        *("capture.succeeded", "payin.captured") * 2,
    ]
    await assert_in_order(context)


async def test_beyond_the_authorization_is_refused_with_what_is_left(
    ana: Merchant, held: dict[str, Any], desk: Desk
) -> None:
    await ana.capture(held, 4_000)
    answered = await ana.capture(held, 6_001)
    assert (answered.status, answered.code, answered.fields) == (422, "amount_too_large", {"/amount": "too_large"})
    assert "6000" in answered.json["detail"]
    assert desk.count("capture") == 1
    assert (await ana.capture(held, 6_000)).status == 201
    again = await ana.capture(held)
    assert (again.status, again.code) == (409, "forbidden_transition")


async def test_a_final_part_gives_the_rest_back(ana: Merchant, held: dict[str, Any], context: Context) -> None:
    final = await ana.capture(held, 2_500, final=True)
    assert final.json["final"] is True
    assert (await ana.capture(held, 1)).code == "forbidden_transition"
    seen = await ana.seen(held)
    assert (seen["amount_authorized"], seen["amount_captured"], seen["fees"]) == (10_000, 2_500, 40 + 88)
    *_, last = await ana.events()
    assert (last["type"], last["data"]["amount_captured"]) == ("payin.rest_released", 2_500)
    await assert_in_order(context)


@pytest.mark.parametrize("way", ["declined", "failed"])
async def test_a_failed_capture_says_why_and_may_be_asked_again(
    ana: Merchant, held: dict[str, Any], desk: Desk, context: Context, way: str
) -> None:
    failed = {"status": "failed", "reason": "processing_error"}
    desk.says["capture"] = [failed if way == "failed" else Declined(reason="processing_error", detail="no")]
    capture = (await ana.capture(held, 7_000, final=True)).json
    assert (capture["status"], capture["status_reason"]) == ("failed", "processing_error")
    seen = await ana.seen(held)
    assert (seen["status"], seen["amount_captured"]) == ("authorized", 0)
    assert (await ana.capture(held, 7_000, final=True)).json["status"] == "succeeded"
    types = [event["type"] for event in await ana.events(types="capture.failed,capture.succeeded,payin.paid")]
    assert types == ["capture.failed", "capture.succeeded", "payin.paid"]
    await assert_in_order(context)


async def test_a_part_that_fails_does_not_open_what_a_final_one_has_closed(
    ana: Merchant, held: dict[str, Any], desk: Desk, context: Context
) -> None:
    desk.says["capture"] = ["lost"]
    part = (await ana.capture(held, 1_000)).json
    assert (await ana.capture(held, 2_000, final=True)).json["status"] == "succeeded"
    desk.settle(key_of(part), "failed", "processing_error")
    assert await ana.work("payin.operate") == 1
    assert (await ana.capture(held, 1)).code == "forbidden_transition"
    await assert_in_order(context)


async def test_two_at_once_share_what_is_left(
    ana: Merchant, held: dict[str, Any], desk: Desk, context: Context
) -> None:
    answered = await asyncio.gather(*(ana.capture(held, 6_000) for _ in range(3)))
    assert sorted(one.status for one in answered) == [201, 422, 422]
    answered = await asyncio.gather(*(ana.capture(held, 1_000) for _ in range(6)))
    assert sorted(one.status for one in answered) == [201] * 4 + [409] * 2
    assert desk.payments[key_of(held)].captured_minor == 10_000
    await assert_in_order(context)


async def test_what_nobody_answers_is_pending_and_holds_its_part(
    ana: Merchant, held: dict[str, Any], desk: Desk, context: Context
) -> None:
    desk.says["capture"] = ["nothing"]
    pending = await ana.capture(held, 6_000, idempotency="k")
    assert (pending.status, pending.json["status"], pending.json["settled_at"]) == (201, "pending", None)
    assert (await ana.capture(held, 4_001)).code == "amount_too_large"
    assert await ana.work("payin.operate") == 1
    done = (await ana.get(f"/v1/captures/{pending.json['id']}")).json
    assert done["status"] == "succeeded" and done["settled_at"] is not None
    assert (await ana.capture(held, 6_000, idempotency="k")).body == pending.body, "what was said stays"
    assert desk.payments[key_of(held)].captured_minor == 6_000
    await assert_in_order(context)


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        ({"amount": 0}, {"/amount": "invalid_value"}),
        ({"amount": -1}, {"/amount": "invalid_value"}),
        ({"amount": "1"}, {"/amount": "invalid_type"}),
        ({"amount": 1.5}, {"/amount": "invalid_type"}),
        ({"final": 1}, {"/final": "invalid_type"}),
        ({"note": "x"}, {"/note": "unknown_field"}),
    ],
    ids=str,
)
async def test_fields(ana: Merchant, held: dict[str, Any], asked: Any, fields: Any) -> None:
    answered = await ana.post(f"/v1/payins/{held['id']}/captures", asked)
    assert (answered.status, answered.fields) == (422, fields)


async def test_only_what_is_authorized_and_only_by_its_merchant(ana: Merchant, caro: Merchant, desk: Desk) -> None:
    automatic, waits, mine = await ana.card(), await ana.pix(), await ana.card(capture="manual")
    transfer = await ana.payin()
    for payin in (automatic, waits, transfer):
        assert (await ana.capture(payin)).code == "forbidden_transition"
    assert (await caro.capture(mine)).status == 404
    assert (await ana.capture({"id": "payin_" + "0" * 32})).status == 404
    assert (await ana.capture({"id": "nonsense"})).status == 404
    assert desk.count("capture") == 0


async def test_another_merchant_sees_no_capture(ana: Merchant, caro: Merchant, held: dict[str, Any]) -> None:
    capture = (await ana.capture(held)).json
    assert (await caro.get(f"/v1/captures/{capture['id']}")).status == 404
    assert (await caro.get(f"/v1/captures?payin={held['id']}")).json["data"] == []
    assert (await ana.get(f"/v1/refunds/{capture['id'].replace('capture', 'refund')}")).status == 404


async def test_an_authorization_that_lapses_is_given_back(
    ana: Merchant, held: dict[str, Any], desk: Desk, context: Context
) -> None:
    assert (await ana.advance(8 * DAY_S)).json["expired"] == 1
    assert (await ana.seen(held))["status"] == "expired"
    assert (await ana.capture(held)).code == "forbidden_transition"
    assert await ana.work("payin.operate") == 1
    assert desk.payments[key_of(held)].status == "cancelled"
    await assert_in_order(context)


async def test_an_authorization_does_not_lapse_under_a_capture(
    ana: Merchant, held: dict[str, Any], desk: Desk, context: Context
) -> None:
    desk.says["capture"] = ["lost"]
    await ana.capture(held, 4_000)
    assert (await ana.advance(8 * DAY_S)).json["expired"] == 0
    assert await ana.work("payin.operate") == 1
    seen = await ana.seen(held)
    assert (seen["status"], seen["amount_captured"]) == ("paid", 4_000)
    assert await ana.work("payin.expire") == 1 and (await ana.seen(held))["status"] == "paid"
    assert await rows(context, "select count(*) from due where kind = 'payin.expire'") == [(0,)]
    await assert_in_order(context)


@pytest.mark.parametrize("told", ["expired", "cancelled"])
@pytest.mark.parametrize("status", ["succeeded", "failed"])
async def test_a_capture_that_is_decided_after_the_end_stands_all_the_same(
    ana: Merchant, held: dict[str, Any], desk: Desk, context: Context, told: str, status: str
) -> None:
    desk.says["capture"] = ["lost" if status == "succeeded" else {"status": "pending"}]
    capture = (await ana.capture(held, 4_000)).json
    assert (await ana.told("card", "payment", desk.told(key_of(held), status=told))).status == 200
    assert (await ana.seen(held))["status"] == told
    if status == "failed":
        desk.settle(key_of(capture), "failed", "processing_error")
    assert await ana.work("payin.operate") == 1
    seen = await ana.seen(held)
    assert (seen["status"], seen["amount_received"]) == (("paid", 4_000) if status == "succeeded" else (told, 0))
    await assert_in_order(context)
