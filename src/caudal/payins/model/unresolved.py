"""What has no outcome yet, as operators see it: all that is known of it, and what they say became of it."""

from __future__ import annotations

from typing import Literal

import msgspec

from caudal.payins.states import Status

UnresolvedKind = Literal["payin", "capture", "void", "refund", "return", "evidence", "expiry", "discrepancy"]


class Unresolved(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a provider was asked for or about, and that has no outcome yet."""

    id: str
    object: Literal["unresolved"] = "unresolved"
    kind: UnresolvedKind
    mode: Literal["test", "live"]
    provider: str
    provider_key: str
    payin: str | None
    status: str
    amount: int | None
    currency: str | None
    since: str
    age_seconds: int
    times_asked: int
    last_answer: str | None
    next_ask_at: str


class PayinChange(msgspec.Struct, frozen=True, kw_only=True):
    """One change of the payin's state: what happened, and where it left it."""

    event: str
    status: Status
    status_reason: str | None
    at: str


class UnresolvedDetail(Unresolved, frozen=True, kw_only=True):
    """The same with the whole evidence: the payin's history and what providers said of it that contradicts our books.

    Until `not_found_counts_from` a provider that does not know what it was asked for may still come to know it.
    """

    provider_reference: str | None
    submitted_until: str | None
    not_found_counts_from: str | None
    history: list[PayinChange]
    discrepancies: list[str]


class Settlement(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator said became of it."""

    id: str
    object: Literal["settlement"] = "settlement"
    outcome: Literal["happened", "did_not_happen"]
    reason: str


class Inquiry(msgspec.Struct, frozen=True, kw_only=True):
    """The provider is asked now."""

    id: str
    object: Literal["inquiry"] = "inquiry"
    next_ask_at: str
