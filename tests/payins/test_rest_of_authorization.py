"""What is left of an authorization when a part is captured: given back in time, or when the merchant asks for it."""

from __future__ import annotations

from typing import Any

import pytest

from caudal.connectors import Declined
from caudal.kernel.context import Context
from tests.payins.books import assert_in_order, balances, rows, wrong_in
from tests.payins.cast import DAY_S, Merchant, key_of
from tests.payins.desk import Desk

EXPIRY = "select count(*) from due where kind = 'payin.expire'"
NO = Declined(reason="processing_error", detail="no")


@pytest.fixture
async def part(ana: Merchant, desk: Desk) -> dict[str, Any]:
    """100.00 BRL are authorized, 40.00 of them captured."""
    payin = await ana.card(capture="manual")
    assert (await ana.capture(payin, 4_000)).json["status"] == "succeeded"
    return payin


async def lapses(context: Context, payin: dict[str, Any]) -> None:
    """Its time is over, and nobody has come yet to let it expire."""
    book = "(select book from payin where id = %s::uuid)"
    await rows(context, f"update book set clock_offset_s = 691200 where book = {book} returning 1", key_of(payin))


async def test_it_is_given_back_when_its_time_is_over(
    ana: Merchant, desk: Desk, part: dict[str, Any], context: Context
) -> None:
    assert (await ana.advance(6 * DAY_S)).json["expired"] == 0 and desk.held(key_of(part)) == 6_000
    assert (await ana.advance(2 * DAY_S)).json["expired"] == 0
    await assert_in_order(context)
    assert await ana.work("payin.operate") == 1
    assert desk.held(key_of(part)) == 0 and desk.payments[key_of(part)].captured_minor == 4_000
    told = [event for event in await ana.events() if event["type"] == "payin.rest_released"]
    assert [(one["data"]["status"], one["data"]["amount_captured"]) for one in told] == [("paid", 4_000)]
    seen = await ana.seen(part)
    assert (seen["status"], seen["amount_captured"], seen["amount_received"]) == ("paid", 4_000, 4_000)
    assert (await ana.capture(part, 1)).code == "forbidden_transition"
    await ana.advance(DAY_S)
    assert await ana.work("payin.operate", "payin.expire") == 0 and desk.count("void") == 1
    await assert_in_order(context)


async def test_a_law_finds_what_nobody_would_give_back(part: dict[str, Any], context: Context) -> None:
    await rows(context, "delete from due where kind = 'payin.expire' returning 1")
    wrong = await wrong_in(context.settings.database_url or "")
    assert [line.split()[0] for line in wrong] == ["open_payin_expires"]


@pytest.mark.parametrize("captured", [0, 4_000])
async def test_nothing_is_captured_behind_its_time(ana: Merchant, desk: Desk, context: Context, captured: int) -> None:
    payin = await ana.card(capture="manual")
    if captured:
        await ana.capture(payin, captured)
    await lapses(context, payin)
    answered = await ana.capture(payin, 1_000)
    assert (answered.status, answered.code) == (409, "forbidden_transition")
    assert desk.payments[key_of(payin)].captured_minor == captured


async def test_the_merchant_gives_it_back(ana: Merchant, desk: Desk, part: dict[str, Any], context: Context) -> None:
    answered = await ana.cancel(part)
    assert (answered.status, answered.json["status"], answered.json["amount_captured"]) == (200, "paid", 4_000)
    assert desk.held(key_of(part)) == 0
    assert (await ana.capture(part, 1)).code == "forbidden_transition"
    assert (await ana.cancel(part)).code == "forbidden_transition"
    assert await rows(context, EXPIRY) == [(0,)], "nothing is left to give back"
    assert (await ana.refund(part, 3_000)).json["status"] == "succeeded"
    await assert_in_order(context)


async def test_what_the_provider_would_not_give_back_may_be_asked_again(
    ana: Merchant, desk: Desk, part: dict[str, Any], context: Context
) -> None:
    desk.says["void"] = [NO]
    assert (await ana.cancel(part)).json["status"] == "paid"
    assert await ana.odd() == [] and (await ana.capture(part, 1_000)).json["status"] == "succeeded"
    assert (await ana.cancel(part)).status == 200 and desk.held(key_of(part)) == 0
    assert await balances(ana) == {"BRL": {"pending": 5_000 - 40 - 175}}
    await assert_in_order(context)


async def test_what_stays_held_behind_its_time_is_told_to_a_person(
    ana: Merchant, desk: Desk, part: dict[str, Any], context: Context
) -> None:
    await ana.advance(8 * DAY_S)
    desk.says["void"] = [NO]
    assert await ana.work("payin.operate") == 1
    [found] = await ana.odd()
    assert (found["kind"], found["payin"]) == ("contradicts_final_state", part["id"])
    assert (found["detail"]["kind"], found["detail"]["detail"]) == ("void", "no")
    await ana.advance(DAY_S)
    assert await ana.work("payin.operate", "payin.expire") == 0
    await assert_in_order(context)


