"""What a provider says that our books contradict, and what puts it right: one table, executed, and its refusals.

Each line is a situation. `told` is what the provider's callback says, `asked` what it says when it is asked then.
`first` is what is proposed before it is asked, `then` what is proposed afterwards (closed: it closed by itself), and
`books` what the payin has become when that was carried out: its status, what it received and gave back, and what
remains open at the provider (money of the payer's that nobody has asked for).
"""

from __future__ import annotations

from typing import Any

import pytest

from caudal.connectors import Declined
from caudal.kernel.context import Context
from tests.payins.books import assert_in_order, postings_of, rows
from tests.payins.cast import Merchant, key_of
from tests.payins.desk import Desk
from tests.payins.test_late_success import deposits, ended

TABLE = """
payin       told                asked       kind                     first        then               books
paid        declined            paid        contradicts_final_state  ask_again    closed             paid 10000 0
paid        declined            declined    contradicts_final_state  ask_again    reverse_capture    paid 10000 10000
authorized  declined            authorized  contradicts_final_state  ask_again    closed             authorized 0 0
authorized  declined            declined    contradicts_final_state  ask_again    end_authorization  cancelled 0 0
paid        another_account     paid        other_account            ask_again    closed             paid 10000 0
paid        another_amount      paid        other_amount             ask_again    closed             paid 10000 0
paid        another_reference   paid        other_reference          ask_again    closed             paid 10000 0
paid        another_reference   second      other_reference          ask_again    by_hand            paid 10000 0
paid        refunded_3000       paid        other_amount             ask_again    closed             paid 10000 0
paid        refunded_3000       refunded    other_amount             ask_again    book_refund        paid 10000 3000
captured    captured_5000       captured    other_amount             ask_again    closed             paid 3000 0
captured    captured_5000       more        other_amount             ask_again    return_money       paid 3000 0
captured    capture_failed      captured    contradicts_final_state  ask_again    closed             paid 3000 0
captured    capture_failed      no_capture  contradicts_final_state  ask_again    reverse_capture    paid 3000 3000
uncaptured  capture_succeeded   yes         contradicts_final_state  ask_again    return_money       authorized 0 0
refunded    refund_of_4000      refunded    other_amount             ask_again    closed             paid 10000 3000
unrefunded  refund_succeeded    refunded    contradicts_final_state  ask_again    book_refund        paid 10000 3000
"""


async def payin_of(ana: Merchant, desk: Desk, what: str) -> tuple[dict[str, Any], str]:
    """A card payin that has come so far; and the key of its last operation."""
    manual = what in ("authorized", "captured", "uncaptured")
    payin = await ana.card(capture="manual" if manual else "automatic")
    made = None
    match what:
        case "captured":
            made = await ana.capture(payin, 3_000)
        case "uncaptured":
            desk.says["capture"] = [{"status": "failed", "reason": "processing_error"}]
            made = await ana.capture(payin, 3_000)
        case "refunded":
            made = await ana.refund(payin, 3_000)
        case "unrefunded":
            desk.says["refund"] = [{"status": "failed", "reason": "processing_error"}]
            made = await ana.refund(payin, 3_000)
    return payin, "" if made is None else key_of(made.json)


TOLD: dict[str, dict[str, Any]] = {
    "declined": {"status": "declined", "captured": 0, "code": "51"},
    "another_account": {"account": "77"},
    "another_amount": {"amount": 20_000},
    "another_reference": {"id": "pp_other"},
    "refunded_3000": {"refunded": 3_000},
    "captured_5000": {"captured": 5_000},
    "capture_failed": {"status": "failed", "code": "96"},
    "capture_succeeded": {"status": "succeeded", "code": None},
    "refund_of_4000": {"amount": 4_000},
    "refund_succeeded": {"status": "succeeded", "code": None},
}


def answers(desk: Desk, payment: str, operation: str, asked: str) -> None:
    """From now on the provider says so when it is asked."""
    match asked:
        case "declined":
            desk.change(payment, status="declined", reason="do_not_honor", authorized_minor=0, captured_minor=0)
        case "second":
            desk.change(payment, reference="pp_other")
        case "refunded" if operation:
            desk.settle(operation, "succeeded")
        case "refunded":
            desk.change(payment, refunded_minor=3_000)
        case "more":
            desk.change(payment, captured_minor=5_000)
        case "no_capture":
            desk.settle(operation, "failed", "processing_error")
            desk.change(payment, status="authorized", captured_minor=0)
        case "yes":
            desk.settle(operation, "succeeded")


