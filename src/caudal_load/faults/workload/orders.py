"""What the clients ask for: payins of every method, and what is asked of a payin afterwards.

An amount's last four digits may be an order of the plan's to the provider (docs/sandbox-protocol.md, magic values).
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

PAYS_HERSELF = 9401
_SHARES = {"spei": 30, "card": 25, "manual": 20, "pix": 12, "boleto": 5, "mpesa": 5, "pse": 3}
_METHODS, _WEIGHTS = tuple(_SHARES), tuple(_SHARES.values())
_SHORT_S = (2.0, 6.0)
_EXPIRES_SOON = 0.15
_SPEI_MINOR = (1_000, 500_000)
_TENTHOUSANDS = {"pse": (200, 900)}
_FEW_TENTHOUSANDS = (1, 30)


@dataclass(slots=True)
class Payin:
    """A payin as its merchant knows it, which may be yesterday's news."""

    id: str
    merchant: int
    method: str
    amount: int
    status: str
    clabe: str | None = None
    captured: int = 0
    asked: int = field(default=0)
    """How much was asked for: to be captured, and then to be given back."""

    @property
    def path(self) -> str:
        """Where it is."""
        return f"/v1/payins/{self.id}"


def order(random: Random, reference: str, cards: list[str], ending: int | None = None) -> str:
    """The body of a creation: of any method; its amount ends in `ending` if there is one and a provider sees it."""
    chosen = random.choices(_METHODS, _WEIGHTS)[0]
    asked: dict[str, Any] = {"reference": reference, **_SAYS[chosen]}
    if chosen == "spei":
        asked["amount"] = random.randint(*_SPEI_MINOR)
    else:
        ending = _right(random, chosen) if ending is None else ending
        asked["amount"] = random.randint(*_TENTHOUSANDS.get(chosen, _FEW_TENTHOUSANDS)) * 10_000 + ending
    if chosen in ("card", "manual"):
        asked["instrument"] = {"id": random.choice(cards)}
    elif chosen in ("spei", "pix") and random.random() < _EXPIRES_SOON:
        soon = datetime.now(UTC) + timedelta(seconds=random.uniform(*_SHORT_S))
        asked["expires_at"] = soon.isoformat().replace("+00:00", "Z")
    return json.dumps(asked)


def _right(random: Random, method: str) -> int:
    """An ending that asks for no trouble; the payers of half the rest pay by themselves."""
    return PAYS_HERSELF if method not in ("card", "manual") and random.random() < 0.5 else random.randint(0, 8999)


def payin_of(answer: str, merchant: int) -> Payin:
    """What a merchant learns from a payin that was answered."""
    said = json.loads(answer)
    action = said.get("next_action") or {}
    return Payin(
        id=said["id"],
        merchant=merchant,
        method=said["method"],
        amount=said["amount"],
        status=said["status"],
        clabe=action.get("clabe"),
        captured=said["amount_captured"],
    )


_BRAZIL = {"currency": "BRL", "country": "BR", "payer": {"name": "Ana Souza", "document": "39053344705"}}
_SAYS: dict[str, dict[str, Any]] = {
    "spei": {"method": "spei", "currency": "MXN", "country": "MX", "payer": {"name": "Beto Ruiz"}},
    "card": {"method": "card", **_BRAZIL},
    "manual": {"method": "card", "capture": "manual", **_BRAZIL},
    "pix": {"method": "pix", **_BRAZIL},
    "boleto": {"method": "boleto", **_BRAZIL},
    "mpesa": {
        "method": "mpesa",
        "currency": "KES",
        "country": "KE",
        "payer": {"name": "Wanjiru", "phone": "+254712345678"},
    },
    "pse": {
        "method": "pse",
        "currency": "COP",
        "country": "CO",
        "payer": {"name": "Carlos Rojas", "document": "1020304050"},
        "instrument": {"bank": "1007"},
        "return_url": "https://shop.example/",
    },
}