async def test_a_capture_under_way_comes_first(
    ana: Merchant, desk: Desk, part: dict[str, Any], context: Context
) -> None:
    desk.says["capture"] = ["lost"]
    await ana.capture(part, 1_000)
    assert (await ana.cancel(part)).code == "forbidden_transition"
    await ana.advance(8 * DAY_S)
    assert await ana.work("payin.operate") == 1 and desk.count("void") == 0
    assert await ana.work("payin.expire") >= 1 and await ana.work("payin.operate") == 1
    assert desk.held(key_of(part)) == 0 and desk.payments[key_of(part)].captured_minor == 5_000
    await assert_in_order(context)


@pytest.mark.parametrize("how", ["all of it", "a final part"])
async def test_where_nothing_is_left_nothing_waits(
    ana: Merchant, desk: Desk, part: dict[str, Any], context: Context, how: str
) -> None:
    assert await rows(context, EXPIRY) == [(1,)]
    asked = {"amount": 6_000} if how == "all of it" else {"amount": 1, "final": True}
    assert (await ana.capture(part, **asked)).json["status"] == "succeeded"
    assert await rows(context, EXPIRY) == [(0,)]
    await ana.advance(8 * DAY_S)
    assert desk.count("void") == 0
    await assert_in_order(context)


async def test_a_final_part_that_fails_leaves_what_has_to_be_given_back(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    payin = await ana.card(capture="manual")
    desk.says["capture"] = [{"status": "pending"}, {"status": "pending"}]
    first, final = (await ana.capture(payin, 4_000)).json, (await ana.capture(payin, 1_000, final=True)).json
    desk.settle(key_of(first), "succeeded")
    await ana.told("card", "operation", desk.told_of_operation(key_of(first)))
    assert await rows(context, EXPIRY) == [(0,)]
    desk.settle(key_of(final), "failed", "processing_error")
    await ana.told("card", "operation", desk.told_of_operation(key_of(final)))
    assert await rows(context, EXPIRY) == [(1,)]
    await ana.advance(8 * DAY_S)
    assert await ana.work("payin.operate") >= 1 and desk.held(key_of(payin)) == 0
    await assert_in_order(context)


# Voids whose end contradicts the money


async def test_a_void_that_succeeds_though_it_was_paid_meanwhile_is_a_discrepancy(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    payin = await ana.pix()
    desk.says["void"] = [{"status": "pending"}]
    await ana.cancel(payin)
    desk.pay(key_of(payin))
    await ana.told("pix", "payment", desk.told(key_of(payin)))
    [key] = desk.operations
    desk.settle(key, "succeeded")
    assert (await ana.told("pix", "operation", desk.told_of_operation(key))).status == 200
    assert (await ana.seen(payin))["status"] == "paid"
    [found] = await ana.odd()
    assert (found["kind"], found["payin"], found["detail"]["kind"]) == ("contradicts_final_state", payin["id"], "void")
    await ana.work("payin.operate")
    await assert_in_order(context)


@pytest.mark.parametrize("word", [NO, {"status": "failed", "reason": "processing_error"}], ids=["declined", "failed"])
async def test_a_void_that_fails_behind_an_expiry_is_a_discrepancy(
    ana: Merchant, desk: Desk, context: Context, word: Any
) -> None:
    payin = await ana.card(capture="manual")
    await ana.advance(8 * DAY_S)
    assert (await ana.seen(payin))["status"] == "expired"
    desk.says["void"] = [word]
    assert await ana.work("payin.operate") == 1 and desk.held(key_of(payin)) == 10_000
    assert [(found["kind"], found["payin"]) for found in await ana.odd()] == [("contradicts_final_state", payin["id"])]
    await assert_in_order(context)


async def test_a_void_that_fails_because_nothing_is_held_any_more_is_none(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    payin = await ana.pix()
    desk.says["void"] = ["nothing", NO]
    await ana.cancel(payin)
    await ana.told("pix", "payment", desk.told(key_of(payin), status="declined"))
    assert await ana.work("payin.operate") == 1 and await ana.odd() == []
    await assert_in_order(context)


@pytest.mark.parametrize("captured", [4_000, 4_001, 10_000])
async def test_what_the_provider_has_captured_beyond_our_captures_is_a_discrepancy(
    ana: Merchant, desk: Desk, part: dict[str, Any], context: Context, captured: int
) -> None:
    for _ in range(2):
        told = desk.told(key_of(part), captured=captured)
        assert (await ana.told("card", "payment", told)).status == 200
    kinds = [found["kind"] for found in await ana.odd()]
    assert kinds == ([] if captured == 4_000 else ["other_amount"])
    assert (await ana.seen(part))["amount_received"] == 4_000
    await assert_in_order(context)
