"""What a provider says and our books contradict: what we held, what it said, and what would put it right."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from caudal.kernel import ids
from caudal.kernel.clock import rfc3339
from caudal.payins.states import Status

DiscrepancyKind = Literal[
    "contradicts_final_state",
    "other_account",
    "other_amount",
    "other_reference",
    "unknown_payment",
    "late_success",
]

CorrectionKind = Literal[
    "ask_again",
    "return_money",
    "book_late_payment",
    "reverse_capture",
    "book_refund",
    "book_return",
    "void_again",
    "end_authorization",
    "by_hand",
    "none_needed",
]


class Held(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What our books said when the discrepancy was opened; what it is not about is left out. Amounts in minor units.

    `amount_minor` is what the payin, operation, dispute or deposit is for that the provider spoke of.
    """

    about: Literal["payment", "operation", "dispute", "deposit"] | None = None
    status: str | None = None
    amount_minor: int | None = None
    currency: str | None = None
    reference: str | None = None
    payin_status: Status | None = None
    authorized_minor: int | None = None
    captured_minor: int | None = None
    received_minor: int | None = None
    refunded_minor: int | None = None
    disputed_minor: int | None = None


class Discrepancy(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something that a provider says and that our books contradict. `detail` is its JSON, without personal data;
    `held` what our books said then, `answer` what the provider said when it was asked about it later, `correction` what
    put it right, each as far as there is one.
    """

    id: UUID
    book: int
    version: int
    provider: str
    kind: DiscrepancyKind
    payin: UUID | None
    detail: bytes
    created_at: datetime
    resolved_at: datetime | None
    resolution: str | None
    held: bytes | None = None
    answer: bytes | None = None
    correction: str | None = None


class NothingHeard(msgspec.Struct, frozen=True, kw_only=True):
    """What a discrepancy keeps of an answer that the provider has never heard of it."""

    status: None = None


class Posting(msgspec.Struct, frozen=True, kw_only=True):
    """One transfer that a correction would make: from the account that it debits to the one that it credits."""

    code: str
    debit: str
    credit: str
    amount: int


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """What would put a discrepancy right, from how everything stands now.

    Postings that only follow when the provider has done its part are among them. `facts` names the versions that it is
    made of: it is carried out only while they stand.
    """

    correction: CorrectionKind
    because: str
    amount: int | None = None
    currency: str | None = None
    destination: Annotated[
        Literal["needed"] | None, msgspec.Meta(description="`needed`: it names the payer's bank account")
    ] = None
    postings: tuple[Posting, ...] = ()
    facts: str


class DiscrepancyBody(msgspec.Struct, frozen=True, kw_only=True):
    """A discrepancy as events tell of it; `detail` is what the provider said, `held` and `answer` may be null."""

    id: str
    object: Literal["discrepancy"] = "discrepancy"
    mode: Literal["test", "live"]
    provider: str
    kind: DiscrepancyKind
    payin: str | None
    detail: msgspec.Raw
    created_at: str
    resolved_at: str | None
    resolution: str | None
    held: msgspec.Raw
    answer: msgspec.Raw
    correction: CorrectionKind | None


class DiscrepancyCase(DiscrepancyBody, frozen=True, kw_only=True):
    """A discrepancy as operators see it: the first of the proposals is what is recommended."""

    proposals: list[Proposal]


def discrepancy_body(found: Discrepancy) -> DiscrepancyBody:
    """The discrepancy as events tell of it."""
    return DiscrepancyBody(**_fields(found))


def discrepancy_case(found: Discrepancy, proposals: tuple[Proposal, ...]) -> DiscrepancyCase:
    """The discrepancy as operators see it."""
    return DiscrepancyCase(**_fields(found), proposals=list(proposals))


def _fields(found: Discrepancy) -> dict[str, Any]:
    return {
        "id": ids.public("disc", found.id),
        "mode": "live" if found.book & 1 else "test",
        "provider": found.provider,
        "kind": found.kind,
        "payin": None if found.payin is None else ids.public("payin", found.payin),
        "detail": msgspec.Raw(found.detail),
        "created_at": rfc3339(found.created_at),
        "resolved_at": None if found.resolved_at is None else rfc3339(found.resolved_at),
        "resolution": found.resolution,
        "held": msgspec.Raw(found.held or b"null"),
        "answer": msgspec.Raw(found.answer or b"null"),
        "correction": found.correction,
    }
