"""The attempts of a payin as its merchant sees them."""

from __future__ import annotations

from typing import Literal

import msgspec

from caudal.kernel.clock import rfc3339
from caudal.payins.model.payin import Attempt, Payin

# As the payin's own, and one for a provider at which nothing happened.
AttemptStatus = Literal[
    "submitting", "pending", "authorized", "paid", "declined", "failed", "expired", "cancelled", "unavailable"
]


class AttemptOfPayin(msgspec.Struct, frozen=True, kw_only=True):
    """A provider that was asked for a payment, and what came of it."""

    number: int
    provider: str
    status: AttemptStatus
    status_reason: str | None
    rule: str
    reason: str
    begun_at: str
    ended_at: str | None


class AttemptsOfPayin(msgspec.Struct, frozen=True, kw_only=True):
    """All attempts of a payin, the first one first; the last carries it."""

    payin: str
    routing_profile: str | None
    risk_score: int | None
    data: list[AttemptOfPayin]


def attempts_of(payin: Payin) -> list[AttemptOfPayin]:
    """Every attempt. The last one stands as the payin does."""
    attempts = payin.details().attempts
    return [_shown(payin, number, attempt) for number, attempt in enumerate(attempts, 1)]


def _shown(payin: Payin, number: int, attempt: Attempt) -> AttemptOfPayin:
    return AttemptOfPayin(
        number=number,
        provider=attempt.provider,
        status=attempt.ended or payin.status.value,
        status_reason=payin.reason if attempt.ended is None else attempt.reason,
        rule=attempt.rule,
        reason=attempt.why,
        begun_at=rfc3339(attempt.begun_at),
        ended_at=None if attempt.ended_at is None else rfc3339(attempt.ended_at),
    )
