"""What caudal orders of the provider, and what the payer does then: each method, each end, each refusal."""

import http.client
import signal
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.caudal_sandbox.payer import METHODS, VISA, Caller, new_key, order, signature
from tests.caudal_sandbox.rig import Bank, Receiver, until

WAITING = [method for method in METHODS if method != "card"]
ACTIONS = {"pix": "qr", "boleto": "voucher", "pse": "redirect", "mpesa": "push"}


def test_a_card_is_charged_at_once(provider: Caller) -> None:
    asked = order()
    answer = provider.pay(asked)
    assert answer.status == 201
    told = answer.json
    assert (told["status"], told["authorized"], told["captured"], told["code"]) == ("paid", 12050, 12050, None)
    assert told["action"] is None
    assert told["id"].startswith("pp_") and told["account"] == "7"
    assert provider.find(asked["key"]) == told


def test_a_card_is_held_until_it_is_captured(provider: Caller) -> None:
    told = provider.pay(order(capture="manual")).json
    assert (told["status"], told["authorized"], told["captured"]) == ("authorized", 12050, 0)


@pytest.mark.parametrize("method", WAITING)
def test_other_methods_wait_for_their_payer_who_pays(provider: Caller, receiver: Receiver, method: str) -> None:
    asked = order(method)
    told = provider.pay(asked, method).json
    assert (told["status"], told["captured"], told["action"]["type"]) == ("pending", 0, ACTIONS[method])
    paid = provider.payer(asked["key"], "pay").json
    assert (paid["status"], paid["authorized"], paid["captured"]) == ("paid", 0, 12050)
    assert (paid["action"], paid["sequence"] > told["sequence"]) == (None, True)
    (heard,) = provider.heard(receiver, asked["key"])
    assert heard["payment"] == paid == provider.find(asked["key"], method)


@pytest.mark.parametrize("method", METHODS)
def test_a_payer_declines_with_the_code_of_her_method(provider: Caller, method: str) -> None:
    asked = order(method, three_ds="demanded")
    provider.pay(asked, method)
    declined = provider.payer(asked["key"], "decline").json
    codes = {"card": "1A", "pix": "CUST", "boleto": "PAYER_REFUSED", "pse": "CANCELLED", "mpesa": "1032"}
    assert (declined["status"], declined["code"]) == ("declined", codes[method])


def test_a_bank_declines_with_the_code_that_is_asked_for(provider: Caller) -> None:
    asked = order("mpesa")
    provider.pay(asked, "mpesa")
    assert provider.payer(asked["key"], "decline", code="51").wrong == {"/code": "unknown"}
    assert provider.payer(asked["key"], "decline", code="2001").json["code"] == "2001"


@pytest.mark.parametrize("capture", ["automatic", "manual"])
def test_a_demanded_challenge_sends_the_payer_to_her_page_first(provider: Caller, capture: str) -> None:
    asked = order(three_ds="demanded", capture=capture, return_url="https://shop.example/back")
    told = provider.pay(asked).json
    assert (told["status"], told["action"]) == ("pending", {"type": "redirect", "url": told["payer_page"]})
    done = provider.payer(asked["key"], "pay").json["status"]
    assert done == {"automatic": "paid", "manual": "authorized"}[capture]


@pytest.mark.parametrize("method", WAITING)
def test_a_payment_expires_by_itself(provider: Caller, receiver: Receiver, method: str) -> None:
    soon = (datetime.now(UTC) + timedelta(seconds=0.4)).isoformat()
    asked = order(method, expires_at=soon)
    assert provider.pay(asked, method).json["status"] == "pending"
    until(lambda: bool(provider.find(asked["key"], method)["status"] == "expired"))
    assert provider.heard(receiver, asked["key"])[0]["payment"]["status"] == "expired"


@pytest.mark.parametrize("method", METHODS)
def test_only_a_boleto_is_paid_after_its_time(provider: Caller, method: str) -> None:
    asked = order(method, three_ds="demanded")
    provider.pay(asked, method)
    provider.payer(asked["key"], "expire")
    late = provider.payer(asked["key"], "pay")
    assert late.status == (200 if method == "boleto" else 409)


