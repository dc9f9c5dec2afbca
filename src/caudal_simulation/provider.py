"""A card provider in memory, which keeps books of its own, calls back, and errs now and then.

It speaks the wire protocol and shares no code with caudal's side of it. A key makes one payment or operation, however
often it comes; every order that really moved money is counted by its key, so that a second one would show.

Its errors, each known to whoever checks in the end:

    changes its mind     a payment that it declined is authorized or paid after all
    tells what is not so a callback says that a payment was made; its books, and its answers, say no
    withdraws            an authorization that it gave is declined
    takes back           a payment that was paid is cancelled, and the money is its payer's again
    gives back           a part of a payment is refunded though nobody asked for it
    captures more        a capture takes more than was asked for
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import msgspec

from caudal_simulation.chance import Faults
from caudal_simulation.network import Answer
from caudal_simulation.signatures import found, problem

_CODES: Final = ("05", "51", "54", "91")  # softly, for good, for good, softly
_DECLINED: Final = 0.2
_WAITS: Final = 0.12
_ERRS: Final = 0.15


Orders = dict[str, list[tuple["CardProvider", str]]]
Calls = Callable[["CardProvider", str, dict[str, Any]], None]


class CardProvider:
    """One of them. `orders` are all payments of all providers by payin, in the order in which they arrived."""

    def __init__(self, faults: Faults, name: str, secret: str, calls: Calls, orders: Orders) -> None:
        self._faults, self.name, self.secret, self.up = faults, name, secret, True
        self._calls, self._orders = calls, orders
        self.forgets = False  # whether what is ordered again is done again
        self.payments: dict[str, dict[str, Any]] = {}
        self.operations: dict[str, dict[str, Any]] = {}
        self.disputes: dict[str, dict[str, Any]] = {}  # by their reference
        self.files: dict[str, list[str]] = {}  # by the same: keys of the files that were sent
        self.released: set[str] = set()  # payments of which nothing is held any more
        self.charges: Counter[str] = Counter()  # by key: how often money really moved
        self.erred: dict[str, str] = {}  # payments about which it has erred, and how
        self.crossed: list[str] = []  # orders that came while another provider had, or might have, the payment
        self._manual: dict[str, bool] = {}
        self._greedy: set[str] = set()
        self._reported: dict[str, dict[str, Any]] = {}

    def handle(self, verb: str, path: str, body: bytes) -> Answer:
        """Carries a request out."""
        path, _, query = path.partition("?")
        match verb, path.strip("/").split("/")[3:]:
            case "POST", ["payments"]:
                return self._pay(msgspec.json.decode(body))
            case "GET", ["payments", key]:
                return found(self.payments.get(key))
            case "GET", ["operations", key]:
                return found(self.operations.get(key))
            case "POST", ["payments", key, verb_]:
                return self._operate(key, verb_, msgspec.json.decode(body))
            case "POST", ["disputes", reference, "evidence"]:
                return self._file(reference, query.removeprefix("key="))
        return problem(404, "not_found")

    # Payments

    def _pay(self, asked: dict[str, Any]) -> Answer:
        key = asked["key"]
        known = self.payments.get(key)
        if known is not None and self.forgets:
            self.charges[key] += 1
        if known is not None:
            return 200, msgspec.json.encode(known)
        self._place(key)
        amount, manual = asked["amount"], asked["capture"] == "manual"
        declined = self._faults.random.random() < _DECLINED
        waits = not declined and self._faults.random.random() < _WAITS
        status = "declined" if declined else "pending" if waits else "authorized" if manual else "paid"
        self._manual[key] = manual
        payment = self.payments[key] = {
            "id": f"{self.name}{len(self.payments)}",
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
        if self._faults.happens("provider errs", _ERRS):
            self._faults.later(self._faults.spread(0.2, 5.0), self._err, key)
        return 201, msgspec.json.encode(payment)

    def _place(self, key: str) -> None:
        """The order's place among those for its payin: each before it must have come to nothing."""
        payin, _, number = key.partition("-")
        before = self._orders.setdefault(payin, [])
        for provider, other in before:
            later = int(other.partition("-")[2] or 1) > int(number or 1)
            if later or (provider.payments[other]["status"] != "declined" and other not in provider.erred):
                self.crossed.append(f"{key} came to {self.name} behind {other} at {provider.name}")
        before.append((self, key))

    def payer_confirms(self, key: str) -> None:
        """The payer of a payment that waits proves to be the holder."""
        if self.payments[key]["status"] == "pending":
            self._succeed(key)

    def _succeed(self, key: str) -> None:
        payment, manual = self.payments[key], self._manual[key]
        payment["status"] = "authorized" if manual else "paid"
        payment["action"], payment["code"], payment["authorized"] = None, None, payment["amount"]
        payment["captured"] = 0 if manual else payment["amount"]
        self.charges[key] += 1
        self._tell("payment", payment)

    # Operations

    def _operate(self, payment_key: str, verb: str, asked: dict[str, Any]) -> Answer:
        payment, key = self.payments.get(payment_key), asked["key"]
        if payment is None:
            return problem(404, "not_found")
        known = self.operations.get(key)
        if known is not None and self.forgets:
            self.charges[key] += 1
        if known is not None:
            return 200, msgspec.json.encode(known)
        kind = verb.removesuffix("s")
        moved = self._moved(payment, kind, asked)
        if moved is None:
            return problem(422, "not_permitted")
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
                self._capture_more(payment)
                return int(asked["amount"])
            case "cancellation" if payment["status"] in ("pending", "authorized"):
                payment["status"], payment["action"] = "cancelled", None
                self.released.add(payment["key"])
                return left
            case "cancellation" if payment["status"] == "paid" and left:
                self.released.add(payment["key"])
                return left
            case "refund" if payment["refunded"] + asked["amount"] <= payment["captured"]:
                payment["refunded"] += asked["amount"]
                return int(asked["amount"])
        return None

    def held(self, key: str) -> int:
        """What of a payment it holds and has not taken."""
        payment = self.payments[key]
        if key in self.released or payment["status"] not in ("authorized", "paid"):
            return 0
        return int(payment["authorized"] - payment["captured"])

    # Disputes

    def dispute(self, key: str, amount: int, respond_by: str) -> None:
        """A payer disputes a payment."""
        reference, payment = f"{self.name}-d{len(self.disputes)}", self.payments[key]
        told = self.disputes[reference] = {
            "reference": reference,
            "payment_key": key,
            "account": payment["account"],
            "status": "opened",
            "amount": amount,
            "currency": payment["currency"],
            "code": "10.4",
            "respond_by": respond_by,
        }
        self.files[reference] = []
        self._tell("dispute", told)

    def decide(self, reference: str, status: str) -> None:
        """The scheme's word on a dispute that is open: won or lost, as the merchant sees it."""
        self.disputes[reference]["status"] = status
        self._tell("dispute", self.disputes[reference])

    def disputed(self, key: str) -> int:
        """How much of a payment is disputed, or was lost so."""
        return sum(one["amount"] for one in self.disputes.values()
                   if one["payment_key"] == key and one["status"] != "won")  # fmt: skip

    def _file(self, reference: str, key: str) -> Answer:
        dispute = self.disputes.get(reference)
        if dispute is None:
            return problem(404, "not_found")
        if key not in self.files[reference]:
            if dispute["status"] != "opened":
                return problem(422, "dispute_closed")
            self.files[reference].append(key)
        return 201, msgspec.json.encode({"reference": reference})

    # Errors

    def _err(self, key: str) -> None:
        """It errs about a payment, as its state lets it."""
        if not self._faults.on:
            return
        payment, chance = self.payments[key], self._faults.random.random()
        match payment["status"]:
            case "declined" if chance < 0.6:
                self._erred(key, "changes its mind")
                self._succeed(key)
            case "declined":
                self._erred(key, "tells what is not so")
                status = "authorized" if self._manual[key] else "paid"
                money = {"authorized": payment["amount"], "captured": payment["amount"] * (status == "paid")}
                self._tell("payment", {**payment, "status": status, "code": None, **money})
            case "authorized" if chance < 0.5:
                self._erred(key, "withdraws")
                payment["status"], payment["code"], payment["authorized"] = "declined", "05", 0
                self._tell("payment", payment)
            case "authorized":
                self._greedy.add(key)
            case "paid" if not payment["refunded"] and not self.disputed(key) and chance < 0.5:
                self._erred(key, "takes back")
                payment["status"], payment["captured"], payment["authorized"] = "cancelled", 0, 0
                self._tell("payment", payment)
            case "paid" if payment["captured"] - payment["refunded"] - self.disputed(key) > 1_000:
                self._erred(key, "gives back")
                payment["refunded"] += 300
                self._tell("payment", payment)

    def _capture_more(self, payment: dict[str, Any]) -> None:
        key, left = payment["key"], payment["authorized"] - payment["captured"]
        if key in self._greedy and left > 1:
            self._greedy.remove(key)
            self._erred(key, "captures more")
            payment["captured"] += left // 2
            self._tell("payment", payment)

    def _erred(self, key: str, how: str) -> None:
        self.erred[key] = how
        self._faults.happened[f"provider {how}"] += 1

    def report(self) -> bool:
        """It tells how that stands about which it has erred, unless it has told so; whether there was anything."""
        new = {key: dict(self.payments[key]) for key in self.erred if self.payments[key] != self._reported.get(key)}
        for payment in new.values():
            self._tell("payment", payment)
        self._reported |= new
        return bool(new)

    def _tell(self, about: str, told: dict[str, Any]) -> None:
        """A callback is owed; a snapshot of now, so that late ones are old news."""
        self._calls(self, about, dict(told))
