"""POST /v1/payins/{id}/cancellations where a provider knows the payin: given up there first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from caudal.kernel.context import Context
from tests.payins.books import assert_in_order, balances
from tests.payins.cast import DAY_S, Merchant, key_of
from tests.payins.desk import Desk


@pytest.mark.parametrize("method", ["pix", "boleto"])
async def test_a_payin_that_waits_is_given_up_at_its_provider(
    ana: Merchant, desk: Desk, context: Context, method: str
) -> None:
    payin = await ana.asked(method)
    answered = await ana.cancel(payin)
    assert (answered.status, answered.json["status"]) == (200, "cancelled")
    assert answered.json["status_reason"] == "requested_by_merchant"
    assert desk.payments[key_of(payin)].status == "cancelled"
    assert await ana.work("payin.expire", "payin.operate") == 0
    await assert_in_order(context)


@pytest.mark.parametrize("method", ["pse", "mpesa"])
async def test_what_no_provider_can_take_back_is_cancelled_here(ana: Merchant, desk: Desk, method: str) -> None:
    payin = await ana.asked(method)
    assert (await ana.cancel(payin)).json["status"] == "cancelled"
    assert desk.count("void") == 0 and desk.payments[key_of(payin)].status == "pending"


async def test_an_authorization_is_given_back(ana: Merchant, desk: Desk, context: Context) -> None:
    payin = await ana.card(capture="manual")
    answered = await ana.cancel(payin)
    assert (answered.json["status"], answered.json["amount_authorized"]) == ("cancelled", 10_000)
    assert (await ana.capture(payin)).code == "forbidden_transition"
    await assert_in_order(context)


async def test_what_was_paid_meanwhile_stays_and_is_paid(ana: Merchant, desk: Desk, context: Context) -> None:
    payin = await ana.pix()
    desk.pay(key_of(payin))
    answered = await ana.cancel(payin)
    assert (answered.status, answered.json["status"]) == (200, "pending"), "the provider refuses; its callback comes"
    await ana.told("pix", "payment", desk.told(key_of(payin)))
    assert (await ana.seen(payin))["status"] == "paid"
    assert (await ana.cancel(payin)).code == "forbidden_transition"
    await assert_in_order(context)


async def test_after_a_refused_cancellation_another_may_be_asked(ana: Merchant, desk: Desk) -> None:
    payin = await ana.card(capture="manual")
    desk.says["void"] = [{"status": "failed", "reason": "processing_error"}]
    assert (await ana.cancel(payin)).json["status"] == "authorized"
    assert (await ana.cancel(payin)).json["status"] == "cancelled"


async def test_nobody_captures_what_is_being_cancelled_nor_the_other_way_round(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    payin, other = await ana.card(capture="manual"), await ana.card(capture="manual")
    desk.says["void"], desk.says["capture"] = ["nothing"], ["nothing"]
    assert (await ana.cancel(payin)).json["status"] == "authorized"
    assert (await ana.capture(payin)).code == "forbidden_transition"
    assert (await ana.cancel(payin)).code == "forbidden_transition"
    await ana.capture(other, 1)
    assert (await ana.cancel(other)).code == "forbidden_transition"
    assert await ana.work("payin.operate") == 2
    assert [(await ana.seen(one))["status"] for one in (payin, other)] == ["cancelled", "paid"]
    assert (await ana.cancel(other)).json["status"] == "paid", "a part is taken, the rest is given back"
    assert desk.held(key_of(other)) == 0
    await assert_in_order(context)


async def test_cancellation_and_capture_at_once_are_one_of_them(ana: Merchant, desk: Desk, context: Context) -> None:
    for _ in range(5):
        payin = await ana.card(capture="manual")
        asked = (ana.capture(payin), ana.cancel(payin), ana.cancel(payin), ana.capture(payin))
        answered = await asyncio.gather(*asked)
        assert sorted(one.status for one in answered)[1:] == [409] * 3
    await assert_in_order(context)


async def test_a_cancellation_that_nobody_answers_comes_true_by_callback(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    payin = await ana.pix()
    desk.says["void"] = ["lost"]
    assert (await ana.cancel(payin)).json["status"] == "pending"
    await ana.told("pix", "payment", desk.told(key_of(payin)))
    seen = await ana.seen(payin)
    assert (seen["status"], seen["status_reason"]) == ("cancelled", "requested_by_merchant")
    assert await ana.work("payin.operate") == 1
    assert [event["type"] for event in await ana.events()].count("payin.cancelled") == 1
    await assert_in_order(context)


async def test_a_payin_may_expire_while_it_is_cancelled(ana: Merchant, desk: Desk, context: Context) -> None:
    payin = await ana.pix()
    desk.says["void"] = ["nothing"]
    await ana.cancel(payin)
    assert (await ana.advance(30 * DAY_S)).json["expired"] == 1
    assert await ana.work("payin.operate") == 1
    assert (await ana.seen(payin))["status"] == "expired"
    await assert_in_order(context)


async def test_what_is_submitted_has_ended_or_is_anothers_cannot_be_cancelled(
    ana: Merchant, caro: Merchant, desk: Desk
) -> None:
    desk.says["submit"] = ["nothing", {"status": "declined", "reason": "do_not_honor"}]
    submitted, declined, paid = [await ana.card() for _ in range(3)]
    assert submitted["status"] == "submitting"
    for payin in (submitted, declined, paid):
        answered = await ana.cancel(payin)
        assert (answered.status, answered.code) == (409, "forbidden_transition")
    assert (await caro.cancel(paid)).status == 404
    assert desk.count("void") == 0


async def test_the_same_key_is_answered_byte_for_byte(ana: Merchant, desk: Desk) -> None:
    payin = await ana.pix()
    first = await ana.cancel(payin, idempotency="k")
    again = await ana.cancel(payin, idempotency="k")
    assert (again.status, again.body, again.headers["idempotent-replayed"]) == (200, first.body, "true")
    assert desk.count("void") == 1


async def test_money_that_comes_for_a_cancelled_payin_goes_back(ana: Merchant, desk: Desk, context: Context) -> None:
    payin: dict[str, Any] = await ana.asked("mpesa")
    await ana.cancel(payin)
    desk.pay(key_of(payin))
    await ana.told("mpesa", "payment", desk.told(key_of(payin)))
    assert (await ana.seen(payin))["status"] == "cancelled"
    assert await ana.work("deposit.return") == 1
    assert desk.payments[key_of(payin)].refunded_minor == 10_000
    assert await balances(ana) == {"KES": {}}
    await assert_in_order(context)
