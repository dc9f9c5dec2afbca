"""caudal's side of the provider's protocol, and the payer's: what the tests of the provider speak with."""

from __future__ import annotations

import hashlib
import hmac
import json
import time
import uuid
from dataclasses import dataclass
from typing import Any

from tests.caudal_sandbox.rig import Answer, Bank, Call, Receiver, until

PROVIDER_SECRET = b"still-lake"
VISA = "4111111111111111"
HOMES = {
    "card": {},
    "pix": {},
    "boleto": {},
    "pse": {"currency": "COP", "country": "CO", "bank": "1007"},
    "mpesa": {"currency": "KES", "country": "KE"},
}
METHODS = tuple(HOMES)


def new_key() -> str:
    return uuid.uuid4().hex


def order(method: str = "card", amount: int = 12050, *, number: str = VISA, **more: Any) -> dict[str, Any]:
    """A payment as caudal orders it."""
    card = {"number": number, "expiry_month": 12, "expiry_year": 2090, "holder_name": "ANA", "security_code": "123"}
    return {
        "key": new_key(),
        "account": "7",
        "amount": amount,
        "currency": "BRL",
        "country": "BR",
        "capture": "automatic",
        "three_ds": "if_required",
        "payer": {"name": "Ana Souza", "email": "ana@example.com", "document": "39053344705", "phone": "+254712345678"},
        "card": card if method == "card" else None,
        "bank": None,
        "return_url": None,
        "description": "Order 7",
        "expires_at": "2090-01-31T18:00:00Z",
        **HOMES[method],
        **more,
    }


def signature(method: str, path: str, body: bytes, secret: bytes = PROVIDER_SECRET, at_s: int | None = None) -> str:
    """Sign the way the protocol describes it, sharing nothing with the sandbox."""
    at_s = int(time.time()) if at_s is None else at_s
    signed = f"{at_s}.{method}.{path}.".encode() + body
    return f"t={at_s},v1={hmac.new(secret, signed, hashlib.sha256).hexdigest()}"


def fits(call: Call, secret: bytes = PROVIDER_SECRET) -> bool:
    """Check a callback's signature."""
    assert call.signature is not None
    return signature("POST", call.path, call.raw, secret, int(call.signature[2:].split(",")[0])) == call.signature


@dataclass(frozen=True)
class Caller:
    """Speaks with a running sandbox as caudal, and as the payer."""

    bank: Bank

    def send(self, method: str, path: str, given: object = None) -> Answer:
        """Call as caudal, signed."""
        body = b"" if given is None else json.dumps(given).encode()
        headers = {"Content-Type": "application/json", "Provider-Signature": signature(method, path, body)}
        return self.bank.call(method, path, body, headers)

    def pay(self, asked: dict[str, Any], method: str = "card") -> Answer:
        """Order a payment."""
        return self.send("POST", f"/v1/provider/{method}/payments", asked)

    def find(self, key: str, method: str = "card") -> Any:
        """Ask how a payment stands."""
        return self.send("GET", f"/v1/provider/{method}/payments/{key}").json

    def operate(self, payment: str, what: str, method: str = "card", **given: Any) -> Answer:
        """Capture, cancel or refund."""
        return self.send("POST", f"/v1/provider/{method}/payments/{payment}/{what}", {"key": new_key(), **given})

    def payer(self, key: str, act: str, **given: Any) -> Answer:
        """Do something as the payer."""
        return self.bank.post(f"/v1/provider/payers/{key}/{act}", given)

    def heard(self, receiver: Receiver, key: str, count: int = 1) -> list[dict[str, Any]]:
        """Wait for so many callbacks about a payment; return what they say."""
        until(lambda: len(receiver.calls[key]) >= count)
        return [call.body for call in receiver.calls[key]]

    def statement(self) -> dict[str, dict[str, Any]]:
        lines = self.bank.get("/v1/provider/statement").text.splitlines()
        return {line["key"]: line for line in map(json.loads, lines)}