def test_a_boleto_may_be_paid_with_another_amount_and_a_pix_may_not(provider: Caller) -> None:
    boleto, pix = order("boleto"), order("pix")
    provider.pay(boleto, "boleto")
    provider.pay(pix, "pix")
    assert provider.payer(boleto["key"], "pay", amount=12000).json["captured"] == 12000
    assert provider.payer(pix["key"], "pay", amount=12000).json["code"] == "amount_fixed"


@pytest.mark.parametrize("act", ["pay", "decline", "expire"])
def test_what_is_over_is_over_for_the_payer(provider: Caller, act: str) -> None:
    asked = order("pix")
    provider.pay(asked, "pix")
    provider.payer(asked["key"], "pay")
    refused = provider.payer(asked["key"], act)
    assert (refused.status, refused.headers["Content-Type"]) == (409, "application/problem+json")
    assert provider.payer(new_key(), act).status == 404


def test_the_same_order_again_is_the_same_payment(provider: Caller) -> None:
    asked = order()
    first = provider.pay(asked)
    without_code = asked | {"card": asked["card"] | {"security_code": None}}
    again = [provider.pay(asked), provider.pay(without_code)]
    assert [answer.status for answer in again] == [200, 200]
    assert all(answer.json == first.json for answer in again)


@pytest.mark.parametrize(
    "other", [{"amount": 1}, {"account": "8"}, {"description": None}, {"card": {"number": "4000000000000002"}}]
)
def test_another_order_with_the_same_key_is_refused(provider: Caller, other: dict[str, Any]) -> None:
    asked = order()
    provider.pay(asked)
    changed = asked | other | ({"card": asked["card"] | other["card"]} if "card" in other else {})
    answer = provider.pay(changed)
    assert (answer.status, answer.json["code"]) == (409, "key_reused")


def test_a_key_belongs_to_one_method(provider: Caller) -> None:
    asked = order("pix")
    provider.pay(asked, "pix")
    assert provider.pay(order("boleto", key=asked["key"]), "boleto").status == 409
    assert provider.send("GET", f"/v1/provider/card/payments/{asked['key']}").json["code"] == "payment_unknown"


def test_all_wrong_fields_are_named_at_once(provider: Caller) -> None:
    answer = provider.pay(
        {"key": "A", "amount": 0, "currency": "brl", "capture": "later", "card": {"number": 4}, "x": 1}
    )
    assert (answer.status, answer.json["code"]) == (422, "invalid_request")
    assert answer.wrong == {
        "/x": "unknown_field",
        "/key": "malformed",
        "/account": "required",
        "/amount": "out_of_range",
        "/currency": "malformed",
        "/country": "required",
        "/capture": "unknown",
        "/expires_at": "required",
        "/card/number": "wrong_type",
        "/card/expiry_month": "required",
        "/card/expiry_year": "required",
    }


