"""Everybody outside: card providers, and a bank that pays out and returns by key."""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec

from caudal_simulation.chance import Faults
from caudal_simulation.network import Answer, Service
from caudal_simulation.provider import Calls, CardProvider, Orders
from caudal_simulation.signatures import problem

PROVIDERS: Final = Path(__file__).with_name("providers.toml")


@cache
def _configured() -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = tomllib.loads(PROVIDERS.read_text("utf-8"))["provider"]
    return entries


class Bank:
    """A bank. What it has sent, it knows by the order's key."""

    def __init__(self) -> None:
        self.up = True
        self.sent: dict[str, tuple[str, int]] = {}

    def handle(self, verb: str, path: str, body: bytes) -> Answer:
        """Carries an order out, once."""
        asked: dict[str, Any] = msgspec.json.decode(body)
        returns = path.endswith("/returns")
        key = asked["return_key"] if returns else asked["payment_key"]
        name = "tracking_key" if returns else "clabe"
        known = self.sent.setdefault(key, (asked[name], asked["amount"]))
        if known != (asked[name], asked["amount"]):
            return problem(409, "key_reused")
        keys = ("return_key", "tracking_key") if returns else ("payment_key", "clabe")
        said = {name: asked[name] for name in (*keys, "amount", "currency")}
        return 200, msgspec.json.encode({**said, "status": "returned" if returns else "sent"})


class Outside:
    """All of them, by the host at which each is called."""

    def __init__(self, faults: Faults, calls: Calls) -> None:
        self.bank = Bank()
        self.orders: Orders = {}
        self.providers = [
            CardProvider(faults, entry["name"], entry["secret"], calls, self.orders) for entry in _configured()
        ]
        self._at: dict[str, Service] = {"bank": self.bank, **{one.name: one for one in self.providers}}

    def at(self, host: str) -> Service:
        """Who is called there."""
        return self._at[host]

    def everybody(self) -> list[Service]:
        """Whoever may be away."""
        return list(self._at.values())

    def with_(self, payin: str) -> tuple[CardProvider, str] | None:
        """The provider to which the newest order of a payin went, and its key there."""
        orders = self.orders.get(payin.removeprefix("payin_"))
        return orders[-1] if orders else None

    def is_disputed(self, payin: str) -> bool:
        """Whether a payer disputes it."""
        placed = self.with_(payin)
        return placed is not None and placed[0].disputed(placed[1]) > 0

    def decide(self, random: Random) -> bool:
        """The scheme decides a dispute, if one is open."""
        open_ = [(one, name) for one in self.providers for name, told in one.disputes.items()
                 if told["status"] == "opened"]  # fmt: skip
        if not open_:
            return False
        provider, reference = open_[int(random.random() * len(open_))]
        provider.decide(reference, "won" if random.random() < 0.5 else "lost")
        return True

    def decide_all(self, random: Random) -> bool:
        """The scheme decides every dispute that is open; whether any was."""
        some = False
        while self.decide(random):
            some = True
        return some
