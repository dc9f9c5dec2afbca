"""Money that a provider gives back by itself, beside what was asked to go back: booked once, whoever tells of it."""

from __future__ import annotations

from typing import Any

import pytest

from caudal.kernel.context import Context
from tests.payins.books import assert_in_order, postings_of, rows
from tests.payins.cast import DAY_S, Merchant, key_of
from tests.payins.desk import Desk
from tests.payins.test_corrections import corrected
from tests.payins.test_late_success import deposits, ended
from tests.payins.test_unresolved import tried

PARTLY = """
deposit.unapplied provider_receivable→unapplied 10000
deposit.return_requested unapplied→clearing 10000
deposit.return_failed clearing→unapplied 10000
deposit.return_requested unapplied→clearing 300
deposit.returned clearing→provider_receivable 300
deposit.return_requested unapplied→clearing 9700
deposit.returned clearing→provider_receivable 9700
"""


async def tell(ana: Merchant, desk: Desk, payin: dict[str, Any], **changed: Any) -> None:
    """How the payment stands, twice."""
    for _ in range(2):
        assert (await ana.told(payin["method"], "payment", desk.told(key_of(payin), **changed))).status == 200


async def asked(ana: Merchant, kind: str) -> dict[str, Any]:
    """The open case of this kind, once its provider was asked."""
    [case] = [one for one in await ana.odd() if one["kind"] == kind]
    assert case["proposals"][0]["correction"] == "ask_again"
    assert (await corrected(ana, case)).status == 201
    assert await ana.work("discrepancy.ask") == 1
    [case] = [one for one in await ana.odd(all="true") if one["id"] == case["id"]]
    return case


async def parts(ana: Merchant) -> tuple[int, int, int]:
    """What of the deposit is unapplied, on its way back and returned."""
    [found] = await deposits(ana)
    unapplied, returning, returned = (found[f"amount_{part}"] for part in ("unapplied", "returning", "returned"))
    return unapplied, returning, returned


async def test_a_part_of_money_that_no_payin_takes_is_booked_and_only_the_rest_goes_back(
    ana: Merchant, desk: Desk, context: Context, late: str
) -> None:
    desk.careful = True
    [payin_id] = desk.payments
    payin = {"id": f"payin_{payin_id}", "method": "mpesa"}
    desk.change(payin_id, refunded_minor=300)
    await tell(ana, desk, payin)
    assert [one["kind"] for one in await ana.odd()] == ["late_success"], "an order under way may explain it"
    await tried(context, "deposit.return")
    assert (await deposits(ana))[0]["reason"] == "return_refused", "there is not so much left"
    await tell(ana, desk, payin)
    case = await asked(ana, "other_amount")
    [proposal] = case["proposals"]
    assert (proposal["correction"], proposal["amount"]) == ("book_return", 300)
    assert (await corrected(ana, case)).status == 201
    assert (await parts(ana), (await deposits(ana))[0]["reason"]) == ((9_700, 0, 300), "partly_returned")
    assert (await corrected(ana, case)).code == "forbidden_transition", "once"
    assert (await ana.post(f"/v1/operator/deposits/{late}/returns", key=ana.olga)).status == 201
    await tried(context, "deposit.return")
    assert await parts(ana) == (0, 0, 10_000)
    await tell(ana, desk, payin)
    assert (await ana.told("mpesa", "operation", desk.told_of_operation(desk.refunds[-1].key))).status == 200
    assert [one["kind"] for one in await ana.odd()] == ["late_success"]
    assert await postings_of(context, late) == PARTLY.strip().splitlines()
    await assert_in_order(context)


