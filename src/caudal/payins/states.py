"""The states of a payin and of a dispute, as tables: (state, event) → state.

Every change of a state goes through `after` and `dispute_after`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class Status(StrEnum):
    """The main line. What was captured, received, refunded or disputed are amounts, not states."""

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

    SUBMITTED_AGAIN = "submitted_again"
    NEXT_ATTEMPT = "next_attempt"
    ACCEPTED = "accepted"
    AUTHORIZED = "authorized"
    PART_RECEIVED = "part_received"
    ALL_RECEIVED = "all_received"
    CAPTURE_REQUESTED = "capture_requested"
    CAPTURED = "captured"
    CAPTURE_FAILED = "capture_failed"
    DECLINED = "declined"
    FAILED = "failed"
    TIME_PASSED = "time_passed"
    CANCEL_REQUESTED = "cancel_requested"
    CANCEL_FAILED = "cancel_failed"
    CANCELLED = "cancelled"
    REST_RELEASED = "rest_released"
    PART_RETURNED = "part_returned"
    REFUND_REQUESTED = "refund_requested"
    REFUND_FAILED = "refund_failed"
    DISPUTE_OPENED = "dispute_opened"
    DISPUTE_WON = "dispute_won"


TABLE: Final[dict[tuple[Status, Happening], Status]] = {
    (Status.SUBMITTING, Happening.SUBMITTED_AGAIN): Status.SUBMITTING,
    (Status.SUBMITTING, Happening.NEXT_ATTEMPT): Status.SUBMITTING,
    (Status.SUBMITTING, Happening.ACCEPTED): Status.PENDING,
    (Status.SUBMITTING, Happening.AUTHORIZED): Status.AUTHORIZED,
    (Status.SUBMITTING, Happening.ALL_RECEIVED): Status.PAID,
    (Status.SUBMITTING, Happening.DECLINED): Status.DECLINED,
    (Status.SUBMITTING, Happening.FAILED): Status.FAILED,
    (Status.PENDING, Happening.AUTHORIZED): Status.AUTHORIZED,
    (Status.PENDING, Happening.PART_RECEIVED): Status.PENDING,
    (Status.PENDING, Happening.ALL_RECEIVED): Status.PAID,
    (Status.PENDING, Happening.DECLINED): Status.DECLINED,
    (Status.PENDING, Happening.TIME_PASSED): Status.EXPIRED,
    (Status.PENDING, Happening.CANCEL_REQUESTED): Status.PENDING,
    (Status.PENDING, Happening.CANCEL_FAILED): Status.PENDING,
    (Status.PENDING, Happening.CANCELLED): Status.CANCELLED,
    (Status.AUTHORIZED, Happening.CAPTURE_REQUESTED): Status.AUTHORIZED,
    (Status.AUTHORIZED, Happening.CAPTURED): Status.PAID,
    (Status.AUTHORIZED, Happening.CAPTURE_FAILED): Status.AUTHORIZED,
    (Status.AUTHORIZED, Happening.TIME_PASSED): Status.EXPIRED,
    (Status.AUTHORIZED, Happening.CANCEL_REQUESTED): Status.AUTHORIZED,
    (Status.AUTHORIZED, Happening.CANCEL_FAILED): Status.AUTHORIZED,
    (Status.AUTHORIZED, Happening.CANCELLED): Status.CANCELLED,
    (Status.PAID, Happening.CAPTURE_REQUESTED): Status.PAID,
    (Status.PAID, Happening.CAPTURED): Status.PAID,
    (Status.PAID, Happening.CAPTURE_FAILED): Status.PAID,
    (Status.PAID, Happening.CANCEL_REQUESTED): Status.PAID,
    (Status.PAID, Happening.CANCEL_FAILED): Status.PAID,
    (Status.PAID, Happening.REST_RELEASED): Status.PAID,
    (Status.PAID, Happening.REFUND_REQUESTED): Status.PAID,
    (Status.PAID, Happening.REFUND_FAILED): Status.PAID,
    (Status.PAID, Happening.DISPUTE_OPENED): Status.PAID,
    (Status.PAID, Happening.DISPUTE_WON): Status.PAID,
    (Status.EXPIRED, Happening.PART_RECEIVED): Status.EXPIRED,
    (Status.EXPIRED, Happening.ALL_RECEIVED): Status.PAID,
    (Status.EXPIRED, Happening.PART_RETURNED): Status.EXPIRED,
    (Status.EXPIRED, Happening.CAPTURED): Status.PAID,
    (Status.EXPIRED, Happening.CAPTURE_FAILED): Status.EXPIRED,
    (Status.CANCELLED, Happening.CAPTURED): Status.PAID,
    (Status.CANCELLED, Happening.CAPTURE_FAILED): Status.CANCELLED,
    (Status.CANCELLED, Happening.PART_RETURNED): Status.CANCELLED,
}

# Where a payin begins: at once with its payer when its method needs no call to a provider.
FIRST: Final = Status.PENDING
FIRST_WITH_PROVIDER: Final = Status.SUBMITTING


def after(status: Status, happening: Happening) -> Status | None:
    """The state that follows, or None where the table forbids it."""
    return TABLE.get((status, happening))


class DisputeStatus(StrEnum):
    """How a dispute stands. The last three are closed; what expired may still be won."""

    NEEDS_RESPONSE = "needs_response"
    UNDER_REVIEW = "under_review"
    WON = "won"
    LOST = "lost"
    EXPIRED = "expired"


class DisputeHappening(StrEnum):
    """What can happen to a dispute."""

    EVIDENCE_TAKEN = "evidence_taken"
    TIME_PASSED = "time_passed"
    WON = "won"
    LOST = "lost"


DISPUTES: Final[dict[tuple[DisputeStatus, DisputeHappening], DisputeStatus]] = {
    (DisputeStatus.NEEDS_RESPONSE, DisputeHappening.EVIDENCE_TAKEN): DisputeStatus.UNDER_REVIEW,
    (DisputeStatus.NEEDS_RESPONSE, DisputeHappening.TIME_PASSED): DisputeStatus.EXPIRED,
    (DisputeStatus.NEEDS_RESPONSE, DisputeHappening.WON): DisputeStatus.WON,
    (DisputeStatus.NEEDS_RESPONSE, DisputeHappening.LOST): DisputeStatus.LOST,
    (DisputeStatus.UNDER_REVIEW, DisputeHappening.EVIDENCE_TAKEN): DisputeStatus.UNDER_REVIEW,
    (DisputeStatus.UNDER_REVIEW, DisputeHappening.WON): DisputeStatus.WON,
    (DisputeStatus.UNDER_REVIEW, DisputeHappening.LOST): DisputeStatus.LOST,
    (DisputeStatus.WON, DisputeHappening.WON): DisputeStatus.WON,
    (DisputeStatus.LOST, DisputeHappening.LOST): DisputeStatus.LOST,
    (DisputeStatus.EXPIRED, DisputeHappening.WON): DisputeStatus.WON,
    (DisputeStatus.EXPIRED, DisputeHappening.LOST): DisputeStatus.EXPIRED,
}

FIRST_OF_DISPUTE: Final = DisputeStatus.NEEDS_RESPONSE


def dispute_after(status: DisputeStatus, happening: DisputeHappening) -> DisputeStatus | None:
    """The state that follows, or None where the table forbids it."""
    return DISPUTES.get((status, happening))
