"""Captures, cancellations, refunds and disputes: what is left decides, and every cent is in one place."""

from typing import Any

import pytest

from tests.caudal_sandbox.payer import METHODS, Caller, new_key, order, signature
from tests.caudal_sandbox.rig import Receiver, until

ACCOUNT = {
    "country": "BR", "bank": "001", "account": "12345-6", "kind": "checking", "holder_name": "Ana Souza",
    "holder_document": "39053344705",
}  # fmt: skip
PDF = b"%PDF-1.7 evidence"


def held(provider: Caller, amount: int = 12050) -> str:
    asked = order(amount=amount, capture="manual")
    provider.pay(asked)
    return str(asked["key"])


def collected(provider: Caller, method: str = "card", amount: int = 12050) -> str:
    asked = order(method, amount)
    provider.pay(asked, method)
    if method != "card":
        provider.payer(asked["key"], "pay")
    return str(asked["key"])


def sums(provider: Caller, key: str) -> list[int]:
    line = provider.statement()[key]
    return [line[name] for name in ("authorized", "captured", "refunded", "disputed")]


def test_several_parts_are_captured_and_the_last_one_releases_the_rest(provider: Caller) -> None:
    key = held(provider)
    first = provider.operate(key, "captures", amount=2000, final=False)
    assert first.status == 201
    names = {"payment_key": key, "account": "7", "kind": "capture", "status": "succeeded", "amount": 2000}
    assert first.json == first.json | names | {"currency": "BRL", "code": None}
    assert provider.find(key)["status"] == "paid"
    assert provider.operate(key, "captures", amount=3000, final=True).json["status"] == "succeeded"
    assert provider.find(key)["captured"] == 5000
    refused = provider.operate(key, "captures", amount=1, final=False)
    assert (refused.status, refused.json["code"]) == (422, "not_capturable")


def test_no_more_is_captured_than_was_authorized(provider: Caller) -> None:
    key = held(provider)
    provider.operate(key, "captures", amount=12000, final=False)
    assert provider.operate(key, "captures", amount=51, final=False).json["code"] == "amount_too_large"
    assert provider.operate(key, "captures", amount=50, final=False).status == 201


def test_what_is_held_is_given_up(provider: Caller) -> None:
    key = held(provider)
    assert provider.operate(key, "cancellations").json["amount"] == 12050
    assert provider.find(key)["status"] == "cancelled"
    assert provider.operate(key, "cancellations").json["code"] == "not_cancellable"


def test_after_a_capture_only_the_rest_is_given_up(provider: Caller) -> None:
    key = held(provider)
    provider.operate(key, "captures", amount=50, final=False)
    assert provider.operate(key, "cancellations").json["amount"] == 12000
    assert [provider.find(key)[name] for name in ("status", "captured")] == ["paid", 50]


@pytest.mark.parametrize("method", [method for method in METHODS if method != "card"])
def test_what_waits_for_its_payer_is_given_up(provider: Caller, method: str) -> None:
    asked = order(method)
    provider.pay(asked, method)
    assert provider.operate(asked["key"], "cancellations", method).json["status"] == "succeeded"
    assert provider.payer(asked["key"], "pay").status == 409


@pytest.mark.parametrize("method", METHODS)
def test_parts_go_back_until_nothing_is_left(provider: Caller, method: str) -> None:
    key = collected(provider, method)
    for amount, status in [(50, 201), (12001, 422), (12000, 201), (1, 422)]:
        answer = provider.operate(key, "refunds", method, amount=amount, destination=ACCOUNT)
        assert answer.status == status
    assert provider.find(key, method)["refunded"] == 12050


def test_a_boletos_refund_needs_an_account(provider: Caller) -> None:
    key = collected(provider, "boleto")
    assert provider.operate(key, "refunds", "boleto", amount=1).json["code"] == "destination_required"
    wrong = provider.operate(key, "refunds", "boleto", amount=1, destination={"country": "br", "iban": "x"}).wrong
    assert wrong == {
        "/destination/iban": "unknown_field",
        "/destination/country": "malformed",
        "/destination/account": "required",
        "/destination/holder_name": "required",
    }


