"""Money that comes for a payin that has ended: taken, or the payer's again; always told to a person."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from caudal.connectors import Declined
from caudal.kernel.context import Context
from caudal.ledger import Purpose
from caudal.payins import store
from tests.payins.books import assert_in_order, balances, house, postings_of, rows
from tests.payins.cast import DAY_S, TO, Merchant, key_of
from tests.payins.desk import Desk

COLOMBIAN = {"account": "12345678901", "bank": "1007", "kind": "savings"}
COLOMBIAN |= {"holder_name": "Carlos Ruiz", "holder_document": "1020304050"}


async def ended(ana: Merchant, desk: Desk, how: str) -> dict[str, Any]:
    """A payin by M-Pesa (expired: pix) that has come to nothing."""
    payin = await ana.asked("pix" if how == "expired" else "mpesa")
    if how == "declined":
        await ana.told("mpesa", "payment", desk.told(key_of(payin), status="declined"))
    elif how == "cancelled":
        await ana.cancel(payin)
    else:
        assert (await ana.advance(30 * DAY_S)).json["expired"] == 1
    assert (await ana.seen(payin))["status"] == how
    return payin


async def deposits(ana: Merchant) -> list[dict[str, Any]]:
    query = f"?merchant=mer_{ana.merchant.hex}&unapplied=false"
    found: list[dict[str, Any]] = (await ana.get("/v1/operator/deposits" + query, key=ana.olga)).json["data"]
    return found


@pytest.mark.parametrize("how", ["declined", "cancelled"])
async def test_it_is_the_payers_and_goes_back_at_once(ana: Merchant, desk: Desk, context: Context, how: str) -> None:
    payin = await ended(ana, desk, how)
    desk.pay(key_of(payin))
    for _ in range(2):
        assert (await ana.told("mpesa", "payment", desk.told(key_of(payin)))).status == 200
    assert (await ana.seen(payin))["status"] == how
    [deposit] = await deposits(ana)
    assert (deposit["payin"], deposit["amount"], deposit["amount_returning"]) == (payin["id"], 10_000, 10_000)
    assert (deposit["reason"], deposit["provider"], deposit["tracking_key"]) == ("closed", "sandbox", key_of(payin))
    assert [found["kind"] for found in await ana.odd()] == ["late_success"]
    await assert_in_order(context)
    assert await ana.work("deposit.return") == 1
    assert desk.payments[key_of(payin)].refunded_minor == 10_000
    assert (await deposits(ana))[0]["amount_returned"] == 10_000
    assert await postings_of(context, deposit["id"]) == [
        "deposit.unapplied provider_receivable→unapplied 10000",
        "deposit.return_requested unapplied→clearing 10000",
        "deposit.returned clearing→provider_receivable 10000",
    ]
    assert await house(context, Purpose.PROVIDER_RECEIVABLE, currency="KES") == 0
    await assert_in_order(context)


async def test_a_return_that_is_not_done_is_asked_again_under_the_same_key(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    payin = await ended(ana, desk, "declined")
    desk.pay(key_of(payin))
    await ana.told("mpesa", "payment", desk.told(key_of(payin)))
    desk.says["refund"] = ["busy", "lost", {}]
    for done in (0, 0, 1):
        assert await ana.work("deposit.return") == done
    assert len({order.key for order in desk.refunds}) == 1
    assert desk.payments[key_of(payin)].refunded_minor == 10_000
    await assert_in_order(context)


async def test_the_providers_word_on_such_a_return_is_no_discrepancy(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    payin = await ended(ana, desk, "declined")
    desk.pay(key_of(payin))
    await ana.told("mpesa", "payment", desk.told(key_of(payin)))
    desk.says["refund"] = [{"status": "pending"}]
    assert await ana.work("deposit.return") == 0
    [key] = desk.operations
    desk.settle(key, "succeeded")
    assert (await ana.told("mpesa", "operation", desk.told_of_operation(key))).status == 200
    assert await ana.work("deposit.return") == 1
    assert (await ana.told("mpesa", "operation", desk.told_of_operation(key))).status == 200
    assert [found["kind"] for found in await ana.odd()] == ["late_success"]
    await assert_in_order(context)


async def test_what_cannot_go_back_waits_for_an_operator(ana: Merchant, desk: Desk, context: Context) -> None:
    payin = await ended(ana, desk, "declined")
    desk.pay(key_of(payin))
    await ana.told("mpesa", "payment", desk.told(key_of(payin)))
    desk.says["refund"] = [Declined(reason="not_refundable", detail="no")]
    assert await ana.work("deposit.return") == 1
    [deposit] = await deposits(ana)
    assert (deposit["amount_unapplied"], deposit["reason"]) == (10_000, "return_refused")
    again = await ana.post(f"/v1/operator/deposits/{deposit['id']}/returns", key=ana.olga)
    assert again.status == 201
    assert await ana.work("deposit.return") == 1
    assert (await deposits(ana))[0]["amount_returned"] == 10_000
    assert len({order.key for order in desk.refunds}) == 2, "another return is another refund"
    await assert_in_order(context)


async def test_what_can_go_to_a_bank_account_only_waits_until_an_operator_names_it(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    payin = await ana.asked("pse")
    await ana.cancel(payin)
    desk.pay(key_of(payin))
    await ana.told("pse", "payment", desk.told(key_of(payin)))
    [deposit] = await deposits(ana)
    assert (deposit["amount_unapplied"], deposit["reason"]) == (payin["amount"], "closed")
    assert await ana.work("deposit.return") == 0 and desk.refunds == []
    path = f"/v1/operator/deposits/{deposit['id']}/returns"
    assert (await ana.post(path, key=ana.olga)).fields == {"/destination": "missing"}
    wrong = await ana.post(path, {"destination": {**COLOMBIAN, "account": "1"}}, key=ana.olga)
    assert wrong.fields == {"/destination/account": "invalid_value"}
    assert (await ana.post(path, {"destination": COLOMBIAN}, key=ana.olga)).status == 201
    kept = await rows(context, "select destination from deposit")
    assert COLOMBIAN["account"].encode() not in kept[0][0]
    assert await ana.work("deposit.return") == 1
    [order] = desk.refunds
    assert order.destination is not None and order.destination.account == COLOMBIAN["account"]
    assert (await deposits(ana))[0]["amount_returned"] == payin["amount"]
    await assert_in_order(context)


async def test_what_goes_back_the_way_it_came_asks_for_no_account(ana: Merchant, desk: Desk) -> None:
    await ana.settings("unapplied")
    payin = await ended(ana, desk, "expired")
    desk.pay(key_of(payin))
    await ana.told("pix", "payment", desk.told(key_of(payin)))
    [deposit] = await deposits(ana)
    refused = await ana.post(f"/v1/operator/deposits/{deposit['id']}/returns", {"destination": TO}, key=ana.olga)
    assert refused.fields == {"/destination": "not_supported"}


async def test_after_expiry_it_pays_the_payin_where_late_payments_are_accepted(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    payin = await ended(ana, desk, "expired")
    desk.pay(key_of(payin))
    await ana.told("pix", "payment", desk.told(key_of(payin)))
    seen = await ana.seen(payin)
    assert (seen["status"], seen["status_reason"], seen["fees"]) == ("paid", "late", 99)
    assert await deposits(ana) == [] and await ana.odd() == []
    await assert_in_order(context)


async def test_after_expiry_it_waits_for_an_operator_where_they_are_not(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    await ana.settings("unapplied")
    payin = await ended(ana, desk, "expired")
    desk.pay(key_of(payin))
    await ana.told("pix", "payment", desk.told(key_of(payin)))
    assert (await ana.seen(payin))["status"] == "expired"
    [deposit] = await deposits(ana)
    assert (deposit["amount_unapplied"], deposit["reason"]) == (10_000, "late")
    assert await balances(ana) == {"BRL": {"unapplied": 10_000}}
    assert (await ana.post(f"/v1/operator/deposits/{deposit['id']}/returns", key=ana.olga)).status == 201
    assert await ana.work("deposit.return") == 1
    assert desk.payments[key_of(payin)].refunded_minor == 10_000
    await assert_in_order(context)


async def test_a_payment_that_was_lost_and_appears_after_all_goes_back(
    ana: Merchant, desk: Desk, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.says["submit"] = ["lost"]
    payin = await ana.card()
    state = desk.payments.pop(key_of(payin))
    await hours_later(context, monkeypatch)
    assert await ana.work("payin.submit") == 1
    assert (await ana.seen(payin))["status"] == "failed"
    desk.payments[key_of(payin)] = state
    await ana.told("card", "payment", desk.told(key_of(payin)))
    assert (await ana.seen(payin))["status"] == "failed"
    assert await ana.work("deposit.return") == 1
    assert desk.payments[key_of(payin)].refunded_minor == 10_000
    await assert_in_order(context)


async def test_an_authorization_that_appears_after_the_end_is_given_back(
    ana: Merchant, desk: Desk, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.says["submit"] = ["lost"]
    payin = await ana.card(capture="manual")
    state = desk.payments.pop(key_of(payin))
    await hours_later(context, monkeypatch)
    assert await ana.work("payin.submit") == 1
    desk.payments[key_of(payin)] = state
    for _ in range(2):
        assert (await ana.told("card", "payment", desk.told(key_of(payin)))).status == 200
    assert await ana.work("payin.operate") == 1
    assert desk.payments[key_of(payin)].status == "cancelled"
    assert (await ana.seen(payin))["status"] == "failed"
    assert [found["kind"] for found in await ana.odd()] == ["late_success"]
    await assert_in_order(context)


@pytest.mark.parametrize("how", ["declined", "cancelled", "expired"])
@pytest.mark.parametrize("queries", [[], ["nothing", {}], ["busy", "nothing", {}]], ids=len)
async def test_what_only_a_callback_says_is_asked_back_and_makes_no_money(
    ana: Merchant, desk: Desk, context: Context, how: str, queries: list[Any]
) -> None:
    payin = await ended(ana, desk, how)
    before, asked = await ana.seen(payin), desk.count("payment")
    desk.says["payment"] = list(queries)
    told = desk.told(key_of(payin), status="paid", captured=10_000)
    for _ in range(2):
        assert (await ana.told(payin["method"], "payment", told)).status == 200
    for _ in queries:
        await ana.work("discrepancy.ask")
    assert await ana.work("discrepancy.ask", "payin.submit", "deposit.return") == 0, "nothing is left to ask"
    assert desk.count("payment") > asked
    assert await ana.seen(payin) == before and await deposits(ana) == []
    [found] = await ana.odd()
    assert (found["kind"], found["payin"]) == ("contradicts_final_state", payin["id"])
    assert (found["detail"]["status"], found["detail"]["captured_minor"]) == ("paid", 10_000)
    await assert_in_order(context)


@pytest.mark.parametrize("queries", [["nothing"], ["busy", "nothing"]], ids=len)
async def test_money_that_nobody_confirms_at_first_counts_when_the_provider_answers(
    ana: Merchant, desk: Desk, context: Context, queries: list[Any]
) -> None:
    payin = await ended(ana, desk, "expired")
    desk.pay(key_of(payin))
    desk.says["payment"] = list(queries)
    assert (await ana.told("pix", "payment", desk.told(key_of(payin)))).status == 200
    assert (await ana.seen(payin))["status"] == "expired"
    for _ in queries:
        await ana.work("discrepancy.ask")
    seen = await ana.seen(payin)
    assert (seen["status"], seen["status_reason"]) == ("paid", "late")
    assert await ana.odd() == [], "nothing is left for a person to do"
    [found] = await ana.odd(all="true")
    assert (found["kind"], found["answer"]["status"], found["correction"]) == ("contradicts_final_state", "paid", None)
    assert "confirmed it" in found["resolution"]
    await assert_in_order(context)


async def test_what_a_provider_has_never_heard_of_is_no_money(ana: Merchant, desk: Desk, context: Context) -> None:
    payin = await ended(ana, desk, "declined")
    told = desk.told(key_of(payin), status="paid", captured=10_000)
    del desk.payments[key_of(payin)]
    assert (await ana.told("mpesa", "payment", told)).status == 200
    assert (await ana.seen(payin))["status"] == "declined" and await deposits(ana) == []
    assert [found["kind"] for found in await ana.odd()] == ["contradicts_final_state"]
    await assert_in_order(context)


async def test_an_authorization_that_only_a_callback_claims_is_not_given_back(ana: Merchant, desk: Desk) -> None:
    desk.says["submit"] = [{"status": "declined", "reason": "do_not_honor", "authorized_minor": 0}]
    payin = await ana.card(capture="manual")
    told = desk.told(key_of(payin), status="authorized", authorized=10_000, code=None)
    assert (await ana.told("card", "payment", told)).status == 200
    assert await ana.work("payin.operate") == 0 and desk.count("void") == 0
    assert [found["kind"] for found in await ana.odd()] == ["contradicts_final_state"]


async def hours_later(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """The database's clock, as the sweep reads it, is past every `late_until`."""
    await seconds_later(context, monkeypatch, 7_200)


async def seconds_later(context: Context, monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """The database's clock, as the sweep reads it, is so much later."""
    now = await store.now(context)

    async def later(_: Context) -> Any:
        return now + timedelta(seconds=seconds)

    monkeypatch.setattr(store, "now", later)
