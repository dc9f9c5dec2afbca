"""A payin's life in plain Python, from docs/money.md alone: what a merchant ought to see."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import ROUND_HALF_UP, Decimal


@dataclass
class Money:
    """A deposit: of what, for which payin, and what is left of it."""

    payin: Expected
    amount: int
    unapplied: int = 0
    returning: int = 0
    returned: int = 0
    reason: str | None = None


@dataclass
class Expected:
    """A payin as it ought to be."""

    amount: int
    fixed: int
    points: int
    expires_at: str
    status: str = "pending"
    reason: str | None = None
    fee: int = 0
    held: list[Money] = field(default_factory=list)
    late: bool = False

    @property
    def received(self) -> int:
        return self.amount if self.status == "paid" else sum(money.amount for money in self.held)

    @property
    def earned(self) -> int:
        return self.amount - self.fee if self.status == "paid" else 0

    def pay(self, amount: int, currency: str, late: str) -> Money:
        """Money arrives."""
        money = Money(payin=self, amount=amount, unapplied=amount)
        if currency != "MXN":
            money.reason = "wrong_currency"
        elif self.status == "expired" and late == "unapplied":
            money.reason = "late"
        elif self.status in ("paid", "cancelled"):
            money.reason = "closed"
        elif amount < self.amount - self.received:
            money.reason = "partial"
            self.held.append(money)
        else:
            self._complete(money)
        return money

    def _complete(self, money: Money) -> None:
        money.unapplied = money.amount - (self.amount - self.received)
        money.reason = "surplus" if money.unapplied else None
        for part in self.held:
            part.unapplied, part.reason = 0, None
        share = Decimal(self.amount * self.points) / 10_000
        self.fee = self.fixed + int(share.quantize(Decimal(1), ROUND_HALF_UP))
        self.reason = "late" if self.status == "expired" else None
        self.status = "paid"

    def cancel(self) -> bool:
        """The merchant gives it up; whether that was possible."""
        if self.status != "pending":
            return False
        self.status, self.reason = "cancelled", "requested_by_merchant"
        return True

    def time_is(self, now: str) -> None:
        """The clock shows this time (RFC 3339, always of the same length)."""
        if self.status == "pending" and self.expires_at <= now:
            self.status, self.reason = "expired", "underpaid" if self.received else None


def ask_back(money: Money) -> bool:
    """An operator returns what is unapplied; whether that was possible."""
    holds = any(part is money for part in money.payin.held) and money.payin.status != "paid"
    if not money.unapplied or (holds and money.payin.status == "pending"):
        return False
    money.returning, money.unapplied = money.unapplied, 0
    if holds:
        money.payin.held = [part for part in money.payin.held if part is not money]
    return True


def answered(money: Money, done: bool) -> None:
    """The bank has returned it, or never will."""
    if not money.returning:
        return
    if done:
        money.returned += money.returning
    else:
        money.unapplied, money.reason = money.returning, "return_refused"
    money.returning = 0
