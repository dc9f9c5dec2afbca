"""The table of magic values is executed: every amount and every card number does what its row says."""

import http.client
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from caudal_sandbox.provider import magic
from tests.caudal_sandbox.payer import VISA, Caller, fits, new_key, order, signature
from tests.caudal_sandbox.rig import Call, Receiver, until

AMOUNTS = [row for row in magic.TABLE if row.part != "card"]
CARDS = [row for row in magic.TABLE if row.part == "card"]
SHORT_S, PATIENCE_S = 0.7, 60.0  # for an answer that does not come for half a minute, and for one that comes
NOTHING: list[Call] = []


class Rig:
    """A sandbox, a receiver in caudal's place, and an order of the amount that a row names."""

    def __init__(self, caller: Caller, receiver: Receiver, value: str) -> None:
        self.caller = caller
        self.receiver = receiver
        self.amount = 120_000 + int(value)

    def order(self, method: str = "card", **more: Any) -> dict[str, Any]:
        return order(method, self.amount, **more)

    def answer(self, asked: dict[str, Any], within_s: float = PATIENCE_S) -> Any:
        """Order, and say what comes within a time: a status and a body, or the name of what went wrong."""
        path, body = "/v1/provider/card/payments", json.dumps(asked).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.caller.bank.port, timeout=within_s)
        try:
            headers = {"Content-Type": "application/json", "Provider-Signature": signature("POST", path, body)}
            connection.request("POST", path, body, headers)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        except (OSError, http.client.HTTPException) as error:
            return type(error).__name__
        finally:
            connection.close()

    def paid(self, method: str = "card") -> str:
        """Have a payment paid; return its key."""
        asked = self.order(method)
        self.caller.pay(asked, method)
        if method != "card":
            self.caller.payer(asked["key"], "pay")
        return str(asked["key"])

    def told(self, key: str, count: int = 1) -> list[dict[str, Any]]:
        return self.caller.heard(self.receiver, key, count)

    def statuses(self, key: str, count: int) -> list[str]:
        return [told["payment"]["status"] for told in self.told(key, count)]


@pytest.fixture
def rig(provider: Caller, receiver: Receiver, request: pytest.FixtureRequest) -> Rig:
    return Rig(provider, receiver, request.node.callspec.params["row"].value)


def declined(rig: Rig) -> None:
    means = {"9001": "51", "9002": "05", "9003": "59", "9004": "96"}
    told = rig.caller.pay(rig.order()).json
    assert (told["status"], told["code"], told["captured"]) == ("declined", means[str(rig.amount % 10_000)], 0)
    assert rig.caller.pay(rig.order("pix"), "pix").json["status"] == "declined"


def silent_before(rig: Rig) -> None:
    asked = rig.order()
    assert rig.answer(asked, SHORT_S) == "TimeoutError"
    nothing_happened_and_the_key_is_taken(rig, asked)


def reset_before(rig: Rig) -> None:
    asked = rig.order()
    assert rig.answer(asked) == "ConnectionResetError"
    nothing_happened_and_the_key_is_taken(rig, asked)


def busy(rig: Rig) -> None:
    asked = rig.order()
    status, problem = rig.answer(asked)
    assert (status, problem["code"]) == (503, "busy")
    nothing_happened_and_the_key_is_taken(rig, asked)


def nothing_happened_and_the_key_is_taken(rig: Rig, asked: dict[str, Any]) -> None:
    assert rig.caller.find(asked["key"])["code"] == "payment_unknown"
    status, told = rig.answer(asked)
    assert (status, told["status"]) == (201, "paid")


def lost(how: Any) -> Callable[[Rig], None]:
    def check(rig: Rig) -> None:
        asked = rig.order()
        answer = rig.answer(asked, SHORT_S if how == "TimeoutError" else PATIENCE_S)
        assert (answer if isinstance(answer, str) else answer[0]) == how
        assert rig.caller.find(asked["key"])["status"] == "paid"
        assert rig.receiver.calls[asked["key"]] == NOTHING
        assert rig.caller.pay(asked).status == 200
        assert rig.statuses(asked["key"], 1) == ["paid"]

    return check


