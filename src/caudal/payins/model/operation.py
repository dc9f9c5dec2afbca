"""What is done with a payin at its provider: captures, voids, refunds."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

import msgspec

from caudal.kernel import ids
from caudal.kernel.clock import rfc3339
from caudal.payins.model.payin import Waiting
from caudal.settlement import Parts

Kind = Literal["capture", "void", "refund"]
OperationStatus = Literal["pending", "succeeded", "failed"]


class OperationDetail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of an operation nobody filters by. `parts` are the days whose money a refund took from.

    `attempt` is of which attempt's payment it is, where that is not the one that carries the payin. `correction` is the
    discrepancy that a refund was booked for, which nobody was asked for and which costs nothing. Until `sent_until`, in
    real time, it may be on its way to the provider. `again`: an operator has it asked for a second time.
    """

    final: bool = False
    note: str | None = None
    metadata: dict[str, str] = {}
    reference: str | None = None
    parts: Parts = ()
    waiting: Waiting | None = None
    attempt: int | None = None
    correction: UUID | None = None
    sent_until: datetime | None = None
    again: bool = False


class RefusedOperation(msgspec.Struct, frozen=True, kw_only=True):
    """A provider's refusal of an operation, as a discrepancy keeps it."""

    key: str
    payment_key: str
    kind: Kind
    reason: str
    detail: str


class Operation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A capture, a void or a refund. Its id is the key by which the provider knows it.

    What a refund costs (amount and fee) is taken from money not yet released and from what is available; if the refund
    fails, each part goes back. `sealed` is the bank account that it goes to.
    """

    id: UUID
    book: int
    payin: UUID
    version: int
    kind: Kind
    status: OperationStatus
    reason: str | None
    currency: str
    amount_minor: int
    fee_minor: int
    from_pending_minor: int
    from_available_minor: int
    detail: bytes | None
    sealed: bytes | None
    created_at: datetime
    settled_at: datetime | None

    def details(self) -> OperationDetail:
        """The part that is kept as JSON."""
        return OperationDetail() if self.detail is None else msgspec.json.decode(self.detail, type=OperationDetail)


class RefundBody(msgspec.Struct, frozen=True, kw_only=True):
    """A refund as the API and the events show it. `fees` is what the refund itself costs."""

    id: str
    object: Literal["refund"] = "refund"
    mode: Literal["test", "live"]
    payin: str
    status: OperationStatus
    status_reason: str | None
    amount: int
    currency: str
    fees: int
    note: str | None
    metadata: dict[str, str]
    created_at: str
    settled_at: str | None


class CaptureBody(msgspec.Struct, frozen=True, kw_only=True):
    """A capture as the API and the events show it. `final` gives the rest of the authorization back."""

    id: str
    object: Literal["capture"] = "capture"
    mode: Literal["test", "live"]
    payin: str
    status: OperationStatus
    status_reason: str | None
    amount: int
    currency: str
    final: bool
    created_at: str
    settled_at: str | None


def refund_body(refund: Operation) -> RefundBody:
    """The refund as it is shown."""
    detail = refund.details()
    return RefundBody(
        id=ids.public("refund", refund.id),
        mode="live" if refund.book & 1 else "test",
        payin=ids.public("payin", refund.payin),
        status=refund.status,
        status_reason=refund.reason,
        amount=refund.amount_minor,
        currency=refund.currency,
        fees=refund.fee_minor,
        note=detail.note,
        metadata=detail.metadata,
        created_at=rfc3339(refund.created_at),
        settled_at=None if refund.settled_at is None else rfc3339(refund.settled_at),
    )


def capture_body(capture: Operation) -> CaptureBody:
    """The capture as it is shown."""
    return CaptureBody(
        id=ids.public("capture", capture.id),
        mode="live" if capture.book & 1 else "test",
        payin=ids.public("payin", capture.payin),
        status=capture.status,
        status_reason=capture.reason,
        amount=capture.amount_minor,
        currency=capture.currency,
        final=capture.details().final,
        created_at=rfc3339(capture.created_at),
        settled_at=None if capture.settled_at is None else rfc3339(capture.settled_at),
    )
