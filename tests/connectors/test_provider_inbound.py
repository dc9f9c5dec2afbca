"""Callbacks of the five: signed by a secret that says the mode, not too old, strictly of their form."""

from __future__ import annotations

import json
from typing import Any

import pytest

from caudal.connectors import DisputeState, OperationState, PaymentState, receive
from caudal.kernel.errors import Invalid, Refused
from caudal.kernel.http import Request
from tests.connectors import orders
from tests.connectors.bench import callback
from tests.connectors.provider import signature

NOW = 1_795_000_000
LINKS = orders.links(None, provider_secret_test="test secret", provider_secret_live="live secret")
PAYMENT = {
    "id": "pp_1",
    "key": "a" * 32,
    "method": "pix",
    "account": "7",
    "status": "paid",
    "amount": 12050,
    "currency": "BRL",
    "authorized": 0,
    "captured": 12050,
    "refunded": 0,
    "code": None,
    "action": None,
    "payer_page": "http://127.0.0.1/pay/a",
    "sequence": 2,
    "updated_at": "2026-11-27T10:00:00Z",
}
OPERATION = {
    "id": "po_1",
    "key": "b" * 32,
    "payment_key": "a" * 32,
    "account": "7",
    "kind": "cancellation",
    "status": "failed",
    "amount": 12050,
    "currency": "BRL",
    "code": "ED05",
    "updated_at": "2026-11-27T10:00:00Z",
}
DISPUTE = {
    "reference": "dp_1",
    "payment_key": "a" * 32,
    "account": "7",
    "status": "opened",
    "amount": 12050,
    "currency": "BRL",
    "code": "FR01",
    "respond_by": "2026-12-04T10:00:00Z",
}


def body(kind: str = "payment", told: Any = PAYMENT, **changed: Any) -> bytes:
    return json.dumps({"id": "cb_1", "type": kind, kind: {**told, **changed}}).encode()


RAW = body()


def request(header: str | None, raw: bytes = RAW, path: str = "/v1/callbacks/sandbox/pix") -> Request:
    return callback(path, raw, {} if header is None else {b"provider-signature": header.encode("latin-1")})


def signed(
    raw: bytes = RAW, *, secret: str = "test secret", at_s: int = NOW, path: str = "/v1/callbacks/sandbox/pix"
) -> Request:
    return request(signature(secret, at_s, "POST", path, raw), raw, path)


GOOD = signature("test secret", NOW, "POST", "/v1/callbacks/sandbox/pix", RAW)
REFUSED: dict[str, Request] = {
    "none": request(None),
    "empty": request(""),
    "no time": request(GOOD.split(",")[1]),
    "no signature": request(GOOD.split(",")[0]),
    "another version": request(GOOD.replace("v1=", "v2=")),
    "time is no number": request(GOOD.replace(f"t={NOW}", "t=now")),
    "time is negative": request(GOOD.replace(f"t={NOW}", f"t=-{NOW}")),
    "time without end": request(f"t={'9' * 5000},v1=0"),
    "another time": request(GOOD.replace(f"t={NOW}", f"t={NOW + 1}")),
    "cut": request(GOOD[:-1]),
    "not ASCII": request(f"t={NOW},v1=\xe9"),
    "another secret": request(signature("other secret", NOW, "POST", "/v1/callbacks/sandbox/pix", RAW)),
    "another body": request(GOOD, body(amount=12051)),
    "another path": request(GOOD, RAW, "/v1/callbacks/sandbox/card"),
    "another query": request(GOOD, RAW, "/v1/callbacks/sandbox/pix?a=1"),
    "another verb": request(signature("test secret", NOW, "GET", "/v1/callbacks/sandbox/pix", RAW)),
    "the bank's form": request(signature("test secret", NOW, "POST", "/v1/callbacks/sandbox/pix", b"").split(",")[0]),
}


@pytest.mark.parametrize("method", orders.METHODS)
@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_signed_right_is_refused_by_every_connector(case: str, method: str) -> None:
    with pytest.raises(Refused) as refused:
        receive(LINKS, "sandbox", method, REFUSED[case], NOW)
    assert refused.value.code == "unauthenticated"


