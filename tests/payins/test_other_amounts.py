"""A provider answers, asked for a payment or an operation, that it has another amount of it: a case, and nothing else.

Nothing is booked by such an answer, nothing is dropped, and no other provider is asked; what has no outcome goes on
being asked about.
"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from caudal.connectors import OperationState, PaymentState, Unresolved
from caudal.kernel.context import Context
from tests.payins.books import assert_in_order, balances
from tests.payins.cast import Merchant, key_of
from tests.payins.desk import Desk
from tests.payins.test_late_success import ended

OTHER: dict[str, dict[str, Any]] = {"amount": {"amount_minor": 11_111}, "currency": {"currency": "USD"}}


def otherwise(state: PaymentState | OperationState, **changed: Any) -> Unresolved:
    """The answer that the client makes of one with another amount."""
    changed = changed or OTHER["amount"]
    return Unresolved(kind="unknown", detail="another amount", otherwise=msgspec.structs.replace(state, **changed))


async def only_case(ana: Merchant) -> dict[str, Any]:
    """The one discrepancy that there is; it is said by an answer, so there is nothing to ask first."""
    [found] = await ana.odd()
    assert found["kind"] == "other_amount" and found["answer"] == found["detail"]
    assert [proposal["correction"] for proposal in found["proposals"]] == ["by_hand"], found["proposals"]
    return found


@pytest.mark.parametrize("changed", OTHER.values(), ids=OTHER)
async def test_what_is_answered_at_once(ana: Merchant, desk: Desk, context: Context, changed: dict[str, Any]) -> None:
    async def answer() -> Unresolved:
        [state] = desk.payments.values()
        return otherwise(state, **changed)

    desk.says["submit"] = [answer]
    payin = await ana.card()
    assert payin["status"] == "submitting" and await balances(ana) == {}
    found = await only_case(ana)
    assert found["payin"] == payin["id"] and found["held"]["amount_minor"] == payin["amount"]
    said = found["detail"]
    assert {name: said[name] for name in changed} == changed and said["key"] == key_of(payin)
    await assert_in_order(context)


async def test_what_a_query_answers_is_one_case_however_often_it_is_asked(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    desk.says["submit"] = ["lost"]
    payin = await ana.card()
    desk.says["payment"] = [otherwise(desk.payments[key_of(payin)])] * 3
    assert [await ana.work("payin.submit") for _ in range(3)] == [0, 0, 0], "nobody knows yet"
    await only_case(ana)
    assert (await ana.seen(payin))["status"] == "submitting" and await balances(ana) == {}
    assert await ana.work("payin.submit") == 1
    assert (await ana.seen(payin))["status"] == "paid", "the provider has corrected itself"
    await assert_in_order(context)


async def test_a_decline_of_another_amount_lets_no_other_provider_be_asked(ana: Merchant, desk: Desk) -> None:
    desk.says["submit"] = ["lost"]
    payin = await ana.card()
    declined = {**OTHER["amount"], "status": "declined", "reason": "do_not_honor", "captured_minor": 0}
    desk.says["payment"] = [otherwise(desk.payments[key_of(payin)], **declined)]
    assert await ana.work("payin.submit") == 0
    assert (await ana.seen(payin))["status"] == "submitting" and len(desk.sent) == 1
    await only_case(ana)


async def test_a_payin_that_waits_for_its_payer(ana: Merchant, desk: Desk) -> None:
    payin = await ana.pix()
    desk.pay(key_of(payin))
    desk.says["payment"] = [otherwise(desk.payments[key_of(payin)])]
    assert not await ana.work("payin.expire")
    assert (await ana.seen(payin))["status"] == "pending" and await balances(ana) == {}
    await only_case(ana)


@pytest.mark.parametrize("verb", ["capture", "refund"])
@pytest.mark.parametrize("when", ["at once", "by a query"])
async def test_an_operation(ana: Merchant, desk: Desk, context: Context, verb: str, when: str) -> None:
    payin = await ana.card(capture="manual" if verb == "capture" else "automatic")
    before = await balances(ana)

    async def answer() -> Unresolved:
        [state] = desk.operations.values()
        return otherwise(state)

    desk.says[verb] = [answer if when == "at once" else "lost"]
    asked = (await (ana.capture if verb == "capture" else ana.refund)(payin, 4_000)).json
    if when == "by a query":
        desk.says["operation"] = [await answer()] * 2
        assert [await ana.work("payin.operate") for _ in range(2)] == [0, 0]
    found = await only_case(ana)
    assert (found["held"]["about"], found["held"]["amount_minor"]) == ("operation", 4_000)
    assert asked["status"] == "pending" and (verb == "refund" or await balances(ana) == before)
    assert await ana.work("payin.operate") == 1
    settled = (await ana.get(f"/v1/{verb}s/{asked['id']}")).json
    assert settled["status"] == "succeeded" and settled["amount"] == 4_000, "the provider has corrected itself"
    await assert_in_order(context)


async def test_asked_about_a_case_it_says_so_again(ana: Merchant, desk: Desk, context: Context) -> None:
    """What a callback told is confirmed by an answer: nothing is put right, and the case stays open for a person."""
    payin = await ana.pix()
    desk.pay(key_of(payin))
    assert (await ana.told("pix", "payment", desk.told(key_of(payin), amount=11_111, captured=11_111))).status == 200
    [found] = await ana.odd()
    [proposal] = found["proposals"]
    asked = {"correction": proposal["correction"], "facts": proposal["facts"]}
    path = f"/v1/operator/discrepancies/{found['id']}/corrections"
    assert (await ana.post(path, asked, key=ana.olga)).status == 201
    desk.says["payment"] = [otherwise(desk.payments[key_of(payin)], amount_minor=11_111, captured_minor=11_111)]
    assert await ana.work("discrepancy.ask") == 1
    [found] = await ana.odd()
    assert found["answer"]["amount_minor"] == 11_111
    assert [one["correction"] for one in found["proposals"]] == ["by_hand"]
    assert (await ana.seen(payin))["status"] == "pending"
    await assert_in_order(context)


async def test_money_on_its_way_back(ana: Merchant, desk: Desk) -> None:
    async def answer() -> Unresolved:
        [state] = desk.operations.values()
        return otherwise(state)

    late = await ended(ana, desk, "declined")
    desk.pay(key_of(late))
    await ana.told("mpesa", "payment", desk.told(key_of(late)))
    desk.says["refund"] = [answer]
    assert await ana.work("deposit.return") == 0
    [found] = [one for one in await ana.odd() if one["kind"] == "other_amount"]
    assert (found["held"]["about"], found["payin"]) == ("deposit", late["id"])
    assert await ana.work("deposit.return") == 1
