"""The states of a payin, as a table: (state, event) → state. Every change of a state goes through `after`."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """The main line. What was received or refunded are amounts, not states."""

    SUBMITTING = "submitting"
    PENDING = "pending"
    AUTHORIZED = "authorized"
    PAID = "paid"
    DECLINED = "declined"
    FAILED = "failed"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class Happening(StrEnum):
    """What can happen to a payin."""

    PART_RECEIVED = "part_received"
    ALL_RECEIVED = "all_received"
    TIME_PASSED = "time_passed"
    CANCELLED = "cancelled"
    PART_RETURNED = "part_returned"


TABLE: Final[dict[tuple[Status, Happening], Status]] = {
    (Status.PENDING, Happening.PART_RECEIVED): Status.PENDING,
    (Status.PENDING, Happening.ALL_RECEIVED): Status.PAID,
    (Status.PENDING, Happening.TIME_PASSED): Status.EXPIRED,
    (Status.PENDING, Happening.CANCELLED): Status.CANCELLED,
    (Status.EXPIRED, Happening.PART_RECEIVED): Status.EXPIRED,
    (Status.EXPIRED, Happening.ALL_RECEIVED): Status.PAID,
    (Status.EXPIRED, Happening.PART_RETURNED): Status.EXPIRED,
    (Status.CANCELLED, Happening.PART_RETURNED): Status.CANCELLED,
}

# Where a payin begins when its method needs no call to a provider.
FIRST: Final = Status.PENDING


def after(status: Status, happening: Happening) -> Status | None:
    """The state that follows, or None where the table forbids it."""
    return TABLE.get((status, happening))