def test_nothing_goes_back_of_what_was_not_collected(provider: Caller) -> None:
    assert provider.operate(held(provider), "refunds", amount=1).json["code"] == "not_refundable"
    assert provider.operate(new_key(), "refunds", amount=1).json["code"] == "payment_unknown"


@pytest.mark.parametrize("method", METHODS)
def test_what_was_paid_cannot_be_cancelled_or_captured_again(provider: Caller, method: str) -> None:
    key = collected(provider, method)
    for verb, body in (("cancellations", {}), ("captures", {"amount": 1, "final": False})):
        refused = provider.operate(key, verb, method, **body)
        code = {"cancellations": "not_cancellable", "captures": "not_capturable"}[verb]
        assert (refused.status, refused.json["code"]) == (422, code)
    assert provider.find(key, method)["status"] == "paid"


@pytest.mark.parametrize("end", ["decline", "expire"])
@pytest.mark.parametrize("method", ["pix", "boleto", "pse", "mpesa"])
def test_what_has_come_to_nothing_cannot_be_given_up_captured_or_given_back(
    provider: Caller, method: str, end: str
) -> None:
    asked = order(method)
    provider.pay(asked, method)
    provider.payer(asked["key"], end)
    for verb, body in (("cancellations", {}), ("captures", {"amount": 1}), ("refunds", {"amount": 1})):
        assert provider.operate(asked["key"], verb, method, **body).status == 422, verb
    assert provider.payer(asked["key"], "dispute").status == 409


@pytest.mark.parametrize("what", ["captures", "refunds", "cancellations"])
def test_the_same_operation_again_is_the_same(provider: Caller, what: str) -> None:
    key = collected(provider) if what == "refunds" else held(provider)
    given: dict[str, Any] = {"key": new_key()} | ({} if what == "cancellations" else {"amount": 100})
    first = provider.operate(key, what, **given)
    again = provider.operate(key, what, **given)
    assert (first.status, again.status, again.json) == (201, 200, first.json)
    assert provider.send("GET", f"/v1/provider/card/operations/{given['key']}").json == first.json
    other = held(provider)
    assert provider.operate(other, what, **given).json["code"] == "key_reused"
    assert provider.send("GET", f"/v1/provider/pix/operations/{given['key']}").json["code"] == "operation_unknown"


def test_a_dispute_is_opened_answered_and_won(provider: Caller, receiver: Receiver) -> None:
    key = collected(provider)
    opened = provider.payer(key, "dispute", amount=2000, code="13.1").json
    assert (opened["status"], opened["amount"], opened["code"]) == ("opened", 2000, "13.1")
    assert provider.heard(receiver, key)[0] == {
        "id": provider.heard(receiver, key)[0]["id"], "type": "dispute", "dispute": opened,
    }  # fmt: skip
    assert sums(provider, key) == [12050, 12050, 0, 2000]
    assert evidence(provider, opened["reference"], new_key()).json == {
        "reference": opened["reference"],
        "status": "received",
    }
    won = provider.bank.post(f"/v1/provider/payers/disputes/{opened['reference']}/win", {}).json
    assert won["status"] == "won" == provider.heard(receiver, key, 2)[1]["dispute"]["status"]
    assert sums(provider, key) == [12050, 12050, 0, 0]
    assert provider.send("GET", f"/v1/provider/card/disputes/{opened['reference']}").json == won
    assert evidence(provider, opened["reference"], new_key()).json["code"] == "dispute_closed"


def test_a_lost_dispute_keeps_the_money_from_being_refunded(provider: Caller) -> None:
    key = collected(provider)
    opened = provider.payer(key, "dispute").json
    assert opened["amount"] == 12050
    provider.bank.post(f"/v1/provider/payers/disputes/{opened['reference']}/lose", {})
    assert provider.operate(key, "refunds", amount=1).json["code"] == "not_refundable"
    assert provider.payer(key, "dispute").json["code"] == "nothing_to_dispute"
    again = provider.bank.post(f"/v1/provider/payers/disputes/{opened['reference']}/win", {})
    assert (again.status, again.json["code"]) == (409, "dispute_closed")