@pytest.mark.parametrize(
    ("method", "change", "field", "code"),
    [
        ("pix", {"currency": "MXN"}, "/currency", "unsupported_currency"),
        ("pix", {"country": "MX"}, "/country", "unsupported_country"),
        ("pix", {"card": {}}, "/card", "not_supported"),
        ("pix", {"capture": "manual"}, "/capture", "not_supported"),
        ("card", {"card": None}, "/card", "required"),
        ("card", {"amount": 1.5}, "/amount", "wrong_type"),
        ("card", {"amount": True}, "/amount", "wrong_type"),
        ("card", {"amount": 10**11}, "/amount", "out_of_range"),
        ("boleto", {"amount": 10**10}, "/amount", "out_of_range"),
        ("boleto", {"payer": {"name": "Ana"}}, "/payer/document", "required"),
        ("pse", {"bank": None}, "/bank", "required"),
        ("mpesa", {"payer": {}}, "/payer/phone", "required"),
        ("mpesa", {"payer": {"phone": "0712345678"}}, "/payer/phone", "malformed"),
        ("pse", {"return_url": "javascript:alert(1)"}, "/return_url", "malformed"),
        ("pse", {"return_url": "http://["}, "/return_url", "malformed"),
        ("pix", {"expires_at": "tomorrow"}, "/expires_at", "malformed"),
        ("pix", {"expires_at": "2030-01-01T00:00:00"}, "/expires_at", "malformed"),
        ("pix", {"description": "a\u0000b"}, "/description", "malformed"),
    ],
)
def test_a_wrong_field_is_named(provider: Caller, method: str, change: dict[str, Any], field: str, code: str) -> None:
    assert provider.pay(order(method, **change), method).wrong == {field: code}


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"path": "/v1/provider/pix/payments"}, "signature_invalid"),
        ({"method": "PUT"}, "signature_invalid"),
        ({"body": b"{ }"}, "signature_invalid"),
        ({"secret": b"another"}, "signature_invalid"),
        ({"at_s": 1_000}, "signature_expired"),
        ({}, "invalid_request"),
    ],
    ids=["path", "method", "body", "secret", "time", "nothing"],
)
def test_an_order_that_is_not_caudals_is_refused(bank: Bank, wrong: dict[str, Any], code: str) -> None:
    right = {"method": "POST", "path": "/v1/provider/card/payments", "body": b"{}"}
    headers = {"Content-Type": "application/json", "Provider-Signature": signature(**(right | wrong))}
    answer = bank.call("POST", "/v1/provider/card/payments", b"{}", headers)
    assert (answer.status, answer.json["code"]) == (422 if not wrong else 401, code)


@pytest.mark.parametrize(("header", "code"), [(None, "signature_missing"), ("t=1", "signature_malformed")])
def test_an_unsigned_query_is_refused(bank: Bank, header: str | None, code: str) -> None:
    headers = {} if header is None else {"Provider-Signature": header}
    answer = bank.call("GET", f"/v1/provider/card/payments/{new_key()}", headers=headers)
    assert (answer.status, answer.json["code"]) == (401, code)


def test_no_card_number_reaches_disk_or_log(bank: Bank, provider: Caller) -> None:
    number = "4111111111119999"
    odd = order(number=number)
    odd["card"]["expiry_year"] = number
    asked = order(number=number, three_ds="demanded", description="kept: Order 7")
    answers = [provider.pay(asked), provider.pay(odd), provider.pay(order(number=number, amount=9103))]
    provider.payer(asked["key"], "pay")
    assert not any(number in answer.text for answer in answers)
    kept = b"".join(path.read_bytes() for path in Path(bank.data).glob("provider*"))
    assert b"kept: Order 7" in kept, "the test looks in the wrong place"
    assert number.encode() not in kept and VISA.encode() not in kept
    assert number not in bank.log


def test_the_statement_has_every_payment_as_it_stands(provider: Caller) -> None:
    asked = order(capture="manual")
    provider.pay(asked)
    provider.operate(asked["key"], "captures", amount=5000, final=False)
    provider.operate(asked["key"], "refunds", amount=1000)
    provider.payer(asked["key"], "dispute", amount=700)
    names = {
        "provider": "sandbox",
        "key": asked["key"],
        "method": "card",
        "account": "7",
        "currency": "BRL",
        "status": "paid",
    }
    sums = {"authorized": 12050, "held": 7050, "captured": 5000, "refunded": 1000, "disputed": 700}
    assert provider.statement()[asked["key"]] == names | sums


def test_acknowledged_payments_survive_kill_9(tmp_path: Path, receiver: Receiver) -> None:
    bank = Bank(data=tmp_path / "books", caudal_url=receiver.url).start()
    provider, told = Caller(bank), dict[str, str]()

    def keep_paying() -> None:
        while True:
            asked = order("pix", 9401)
            try:
                told[asked["key"]] = provider.pay(asked, "pix").json["status"]
            except (OSError, http.client.HTTPException):
                return

    payers = [threading.Thread(target=keep_paying) for _ in range(8)]
    for payer in payers:
        payer.start()
    time.sleep(1)
    bank.end(signal.SIGKILL)
    for payer in payers:
        payer.join()
    assert len(told) > 8
    bank.start()
    until(lambda: all(provider.statement()[key]["status"] == "paid" for key in told))
    until(lambda: all(receiver.calls[key] for key in told))
    bank.end()