async def corrected(ana: Merchant, case: dict[str, Any], which: int = 0, **more: Any) -> Any:
    """Olga carries out what is proposed."""
    proposal = case["proposals"][which]
    asked = {"correction": proposal["correction"], "facts": proposal["facts"], **more}
    return await ana.post(f"/v1/operator/discrepancies/{case['id']}/corrections", asked, key=ana.olga)


async def case_of(ana: Merchant, kind: str) -> dict[str, Any]:
    [case] = [one for one in await ana.odd(all="true") if one["kind"] == kind]
    return case


LINES = [line.split(maxsplit=6) for line in TABLE.strip().splitlines()[1:]]


@pytest.mark.parametrize(("what", "told", "asked", "kind", "first", "then", "books"), LINES, ids=lambda part: part[:12])
async def test_it_is_asked_about_and_put_right(
    ana: Merchant,
    desk: Desk,
    context: Context,
    what: str,
    told: str,
    asked: str,
    kind: str,
    first: str,
    then: str,
    books: str,
) -> None:
    payin, operation = await payin_of(ana, desk, what)
    if told.startswith(("capture_", "refund_")):
        said = await ana.told("card", "operation", desk.told_of_operation(operation, **TOLD[told]))
    else:
        said = await ana.told("card", "payment", desk.told(key_of(payin), **TOLD[told]))
    assert said.status == 200, said.body
    case = await case_of(ana, kind)
    assert (case["proposals"][0]["correction"], case["answer"]) == (first, None)
    assert case["held"]["about"] == ("operation" if told.startswith(("capture_", "refund_")) else "payment")
    answers(desk, key_of(payin), operation if asked in ("refunded", "no_capture", "yes") else "", asked)
    calls = len(desk.asked)
    assert (await corrected(ana, case)).status == 201
    assert await ana.work("discrepancy.ask") == 1
    assert {verb for verb, _ in desk.asked[calls:]} <= {"payment", "operation"}, "it only asks"
    case = await case_of(ana, kind)
    if then == "closed":
        assert case["resolved_at"] is not None and "says what our books say" in case["resolution"]
    else:
        assert case["answer"] is not None and case["resolved_at"] is None
        proposal = case["proposals"][0]
        assert proposal["correction"] == then, proposal
        if then != "by_hand":
            answered = await corrected(ana, case)
            assert answered.status == 201, answered.body
            assert (answered.json["correction"], answered.json["resolved_at"] is None) == (then, False)
            await does_what_it_says(ana, context, proposal)
    seen = await ana.seen(payin)
    assert f"{seen['status']} {seen['amount_received']} {seen['amount_refunded']}" == books
    await assert_in_order(context)


@pytest.mark.parametrize(
    ("what", "verb", "told", "there", "then", "books"),
    [
        ("captured", "capture", "captured_5000", "more", "return_money", "paid 3000 0"),
        ("paid", "refund", "refunded_3000", "refunded", "book_refund", "paid 10000 3000"),
    ],
)
async def test_what_is_under_way_is_settled_before_anything_agrees(
    ana: Merchant, desk: Desk, context: Context, what: str, verb: str, told: str, there: str, then: str, books: str
) -> None:
    payin, _ = await payin_of(ana, desk, what)
    await ana.told("card", "payment", desk.told(key_of(payin), **TOLD[told]))
    desk.says[verb] = ["nothing"]
    await getattr(ana, verb)(payin, 2_000 if verb == "capture" else 3_000)
    answers(desk, key_of(payin), "", there)
    assert (await corrected(ana, await case_of(ana, "other_amount"))).status == 201
    assert await ana.work("discrepancy.ask") == 1
    case = await case_of(ana, "other_amount")
    assert case["resolved_at"] is None, "what is under way may be the whole difference"
    assert "under way" in case["proposals"][0]["because"]
    desk.says[verb] = [Declined(reason="not_permitted", detail="no")]
    assert await ana.work("payin.operate") == 1
    assert (await corrected(ana, await case_of(ana, "other_amount"))).status == 201
    assert await ana.work("discrepancy.ask") == 1
    case = await case_of(ana, "other_amount")
    assert case["proposals"][0]["correction"] == then
    assert (await corrected(ana, case)).status == 201
    seen = await ana.seen(payin)
    assert f"{seen['status']} {seen['amount_received']} {seen['amount_refunded']}" == books
    await assert_in_order(context)