def test_a_dispute_without_evidence_is_lost_when_time_is_over(provider: Caller, receiver: Receiver) -> None:
    silent, answered = collected(provider), collected(provider)
    for key in (silent, answered):
        opened = provider.payer(key, "dispute", respond_in_s=1).json
    evidence(provider, opened["reference"], new_key())
    assert provider.heard(receiver, silent, 2)[1]["dispute"]["status"] == "lost"
    assert provider.send("GET", f"/v1/provider/card/disputes/{opened['reference']}").json["status"] == "opened"


@pytest.mark.parametrize(
    ("content_type", "content", "key", "status"),
    [
        ("application/pdf", PDF, "a" * 32, 201),
        ("image/png", b"\x89PNG" + b"0" * (5 * 1024 * 1024 - 4), "b" * 32, 201),
        ("image/png", b"\x89PNG" + b"0" * (5 * 1024 * 1024 - 3), "c" * 32, 413),
        ("text/plain", PDF, "d" * 32, 415),
        ("application/pdf", b"", "e" * 32, 400),
        ("application/pdf", PDF, "short", 422),
    ],
    ids=["right", "largest", "too large", "text", "empty", "key"],
)
def test_evidence_is_a_file_of_three_kinds(
    provider: Caller, content_type: str, content: bytes, key: str, status: int
) -> None:
    reference = provider.payer(collected(provider), "dispute").json["reference"]
    assert evidence(provider, reference, key, content, content_type).status == status


def test_the_same_evidence_again_is_the_same_and_other_evidence_is_refused(provider: Caller) -> None:
    reference, key = provider.payer(collected(provider), "dispute").json["reference"], new_key()
    answers = [evidence(provider, reference, key, content) for content in (PDF, PDF, PDF + b"!")]
    assert [answer.status for answer in answers] == [201, 200, 409]
    assert evidence(provider, "dp_nothing", new_key()).json["code"] == "dispute_unknown"


def evidence(
    provider: Caller, reference: str, key: str, content: bytes = PDF, content_type: str = "application/pdf"
) -> Any:
    path = f"/v1/provider/card/disputes/{reference}/evidence?key={key}"
    headers = {"Content-Type": content_type, "Provider-Signature": signature("POST", path, content)}
    return provider.bank.call("POST", path, content, headers)


def test_a_callback_is_repeated_byte_for_byte_until_caudal_answers(provider: Caller, receiver: Receiver) -> None:
    asked = order("pix")
    provider.pay(asked, "pix")
    receiver.scripts[asked["key"]] = [503, 429]
    provider.payer(asked["key"], "pay")
    provider.heard(receiver, asked["key"], 3)
    assert len({call.raw for call in receiver.calls[asked["key"]]}) == 1


def test_a_payments_callbacks_keep_their_order(provider: Caller, receiver: Receiver) -> None:
    asked = order("pix")
    provider.pay(asked, "pix")
    receiver.scripts[asked["key"]] = [503]
    provider.payer(asked["key"], "pay")
    reference = provider.payer(asked["key"], "dispute").json["reference"]
    provider.bank.post(f"/v1/provider/payers/disputes/{reference}/lose", {})
    told = provider.heard(receiver, asked["key"], 4)
    assert [one["type"] for one in told] == ["payment", "payment", "dispute", "dispute"]


def test_a_refused_callback_is_counted_and_does_not_hold_up_the_next(provider: Caller, receiver: Receiver) -> None:
    asked = order("pix")
    provider.pay(asked, "pix")
    before = provider.bank.get("/v1/provider/callbacks").json["refused"]
    receiver.scripts[asked["key"]] = [404]
    provider.payer(asked["key"], "pay")
    provider.payer(asked["key"], "dispute")
    assert provider.heard(receiver, asked["key"], 2)[1]["type"] == "dispute"
    until(lambda: bool(provider.bank.get("/v1/provider/callbacks").json["refused"] == before + 1))
