"""POST /v1/callbacks/{provider}/{method}: repeated, reordered, early, contradictory, forged, about another payment."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from caudal.kernel.context import Context
from tests.connectors.provider import signature
from tests.payins.books import assert_in_order, balances, rows
from tests.payins.cast import LIVE_SECRET, SECRET, Merchant, key_of
from tests.payins.desk import Desk


@pytest.fixture
async def waits(ana: Merchant, desk: Desk) -> dict[str, Any]:
    """100.00 BRL by pix that its payer has not paid."""
    return await ana.pix()


async def counted(context: Context) -> Any:
    query = "select (select count(*) from event), (select count(*) from transfer), (select max(version) from payin)"
    return await rows(context, query)


async def test_the_same_callback_counts_once(
    ana: Merchant, desk: Desk, waits: dict[str, Any], context: Context
) -> None:
    desk.pay(key_of(waits))
    told = desk.told(key_of(waits))
    assert (await ana.told("pix", "payment", told)).json == {"status": "accepted"}
    before = await counted(context)
    for _ in range(3):
        assert (await ana.told("pix", "payment", told)).json == {"status": "accepted"}
    assert await counted(context) == before and await ana.odd() == []
    await assert_in_order(context)


async def test_an_older_state_that_comes_later_changes_nothing(
    ana: Merchant, desk: Desk, waits: dict[str, Any], context: Context
) -> None:
    older = desk.told(key_of(waits))
    desk.pay(key_of(waits))
    for told in (desk.told(key_of(waits)), older):
        assert (await ana.told("pix", "payment", told)).status == 200
    assert (await ana.seen(waits))["status"] == "paid" and await ana.odd() == []
    await assert_in_order(context)


async def test_an_old_authorization_changes_nothing_after_capture_or_cancellation(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    captured, cancelled = await ana.card(capture="manual"), await ana.card(capture="manual")
    older = [desk.told(key_of(payin)) for payin in (captured, cancelled)]
    await ana.capture(captured)
    await ana.cancel(cancelled)
    for told in older:
        assert (await ana.told("card", "payment", told)).status == 200
    assert [(await ana.seen(payin))["status"] for payin in (captured, cancelled)] == ["paid", "cancelled"]
    assert await ana.odd() == [] and desk.count("void") == 1
    await assert_in_order(context)


async def test_a_callback_may_come_before_the_answer(ana: Merchant, desk: Desk, context: Context) -> None:
    async def early() -> None:
        told = desk.told(desk.orders[0].key)
        assert (await ana.told("card", "payment", told)).status == 200

    desk.says["submit"] = [early]
    payin = await ana.card()
    assert payin["status"] == "paid"
    assert await balances(ana) == {"BRL": {"pending": 10_000 - 390}}
    assert await ana.work("payin.submit") == 0, "nothing is left to sweep"
    await assert_in_order(context)


async def test_an_early_callback_that_goes_further_than_the_answer_stands(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    async def early() -> None:
        told = desk.told(desk.orders[0].key, status="paid", captured=10_000, action=None)
        assert (await ana.told("pix", "payment", told)).status == 200

    desk.says["submit"] = [early]
    answered = await ana.ask("pix", "k")
    assert answered.json["status"] == "paid", "what is stored under the key is what is answered"
    assert (await ana.ask("pix", "k")).body == answered.body
    await assert_in_order(context)


@pytest.mark.parametrize("status", ["declined", "expired", "cancelled"])
async def test_a_contradiction_to_money_is_written_down_once(
    ana: Merchant, desk: Desk, waits: dict[str, Any], context: Context, status: str
) -> None:
    desk.pay(key_of(waits))
    await ana.told("pix", "payment", desk.told(key_of(waits)))
    for _ in range(2):
        assert (await ana.told("pix", "payment", desk.told(key_of(waits), status=status))).status == 200
    assert (await ana.seen(waits))["status"] == "paid"
    [found] = await ana.odd()
    assert (found["kind"], found["payin"], found["mode"]) == ("contradicts_final_state", waits["id"], "test")
    assert found["detail"]["status"] == status and "action" not in json.dumps(found["detail"]["action"])
    await assert_in_order(context)


async def test_a_decline_of_what_is_authorized_is_a_contradiction(ana: Merchant, desk: Desk) -> None:
    payin = await ana.card(capture="manual")
    await ana.told("card", "payment", desk.told(key_of(payin), status="declined"))
    assert (await ana.seen(payin))["status"] == "authorized"
    assert [found["kind"] for found in await ana.odd()] == ["contradicts_final_state"]


async def test_who_forges_is_told_nothing_and_changes_nothing(
    ana: Merchant, desk: Desk, waits: dict[str, Any], context: Context
) -> None:
    desk.pay(key_of(waits))
    told, path = desk.told(key_of(waits)), "/v1/callbacks/sandbox/pix"
    raw = json.dumps({"id": "cb_1", "type": "payment", "payment": told}).encode()
    now = int(time.time())
    forged = (
        signature("another secret", now, "POST", path, raw),
        signature(SECRET, now - 301, "POST", path, raw),
        signature(SECRET, now + 360, "POST", path, raw),
        signature(SECRET, now, "POST", "/v1/callbacks/sandbox/card", raw),
        signature(SECRET, now, "GET", path, raw),
        signature(SECRET, now, "POST", path, raw + b" "),
        f"t={now},v1=",
        "nonsense",
        "",
    )
    before = await counted(context)
    for header in forged:
        answered = await ana.call("POST", path, raw, headers={"provider-signature": header, "authorization": "-"})
        assert (answered.status, answered.code) == (401, "unauthenticated"), header
    assert await counted(context) == before and await ana.odd() == []


async def test_what_was_refused_is_counted_for_operators_and_a_line_of_the_log(
    ana: Merchant, desk: Desk, waits: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    told, path, now = desk.told(key_of(waits)), "/v1/callbacks/sandbox/pix", int(time.time())
    raw = json.dumps({"id": "cb_1", "type": "payment", "payment": told}).encode()
    headers = [signature("another", now, "POST", path, raw)] * 3 + [signature(SECRET, now - 301, "POST", path, raw), ""]
    for header in headers:
        await ana.call("POST", path, raw, headers={"provider-signature": header, "authorization": "-"})
    await ana.told("boleto", "payment", told)
    await ana.call("POST", "/v1/callbacks/spei", raw, headers={"authorization": "-"})
    answered = await ana.get("/v1/operator/providers", key=ana.olga)
    assert [tuple(one.values()) for one in answered.json["callbacks_refused"]] == [
        ("sandbox", "forged", 3),
        ("sandbox", "malformed", 1),
        ("sandbox", "stale", 1),
        ("sandbox", "unsigned", 1),
        ("spei", "unsigned", 1),
    ]
    lines = [record.getMessage() for record in caplog.records if "was refused" in record.getMessage()]
    assert len(lines) == 6, "not one for each: anybody can send such"
    assert key_of(waits) not in caplog.text


OTHER: dict[str, tuple[dict[str, Any], str, str]] = {
    "another account": ({"account": "999"}, SECRET, "other_account"),
    "another amount": ({"amount": 9_999, "captured": 9_999}, SECRET, "other_amount"),
    "another currency": ({"currency": "USD"}, SECRET, "other_amount"),
    "the other mode": ({}, LIVE_SECRET, "other_account"),
    "an unknown payment": ({"key": "f" * 32}, SECRET, "unknown_payment"),
}


@pytest.mark.parametrize("name", OTHER)
async def test_what_is_about_something_else_is_written_down_and_changes_nothing(
    ana: Merchant, desk: Desk, waits: dict[str, Any], context: Context, name: str
) -> None:
    changed, secret, kind = OTHER[name]
    desk.pay(key_of(waits))
    for _ in range(2):
        told = desk.told(key_of(waits), **changed)
        assert (await ana.told("pix", "payment", told, secret=secret)).status == 200
    assert (await ana.seen(waits))["status"] == "pending"
    [found] = await ana.odd()
    assert (found["kind"], found["provider"]) == (kind, "sandbox")
    assert found["payin"] == (None if kind == "unknown_payment" else waits["id"])
    assert (await ana.told("pix", "payment", desk.told(key_of(waits)))).status == 200
    assert (await ana.seen(waits))["status"] == "paid", "the right one counts all the same"
    await assert_in_order(context)


async def test_a_payment_of_another_method_is_refused_and_of_ours_by_another_method_written_down(
    ana: Merchant, desk: Desk, waits: dict[str, Any]
) -> None:
    desk.pay(key_of(waits))
    assert (await ana.told("boleto", "payment", desk.told(key_of(waits)))).status == 422
    assert (await ana.told("boleto", "payment", desk.told(key_of(waits), method="boleto"))).status == 200
    assert (await ana.seen(waits))["status"] == "pending"
    assert [found["kind"] for found in await ana.odd()] == ["other_account"]
    assert (await ana.told("cheque", "payment", desk.told(key_of(waits)))).status == 404


OPERATIONS: dict[str, tuple[dict[str, Any], str, str]] = {
    "another amount": ({"amount": 1}, SECRET, "other_amount"),
    "another account": ({"account": "999"}, SECRET, "other_account"),
    "another method": ({"method": "pix"}, SECRET, "other_account"),
    "the other mode": ({}, LIVE_SECRET, "other_account"),
    "another payment": ({"payment_key": "f" * 32}, SECRET, "unknown_payment"),
    "another kind": ({"kind": "refund"}, SECRET, "unknown_payment"),
    "an unknown operation": ({"key": "f" * 32}, SECRET, "unknown_payment"),
}


@pytest.mark.parametrize("name", OPERATIONS)
async def test_what_is_about_another_operation_is_written_down_and_settles_nothing(
    ana: Merchant, desk: Desk, context: Context, name: str
) -> None:
    changed, secret, kind = OPERATIONS[name]
    payin = await ana.card(capture="manual")
    desk.says["capture"] = [{"status": "pending"}]
    capture = (await ana.capture(payin, 4_000)).json
    desk.settle(key_of(capture), "succeeded")
    changed = dict(changed)
    method = changed.pop("method", "card")
    told = desk.told_of_operation(key_of(capture), **changed)
    assert (await ana.told(method, "operation", told, secret=secret)).status == 200
    assert (await ana.get(f"/v1/captures/{capture['id']}")).json["status"] == "pending"
    assert [found["kind"] for found in await ana.odd()] == [kind]
    assert (await ana.told("card", "operation", desk.told_of_operation(key_of(capture)))).status == 200
    assert (await ana.seen(payin))["amount_captured"] == 4_000
    await assert_in_order(context)


@pytest.mark.parametrize("captured", [0, 9_999, 10_001])
async def test_money_of_another_amount_waits_for_a_person(
    ana: Merchant, desk: Desk, context: Context, captured: int
) -> None:
    payin = await ana.asked("boleto")
    for _ in range(2):
        told = desk.told(key_of(payin), status="paid", captured=captured)
        assert (await ana.told("boleto", "payment", told)).status == 200
    assert (await ana.seen(payin))["status"] == "pending"
    assert (await balances(ana)).get("BRL", {}) == ({"unapplied": captured} if captured else {})
    assert [found["kind"] for found in await ana.odd()] == ["other_amount"]
    await assert_in_order(context)


async def test_an_answer_with_another_amount_leaves_no_request_without_an_answer(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    desk.says["submit"] = [{"captured_minor": 9_000}]
    answered = await ana.ask("card", "k")
    assert (answered.status, answered.json["status"]) == (201, "pending")
    assert await balances(ana) == {"BRL": {"unapplied": 9_000}}
    await assert_in_order(context)


async def test_what_is_counted_as_unapplied_is_not_counted_again_as_paid(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    payin = await ana.asked("boleto")
    for captured in (4_000, 10_000):
        told = desk.told(key_of(payin), status="paid", captured=captured)
        assert (await ana.told("boleto", "payment", told)).status == 200
    assert (await ana.seen(payin))["status"] == "pending"
    assert await balances(ana) == {"BRL": {"unapplied": 4_000}}
    assert [found["kind"] for found in await ana.odd()] == ["other_amount", "other_amount"]
    await assert_in_order(context)