async def test_a_payment_that_is_partly_given_back_as_it_is_first_heard_of_is_a_case(ana: Merchant, desk: Desk) -> None:
    desk.says["submit"] = ["lost"]
    payin = await ana.card()
    desk.change(key_of(payin), refunded_minor=3_000)
    assert await ana.work("payin.submit") == 1
    assert (await corrected(ana, await case_of(ana, "other_amount"))).status == 201
    assert await ana.work("discrepancy.ask") == 1
    case = await case_of(ana, "other_amount")
    assert case["proposals"][0]["correction"] == "book_refund"
    assert (await corrected(ana, case)).status == 201
    assert (await ana.seen(payin))["amount_refunded"] == 3_000


async def does_what_it_says(ana: Merchant, context: Context, proposal: dict[str, Any]) -> None:
    """The transfers that a correction said it would make are those that it made."""
    await ana.work("deposit.return")
    posted = [(one["code"], one["debit"], one["credit"], one["amount"]) for one in proposal["postings"]]
    last = await rows(context, "select subject from transfer order by seq desc limit 1")
    if posted:
        made = await postings_of(context, last[0][0].hex)
        assert made[-len(posted) :] == [f"{code} {debit}→{credit} {amount}" for code, debit, credit, amount in posted]


@pytest.fixture
async def late(ana: Merchant, desk: Desk) -> dict[str, Any]:
    """Money came for a payin that had expired, and its merchant takes none that is late."""
    await ana.settings("unapplied")
    payin = await ended(ana, desk, "expired")
    desk.pay(key_of(payin))
    await ana.told("pix", "payment", desk.told(key_of(payin)))
    return payin


async def test_late_money_goes_back_once(ana: Merchant, desk: Desk, context: Context, late: dict[str, Any]) -> None:
    case = await case_of(ana, "late_success")
    assert [one["correction"] for one in case["proposals"]] == ["return_money", "book_late_payment"]
    assert (await corrected(ana, case)).status == 201
    again = await corrected(ana, case)
    assert (again.status, again.code) == (409, "forbidden_transition")
    await does_what_it_says(ana, context, case["proposals"][0])
    assert desk.payments[key_of(late)].refunded_minor == 10_000 and len(desk.refunds) == 1
    assert (await ana.seen(late))["status"] == "expired"
    actions = [action for (action,) in await rows(context, "select action from audit order by id desc limit 2")]
    assert sorted(actions) == ["deposit.return_requested", "discrepancy.resolved"]
    await assert_in_order(context)


async def test_or_it_pays_the_payin_after_all(
    ana: Merchant, desk: Desk, context: Context, late: dict[str, Any]
) -> None:
    case = await case_of(ana, "late_success")
    assert (await corrected(ana, case, which=1)).status == 201
    await does_what_it_says(ana, context, case["proposals"][1])
    seen = await ana.seen(late)
    assert (seen["status"], seen["status_reason"], seen["amount_received"], seen["fees"]) == (
        "paid",
        "late",
        10_000,
        99,
    )
    [deposit] = await deposits(ana)
    assert (deposit["amount_applied"], deposit["amount_unapplied"], deposit["reason"]) == (10_000, 0, None)
    assert [event["data"]["status_reason"] for event in await ana.events(types="payin.paid")] == ["late"]
    await assert_in_order(context)


async def test_what_has_changed_since_is_refused(
    ana: Merchant, desk: Desk, context: Context, late: dict[str, Any]
) -> None:
    case = await case_of(ana, "late_success")
    [deposit] = await deposits(ana)
    assert (await ana.post(f"/v1/operator/deposits/{deposit['id']}/returns", key=ana.olga)).status == 201
    refused = await corrected(ana, case)
    assert (refused.status, refused.code) == (409, "forbidden_transition")
    assert "none_needed" in refused.json["detail"]
    now = await case_of(ana, "late_success")
    stale = {"correction": "none_needed", "facts": case["proposals"][0]["facts"]}
    path = f"/v1/operator/discrepancies/{case['id']}/corrections"
    assert "look at it again" in (await ana.post(path, stale, key=ana.olga)).json["detail"]
    assert "nothing to carry out" in (await corrected(ana, now)).json["detail"]
    assert (await case_of(ana, "late_success"))["resolved_at"] is None


async def test_money_that_goes_to_a_bank_account_needs_the_account(ana: Merchant, desk: Desk) -> None:
    payin = await ana.asked("pse")
    await ana.cancel(payin)
    desk.pay(key_of(payin))
    await ana.told("pse", "payment", desk.told(key_of(payin)))
    case = await case_of(ana, "late_success")
    assert case["proposals"][0]["destination"] == "needed"
    assert (await corrected(ana, case)).fields == {"/destination": "missing"}
    to = {"account": "12345678901", "bank": "1007", "kind": "savings"}
    to |= {"holder_name": "Carlos Ruiz", "holder_document": "1020304050"}
    assert (await corrected(ana, case, destination=to)).status == 201
    assert await ana.work("deposit.return") == 1
    assert desk.refunds[0].destination is not None and desk.refunds[0].destination.account == "12345678901"


