"""The story of a payment as operators read it. Nothing in it says who the payer is."""

from __future__ import annotations

from typing import Literal

import msgspec

Kind = Literal[
    "state", "attempt", "operation", "deposit", "dispute", "evidence", "discrepancy", "batch", "event", "posting",
    "delivery", "due",
]  # fmt: skip


class TraceStep(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a payment, or to what belongs to it. `detail` is what the kind says of it."""

    at: str
    kind: Kind
    subject: str
    what: str
    detail: dict[str, str | int | None]


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that happened to a payment, in the order of time.

    Times are the database's, but for a merchant whose test clock was moved: its payins go by that clock. `missing` says
    in words what is not kept any more, kind by kind; `complete` that nothing is.
    """

    payin: str
    merchant: str
    mode: Literal["test", "live"]
    method: str
    country: str
    currency: str
    amount: int
    received: int
    authorized: int
    captured: int
    refunded: int
    disputed: int
    fee: int
    status: str
    status_reason: str | None
    reference: str | None
    provider_reference: str | None
    created_at: str
    expires_at: str
    paid_at: str | None
    available_on: str | None
    complete: bool
    missing: list[str]
    steps: list[TraceStep]
