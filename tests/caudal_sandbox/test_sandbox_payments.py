"""Money that caudal sends to a CLABE: once a key, only on a signed order, and in the statement."""

import json
import time
from typing import Any

import pytest

from caudal_sandbox.signature import sign
from tests.caudal_sandbox.rig import SECRET, Answer, Bank

PATH = "/v1/bank/payments"


def send(bank: Bank, given: dict[str, Any], secret: bytes = SECRET) -> Answer:
    body = json.dumps(given).encode()
    headers = {"Content-Type": "application/json", "Spei-Signature": sign(secret, body, int(time.time()))}
    return bank.call("POST", PATH, body, headers)


def order(clabe: str, **more: Any) -> dict[str, Any]:
    order = {"payment_key": f"p{clabe}", "clabe": clabe, "amount": 30, "currency": "MXN", "beneficiary_name": "Ana"}
    return order | more


def test_money_is_sent_once_a_key(bank: Bank, clabe: str) -> None:
    first, again = send(bank, order(clabe)), send(bank, order(clabe))
    assert (first.status, again.status, again.json) == (201, 200, first.json)
    assert first.json["status"] == "sent"
    lines = [line for line in bank.statement() if line["kind"] == "payment" and line["clabe"] == clabe]
    assert [line["amount"] for line in lines] == [30]


@pytest.mark.parametrize("change", [{"amount": 31}, {"beneficiary_name": "Beto"}])
def test_another_payment_with_the_same_key_is_refused(bank: Bank, clabe: str, change: dict[str, Any]) -> None:
    send(bank, order(clabe))
    answer = send(bank, order(clabe, **change))
    assert (answer.status, answer.json["code"]) == (409, "payment_key_reused")
    assert answer.wrong == {f"/{name}": "differs" for name in change}


def test_all_wrong_fields_are_named_at_once(bank: Bank) -> None:
    wrong = {"payment_key": "", "clabe": "1", "amount": 0, "currency": "USD", "beneficiary_name": " ", "x": 1}
    assert send(bank, wrong).wrong == {
        "/x": "unknown_field",
        "/payment_key": "malformed",
        "/clabe": "invalid_clabe",
        "/amount": "out_of_range",
        "/currency": "unsupported_currency",
        "/beneficiary_name": "malformed",
    }


def test_only_caudal_sends(bank: Bank, clabe: str) -> None:
    assert send(bank, order(clabe), b"another").json["code"] == "signature_invalid"
    assert bank.post(PATH, order(clabe)).json["code"] == "signature_missing"
