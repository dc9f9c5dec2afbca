"""Deposits: money that a bank, or a provider whose payment came too late, reported once."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from caudal.kernel import ids
from caudal.kernel.clock import rfc3339

# What becomes of a return. Lost: the provider has never heard of the order, and none can reach it any more.
ReturnEnd = Literal["returned", "refused", "lost"]


class Deposit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Money that was reported once. applied + unapplied + returning + returned = amount.

    `created_at` is when it was booked, `paid_at` when the payer's bank sent it, as it was reported. `sealed` is who
    paid; `destination` is the payer's bank account, sealed, once an operator has named one for a return. Until
    `sent_until`, in real time, the order to return it may be on its way to a provider that would not know it again; it
    stands until another return is asked for.
    """

    id: UUID
    book: int
    version: int
    provider: str
    tracking_key: str
    account: str
    currency: str
    amount_minor: int
    applied_minor: int
    unapplied_minor: int
    returning_minor: int
    returned_minor: int
    payin: UUID | None
    reason: str | None
    sealed: bytes
    created_at: datetime
    paid_at: datetime | None = None
    destination: bytes | None = None
    sent_until: datetime | None = None

    @property
    def returning_version(self) -> int:
        """The version that asked for the return under way; of none that has ended. To keep `sent_until` has raised it
        once more."""
        return self.version - (self.sent_until is not None)


class DepositBody(msgspec.Struct, frozen=True, kw_only=True):
    """A deposit as operators and events see it."""

    id: str
    object: Literal["deposit"] = "deposit"
    mode: Literal["test", "live"]
    provider: str
    tracking_key: str
    account: str
    currency: str
    amount: int
    amount_applied: int
    amount_unapplied: int
    amount_returning: int
    amount_returned: int
    payin: str | None
    reason: str | None
    created_at: str
    paid_at: str | None


def deposit_body(deposit: Deposit) -> DepositBody:
    """The deposit as it is shown."""
    return DepositBody(
        id=ids.public("dep", deposit.id),
        mode="live" if deposit.book & 1 else "test",
        provider=deposit.provider,
        tracking_key=deposit.tracking_key,
        account=deposit.account,
        currency=deposit.currency,
        amount=deposit.amount_minor,
        amount_applied=deposit.applied_minor,
        amount_unapplied=deposit.unapplied_minor,
        amount_returning=deposit.returning_minor,
        amount_returned=deposit.returned_minor,
        payin=None if deposit.payin is None else ids.public("payin", deposit.payin),
        reason=deposit.reason,
        created_at=rfc3339(deposit.created_at),
        paid_at=None if deposit.paid_at is None else rfc3339(deposit.paid_at),
    )
