"""The payin as it is kept. Amounts in minor units of its currency; times of the payin's own clock."""

from __future__ import annotations

import re
from datetime import date, datetime
from functools import lru_cache
from typing import Final, Literal, NamedTuple
from uuid import UUID

import msgspec

from caudal.connectors import BANK, FIRST, Action
from caudal.payins.states import Status

Capture = Literal["automatic", "manual"]

FIRST_BY_DEFAULT: Final = "in the order of configuration"
_READ_MAX: Final = 1_024
_KEY: Final = re.compile(r"([0-9a-f]{32})(?:-([2-9]|[1-9][0-9]))?")


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


class Attempt(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A provider that was asked for a payment. Real time, whatever the book's own clock says.

    `rule` and `why` say how it was chosen, `more` that another one stood behind it. One that came to nothing has
    `ended`: the provider said no, or nothing ever happened there; the next attempt began in the same commit.
    """

    provider: str
    begun_at: datetime
    rule: str = "default"
    why: str = FIRST_BY_DEFAULT
    more: bool = False
    ended: Literal["declined", "unavailable"] | None = None
    reason: str | None = None
    ended_at: datetime | None = None


class Ended(NamedTuple):
    """How an attempt came to nothing: which one, whether its provider said no, and why."""

    number: int
    how: Literal["declined", "unavailable"]
    reason: str | None


class Detail(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What of a payin nobody filters by. `deposits` count towards it; until it is paid their money is held.

    `capturing_minor` is asked for and not settled; `closed` says that nothing more may be captured, `voiding` that the
    provider is asked to give up the payin or the rest of it; `waiting` is there while the first request has no answer;
    `days` are those on which what was captured is available; `attempts` are the providers that were asked, the last
    of which carries the payin, by the profile `routing` if there was one; `risk_score` is the merchant's own; `dispute`
    is the latest.
    """

    description: str | None = None
    metadata: dict[str, str] = {}
    risk_score: int | None = None
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
    routing: UUID | None = None
    attempts: tuple[Attempt, ...] = ()
    dispute: UUID | None = None  # the last one: db/checks look for it there


@lru_cache(maxsize=_READ_MAX)
def _detail_in(kept: bytes) -> Detail:
    """A flow looks at the same bytes a dozen times, and reading them costs more than the look; nobody changes it."""
    return msgspec.json.decode(kept, type=Detail)


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
        return Detail() if self.detail is None else _detail_in(self.detail)

    def provider(self, number: int | None = None) -> str | None:
        """Who was asked in this attempt, the current one if none is named; None where there was no such attempt."""
        attempts = self.details().attempts
        if not attempts:  # a transfer, or made when providers had no names
            return None if number not in (None, 1) else FIRST if self.deposit_number is None else BANK
        place = len(attempts) if number is None else number
        return attempts[place - 1].provider if place <= len(attempts) else None

    @property
    def carrier(self) -> str:
        """Whom the payment is with now."""
        name = self.provider()
        assert name is not None, "every payin is with somebody"
        return name

    def is_with(self, provider: str, key: str) -> bool:
        """Whether this key is a provider's name for this payin, given to it in one of the attempts."""
        number = self._named(key)
        return number is not None and self.provider(number) == provider

    def _named(self, key: str) -> int | None:
        """Which attempt of this payin a key speaks of; the first one's is compared as it is, being the usual one."""
        if key == self.id.hex:
            return 1
        of = attempt_of(key)
        return None if of is None or of[0] != self.id else of[1]

    @property
    def attempt(self) -> int:
        """Which attempt carries the payin; they count from 1."""
        return max(1, len(self.details().attempts))

    @property
    def key(self) -> str:
        """By which the provider that is asked now knows the payment."""
        return key_of(self.id, self.attempt)

    def asked(self, attempt: int | None = None) -> tuple[str, str]:
        """Who was asked in an attempt, the current one if none is named, and by which key it knows the payment."""
        provider = self.provider(attempt)
        assert provider is not None, "there was such an attempt"
        return provider, key_of(self.id, attempt or self.attempt)

    def is_earlier(self, key: str) -> bool:
        """Whether a provider's key speaks of an attempt that came to nothing before another one began."""
        number = self._named(key)
        return number is not None and number < self.attempt


def key_of(id: UUID, attempt: int) -> str:
    """By which the provider of an attempt knows the payment: attempts count from 1."""
    return id.hex if attempt == 1 else f"{id.hex}-{attempt}"


def attempt_of(key: str) -> tuple[UUID, int] | None:
    """The payin that a provider's key speaks of, and which attempt; None for a key that is none of ours."""
    found = _KEY.fullmatch(key)
    return None if found is None else (UUID(hex=found[1]), int(found[2] or 1))


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
