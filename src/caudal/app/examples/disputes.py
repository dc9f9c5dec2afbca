"""The story's dispute: opened, answered with a receipt, decided."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from caudal.contracts import disputes

Dispute = TypeVar("Dispute", bound=disputes.DisputeData)

OPENED_AT: Final = "2026-12-02T14:08:30.671205Z"
REVIEWED_AT: Final = "2026-12-03T09:41:12.480076Z"
DECIDED_AT: Final = "2026-12-08T16:00:03.915540Z"
EXPIRED_AT: Final = "2026-12-09T14:08:30.700012Z"
DISPUTE_ID: Final = "dispute_4be1a95ad8708f06a7c1e0d7c1b5f3aa"


def _dispute(kind: type[Dispute], payin: str, status: disputes.DisputeStatus, **more: Any) -> Dispute:
    fields: dict[str, Any] = {"evidence": 1, "closed_at": None, **more}
    return kind(
        id=DISPUTE_ID,
        mode="test",
        payin=payin,
        status=status,
        reason="10.4",
        amount=12_050,
        currency="BRL",
        fees=1_500,
        provider_reference="dp_5d2f0c9e31a47b86c2f9d014",
        respond_by="2026-12-09T14:08:30.000000Z",
        opened_at=OPENED_AT,
        **fields,
    )


def events(payin: str) -> tuple[tuple[str, str, msgspec.Struct], ...]:
    """One event of every type."""
    closed = {"closed_at": DECIDED_AT}
    return (
        ("dispute.opened", OPENED_AT, opened(payin)),
        ("dispute.under_review", REVIEWED_AT, _dispute(disputes.DisputeUnderReview, payin, "under_review")),
        (
            "dispute.evidence_refused",
            REVIEWED_AT,
            _dispute(disputes.DisputeEvidenceRefused, payin, "needs_response", evidence=0),
        ),
        ("dispute.won", DECIDED_AT, _dispute(disputes.DisputeWon, payin, "won", **closed)),
        ("dispute.lost", DECIDED_AT, _dispute(disputes.DisputeLost, payin, "lost", **closed)),
        (
            "dispute.expired",
            EXPIRED_AT,
            _dispute(disputes.DisputeExpired, payin, "expired", evidence=0, closed_at=EXPIRED_AT),
        ),
    )


def opened(payin: str) -> disputes.DisputeOpened:
    """The dispute at its beginning."""
    return _dispute(disputes.DisputeOpened, payin, "needs_response", evidence=0)


def answers(payin: str) -> dict[str, Any]:
    """Answers by the name of their record."""
    dispute = msgspec.to_builtins(opened(payin))
    evidence = {
        "id": "evidence_9d02c37b1f5e8a44b6f0175ec2d8a311",
        "object": "dispute_evidence",
        "mode": "test",
        "dispute": DISPUTE_ID,
        "kind": "receipt",
        "content_type": "application/pdf",
        "size": 48_213,
        "sha256": "8b1a9953c4611296a827abf8c47804d7e6c49c6b97f0d5d1c2a5a6d3f2b1e0c9",
        "status": "pending",
        "status_reason": None,
        "created_at": "2026-12-03T09:41:11.902518Z",
        "sent_at": None,
    }
    taken = {**evidence, "status": "taken", "sent_at": REVIEWED_AT}
    return {
        "DisputeBody": dispute,
        "DisputeList": {"data": [dispute], "has_more": False, "next": None},
        "EvidenceBody": evidence,
        "EvidenceList": {"data": [taken]},
    }
