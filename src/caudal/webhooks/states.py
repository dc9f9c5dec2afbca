"""The states of a delivery, as a table: (state, event) → state. What an attempt leads to goes through `after`."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """Where an event is on its way to an endpoint."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Happening(StrEnum):
    """What can happen to a delivery."""

    ACCEPTED = "accepted"
    NOT_ACCEPTED = "not_accepted"
    LAST_NOT_ACCEPTED = "last_not_accepted"
    GONE = "gone"
    ENDPOINT_DISABLED = "endpoint_disabled"
    EVENT_GONE = "event_gone"


TABLE: Final[dict[tuple[Status, Happening], Status]] = {
    (Status.PENDING, Happening.ACCEPTED): Status.DELIVERED,
    (Status.PENDING, Happening.NOT_ACCEPTED): Status.PENDING,
    (Status.PENDING, Happening.LAST_NOT_ACCEPTED): Status.FAILED,
    (Status.PENDING, Happening.GONE): Status.FAILED,
    (Status.PENDING, Happening.ENDPOINT_DISABLED): Status.CANCELLED,
    (Status.PENDING, Happening.EVENT_GONE): Status.CANCELLED,
}
FIRST: Final = Status.PENDING


def after(status: Status, happening: Happening) -> Status:
    """The state that follows. Raises KeyError where the table forbids it."""
    return TABLE[status, happening]