@pytest.mark.parametrize(("age_s", "taken"), [(0, True), (300, True), (301, False), (-300, True), (-301, False)])
def test_a_signature_counts_for_five_minutes_both_ways(age_s: int, taken: bool) -> None:
    if taken:
        assert receive(LINKS, "sandbox", "pix", signed(at_s=NOW - age_s), NOW)
    else:
        with pytest.raises(Refused):
            receive(LINKS, "sandbox", "pix", signed(at_s=NOW - age_s), NOW)


def test_the_secret_that_verifies_says_the_mode() -> None:
    assert receive(LINKS, "sandbox", "pix", signed(), NOW).mode == "test"
    assert receive(LINKS, "sandbox", "pix", signed(secret="live secret"), NOW).mode == "live"


@pytest.mark.parametrize("secret", ["", "live secret"])
def test_a_secret_that_is_not_set_verifies_nothing(secret: str) -> None:
    for unset in (None, ""):
        with pytest.raises(Refused):
            receive(orders.links(None, provider_secret_test=unset), "sandbox", "pix", signed(secret=secret), NOW)


def test_the_query_is_signed_too() -> None:
    assert receive(LINKS, "sandbox", "pix", signed(path="/v1/callbacks/sandbox/pix?a=1&b=%20"), NOW)


@pytest.mark.parametrize(("provider", "method"), [("sandbox", "cheque"), ("norte", "pix"), ("pix", "pix")])
def test_there_is_no_provider_of_an_unknown_name_or_method(provider: str, method: str) -> None:
    with pytest.raises(Refused) as refused:
        receive(LINKS, provider, method, signed(), NOW)
    assert refused.value.code == "not_found"


def test_the_three_nouns_are_told() -> None:
    payment = receive(LINKS, "sandbox", "pix", signed(), NOW)
    assert payment.id == "cb_1" and isinstance(payment.about, PaymentState)
    assert (payment.about.status, payment.about.captured_minor, payment.about.account) == ("paid", 12050, "7")
    operation = receive(LINKS, "sandbox", "pix", signed(body("operation", OPERATION)), NOW).about
    assert isinstance(operation, OperationState)
    assert (operation.kind, operation.status, operation.reason) == ("void", "failed", "processing_error")
    dispute = receive(LINKS, "sandbox", "pix", signed(body("dispute", DISPUTE)), NOW).about
    assert isinstance(dispute, DisputeState) and (dispute.reference, dispute.reason) == ("dp_1", "FR01")


def test_a_field_that_is_new_does_no_harm() -> None:
    assert receive(LINKS, "sandbox", "pix", signed(body(colour="red")), NOW)


# What stands in the payment instead (`-`: nothing), the field that is named, and its error
WRONG = """
key         -           /payment/key         missing
key         "A1"        /payment/key         invalid_value
account     ""          /payment/account     invalid_value
account     7           /payment/account     invalid_type
method      "card"      /payment             invalid_value
status      "perhaps"   /payment/status      invalid_value
amount      0           /payment/amount      invalid_value
amount      -1          /payment/amount      invalid_value
amount      1.5         /payment/amount      invalid_type
amount      "1"         /payment/amount      invalid_type
amount      1000000000001  /payment/amount   invalid_value
currency    "brl"       /payment/currency    invalid_value
refunded    12051       /payment             invalid_value
captured    -1          /payment/captured    invalid_value
"""


@pytest.mark.parametrize("line", WRONG.strip().splitlines())
def test_a_field_that_is_wrong_is_named(line: str) -> None:
    field, value, pointer, code = line.split()
    told = {name: given for name, given in PAYMENT.items() if name != field}
    if value != "-":
        told[field] = json.loads(value)
    with pytest.raises(Invalid) as refused:
        receive(LINKS, "sandbox", "pix", signed(body(told=told)), NOW)
    assert [(error.field, error.code) for error in refused.value.errors] == [(pointer, code)]


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b"\xff", b"[" * 40_000, body().replace(b"cb_1", b"cb\\u0000"), b'{"id":"x"}']
)
def test_what_is_no_callback_is_refused(raw: bytes) -> None:
    with pytest.raises(Invalid):
        receive(LINKS, "sandbox", "pix", signed(raw), NOW)


def test_the_object_of_the_type_has_to_be_there() -> None:
    raw = json.dumps({"id": "cb_1", "type": "dispute", "payment": PAYMENT}).encode()
    with pytest.raises(Invalid) as refused:
        receive(LINKS, "sandbox", "pix", signed(raw), NOW)
    assert [error.field for error in refused.value.errors] == ["/dispute"]
