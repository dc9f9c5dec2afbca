"""A payin by each method, as it is asked for and as it is answered at once; and what a provider calls back with."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from caudal.app.examples.actions import ACTIONS, AUTHORIZED_UNTIL, PAYIN_ID, expires_at
from caudal.app.examples.events import CREATE, INSTRUMENT_ID

_KEY: Final = PAYIN_ID.removeprefix("payin_")
_AT: Final = "2026-11-23T10:00:00.210Z"
# Documents, a phone and a bank code that are right in form and nobody's in particular.
PAYINS: Final[dict[str, dict[str, Any]]] = {
    "spei": CREATE,
    "card": {
        "amount": 12_050,
        "currency": "BRL",
        "country": "BR",
        "method": "card",
        "capture": "manual",
        "instrument": {"id": INSTRUMENT_ID},
        "return_url": "https://shop.example.com/orders/1001",
        "reference": "order-1001",
    },
    "pix": {
        "amount": 12_050,
        "currency": "BRL",
        "country": "BR",
        "method": "pix",
        "payer": {"name": "Ana Souza", "document": "390.533.447-05"},
        "reference": "order-1001",
    },
    "boleto": {
        "amount": 12_050,
        "currency": "BRL",
        "country": "BR",
        "method": "boleto",
        "payer": {"name": "Ana Souza", "document": "390.533.447-05"},
        "reference": "order-1001",
    },
    "pse": {
        "amount": 5_000_000,
        "currency": "COP",
        "country": "CO",
        "method": "pse",
        "payer": {"name": "Ana Rojas", "email": "ana@example.com", "document": "52.345.678"},
        "instrument": {"bank": "1007"},
        "return_url": "https://shop.example.com/orders/1001",
        "reference": "order-1001",
    },
    "mpesa": {
        "amount": 150_000,
        "currency": "KES",
        "country": "KE",
        "method": "mpesa",
        "payer": {"name": "Ana Wanjiru", "phone": "+254712345678"},
        "reference": "order-1001",
    },
}


def answers(created: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What `POST /v1/payins` answers, by method; `created` is the story's own, by SPEI."""
    found = {"spei": created}
    for method, asked in PAYINS.items():
        if method == "spei":
            continue
        fields = {name: asked[name] for name in ("amount", "currency", "country", "method", "reference")}
        own: dict[str, Any] = {
            "provider": "sandbox",
            "expires_at": expires_at(method),
            "next_action": msgspec.to_builtins(ACTIONS.get(method)),
        }
        if method == "card":
            used = {"id": INSTRUMENT_ID, "brand": "visa", "last_four": "1111", "bank": None}
            own |= {"status": "authorized", "capture": "manual", "amount_authorized": 12_050, "instrument": used}
            own["expires_at"] = AUTHORIZED_UNTIL
        elif method == "pse":
            own["instrument"] = {"id": None, "brand": None, "last_four": None, "bank": "1007"}
        found[method] = {**created, **fields, **own, "return_url": asked.get("return_url")}
    return found


_STATUSES: Final = {"card": "authorized"}


def callbacks(method: str) -> dict[str, dict[str, Any]]:
    """What a method's provider calls back with: one of each type."""
    asked = PAYINS[method]
    amount, currency, captured = asked["amount"], asked["currency"], 0 if method == "card" else asked["amount"]
    payment = {
        "id": "pp_c3d47e5f8a9b0c1d2e3f4a5b",
        "key": _KEY,
        "method": method,
        "account": "1",
        "status": _STATUSES.get(method, "paid"),
        "amount": amount,
        "currency": currency,
        "authorized": amount - captured,
        "captured": captured,
        "refunded": 0,
        "code": None,
        "action": None,
        "payer_page": None,
        "sequence": 2,
        "updated_at": _AT,
    }
    operation = {
        "id": "po_5f8a9b0c1d2e3f4a5bc3d47e",
        "key": "01a20be7c1cc7f64800001d0b3a96e42",
        "payment_key": _KEY,
        "account": "1",
        "kind": "refund",
        "status": "succeeded",
        "amount": amount,
        "currency": currency,
        "code": None,
        "updated_at": _AT,
    }
    dispute = {
        "reference": "dp_9b0c1d2e3f4a5bc3d47e5f8a",
        "payment_key": _KEY,
        "account": "1",
        "status": "opened",
        "amount": amount,
        "currency": currency,
        "code": "10.4" if method == "card" else "MD06",
        "respond_by": "2026-12-07T23:59:59Z",
    }
    found = {"payment": payment, "operation": operation}
    if method in ("card", "pix"):
        found["dispute"] = dispute
    return {
        kind: {"id": f"cb_0a1b2c3d4e5f60718293a4b{number}", "type": kind, kind: told}
        for number, (kind, told) in enumerate(found.items())
    }