def silent_alone(rig: Rig) -> None:
    asked = rig.order()
    assert rig.answer(asked, SHORT_S) == "TimeoutError"
    assert rig.caller.find(asked["key"])["status"] == "paid"
    time.sleep(1.2)
    assert rig.receiver.calls[asked["key"]] == NOTHING


def slow(rig: Rig) -> None:
    began_s = time.monotonic()
    status, told = rig.answer(rig.order())
    assert (status, told["status"]) == (201, "paid")
    assert time.monotonic() - began_s >= 1.5


def twice(rig: Rig) -> None:
    key = rig.paid()
    first, second = rig.told(key, 2)
    assert first == second


def reordered(rig: Rig) -> None:
    last, before = [told["payment"] for told in rig.told(rig.paid("pix"), 2)]
    assert (last["status"], before["status"]) == ("paid", "pending")
    assert before["sequence"] < last["sequence"]


def early(rig: Rig) -> None:
    asked = rig.order()
    rig.receiver.pause_s[asked["key"]] = 0.2
    rig.caller.pay(asked)
    assert rig.statuses(asked["key"], 1) == ["paid"]
    assert time.time() - rig.receiver.calls[asked["key"]][0].at_s >= 0.2


def contradictory(rig: Rig) -> None:
    key = rig.paid()
    right, wrong = [told["payment"] for told in rig.told(key, 2)]
    assert (right["status"], wrong["status"]) == ("paid", "declined")
    assert wrong["sequence"] > right["sequence"]
    assert rig.caller.find(key)["status"] == "paid"


def forged(rig: Rig) -> None:
    asked = rig.order("pix")
    rig.receiver.scripts[asked["key"]] = [401, 401, 200]
    rig.caller.pay(asked, "pix")
    assert rig.statuses(asked["key"], 1) == ["paid"]
    assert rig.caller.find(asked["key"], "pix")["status"] == "pending"
    rig.caller.payer(asked["key"], "pay")
    rig.told(asked["key"], 3)
    assert [fits(call) for call in rig.receiver.calls[asked["key"]]] == [False, False, True]


def other_account(rig: Rig) -> None:
    key = rig.paid("pix")
    assert [told["payment"]["account"] for told in rig.told(key, 2)] == ["8", "7"]
    assert all(fits(call) for call in rig.receiver.calls[key])


def unknown_key(rig: Rig) -> None:
    before = set(rig.receiver.calls)
    key = rig.paid("pix")
    rig.told(key, 1)
    strangers = set(rig.receiver.calls) - before - {key}
    assert any(call.body["payment"]["amount"] == rig.amount for key in strangers for call in rig.receiver.calls[key])


def refund_fails(rig: Rig) -> None:
    key = rig.paid()
    failed = rig.caller.operate(key, "refunds", amount=100).json
    assert (failed["status"], failed["code"]) == ("failed", "96")
    assert rig.caller.find(key)["refunded"] == 0


def refund_waits(rig: Rig) -> None:
    late_refund(rig, "succeeded", None, 100)


def refund_fails_late(rig: Rig) -> None:
    late_refund(rig, "failed", "96", 0)


def late_refund(rig: Rig, status: str, code: str | None, refunded: int) -> None:
    key = rig.paid()
    waits = rig.caller.operate(key, "refunds", amount=100).json
    assert waits["status"] == "pending"
    assert rig.caller.operate(key, "refunds", amount=rig.amount - 99).json["code"] == "amount_too_large"
    (told,) = rig.told(key)
    assert told["type"] == "operation"
    assert (told["operation"]["key"], told["operation"]["status"]) == (waits["key"], status)
    assert (told["operation"]["code"], rig.caller.find(key)["refunded"]) == (code, refunded)


