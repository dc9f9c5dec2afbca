"""POST /v1/payins/{id}/refunds: parts, too much, beyond the balance, its fee, failed, pending, to a bank account."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from uuid import UUID

import msgspec
import pytest

from caudal.connectors import CAPABILITIES, Declined, Outcome, PaymentOut, spei
from caudal.kernel.context import Context
from caudal.ledger import Purpose
from tests.payins.books import assert_in_order, balances, house, rows
from tests.payins.cast import DAY_S, TO, Merchant, key_of
from tests.payins.desk import Desk

CLABE = {"account": "646180110400000007", "holder_name": "Beto Ruiz"}


async def paid(ana: Merchant, desk: Desk, method: str = "pix", **asked: Any) -> dict[str, Any]:
    """A payin of 100.00 that its payer has paid."""
    payin = await ana.asked(method, **asked)
    desk.pay(key_of(payin))
    told = await ana.told(method, "payment", desk.told(key_of(payin)))
    assert told.status == 200, told.body
    return payin


async def funded(ana: Merchant, desk: Desk) -> dict[str, Any]:
    """A payin whose refunds and their fees are covered by another one."""
    await paid(ana, desk)
    return await paid(ana, desk)


async def test_a_part_goes_back_the_way_it_came_and_costs_its_fee(ana: Merchant, desk: Desk, context: Context) -> None:
    payin = await funded(ana, desk)
    before = (await balances(ana))["BRL"]["pending"]
    answered = await ana.refund(payin, 2_500, note="too big", metadata={"why": "size"})
    refund = answered.json
    assert answered.status == 201 and refund["id"].startswith("refund_")
    assert (refund["payin"], refund["status"], refund["amount"]) == (payin["id"], "succeeded", 2_500)
    assert (refund["fees"], refund["note"], refund["metadata"]) == (50, "too big", {"why": "size"})
    assert (await ana.seen(payin))["amount_refunded"] == 2_500
    assert (await balances(ana))["BRL"]["pending"] == before - 2_500 - 50
    assert desk.payments[key_of(payin)].refunded_minor == 2_500
    assert desk.refunds[0].destination is None and desk.refunds[0].key == key_of(refund)
    assert (await ana.get(f"/v1/refunds/{refund['id']}")).json == refund
    assert (await ana.get(f"/v1/refunds?payin={payin['id']}&status=succeeded")).json["data"] == [refund]
    types = [event["type"] for event in await ana.events(types="refund.created,refund.succeeded")]
    assert types == ["refund.created", "refund.succeeded"]
    await assert_in_order(context)


async def test_lists_know_from_when_and_until_when(ana: Merchant, desk: Desk) -> None:
    payin = await funded(ana, desk)
    first, second = [(await ana.refund(payin, 1_000)).json for _ in range(2)]
    for more in ("", f"&payin={payin['id']}"):

        async def ids(asked: str, more: str = more) -> list[str]:
            return [one["id"] for one in (await ana.get(f"/v1/refunds?{asked}{more}")).json["data"]]

        assert await ids(f"created_from={second['created_at']}") == [second["id"]]
        assert await ids(f"created_to={second['created_at']}") == [first["id"]]
        assert await ids(f"created_from={first['created_at']}&limit=1") == [second["id"]]
        assert await ids(f"created_from={second['created_at']}&created_to={second['created_at']}") == []
    assert (await ana.get("/v1/captures?created_from=2999-01-01T00:00:00Z")).json["data"] == []
    assert (await ana.get("/v1/refunds?created_from=yesterday")).fields == {"?created_from": "invalid_value"}


async def test_parts_until_nothing_is_left(ana: Merchant, desk: Desk, context: Context) -> None:
    payin = await funded(ana, desk)
    for part in (1, 3_999):
        assert (await ana.refund(payin, part)).json["status"] == "succeeded"
    beyond = await ana.refund(payin, 6_001)
    assert (beyond.status, beyond.code, beyond.fields) == (422, "amount_too_large", {"/amount": "too_large"})
    assert "6000" in beyond.json["detail"]
    assert (await ana.refund(payin)).json["amount"] == 6_000, "all that is left"
    assert (await ana.refund(payin)).code == "amount_too_large"
    assert (await ana.seen(payin))["status"] == "paid"
    await assert_in_order(context)


async def test_at_once_never_more_than_there_was(ana: Merchant, desk: Desk, context: Context) -> None:
    payin = await funded(ana, desk)
    answered = await asyncio.gather(*(ana.refund(payin, 4_000) for _ in range(4)))
    assert sorted(one.status for one in answered) == [201, 201, 422, 422]
    assert desk.payments[key_of(payin)].refunded_minor == 8_000
    await assert_in_order(context)


async def test_beyond_the_balance_is_refused_unless_the_merchant_may(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    payin = await paid(ana, desk)
    refused = await ana.refund(payin, idempotency="k")
    assert (refused.status, refused.code) == (422, "insufficient_funds"), "its own fee is gone already"
    assert (await ana.seen(payin))["amount_refunded"] == 0 and desk.count("refund") == 0
    await ana.settings("accept", refunds_beyond_balance="allow")
    assert (await ana.refund(payin, idempotency="k")).body == refused.body, "the key keeps its answer"
    assert (await ana.refund(payin)).json["status"] == "succeeded"
    assert await balances(ana) == {"BRL": {"available": -99 - 50}}
    assert "balance.went_negative" in [event["type"] for event in await ana.events()]
    await assert_in_order(context)


@pytest.mark.parametrize("way", ["declined", "failed"])
async def test_a_refund_that_fails_gives_money_and_fee_back(
    ana: Merchant, desk: Desk, context: Context, way: str
) -> None:
    payin = await funded(ana, desk)
    before = await balances(ana)
    failed = {"status": "failed", "reason": "processing_error"}
    desk.says["refund"] = [failed if way == "failed" else Declined(reason="processing_error", detail="no")]
    refund = (await ana.refund(payin, 2_500)).json
    assert (refund["status"], refund["status_reason"], refund["fees"]) == ("failed", "processing_error", 50)
    assert await balances(ana) == before
    assert (await ana.seen(payin))["amount_refunded"] == 0
    assert (await ana.refund(payin)).json["status"] == "succeeded", "it may be asked for again"
    await assert_in_order(context)


@pytest.mark.parametrize("status", ["succeeded", "failed"])
async def test_a_pending_refund_is_ended_by_a_callback(
    ana: Merchant, desk: Desk, context: Context, status: str
) -> None:
    payin = await funded(ana, desk)
    desk.says["refund"] = [{"status": "pending"}]
    refund = (await ana.refund(payin, 2_500, idempotency="k")).json
    assert (refund["status"], refund["settled_at"]) == ("pending", None)
    assert (await ana.seen(payin))["amount_refunded"] == 2_500, "what is under way counts"
    assert await house(context, Purpose.CLEARING, currency="BRL") == 2_500
    await assert_in_order(context)
    desk.settle(key_of(refund), status, None if status == "succeeded" else "closed_account")
    for _ in range(2):
        assert (await ana.told("pix", "operation", desk.told_of_operation(key_of(refund)))).status == 200
    seen = (await ana.get(f"/v1/refunds/{refund['id']}")).json
    assert seen["status"] == status and seen["settled_at"] is not None
    assert (await ana.seen(payin))["amount_refunded"] == (2_500 if status == "succeeded" else 0)
    assert (await ana.refund(payin, 2_500, idempotency="k")).json == refund, "what was said stays"
    assert await ana.work("payin.operate") == 1 and await ana.odd() == []
    await assert_in_order(context)


async def test_money_that_was_released_is_taken_from_what_is_available(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    payin = await funded(ana, desk)
    await ana.advance(3 * DAY_S)
    assert (await balances(ana))["BRL"] == {"available": 2 * (10_000 - 99)}
    await ana.refund(payin, 2_500)
    assert (await balances(ana))["BRL"] == {"available": 2 * (10_000 - 99) - 2_550}
    await assert_in_order(context)


async def test_a_provider_that_contradicts_itself_is_written_down(ana: Merchant, desk: Desk, context: Context) -> None:
    payin = await funded(ana, desk)
    refund = (await ana.refund(payin, 2_500)).json
    told = desk.told_of_operation(key_of(refund), status="failed")
    assert (await ana.told("pix", "operation", told)).status == 200
    assert (await ana.get(f"/v1/refunds/{refund['id']}")).json["status"] == "succeeded"
    [found] = await ana.odd()
    assert (found["kind"], found["payin"]) == ("contradicts_final_state", payin["id"])
    await assert_in_order(context)


# To a bank account

DESTINATIONS = """
pix     {"account":"1"}                        /destination:-                 not_supported
mpesa   {"account":"1"}                        /destination:-                 not_supported
boleto  -                                      /destination:-                 missing
boleto  {"bank":"-"}                           /destination/bank              invalid_value
boleto  {"bank":"999999"}                      /destination/bank              invalid_value
boleto  {"kind":"-"}                           /destination/kind              invalid_value
boleto  {"kind":"golden"}                      /destination/kind              invalid_value
boleto  {"account":"1234"}                     /destination/account           invalid_value
boleto  {"account":"-"}                        /destination/account           missing
boleto  {"holder_name":"-"}                    /destination/holder_name       missing
boleto  {"holder_name":"A"}                    /destination/holder_name       invalid_value
boleto  {"holder_document":"-"}                /destination/holder_document   invalid_value
boleto  {"holder_document":"11144477734"}      /destination/holder_document   invalid_value
boleto  {"iban":"DE1"}                         /destination/iban              unknown_field
pse     {"bank":"1007","account":"1"}          /destination/account           invalid_value
"""


async def test_every_wrong_field_of_an_account_is_named(ana: Merchant, desk: Desk, context: Context) -> None:
    payins = {method: await paid(ana, desk, method) for method in ("pix", "mpesa", "boleto", "pse")}
    pse = {"holder_document": "1020304050"}
    wrong = []
    for line in DESTINATIONS.strip().splitlines():
        method, change, field, code = line.split()
        asked = {}
        if change != "-":
            to = {**TO, **(pse if method == "pse" else {}), **json.loads(change)}
            asked = {"destination": {name: value for name, value in to.items() if value != "-"}}
        answered = await ana.refund(payins[method], 100, **asked)
        if (answered.status, answered.fields) != (422, {field.removesuffix(":-"): code}):
            wrong.append(f"{line}\n    {answered.status} {answered.fields}")
    assert not wrong, "\n" + "\n".join(wrong)
    assert desk.count("refund") == 0 and await rows(context, "select count(*) from payin_operation") == [(0,)]


async def test_to_the_payers_account_sealed_and_told_to_the_provider_alone(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    await paid(ana, desk, "boleto")
    payin = await paid(ana, desk, "boleto")
    refund = (await ana.refund(payin, 2_500, destination=TO)).json
    assert (refund["status"], refund["fees"]) == ("succeeded", 350)
    to = desk.refunds[0].destination
    assert to is not None and (to.country, to.account, to.holder_document) == ("BR", TO["account"], "11144477735")
    kept = str(await rows(context, "select convert_from(data, 'UTF8') from event"))
    kept += str(await rows(context, "select convert_from(answer, 'UTF8') from key where answer is not null"))
    kept += str(await rows(context, "select convert_from(detail, 'UTF8') from payin_operation"))
    assert "1234567-8" not in kept and "1234567-8" not in json.dumps(refund)
    [(sealed,)] = await rows(context, "select sealed from payin_operation")
    assert b"1234567" not in bytes(sealed)
    await assert_in_order(context)


class Bank:
    """What the bank is ordered to pay out; it answers in turn."""

    def __init__(self, *says: Any) -> None:
        self.says, self.orders = list(says), list[PaymentOut]()

    async def pay_out(self, order: PaymentOut, *, live: bool, about: UUID, deadline: float | None) -> Outcome:
        assert not live and about
        self.orders.append(order)
        return Outcome(status=self.says.pop(0), detail="")


@pytest.mark.parametrize(("says", "status"), [("done", "succeeded"), ("permanent", "failed")])
async def test_a_transfer_is_refunded_by_paying_out_to_a_clabe(
    ana: Merchant, context: Context, says: str, status: str
) -> None:
    bank = Bank("unknown", says)
    context._once[spei.SpeiClient] = bank
    payin = await ana.payin()
    await ana.paid(payin)
    assert (await ana.refund(payin, 2_500)).fields == {"/destination": "missing"}
    wrong = await ana.refund(payin, 2_500, destination={**CLABE, "account": "646180110400000008"})
    assert wrong.fields == {"/destination/account": "invalid_value"}
    refund = (await ana.refund(payin, 2_500, destination=CLABE)).json
    assert refund["status"] == "pending", "nobody knows yet"
    assert await ana.work("payin.operate") == 1
    assert (await ana.get(f"/v1/refunds/{refund['id']}")).json["status"] == status
    assert {order.payment_key for order in bank.orders} == {key_of(refund)}, "one key, however often it is asked"
    assert {(order.clabe, order.beneficiary_name) for order in bank.orders} == {tuple(CLABE.values())}
    back = 0 if status == "failed" else 2_500
    assert await house(context, Purpose.BANK) == -(10_000 - back)
    await assert_in_order(context)


# What cannot be refunded


async def test_what_has_no_money_has_nothing_to_refund(ana: Merchant, caro: Merchant, desk: Desk) -> None:
    waits, held, other = await ana.pix(), await ana.card(capture="manual"), await paid(caro, desk)
    desk.says["submit"] = [Declined(reason="do_not_honor", detail="no")]
    declined = await ana.pix()
    for payin in (waits, held, declined):
        answered = await ana.refund(payin)
        assert (answered.status, answered.code) == (409, "forbidden_transition")
    assert (await ana.refund(other)).status == 404
    assert desk.count("refund") == 0


async def test_a_method_without_refunds_says_so(ana: Merchant, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    payin = await paid(ana, desk)
    none = msgspec.structs.replace(CAPABILITIES["pix"], refund="none")
    monkeypatch.setitem(CAPABILITIES, "pix", none)
    answered = await ana.refund(payin)
    assert (answered.status, answered.code) == (422, "not_refundable")


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        ({"amount": 0}, {"/amount": "invalid_value"}),
        ({"amount": True}, {"/amount": "invalid_type"}),
        ({"note": ""}, {"/note": "invalid_value"}),
        ({"note": "n" * 501}, {"/note": "invalid_value"}),
        ({"metadata": {"": "x"}}, {"/metadata/": "invalid_length"}),
        ({"metadata": {"k" * 41: "x"}}, {"/metadata/" + "k" * 41: "invalid_length"}),
        ({"metadata": {str(n): "x" for n in range(51)}}, {"/metadata": "too_many"}),
        ({"reason": "x"}, {"/reason": "unknown_field"}),
    ],
    ids=lambda value: str(value)[:24],
)
async def test_fields(ana: Merchant, desk: Desk, asked: Any, fields: Any) -> None:
    payin = await paid(ana, desk)
    answered = await ana.post(f"/v1/payins/{payin['id']}/refunds", asked)
    assert (answered.status, answered.fields) == (422, fields)


async def test_a_key_for_payins_alone_does_not_refund(ana: Merchant, desk: Desk) -> None:
    payin = await paid(ana, desk)
    ana.key = await ana.key_of("test", scopes=("payins:read", "payins:write"))
    assert (await ana.refund(payin)).status == 403


@pytest.mark.parametrize("way", ["succeeded", "failed"])
async def test_a_refund_takes_what_waits_for_each_captures_day(
    ana: Merchant, desk: Desk, context: Context, way: str
) -> None:
    line = {"family": "card", "currency": "BRL", "fixed_minor": 0, "basis_points": 0, "settlement_days": 5}
    assert (await ana.post(ana.path + "/fee_plans", {"fee_plan": [line]}, key=ana.olga)).status == 201
    payin = await ana.card(capture="manual")
    await ana.capture(payin, 6_000)
    await ana.advance(DAY_S)
    await ana.capture(payin, 4_000)
    before = (await ana.get("/v1/balances")).json["data"]
    assert [day["amount"] for day in before[0]["pending_by_day"]] == [6_000, 4_000]
    desk.says["refund"] = [{"status": way, "reason": None if way == "succeeded" else "processing_error"}]
    answered = await ana.refund(payin)
    assert (answered.status, answered.json["amount"], answered.json["status"]) == (201, 10_000, way)
    after = (await ana.get("/v1/balances")).json["data"]
    assert (after == before) if way == "failed" else (await balances(ana) == {"BRL": {}})
    await assert_in_order(context)


async def test_a_failed_refund_goes_back_to_the_days_that_have_not_begun(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    line = {"family": "card", "currency": "BRL", "fixed_minor": 0, "basis_points": 0, "settlement_days": 2}
    await ana.post(ana.path + "/fee_plans", {"fee_plan": [line]}, key=ana.olga)
    payin = await ana.card(capture="manual")
    await ana.capture(payin, 6_000)
    await ana.advance(DAY_S)
    await ana.capture(payin, 4_000)
    desk.says["refund"] = [{"status": "pending"}]
    refund = (await ana.refund(payin, 9_000)).json
    await ana.advance(DAY_S)
    desk.settle(key_of(refund), "failed", "processing_error")
    await ana.told("card", "operation", desk.told_of_operation(key_of(refund)))
    assert await balances(ana) == {"BRL": {"available": 6_000, "pending": 4_000}}
    await assert_in_order(context)
