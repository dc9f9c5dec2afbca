"""Events of disputes, and what stands in their `data`: the dispute as it was right after the event.

They grow by optional fields only. Amounts are minor units of `currency`; times are RFC 3339 in UTC, of the book's own
clock.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from caudal.contracts.payins import Amount, Currency, Instant, Mode, PayinId

DisputeStatus = Literal["needs_response", "under_review", "won", "lost", "expired"]


class DisputeData(msgspec.Struct, frozen=True, kw_only=True):
    """A dispute right after the event."""

    id: Annotated[str, Meta(description="the dispute's id", pattern="^dispute_[0-9a-f]{32}$")]
    object: Annotated[Literal["dispute"], Meta(description="what this is")] = "dispute"
    mode: Mode
    payin: Annotated[PayinId, Meta(description="the payin whose payer wants money back")]
    status: Annotated[DisputeStatus, Meta(description="the last three are closed; what expired may still be won")]
    reason: Annotated[str, Meta(description="why, as the scheme codes it", examples=["10.4"])]
    amount: Annotated[Amount, Meta(description="what the payer wants back, minor units")]
    currency: Currency
    fees: Annotated[Amount, Meta(description="what the dispute itself costs; given back if it is won")]
    provider_reference: Annotated[str, Meta(description="the provider's name for it")]
    evidence: Annotated[int, Meta(ge=0, description="files that wait for the provider, or that it has taken")]
    respond_by: Annotated[Instant, Meta(description="until when evidence is taken")]
    opened_at: Annotated[Instant, Meta(description="when the money was held")]
    closed_at: Annotated[Instant | None, Meta(description="when it was won, lost, or expired")]


class DisputeOpened(DisputeData, frozen=True, kw_only=True):
    """A payer wants money back through the bank: amount and fee are held, and evidence is taken until `respond_by`."""


class DisputeUnderReview(DisputeData, frozen=True, kw_only=True):
    """The provider has the first file; whoever decides is going to read it."""


class DisputeEvidenceRefused(DisputeData, frozen=True, kw_only=True):
    """The provider will not take one of the files; the list of evidence says which, and why."""


class DisputeWon(DisputeData, frozen=True, kw_only=True):
    """The merchant was right: what was held is back, the fee with it. It may have expired before."""


class DisputeLost(DisputeData, frozen=True, kw_only=True):
    """The payer was right: what was held is gone, and the fee with it."""


class DisputeExpired(DisputeData, frozen=True, kw_only=True):
    """Nobody answered in time: as if it were lost, unless the provider still says otherwise."""


EVENTS: Final[dict[str, type[msgspec.Struct]]] = {
    "dispute.opened": DisputeOpened,
    "dispute.under_review": DisputeUnderReview,
    "dispute.evidence_refused": DisputeEvidenceRefused,
    "dispute.won": DisputeWon,
    "dispute.lost": DisputeLost,
    "dispute.expired": DisputeExpired,
}