async def test_what_is_held_after_a_void_that_failed_is_asked_for_once_more(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    payin = await ana.card(capture="manual")
    desk.says["void"] = [{"status": "failed", "reason": "processing_error"}]
    await ana.advance(8 * 86_400)
    assert await ana.work("payin.operate") == 1
    case = await case_of(ana, "contradicts_final_state")
    assert case["proposals"][0]["correction"] == "void_again"
    assert (await corrected(ana, case)).status == 201
    assert await ana.work("payin.operate") == 1
    assert desk.payments[key_of(payin)].status == "cancelled" and desk.held(key_of(payin)) == 0
    assert (await ana.seen(payin))["status"] == "expired"
    await assert_in_order(context)


async def test_a_void_that_failed_twice_is_settled_by_hand(ana: Merchant, desk: Desk, context: Context) -> None:
    payin = await ana.card(capture="manual")
    desk.says["void"] = [{"status": "failed", "reason": "processing_error"}] * 2
    await ana.advance(8 * 86_400)
    assert await ana.work("payin.operate") == 1
    assert (await corrected(ana, await case_of(ana, "contradicts_final_state"))).status == 201
    assert await ana.work("payin.operate") == 1
    cases = [one for one in await ana.odd() if one["kind"] == "contradicts_final_state"]
    assert cases and {one["proposals"][0]["correction"] for one in cases} == {"by_hand"}
    assert (await ana.seen(payin))["status"] == "expired"
    await assert_in_order(context)


async def test_a_provider_that_does_not_answer_is_asked_again(ana: Merchant, desk: Desk) -> None:
    payin, _ = await payin_of(ana, desk, "paid")
    await ana.told("card", "payment", desk.told(key_of(payin), **TOLD["declined"]))
    assert (await corrected(ana, await case_of(ana, "contradicts_final_state"))).status == 201
    desk.says["payment"] = ["nothing", "busy"]
    assert [await ana.work("discrepancy.ask") for _ in range(3)] == [0, 0, 1]
    assert (await case_of(ana, "contradicts_final_state"))["correction"] == "ask_again"


async def test_what_nobody_here_knows_is_settled_by_hand(ana: Merchant, desk: Desk) -> None:
    payin = await ana.pix()
    await ana.told("pix", "payment", desk.told(key_of(payin), key="f" * 32))
    case = await case_of(ana, "unknown_payment")
    assert [one["correction"] for one in case["proposals"]] == ["by_hand"] and case["held"] == {}
    assert (await corrected(ana, case)).code == "forbidden_transition"


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        ({}, {"/correction": "missing", "/facts": "missing"}),
        ({"correction": "forget", "facts": "c1"}, {"/correction": "invalid_value"}),
        ({"correction": "ask_again", "facts": 1}, {"/facts": "invalid_type"}),
        ({"correction": "ask_again", "facts": "c1", "by": "me"}, {"/by": "unknown_field"}),
        ({"correction": "ask_again", "facts": "c1", "destination": {}}, {"/destination": "invalid_type"}),
    ],
    ids=lambda value: str(value)[:24],
)
async def test_fields(ana: Merchant, desk: Desk, asked: dict[str, Any], fields: dict[str, str]) -> None:
    payin = await ana.pix()
    await ana.told("pix", "payment", desk.told(key_of(payin), amount=1))
    case = await case_of(ana, "other_amount")
    answered = await ana.post(f"/v1/operator/discrepancies/{case['id']}/corrections", asked, key=ana.olga)
    assert answered.status == 422
    if "destination" not in asked:
        assert answered.fields == fields


async def test_only_operators_correct_what_there_is(ana: Merchant, desk: Desk) -> None:
    payin = await ana.pix()
    await ana.told("pix", "payment", desk.told(key_of(payin), amount=1))
    case = await case_of(ana, "other_amount")
    asked = {"correction": "ask_again", "facts": case["proposals"][0]["facts"]}
    path = "/v1/operator/discrepancies/{}/corrections"
    assert (await ana.post(path.format(case["id"]), asked)).status in (401, 403)
    assert (await ana.post(path.format("disc_" + "0" * 32), asked, key=ana.olga)).status == 404
    assert (await ana.get(f"/v1/operator/discrepancies/{case['id']}", key=ana.olga)).json == case
    assert (await ana.get("/v1/operator/discrepancies/disc_" + "0" * 32, key=ana.olga)).status == 404
