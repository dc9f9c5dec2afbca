"""Disputes: money that a payer wants back through the bank, and the files that a merchant answers with."""

from __future__ import annotations

from datetime import date, datetime
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from caudal.kernel import ids
from caudal.kernel.clock import rfc3339
from caudal.payins.states import DisputeStatus

FILE_BYTES_MAX: Final = 5 * 1024 * 1024
FILES_MAX: Final = 20

EvidenceKind = Literal["receipt", "communication", "shipping", "other"]
EvidenceStatus = Literal["pending", "taken", "refused"]


class Dispute(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A dispute of a payin. Times are of the book's own clock.

    Amount and fee are held together; `from_pending_minor` of them came from money that was to be released on `day`.
    `evidence` counts the files that wait for the provider or were taken by it.
    """

    id: UUID
    book: int
    payin: UUID
    version: int
    provider: str
    reference: str
    status: DisputeStatus
    reason: str
    currency: str
    amount_minor: int
    fee_minor: int
    from_pending_minor: int
    day: date
    evidence: int
    respond_by: datetime
    opened_at: datetime
    closed_at: datetime | None

    @property
    def held_minor(self) -> int:
        """What stands in DISPUTED while the dispute is open."""
        return self.amount_minor + self.fee_minor


class Evidence(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A file against a dispute. Its id is the key by which the provider knows it; the content stands elsewhere, sealed.

    `reason` is why the provider refused it; `sent_at` when it said so, or took it.
    """

    id: UUID
    book: int
    dispute: UUID
    version: int
    kind: EvidenceKind
    content_type: str
    size_bytes: int
    sha256: bytes
    status: EvidenceStatus
    reason: str | None
    created_at: datetime
    sent_at: datetime | None


class DisputeBody(msgspec.Struct, frozen=True, kw_only=True):
    """A dispute as the API and the events show it. `fees` is what the dispute itself costs; nothing if it is won."""

    id: str
    object: Literal["dispute"] = "dispute"
    mode: Literal["test", "live"]
    payin: str
    status: DisputeStatus
    reason: str
    amount: int
    currency: str
    fees: int
    provider_reference: str
    evidence: int
    respond_by: str
    opened_at: str
    closed_at: str | None


class EvidenceBody(msgspec.Struct, frozen=True, kw_only=True):
    """A file against a dispute, without its content. `sha256` is hexadecimal."""

    id: str
    object: Literal["dispute_evidence"] = "dispute_evidence"
    mode: Literal["test", "live"]
    dispute: Annotated[str, Meta(description="the dispute that it answers")]
    kind: Annotated[EvidenceKind, Meta(description="what the file shows")]
    content_type: Annotated[str, Meta(description="what the file is")]
    size: Annotated[int, Meta(description="its length, bytes")]
    sha256: Annotated[str, Meta(description="its digest, hexadecimal")]
    status: Annotated[EvidenceStatus, Meta(description="`pending` until the provider has it or refuses it")]
    status_reason: Annotated[str | None, Meta(description="why the provider refused it, in its words")]
    created_at: str
    sent_at: Annotated[str | None, Meta(description="when the provider had it, or refused it")]


def dispute_body(dispute: Dispute) -> DisputeBody:
    """The dispute as it is shown."""
    return DisputeBody(
        id=ids.public("dispute", dispute.id),
        mode="live" if dispute.book & 1 else "test",
        payin=ids.public("payin", dispute.payin),
        status=dispute.status,
        reason=dispute.reason,
        amount=dispute.amount_minor,
        currency=dispute.currency,
        fees=dispute.fee_minor,
        provider_reference=dispute.reference,
        evidence=dispute.evidence,
        respond_by=rfc3339(dispute.respond_by),
        opened_at=rfc3339(dispute.opened_at),
        closed_at=None if dispute.closed_at is None else rfc3339(dispute.closed_at),
    )


def evidence_body(evidence: Evidence) -> EvidenceBody:
    """The file as it is shown."""
    return EvidenceBody(
        id=ids.public("evidence", evidence.id),
        mode="live" if evidence.book & 1 else "test",
        dispute=ids.public("dispute", evidence.dispute),
        kind=evidence.kind,
        content_type=evidence.content_type,
        size=evidence.size_bytes,
        sha256=evidence.sha256.hex(),
        status=evidence.status,
        status_reason=evidence.reason,
        created_at=rfc3339(evidence.created_at),
        sent_at=None if evidence.sent_at is None else rfc3339(evidence.sent_at),
    )
