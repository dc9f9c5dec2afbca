"""POST /v1/payins with a card: taken at once, authorized only, sent to 3-D Secure, declined; and which cards."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from caudal.connectors import Declined
from caudal.kernel.context import Context
from caudal.payins import asked
from tests.payins.books import assert_in_order, balances, rows
from tests.payins.cast import DAY_S, Merchant, key_of
from tests.payins.desk import Desk

FEE = 40 + 350  # 0.40 BRL and 3.5 % of 100.00


async def test_a_card_is_paid_at_once(ana: Merchant, desk: Desk, context: Context) -> None:
    payin = await ana.card(reference="order 7", return_url="https://shop.example/back")
    assert (payin["status"], payin["status_reason"], payin["next_action"]) == ("paid", None, None)
    money = ("amount_authorized", "amount_captured", "amount_received", "amount_refunded", "fees")
    assert [payin[name] for name in money] == [10_000, 10_000, 10_000, 0, FEE]
    assert payin["available_on"] > payin["paid_at"][:10], "two days later"
    assert await balances(ana) == {"BRL": {"pending": 10_000 - FEE}}
    assert [event["type"] for event in await ana.events(types="payin.created,payin.paid")] == [
        "payin.created",
        "payin.paid",
    ]
    await assert_in_order(context)


async def test_the_provider_hears_what_it_needs_under_the_payins_key(ana: Merchant, desk: Desk) -> None:
    payin = await ana.card(payer={"name": "Ana", "email": "ana@example.com"}, description="bread")
    [order] = desk.orders
    assert (order.key, order.mode, order.amount_minor, order.currency) == (key_of(payin), "test", 10_000, "BRL")
    assert order.card is not None and (order.card.number, order.card.security_code) == ("4111111111111111", "123")
    assert (order.payer.email, order.description, order.capture) == ("ana@example.com", "bread", "automatic")
    assert order.account == str((await rows(ana.context, "select book / 2 from payin"))[0][0])


async def test_of_the_card_only_what_may_be_shown_is_shown(ana: Merchant, desk: Desk, context: Context) -> None:
    instrument = await ana.instrument()
    payin = await ana.card(instrument={"id": instrument, "brand": "visa"})
    assert payin["instrument"] == {"id": instrument, "brand": "visa", "last_four": "1111", "bank": None}
    kept = await rows(context, "select convert_from(detail, 'UTF8') from payin")
    kept += await rows(context, "select convert_from(data, 'UTF8') from event where subject = (select id from payin)")
    kept += await rows(context, "select convert_from(answer, 'UTF8') from key where answer is not null")
    assert "4111111111111111" not in str(kept) and '"123"' not in str(kept)


async def test_manual_capture_only_authorizes(ana: Merchant, desk: Desk, context: Context) -> None:
    payin = await ana.card(capture="manual")
    assert (payin["status"], payin["capture"], payin["amount_authorized"]) == ("authorized", "manual", 10_000)
    assert (payin["amount_captured"], payin["amount_received"], payin["fees"]) == (0, 0, 0)
    lasts = datetime.fromisoformat(payin["expires_at"]) - datetime.now(UTC)
    assert 6.9 < lasts.total_seconds() / DAY_S < 7.1
    assert await balances(ana) == {}
    await assert_in_order(context)


async def test_3_d_secure_sends_the_payer_to_a_page_and_the_callback_ends_it(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    payin = await ana.card(three_ds="demanded", return_url="https://shop.example/back")
    assert desk.orders[0].three_ds == "demanded" and desk.orders[0].return_url == "https://shop.example/back"
    assert payin["status"] == "pending"
    assert payin["next_action"] == {
        "type": "redirect",
        "url": "http://127.0.0.1/3ds",
        "expires_at": payin["expires_at"],
        "payer_page": f"http://127.0.0.1/pay/{key_of(payin)}",
    }
    desk.pay(key_of(payin))
    assert (await ana.told("card", "payment", desk.told(key_of(payin)))).json == {"status": "accepted"}
    seen = await ana.seen(payin)
    assert (seen["status"], seen["next_action"], seen["amount_captured"]) == ("paid", None, 10_000)
    await assert_in_order(context)


async def test_3_d_secure_may_end_in_an_authorization(ana: Merchant, desk: Desk) -> None:
    payin = await ana.card(three_ds="demanded", capture="manual")
    desk.pay(key_of(payin))
    await ana.told("card", "payment", desk.told(key_of(payin)))
    assert (await ana.seen(payin))["status"] == "authorized"
    assert (await ana.capture(payin)).json["status"] == "succeeded"


REASONS = """
payer    insufficient_funds do_not_honor limit_exceeded payer_declined authentication_failed abandoned
card     expired_card invalid_card invalid_security_code lost_or_stolen card_restricted closed_account
risk     suspected_fraud not_permitted
issuer   bank_unavailable processing_error timeout unrecognized
request  invalid_request amount_not_allowed
"""


@pytest.mark.parametrize("reasons", REASONS.strip().splitlines(), ids=lambda line: line.split()[0])
async def test_a_decline_says_why(ana: Merchant, desk: Desk, context: Context, reasons: str) -> None:
    for number, reason in enumerate(reasons.split()[1:]):
        told: dict[str, Any] = {"status": "declined", "authorized_minor": 0, "captured_minor": 0, "reason": reason}
        desk.says["submit"] = [told if number % 2 else Declined(reason=reason, detail="no")]  # type: ignore[arg-type]
        payin = await ana.card()
        assert (payin["status"], payin["status_reason"], payin["amount_received"]) == ("declined", reason, 0)
        assert payin["next_action"] is None
    assert await balances(ana) == {}
    assert await ana.work("payin.submit", "payin.expire") == 0, "nothing waits any more"
    await assert_in_order(context)


REFUSED = """
instrument=-                                  /instrument/id:missing
instrument={}                                 /instrument/id:missing
instrument={"brand":"visa"}                   /instrument/id:missing
instrument={"id":"x"}                         /instrument/id:invalid_value
instrument={"id":"payin_1"}                   /instrument/id:invalid_value
instrument={"id":"instr_00000000000000000000000000000001"}  /instrument/id:not_found
instrument={"id":"$","brand":"viza"}          /instrument/brand:unknown_brand
instrument={"id":"$","brand":"mastercard"}    /instrument/brand:contradiction
instrument={"id":"$","bank":"001"}            /instrument/bank:not_supported
amount=0                                      /amount:amount_out_of_range
currency="MXN"                                /currency:wrong_currency
capture="perhaps"                             /capture:invalid_value
three_ds="never"                              /three_ds:invalid_value
payer={"document":"1"}                        /payer/document:invalid_document
payer={"phone":"12"}                          /payer/phone:invalid_phone
"""


async def test_what_is_wrong_is_refused_with_its_field_and_nothing_is_written(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    kept = await ana.instrument()
    for line in REFUSED.strip().splitlines():
        change, expected = line.rsplit(maxsplit=1)
        name, _, text = change.strip().partition("=")
        value: Any = ... if text == "-" else json.loads(text.replace("$", kept))
        asked = {"instrument": {"id": kept}, name: value}
        answered = await ana.ask("card", **asked)
        assert (answered.status, answered.fields) == (422, dict([expected.rsplit(":", 1)])), (line, answered.body)
    assert desk.orders == [] and await rows(context, "select count(*) from payin") == [(0,)]


async def test_a_number_does_not_say_whether_its_card_is_a_debit_card(ana: Merchant, desk: Desk) -> None:
    payin = await ana.card(instrument={"id": await ana.instrument(), "brand": "visa_debit"})
    assert (payin["status"], payin["instrument"]["brand"]) == ("paid", "visa")
    other = await ana.ask("card", instrument={"id": await ana.instrument(), "brand": "mastercard_debit"})
    assert other.fields == {"/instrument/brand": "contradiction"}


async def test_near_names_of_brands_are_told(ana: Merchant, desk: Desk) -> None:
    answered = await ana.ask("card", instrument={"id": await ana.instrument(), "brand": "viza"})
    assert "did you mean visa?" in answered.json["errors"][0]["detail"]


async def test_an_expired_card_is_refused_by_the_books_own_clock(ana: Merchant, desk: Desk) -> None:
    today = datetime.now(UTC)
    instrument = {"id": await ana.instrument(expiry_month=today.month, expiry_year=today.year)}
    assert (await ana.ask("card", instrument=instrument)).status == 201, "to the end of its month"
    begins = datetime(today.year + today.month // 12, today.month % 12 + 1, 1, tzinfo=UTC)
    await ana.advance(int((begins - today).total_seconds()) + 11 * 3600)
    assert (await ana.ask("card", instrument=instrument)).status == 201, "it is still that month, far in the west"
    await ana.advance(2 * 3600)
    answered = await ana.ask("card", instrument=instrument)
    assert (answered.status, answered.fields) == (422, {"/instrument/id": "expired_card"})
    assert len(desk.orders) == 2


async def test_a_brand_that_the_country_does_not_take_is_refused(
    ana: Merchant, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(asked.BRANDS_IN, "BR", frozenset({"visa", "elo"}))
    elo = await ana.instrument(number="6362970000457013")
    assert (await ana.card(instrument={"id": elo}))["status"] == "paid"
    master = await ana.instrument(number="5555555555554444")
    answered = await ana.ask("card", instrument={"id": master})
    assert (answered.status, answered.fields) == (422, {"/instrument/id": "brand_not_accepted"})
    assert answered.json["errors"][0]["detail"] == "BR takes elo, visa"


async def test_a_deleted_instrument_and_one_of_another_merchant_are_refused(
    ana: Merchant, caro: Merchant, desk: Desk
) -> None:
    mine, hers = await ana.instrument(), await caro.instrument()
    await ana.post(f"/v1/instruments/{mine}/deletions", idempotency=None)
    for id in (mine, hers):
        answered = await ana.ask("card", instrument={"id": id})
        assert (answered.status, answered.fields) == (422, {"/instrument/id": "not_found"})
    assert desk.orders == []


async def test_a_refused_field_leaves_its_key_unused(ana: Merchant, desk: Desk) -> None:
    wrong = await ana.ask("card", "k", instrument={"id": "instr_" + "0" * 31 + "1"})
    assert wrong.status == 422
    assert (await ana.ask("card", "k")).status == 201


async def test_a_security_code_is_spent_once_however_many_ask_at_once(ana: Merchant, desk: Desk) -> None:
    instrument = {"id": await ana.instrument()}
    await asyncio.gather(*(ana.card(instrument=instrument) for _ in range(5)))
    codes = [order.card.security_code for order in desk.orders if order.card is not None]
    assert sorted(codes, key=str) == ["123", None, None, None, None]


async def test_the_code_of_a_card_that_was_refused_is_not_spent(ana: Merchant, desk: Desk) -> None:
    instrument = await ana.instrument()
    assert (await ana.ask("card", instrument={"id": instrument, "brand": "mastercard"})).status == 422
    await ana.card(instrument={"id": instrument})
    assert desk.orders[0].card is not None and desk.orders[0].card.security_code == "123"


async def test_live_money_has_no_provider_yet(ana: Merchant, desk: Desk, context: Context) -> None:
    ana.key = await ana.key_of("live")
    for method in ("pix", "boleto", "pse", "mpesa"):
        answered = await ana.ask(method)
        assert (answered.status, answered.fields) == (422, {"/method": "not_available"}), method
    assert desk.asked == [] and await rows(context, "select count(*) from payin") == [(0,)]
