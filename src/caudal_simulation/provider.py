"""The outside: a card provider and a bank in memory, which keep books of their own and call back.

They speak the wire protocols and share no code with caudal's side of them. A key makes one payment or operation,
however often it comes; every order that really moved money is counted by its key, so that a second one would show.
"""

from __future__ import annotations

import hmac
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import msgspec

from caudal_simulation.chance import Faults
from caudal_simulation.network import Answer

SECRET: Final = "quiet river"
BANK_SECRET: Final = "test secret"
_CODES: Final = ("05", "51", "54", "91")


class Outside:
    """Both, at one address."""

    def __init__(self, faults: Faults, calls: Callable[[str, dict[str, Any]], None]) -> None:
        self._faults, self._calls, self.up = faults, calls, True
        self.forgets = False  # whether a payment that is ordered again is charged again
        self.payments: dict[str, dict[str, Any]] = {}
        self.operations: dict[str, dict[str, Any]] = {}
        self.manual: dict[str, bool] = {}
        self.charges: Counter[str] = Counter()  # by key: how often money really moved
        self.sent: dict[str, tuple[str, int]] = {}  # what the bank has paid out or returned, by key

    def handle(self, verb: str, path: str, body: bytes) -> Answer:
        """Carries a request out."""
        asked: dict[str, Any] = msgspec.json.decode(body) if body else {}
        parts = path.strip("/").split("/")
        if parts[1] == "bank":
            return self._bank(parts[2], asked)
        match verb, parts[3:]:
            case "POST", ["payments"]:
                return self._pay(asked)
            case "GET", ["payments", key]:
                return _found(self.payments.get(key))
            case "GET", ["operations", key]:
                return _found(self.operations.get(key))
            case "POST", ["payments", key, verb_]:
                return self._operate(key, verb_, asked)
        return _problem(404, "not_found")

    # Cards

    def _pay(self, asked: dict[str, Any]) -> Answer:
        key = asked["key"]
        known = self.payments.get(key)
        if known is not None and self.forgets:
            self.charges[key] += 1
        if known is not None:
            return 200, msgspec.json.encode(known)
        amount, manual = asked["amount"], asked["capture"] == "manual"
        declined = self._faults.random.random() < 0.1
        waits = not declined and self._faults.random.random() < 0.15
        status = "declined" if declined else "pending" if waits else "authorized" if manual else "paid"
        self.manual[key] = manual
        payment = self.payments[key] = {
            "id": f"p{len(self.payments)}",
            "key": key,
            "method": "card",
            "account": asked["account"],
            "status": status,
            "amount": amount,
            "currency": asked["currency"],
            "authorized": amount if status in ("authorized", "paid") else 0,
            "captured": amount if status == "paid" else 0,
            "refunded": 0,
            "code": self._faults.pick(_CODES) if declined else None,
            "action": {"type": "redirect", "url": "http://issuer/3ds"} if waits else None,
        }
        if status in ("authorized", "paid"):
            self.charges[key] += 1
        self._tell("payment", payment)
        return 201, msgspec.json.encode(payment)

    def payer_confirms(self, key: str) -> None:
        """The payer of a payment that waits proves to be the holder."""
        payment = self.payments.get(key)
        if payment is None or payment["status"] != "pending":
            return
        payment["status"] = "authorized" if self.manual[key] else "paid"
        payment["action"], payment["authorized"] = None, payment["amount"]
        payment["captured"] = 0 if self.manual[key] else payment["amount"]
        self.charges[key] += 1
        self._tell("payment", payment)

    def _operate(self, payment_key: str, verb: str, asked: dict[str, Any]) -> Answer:
        payment, key = self.payments.get(payment_key), asked["key"]
        if payment is None:
            return _problem(404, "not_found")
        known = self.operations.get(key)
        if known is not None:
            return 200, msgspec.json.encode(known)
        kind = verb.removesuffix("s")
        moved = self._moved(payment, kind, asked)
        if moved is None:
            return _problem(422, "not_permitted")
        operation = self.operations[key] = {
            "id": f"o{len(self.operations)}",
            "key": key,
            "payment_key": payment_key,
            "account": payment["account"],
            "kind": kind,
            "status": "succeeded",
            "amount": moved,
            "currency": payment["currency"],
            "code": None,
        }
        self.charges[key] += 1
        self._tell("operation", operation)
        return 201, msgspec.json.encode(operation)

    def _moved(self, payment: dict[str, Any], kind: str, asked: dict[str, Any]) -> int | None:
        """What an operation moves; None where the payment's state forbids it."""
        left: int = payment["authorized"] - payment["captured"]
        match kind:
            case "capture" if payment["status"] in ("authorized", "paid") and asked["amount"] <= left:
                payment["captured"] += asked["amount"]
                payment["status"] = "paid"
                return int(asked["amount"])
            case "cancellation" if payment["status"] in ("pending", "authorized"):
                payment["status"], payment["action"] = "cancelled", None
                return left
            case "cancellation" if payment["status"] == "paid" and left:
                return left
            case "refund" if payment["refunded"] + asked["amount"] <= payment["captured"]:
                payment["refunded"] += asked["amount"]
                return int(asked["amount"])
        return None

    def _tell(self, about: str, told: dict[str, Any]) -> None:
        """A callback is owed; a snapshot of now, so that late ones are old news."""
        self._calls(about, dict(told))

    # The bank

    def _bank(self, verb: str, asked: dict[str, Any]) -> Answer:
        key = asked["return_key"] if verb == "returns" else asked["payment_key"]
        name = "tracking_key" if verb == "returns" else "clabe"
        known = self.sent.setdefault(key, (asked[name], asked["amount"]))
        if known != (asked[name], asked["amount"]):
            return _problem(409, "key_reused")
        keys = ("return_key", "tracking_key") if verb == "returns" else ("payment_key", "clabe")
        said = {name: asked[name] for name in (*keys, "amount", "currency")}
        return 200, msgspec.json.encode({**said, "status": "returned" if verb == "returns" else "sent"})


def provider_signature(at: int, path: str, body: bytes) -> str:
    """How the provider signs a callback."""
    signed = f"{at}.POST.{path}.".encode() + body
    return f"t={at},v1={hmac.digest(SECRET.encode(), signed, 'sha256').hex()}"


def bank_signature(at: int, body: bytes) -> str:
    """How the bank signs one."""
    return f"t={at},v1={hmac.digest(BANK_SECRET.encode(), str(at).encode() + b'.' + body, 'sha256').hex()}"


def _found(known: dict[str, Any] | None) -> Answer:
    return _problem(404, "not_found") if known is None else (200, msgspec.json.encode(known))


def _problem(status: int, code: str) -> Answer:
    told = {"type": "about:blank", "title": code, "status": status, "code": code, "detail": code}
    return status, msgspec.json.encode(told)
