"""POST /v1/payins by pix, boleto, PSE and M-Pesa: what the payer does next, and what each asks of the payer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from caudal.connectors import Declined
from caudal.kernel.context import Context
from tests.payins.books import assert_in_order, balances, rows
from tests.payins.cast import ASKED, DAY_S, Merchant, key_of
from tests.payins.desk import Desk

# Method, next action, what its payer earns the merchant of the amount that is asked: the fee.
METHODS: dict[str, tuple[dict[str, Any], int]] = {
    "pix": ({"type": "show_qr", "payload": "00020126580014br.gov.bcb.pix"}, 99),
    "boleto": (
        {"type": "show_voucher", "line": "1" * 47, "barcode": "1" * 44, "due_on": "2026-12-01", "url": None},
        290,
    ),
    "pse": ({"type": "redirect", "url": "http://127.0.0.1/bank"}, 90_000 + 75_000),
    "mpesa": ({"type": "await_push", "phone": "…678"}, 150),
}


@pytest.mark.parametrize("method", METHODS)
async def test_the_payer_is_told_what_to_do_and_the_callback_makes_it_paid(
    ana: Merchant, desk: Desk, context: Context, method: str
) -> None:
    action, fee = METHODS[method]
    payin = await ana.asked(method)
    assert payin["status"] == "pending"
    rest = {"expires_at": payin["expires_at"], "payer_page": f"http://127.0.0.1/pay/{key_of(payin)}"}
    assert payin["next_action"] == {**action, **rest}
    desk.pay(key_of(payin))
    assert (await ana.told(method, "payment", desk.told(key_of(payin)))).status == 200
    seen = await ana.seen(payin)
    assert (seen["status"], seen["amount_received"], seen["fees"]) == ("paid", payin["amount"], fee)
    assert (seen["amount_authorized"], seen["amount_captured"], seen["next_action"]) == (0, 0, None)
    assert await balances(ana) == {payin["currency"]: {"pending": payin["amount"] - fee}}
    await assert_in_order(context)


async def test_a_phone_number_is_shown_and_kept_by_its_last_digits_alone(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    payin = await ana.asked("mpesa")
    assert desk.orders[0].payer.phone == "+254712345678"
    kept = await rows(context, "select convert_from(detail, 'UTF8') from payin")
    kept += await rows(context, "select convert_from(data, 'UTF8') from event")
    kept += await rows(context, "select convert_from(answer, 'UTF8') from key where answer is not null")
    assert "254712345678" not in str(kept)
    assert (await ana.seen(payin))["payer"]["phone"] == "+254712345678", "its merchant knows it"


async def test_the_payers_bank_is_part_of_the_payin(ana: Merchant, desk: Desk) -> None:
    payin = await ana.asked("pse")
    assert payin["instrument"] == {"id": None, "brand": None, "last_four": None, "bank": "1007"}
    assert (desk.orders[0].bank, desk.orders[0].return_url) == ("1007", "https://shop.example/back")


# Method, the change of what it is asked for (`-` leaves a field out), then each error as field:code.
REFUSED = r"""
pix     payer={"document":"12345678900"}                      /payer/document:invalid_document
pix     instrument={"bank":"001"}                             /instrument/bank:not_supported
pix     instrument={"id":"instr_1"}                           /instrument/id:not_supported
pix     instrument={"brand":"visa"}                           /instrument/brand:unknown_brand
pix     capture="manual"                                      /capture:not_supported
pix     three_ds="demanded"                                   /three_ds:not_supported
pix     country="CO"                                          /method:unknown_method
pix     payer={"name":"Ana\tSouza"}                           /payer/name:invalid_value
pix     payer={"name":"Ana\u200bSouza"}                       /payer/name:invalid_value
pix     payer={"name":"Ana\n\nSouza"}                         /payer/name:invalid_value
pix     return_url="https://?shop"                            /return_url:invalid_url
pix     return_url="https://[::1"                             /return_url:invalid_url
pix     return_url="https://a.br/\u200b"                      /return_url:invalid_url
boleto  payer=-                                               /payer/document:missing,/payer/name:missing
boleto  payer={"document":"11144477735"}                      /payer/name:missing
boleto  payer={"name":"Ana"}                                  /payer/document:missing
boleto  payer={"name":"Ana","document":"111.444.777-34"}                   /payer/document:invalid_document
boleto  payer={"name":"Ana","document":"BOXW310820HNERXN09"}               /payer/document:invalid_document
boleto  capture="manual"                                      /capture:not_supported
pse     payer=-                                               /payer/document:missing
pse     payer={"document":"11"}                               /payer/document:invalid_document
pse     instrument=-                                          /instrument/bank:missing
pse     instrument={}                                         /instrument/bank:missing
pse     instrument={"bank":"9999999"}                         /instrument/bank:unknown_bank
pse     instrument={"bank":"bancolombia"}                     /instrument/bank:unknown_bank
pse     return_url="nowhere"                                  /return_url:invalid_url
pse     currency="USD"                                        /currency:wrong_currency
mpesa   payer=-                                               /payer/phone:missing
mpesa   payer={"name":"Wanjiru"}                              /payer/phone:missing
mpesa   payer={"phone":"0712345678"}                          /payer/phone:invalid_phone
mpesa   payer={"phone":"+525512345678"}                       /payer/phone:invalid_phone
mpesa   payer={"phone":"+2547123"}                            /payer/phone:invalid_phone
mpesa   amount=0                                              /amount:amount_out_of_range
"""


async def test_what_a_method_needs_is_asked_for_by_its_field(ana: Merchant, desk: Desk, context: Context) -> None:
    wrong = []
    for line in REFUSED.strip().splitlines():
        method, change, expected = line.split(maxsplit=2)[0], line.split(maxsplit=1)[1], line.rsplit(maxsplit=1)[1]
        name, _, text = change.removesuffix(expected).strip().partition("=")
        value: Any = ... if text == "-" else json.loads(text)
        answered = await ana.ask(method, **{name: value})
        if (answered.status, answered.fields) != (422, dict(one.rsplit(":", 1) for one in expected.split(","))):
            wrong.append(f"{line}\n    {answered.fields}")
    assert not wrong, "\n" + "\n".join(wrong)
    assert desk.orders == [] and await rows(context, "select count(*) from payin") == [(0,)]


NEAR = """
pse  instrument={"bank":"10077"}         did you mean 1007
pse  instrument={"bank":"bancolombia"}   did you mean 1007
"""


async def test_near_names_are_told(ana: Merchant, desk: Desk) -> None:
    for line in NEAR.strip().splitlines():
        method, change, said = line.split(maxsplit=2)
        name, _, text = change.partition("=")
        answered = await ana.ask(method, **{name: json.loads(text)})
        assert said in answered.json["errors"][0]["detail"], answered.body
    assert "did you mean pix?" in (await ana.create(**{**ASKED["pix"], "method": "pixx"})).json["errors"][0]["detail"]


async def test_how_long_a_method_waits_is_said_in_its_unit(ana: Merchant, desk: Desk) -> None:
    for method, said in {"mpesa": "1 hour", "pse": "7 days", "pix": "30 days"}.items():
        answered = await ana.ask(method, expires_at="2999-01-01T00:00:00Z")
        assert answered.json["errors"][0]["detail"].endswith(f"waits at most {said}"), answered.body


async def test_a_phone_of_another_country_is_told_so(ana: Merchant, desk: Desk) -> None:
    answered = await ana.ask("mpesa", payer={"phone": "+525512345678"})
    assert answered.json["errors"][0]["detail"] == "not a number of Kenya (+254)"


@pytest.mark.parametrize("method", METHODS)
async def test_a_provider_that_refuses_for_good_ends_it(
    ana: Merchant, desk: Desk, context: Context, method: str
) -> None:
    desk.says["submit"] = [Declined(reason="invalid_request", detail="no")]
    payin = await ana.asked(method)
    assert (payin["status"], payin["status_reason"]) == ("declined", "invalid_request")
    assert [event["type"] for event in await ana.events()] == ["payin.created", "payin.declined"]
    await assert_in_order(context)


@pytest.mark.parametrize(("told", "status"), [("declined", "declined"), ("expired", "expired")])
async def test_a_payer_who_declines_or_lets_it_expire_ends_it(
    ana: Merchant, desk: Desk, context: Context, told: Any, status: str
) -> None:
    payin = await ana.pix()
    desk.change(key_of(payin), status=told)
    assert (await ana.told("pix", "payment", desk.told(key_of(payin)))).status == 200
    assert (await ana.seen(payin))["status"] == status
    assert await ana.work("payin.expire") == 0, "its expiry waits for nothing"
    await assert_in_order(context)


async def test_it_expires_by_the_books_clock(ana: Merchant, desk: Desk, context: Context) -> None:
    payin = await ana.asked("boleto")
    assert (await ana.advance(30 * DAY_S)).json["expired"] == 1
    seen = await ana.seen(payin)
    assert (seen["status"], seen["next_action"]) == ("expired", None)
    await assert_in_order(context)


async def test_the_provider_is_asked_once_more_before_a_payin_expires(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    paid, silent, waits = [await ana.pix() for _ in range(3)]
    desk.pay(key_of(paid))
    await context.rows("update book set clock_offset_s = 864000 where book = (select min(book) from payin) returning 1")
    desk.says["payment"] = [{}, "busy", {}]
    assert await ana.work("payin.expire") == 2, "where nobody says, it waits"
    assert [(await ana.seen(payin))["status"] for payin in (paid, silent, waits)] == ["paid", "pending", "expired"]
    assert await ana.work("payin.expire") == 1
    assert (await ana.seen(silent))["status"] == "expired"
    await assert_in_order(context)
