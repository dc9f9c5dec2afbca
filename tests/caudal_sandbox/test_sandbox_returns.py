"""caudal gives money back: signed, idempotent, never more than came; and the books that say so."""

import hashlib
import hmac
import json
import time
from typing import Any

import pytest

from caudal_sandbox.signature import SignatureRefused, verify
from tests.caudal_sandbox.rig import SECRET, Answer, Bank

PATH = "/v1/bank/returns"


def header(body: bytes, secret: bytes = SECRET, at_s: float | None = None) -> str:
    at = str(int(time.time() if at_s is None else at_s))
    return f"t={at},v1={hmac.new(secret, at.encode() + b'.' + body, hashlib.sha256).hexdigest()}"


def give_back(bank: Bank, **given: object) -> Answer:
    body = json.dumps({"currency": "MXN"} | given).encode()
    return bank.call("POST", PATH, body, {"Content-Type": "application/json", "Spei-Signature": header(body)})


def test_a_return_goes_back_to_the_payer(bank: Bank, clabe: str) -> None:
    key = bank.pay(clabe, 1000).json["tracking_key"]
    answer = give_back(bank, return_key=f"r{clabe}", tracking_key=key, amount=400)
    assert answer.status == 201
    assert answer.json | {"returned_at": None} == {
        "return_key": f"r{clabe}",
        "status": "returned",
        "tracking_key": key,
        "amount": 400,
        "currency": "MXN",
        "returned_at": None,
    }
    assert bank.transfer(key)["returned"] == 400


def test_the_same_return_twice_is_made_once(bank: Bank, clabe: str) -> None:
    key = bank.pay(clabe, 1000).json["tracking_key"]
    first, second = (give_back(bank, return_key=f"r{clabe}", tracking_key=key, amount=600) for _ in range(2))
    assert (first.status, second.status) == (201, 200)
    assert first.json == second.json
    assert bank.transfer(key)["returned"] == 600


def test_another_return_with_a_used_key_conflicts(bank: Bank, clabe: str) -> None:
    key = bank.pay(clabe, 1000).json["tracking_key"]
    give_back(bank, return_key=f"r{clabe}", tracking_key=key, amount=600)
    refused = give_back(bank, return_key=f"r{clabe}", tracking_key=key, amount=601)
    assert (refused.status, refused.json["code"], refused.wrong) == (409, "return_key_reused", {"/amount": "differs"})


def test_no_more_goes_back_than_came(bank: Bank, clabe: str) -> None:
    key = bank.pay(clabe, 1000).json["tracking_key"]
    assert give_back(bank, return_key=f"a{clabe}", tracking_key=key, amount=600).status == 201
    refused = give_back(bank, return_key=f"b{clabe}", tracking_key=key, amount=401)
    assert (refused.status, refused.json["code"]) == (409, "return_exceeds_transfer")
    assert give_back(bank, return_key=f"c{clabe}", tracking_key=key, amount=400).status == 201
    assert bank.transfer(key)["returned"] == 1000


def test_an_unknown_transfer_gives_nothing_back(bank: Bank, clabe: str) -> None:
    refused = give_back(bank, return_key=f"r{clabe}", tracking_key="NOBODY", amount=1)
    assert (refused.status, refused.json["code"]) == (404, "transfer_unknown")


def test_all_wrong_fields_are_named(bank: Bank) -> None:
    refused = give_back(bank, return_key="", tracking_key=None, amount=0, currency="USD", reason="late")
    assert refused.status == 422
    assert refused.wrong == {
        "/return_key": "malformed",
        "/tracking_key": "wrong_type",
        "/amount": "out_of_range",
        "/currency": "unsupported_currency",
        "/reason": "unknown_field",
    }


BODY = b'{"return_key":"r","tracking_key":"T","amount":1,"currency":"MXN"}'
NOW_S = 1_795_000_000


@pytest.mark.parametrize(
    ("signature", "code"),
    [
        (None, "signature_missing"),
        ("", "signature_malformed"),
        ("t=now,v1=00", "signature_malformed"),
        (header(BODY, b"another", NOW_S), "signature_invalid"),
        (header(BODY + b" ", at_s=NOW_S), "signature_invalid"),
        (header(BODY, at_s=NOW_S - 301), "signature_expired"),
        (header(BODY, at_s=NOW_S + 301), "signature_expired"),
        (header(BODY, at_s=NOW_S - 300), None),
        (header(BODY, at_s=NOW_S + 300), None),
    ],
)
def test_a_signature_is_fresh_and_fits_or_is_refused(signature: str | None, code: str | None) -> None:
    found = None
    try:
        verify(SECRET, "Spei-Signature", signature, BODY, NOW_S)
    except SignatureRefused as refusal:
        found = refusal.code
    assert found == code


def test_an_order_without_a_right_signature_is_refused_before_it_is_read(bank: Bank) -> None:
    sent = {"Content-Type": "application/json"}
    for signature in ({}, {"Spei-Signature": header(b"{", b"another")}):
        assert bank.call("POST", PATH, b"{", sent | signature).status == 401
    assert bank.call("POST", PATH, b"{", sent | {"Spei-Signature": header(b"{")}).status == 400


def test_the_books_are_the_sum_of_the_statement(bank: Bank, clabe: str) -> None:
    key = bank.pay(clabe, 1000).json["tracking_key"]
    give_back(bank, return_key=f"r{clabe}", tracking_key=key, amount=250)
    bank.pay(clabe, 1, deliver={"fault": "hold"})
    lines, books = bank.statement(), bank.get("/v1/bank/books").json
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    sums: dict[str, list[Any]] = {
        kind: [line["amount"] for line in lines if line["kind"] == kind] for kind in ("transfer", "return", "payment")
    }
    assert (books["received"], books["transfers"]) == (sum(sums["transfer"]), len(sums["transfer"]))
    assert (books["returned"], books["returns"]) == (sum(sums["return"]), len(sums["return"]))
    assert (books["sent"], books["payments"]) == (sum(sums["payment"]), len(sums["payment"]))
    assert books["accounts"] == {
        "caudal": books["received"] - books["returned"] - books["sent"],
        "payers": books["returned"] + books["sent"] - books["received"],
    }
    assert sum(books["deliveries"].values()) == books["transfers"]
    assert books["undelivered"] >= books["deliveries"]["held"] >= 1