def capture_fails(rig: Rig) -> None:
    asked = rig.order(capture="manual")
    rig.caller.pay(asked)
    failed = rig.caller.operate(asked["key"], "captures", amount=100, final=False).json
    assert (failed["status"], failed["code"]) == ("failed", "96")
    assert rig.caller.find(asked["key"])["status"] == "authorized"


def is_disputed(rig: Rig) -> None:
    key = rig.paid()
    assert rig.told(key)[0]["dispute"]["status"] == "opened"


def pays(rig: Rig) -> None:
    asked = rig.order("mpesa")
    assert rig.caller.pay(asked, "mpesa").json["status"] == "pending"
    assert rig.statuses(asked["key"], 1) == ["paid"]


CHECKS: dict[str, Callable[[Rig], None]] = {
    "insufficient_funds": declined,
    "do_not_honor": declined,
    "suspected_fraud": declined,
    "processing_error": declined,
    "silence_before": silent_before,
    "silence_after": lost("TimeoutError"),
    "error_after": lost(500),
    "reset_before": reset_before,
    "reset_after": lost("ConnectionResetError"),
    "drip": lost("TimeoutError"),
    "slow": slow,
    "silence_alone": silent_alone,
    "busy": busy,
    "twice": twice,
    "reordered": reordered,
    "early": early,
    "contradictory": contradictory,
    "forged": forged,
    "other_account": other_account,
    "unknown_key": unknown_key,
    "refund_fails": refund_fails,
    "refund_waits": refund_waits,
    "refund_fails_late": refund_fails_late,
    "capture_fails": capture_fails,
    "disputed": is_disputed,
    "pays": pays,
}


@pytest.mark.parametrize("row", AMOUNTS, ids=lambda row: row.value)
def test_an_amount_does_what_its_row_says(rig: Rig, row: magic.Magic) -> None:
    CHECKS[row.what](rig)


def test_every_row_has_its_check_and_every_check_its_row() -> None:
    assert {row.what for row in AMOUNTS} == set(CHECKS)
    assert len({row.value for row in magic.TABLE}) == len(magic.TABLE)


@pytest.mark.parametrize("row", CARDS, ids=lambda row: row.value)
def test_a_card_number_does_what_its_row_says(provider: Caller, receiver: Receiver, row: magic.Magic) -> None:
    asked = order(number=row.value)
    told = provider.pay(asked).json
    if row.what.startswith("challenge"):
        assert (told["status"], told["action"]["type"]) == ("pending", "redirect")
        told = provider.payer(asked["key"], "pay").json
    code = row.what.removeprefix("challenge_")
    if row.what in ("approved", "challenge", "disputed"):
        assert (told["status"], told["code"]) == ("paid", None)
    else:
        assert (told["status"], told["code"]) == ("declined", code)
    if row.what == "disputed":
        assert provider.heard(receiver, asked["key"])[0]["dispute"]["status"] == "opened"


@pytest.mark.parametrize("number", [VISA, "4000000000000259"])
def test_an_amount_outside_of_the_table_does_nothing_odd(provider: Caller, receiver: Receiver, number: str) -> None:
    asked = order(number=number, amount=9_000, capture="manual")
    assert provider.pay(asked).json["status"] == "authorized"
    time.sleep(0.1)
    assert receiver.calls[asked["key"]] == NOTHING


def test_the_answer_of_an_operation_can_be_lost_too(provider: Caller, receiver: Receiver) -> None:
    asked, operation = order(amount=20_000), new_key()
    provider.pay(asked)
    lost_answer = provider.operate(asked["key"], "refunds", key=operation, amount=9103)
    assert lost_answer.status == 500
    assert provider.operate(asked["key"], "refunds", key=operation, amount=9103).json["status"] == "succeeded"
    (told,) = provider.heard(receiver, asked["key"])
    assert (told["type"], told["operation"]["key"]) == ("operation", operation)
    until(lambda: bool(provider.find(asked["key"])["refunded"] == 9103))