async def test_money_that_is_first_heard_of_with_a_part_given_back_waits_for_a_person(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    payin = await ended(ana, desk, "declined")
    desk.pay(key_of(payin), refunded_minor=300)
    await tell(ana, desk, payin)
    await ana.work("discrepancy.ask")
    assert await parts(ana) == (10_000, 0, 0)
    [deposit] = await deposits(ana)
    assert await sent_back(ana, deposit["id"]) == (409, "forbidden_transition")
    [beside] = await ana.odd(kind="late_success")
    assert [one["correction"] for one in beside["proposals"]] == ["by_hand"], "the other case comes first"
    assert (await corrected(ana, await asked(ana, "other_amount"))).status == 201
    [beside] = await ana.odd(kind="late_success")
    assert [(one["correction"], one["amount"]) for one in beside["proposals"]] == [("return_money", 9_700)]
    assert await parts(ana) == (9_700, 0, 300)
    await assert_in_order(context)


async def refused_and_carried_out(ana: Merchant, desk: Desk) -> str:
    """The key of the order that sends the late deposit back: refused, and carried out after all."""
    desk.says["refund"] = [{"status": "failed"}]
    await tried(ana.context, "deposit.return")
    assert (await parts(ana), (await deposits(ana))[0]["reason"]) == ((10_000, 0, 0), "return_refused")
    desk.settle(desk.refunds[-1].key, "succeeded")
    return desk.refunds[-1].key


async def sent_back(ana: Merchant, deposit: str) -> tuple[int, str | None]:
    answered = await ana.post(f"/v1/operator/deposits/{deposit}/returns", key=ana.olga)
    return answered.status, answered.json.get("code")


async def test_what_the_payment_says_is_back_is_not_sent_back_while_that_is_open(
    ana: Merchant, desk: Desk, context: Context, late: str
) -> None:
    await refused_and_carried_out(ana, desk)
    [payin_id] = desk.payments
    await tell(ana, desk, {"id": f"payin_{payin_id}", "method": "mpesa"})
    assert await sent_back(ana, late) == (409, "forbidden_transition")
    [beside] = await ana.odd(kind="late_success")
    assert [one["correction"] for one in beside["proposals"]] == ["by_hand"]
    chosen = {"correction": "return_money", "facts": beside["proposals"][0]["facts"]}
    path = f"/v1/operator/discrepancies/{beside['id']}/corrections"
    assert (await ana.post(path, chosen, key=ana.olga)).code == "forbidden_transition"
    case = await asked(ana, "other_amount")
    assert (await corrected(ana, case)).json["correction"] == "book_return"
    assert (await parts(ana), desk.payments[payin_id].refunded_minor) == ((0, 0, 10_000), 10_000)
    [beside] = await ana.odd()
    assert beside["proposals"][0]["correction"] == "none_needed"
    await assert_in_order(context)


@pytest.mark.parametrize("sent", [False, True], ids=["waits", "asked for"])
async def test_a_second_word_that_a_return_was_carried_out_holds_it_back_like_the_first(
    ana: Merchant, desk: Desk, context: Context, late: str, sent: bool
) -> None:
    key = await refused_and_carried_out(ana, desk)
    for amount in (1, 10_000):
        for _ in range(2):
            assert (await ana.told("mpesa", "operation", desk.told_of_operation(key, amount=amount))).status == 200
        [case] = await ana.odd(kind="contradicts_final_state")
        assert case["detail"]["amount_minor"] == amount
        if amount == 1:
            assert await sent_back(ana, late) == (409, "forbidden_transition")
            path = f"/v1/operator/discrepancies/{case['id']}/resolutions"
            assert (await ana.post(path, {"resolution": "a test of theirs"}, key=ana.olga)).status == 201
            assert not sent or await sent_back(ana, late) == (201, None)
    assert (await sent_back(ana, late))[0] == 409
    await tried(context, "deposit.return")
    assert (await parts(ana), len(desk.refunds)) == ((0, 10_000, 0) if sent else (10_000, 0, 0), 1), "it waits"
    assert desk.payments[desk.operations[key].payment_key].refunded_minor == 10_000
    await assert_in_order(context)


async def test_what_is_told_and_not_so_is_not_booked(ana: Merchant, desk: Desk, context: Context) -> None:
    payin = await ended(ana, desk, "expired")
    await ana.settings("unapplied")
    desk.pay(key_of(payin))
    await tell(ana, desk, payin)
    await ana.work("discrepancy.ask")
    await tell(ana, desk, payin, refunded=300)
    assert [one["kind"] for one in await ana.odd()] == ["late_success"], (
        "the provider was asked, and knows nothing of it"
    )
    assert await parts(ana) == (10_000, 0, 0)
    await assert_in_order(context)


async def test_what_pays_its_payin_after_all_and_is_given_back_leaves_the_merchants_balance(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    payin = await ended(ana, desk, "expired")
    await ana.settings("unapplied")
    desk.pay(key_of(payin))
    await tell(ana, desk, payin)
    await ana.work("discrepancy.ask")
    [case] = [one for one in await ana.odd() if one["kind"] == "late_success"]
    assert (await corrected(ana, case, 1)).json["correction"] == "book_late_payment"
    desk.change(key_of(payin), refunded_minor=300)
    await tell(ana, desk, payin)
    assert (await corrected(ana, await asked(ana, "other_amount"))).json["correction"] == "book_refund"
    assert (await ana.seen(payin))["amount_refunded"] == 300
    await assert_in_order(context)


@pytest.mark.parametrize("first", ["payment", "refund"])
async def test_a_refund_that_was_carried_out_after_all_is_booked_once_whatever_tells_of_it(
    ana: Merchant, desk: Desk, context: Context, first: str
) -> None:
    payin = await ana.card()
    desk.says["refund"] = [{"status": "failed", "reason": "processing_error"}]
    refund = (await ana.refund(payin, 3_000)).json
    desk.settle(key_of(refund), "succeeded")
    await tell(ana, desk, payin)
    await ana.told("card", "operation", desk.told_of_operation(key_of(refund)))
    kinds = ["other_amount", "contradicts_final_state"]
    cases = [await asked(ana, kind) for kind in (kinds if first == "payment" else kinds[::-1])]
    assert [case["proposals"][0]["correction"] for case in cases] == ["book_refund"] * 2
    assert (await corrected(ana, cases[0])).status == 201
    assert (await corrected(ana, cases[1])).status == 409, "it has changed since"
    [left] = await ana.odd()
    assert (left["id"], left["proposals"][0]["correction"]) == (cases[1]["id"], "ask_again")
    assert (await corrected(ana, left)).status == 201
    assert await ana.work("discrepancy.ask") == 1
    assert await ana.odd() == []
    assert (await ana.seen(payin))["amount_refunded"] == 3_000
    await assert_in_order(context)


async def test_a_provider_that_does_not_say_what_it_gave_back_is_asked_again(ana: Merchant, desk: Desk) -> None:
    payin = await ana.card()
    desk.says["refund"] = [{"status": "failed", "reason": "processing_error"}]
    refund = (await ana.refund(payin, 3_000)).json
    desk.settle(key_of(refund), "succeeded")
    await ana.told("card", "operation", desk.told_of_operation(key_of(refund)))
    [case] = await ana.odd()
    assert (await corrected(ana, case)).status == 201
    desk.says["payment"] = ["nothing"]
    assert await ana.work("discrepancy.ask") == 0
    assert await ana.work("discrepancy.ask") == 1
    assert (await ana.odd())[0]["proposals"][0]["correction"] == "book_refund"


async def test_what_is_captured_beyond_all_captures_a_second_time_is_a_persons(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    payin = await ana.card(capture="manual")
    await ana.capture(payin, 3_000)
    desk.change(key_of(payin), captured_minor=3_007)
    await tell(ana, desk, payin)
    assert (await corrected(ana, await asked(ana, "other_amount"))).json["correction"] == "return_money"
    await tried(context, "deposit.return")
    desk.change(key_of(payin), captured_minor=3_014)
    await tell(ana, desk, payin)
    case = await asked(ana, "other_amount")
    assert case["proposals"][0]["correction"] == "by_hand"
    assert (await corrected(ana, case)).status == 409
    assert (await parts(ana))[2] == 7
    await ana.advance(8 * DAY_S)
    assert await rows(context, "select count(*) from deposit") == [(1,)]
    await assert_in_order(context)
