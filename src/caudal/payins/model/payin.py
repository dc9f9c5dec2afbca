"""The payin as it is kept. Amounts in minor units of its currency; times of the payin's own clock."""

from __future__ import annotations

from datetime import date, datetime
from typing import Literal
from uuid import UUID

import msgspec

from caudal.connectors import Action
from caudal.payins.states import Status

Capture = Literal["automatic", "manual"]


class Chosen(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the payer pays with, as far as it may be shown: never a whole card number."""

    instrument: UUID | None = None
    brand: str | None = None
    last_four: str | None = None
    bank: str | None = None


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A request that waits for a provider: the digest of its key, its id, and whose API key it came with."""

    key: bytes
    request_id: str


class Submission(msgspec.Struct, frozen=True, kw_only=True):
    """When a payment may have been sent to its provider: by its request until `first_until`, by whoever came last until
    `until`; and until when the provider shall wait for its payer. Real time, whatever the book's own clock says.
    """

    first_until: datetime
    until: datetime
    expires_at: datetime


class Detail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of a payin nobody filters by. `deposits` count towards it; until it is paid their money is held.

    `capturing_minor` is asked for and not settled; `closed` says that nothing more may be captured, `voiding` that the
    provider is asked to give up the payin or the rest of it; `waiting` is there while the first request has no answer;
    `days` are those on which what was captured is available; `dispute` is the latest.
    """

    description: str | None = None
    metadata: dict[str, str] = {}
    deposits: tuple[UUID, ...] = ()
    clabe: str | None = None
    capture: Capture = "automatic"
    three_ds: bool = False
    return_url: str | None = None
    chosen: Chosen | None = None
    reference: str | None = None
    action: Action | None = None
    payer_page: str | None = None
    capturing_minor: int = 0
    days: tuple[date, ...] = ()
    closed: bool = False
    voiding: bool = False
    waiting: Waiting | None = None
    submission: Submission | None = None
    dispute: UUID | None = None


class Payin(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A payment that a merchant asks for. `refunded_minor` counts refunds under way too."""

    id: UUID
    book: int
    version: int
    status: Status
    reason: str | None
    method: str
    country: str
    currency: str
    amount_minor: int
    received_minor: int
    fee_minor: int
    fee_plan: int
    deposit_number: int | None
    reference: str | None
    detail: bytes | None
    created_at: datetime
    expires_at: datetime
    paid_at: datetime | None
    authorized_minor: int = 0
    captured_minor: int = 0
    refunded_minor: int = 0
    disputed_minor: int = 0
    available_on: date | None = None

    @property
    def live(self) -> bool:
        """Which of the merchant's two sets of books it stands in."""
        return bool(self.book & 1)

    def holds_rest(self, detail: Detail) -> bool:
        """Whether a part of it was captured and the rest of the authorization is held still, taken or not."""
        rest = self.authorized_minor - self.captured_minor
        return self.status is Status.PAID and detail.capture == "manual" and not detail.closed and rest > 0

    def details(self) -> Detail:
        """The part that is kept as JSON."""
        return Detail() if self.detail is None else msgspec.json.decode(self.detail, type=Detail)


class Change(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One change of a payin after its creation; `number` is the payin's version after it."""

    payin: UUID
    number: int
    status: Status
    reason: str | None
    event: str
    received_minor: int
    at: datetime


class DepositAccount(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Which payin a number (and so a CLABE) was given to."""

    number: int
    payin: UUID
    book: int


class PayerSeal(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A payer's personal data, sealed."""

    payin: UUID
    book: int
    sealed: bytes


class ClockBody(msgspec.Struct, frozen=True, kw_only=True):
    """The test clock after it moved, and how many payins expired by it."""

    now: str
    offset_seconds: int
    expired: int = 0


class Payer(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Who pays, as the merchant says."""

    name: str | None = None
    email: str | None = None
    document: str | None = None
    phone: str | None = None
    address: dict[str, str] | None = None
