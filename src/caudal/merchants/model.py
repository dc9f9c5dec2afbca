"""The nouns: who calls, with which key, into which book, at which price; and how they are shown.

A merchant has two sets of books, `slot * 2` for test and `slot * 2 + 1` for live. A key belongs to one of them, so the
mode of everything that a caller sees follows from its key. Of a key only the SHA-256 is known here.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Mapping
from datetime import datetime
from typing import Final, Literal, Protocol
from uuid import UUID

import msgspec

from caudal.contracts.merchants import FeeLine, LatePayments, Mode, RefundsBeyondBalance
from caudal.kernel.clock import rfc3339
from caudal.kernel.ids import public
from caudal.kernel.money import share_half_up

HOUSE_BOOK: Final = 0  # the house's test book, and of what is of neither mode
HOUSE_SHARD: Final = 0  # of operators, of what they decide about providers, and of what is nobody's
OVERLAP_MAX_S: Final = 7 * 86_400
SCOPES: Final = (
    "balances:read",
    "disputes:read",
    "disputes:write",
    "events:read",
    "instruments:read",
    "instruments:write",
    "payins:read",
    "payins:write",
    "refunds:write",
    "routing:read",
    "routing:write",
    "webhooks:read",
    "webhooks:write",
)
KEY_TEXT: Final = re.compile(r"(sk_test_|sk_live_|op_)[A-Za-z0-9_-]{43}")
_SECRET_BYTES: Final = 32
_HINT_CHARACTERS: Final = 4


# Keys


def new_key(prefix: Literal["sk_test_", "sk_live_", "op_"]) -> str:
    """A key's text: the prefix and 256 random bits."""
    return prefix + secrets.token_urlsafe(_SECRET_BYTES)


def digest_of(text: str) -> bytes:
    """The 32 bytes under which a key is known."""
    return hashlib.sha256(text.encode()).digest()


def hint_of(text: str) -> str:
    """What of a key may be shown: its prefix and its last four characters."""
    return f"{prefix_of(text)}…{text[-_HINT_CHARACTERS:]}"


def prefix_of(text: str) -> str | None:
    """`sk_test_`, `sk_live_` or `op_`; None for a text that is no key."""
    found = KEY_TEXT.fullmatch(text)
    return None if found is None else found[1]


def book_of(slot: int, mode: Mode) -> int:
    """One of a merchant's two sets of books."""
    return slot * 2 + (mode == "live")


def mode_of(book: int) -> Mode:
    """What a set of books is."""
    return "live" if book & 1 else "test"


# Fees


class FeeRow(msgspec.Struct, frozen=True, kw_only=True):
    """The price of one family and currency: fixed, in minor units, and a share in basis points.

    A refund and a dispute cost their fixed amounts. Money is available `settlement_days` after the day of its payment.
    """

    fixed_minor: int = 0
    basis_points: int = 0
    refund_fixed_minor: int = 0
    dispute_fixed_minor: int = 0
    settlement_days: int = 1


Fees = Mapping[tuple[str, str], FeeRow]


class FeePlan(msgspec.Struct, frozen=True, kw_only=True):
    """A version of a book's prices by (family, currency). It never changes; a new version follows it."""

    book: int
    version: int
    fees: Fees
    created_at: datetime


def price_of(plan: FeePlan | None, family: str, currency: str) -> FeeRow:
    """A plan's line. What it does not price is free and available the day after, as is everything without a plan."""
    row = None if plan is None else plan.fees.get((family, currency))
    return FeeRow() if row is None else row


def fee_minor(plan: FeePlan | None, family: str, currency: str, amount_minor: int) -> int:
    """The fee on one payment, in minor units: the fixed part once, and the share rounded half up.

    What the plan does not price is free, and so is everything without a plan. The fee may exceed a small payment.
    """
    row = price_of(plan, family, currency)
    return row.fixed_minor + share_half_up(amount_minor, row.basis_points)


def fees_of(lines: tuple[FeeLine, ...]) -> Fees:
    """Lines of a plan by family and currency."""
    return {
        (line.family, line.currency): FeeRow(**{name: getattr(line, name) for name in FeeRow.__struct_fields__})
        for line in lines
    }


def lines_of(fees: Fees) -> tuple[FeeLine, ...]:
    """A plan as it is shown, in the order of families and currencies."""
    return tuple(
        FeeLine(family=family, currency=currency, **msgspec.structs.asdict(row))
        for (family, currency), row in sorted(fees.items())
    )


# Who calls


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant's key as a request sees it, at most a second old. `fee_plan` is the version that `fees` has."""

    merchant: UUID
    slot: int
    book: int
    live: bool
    shard: int
    key_digest: bytes
    scopes: frozenset[str]
    fee_plan: int
    fees: Fees
    late_payments: LatePayments
    refunds_beyond_balance: RefundsBeyondBalance
    clock_offset_s: int
    routing_profile: UUID | None = None


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    """A person or program that runs the platform."""

    id: UUID
    name: str
    digest: bytes
    shard: int

    def on(self, shard: int) -> Operator:
        """As a command of this shard has it: where the operator's row is not, the key was looked at as it came in."""
        return self if shard == self.shard else msgspec.structs.replace(self, digest=b"")


class Actor(msgspec.Struct, frozen=True, kw_only=True):
    """Who changes something, as the audit trail names it. The key of this digest must still count in the batch."""

    name: str
    digest: bytes | None = None


# Rows


class MerchantRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant."""

    id: UUID
    slot: int
    version: int
    name: str
    country: str
    status: Literal["active", "suspended"]
    created_at: datetime


class MerchantDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant with what its two sets of books have in common."""

    merchant: MerchantRecord
    late_payments: LatePayments
    refunds_beyond_balance: RefundsBeyondBalance
    fee_plan: int
    fees: Fees
    shard: int

    def body(self) -> MerchantBody:
        """As the API shows it."""
        return merchant_body(self.merchant, self, self.fee_plan, self.fees, self.shard)


class MerchantSettings(Protocol):
    """Whatever has a merchant's settings."""

    @property
    def late_payments(self) -> LatePayments: ...
    @property
    def refunds_beyond_balance(self) -> RefundsBeyondBalance: ...


class BookRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A set of books with the settings that decisions look at. `clock_offset_s` is how far a test clock was moved.

    `routing_profile` is the active one, `routing_profiles` how many there are.
    """

    book: int
    merchant: UUID
    version: int
    late_payments: LatePayments
    fee_plan: int
    clock_offset_s: int
    refunds_beyond_balance: RefundsBeyondBalance = "refuse"
    routing_profile: UUID | None = None
    routing_profiles: int = 0


class ApiKeyRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant's key. A rotated one ends at `ends_at`, a revoked one has ended."""

    digest: bytes
    id: UUID
    book: int
    version: int
    name: str
    hint: str
    scopes: tuple[str, ...]
    created_at: datetime
    ends_at: datetime | None = None
    revoked_at: datetime | None = None

    def ended(self, at: datetime) -> bool:
        """Whether the key does not count any more."""
        return self.revoked_at is not None or (self.ends_at is not None and self.ends_at <= at)


class OperatorRecord(msgspec.Struct, frozen=True, kw_only=True):
    """An operator, whose only key it is."""

    digest: bytes
    id: UUID
    version: int
    name: str
    hint: str
    created_at: datetime
    revoked_at: datetime | None = None


class AuditRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Who did what to whom. `detail` is the JSON of the event."""

    id: UUID
    at: datetime
    actor: str
    action: str
    subject: str
    detail: bytes


# As the API shows them


class FeePlanBody(msgspec.Struct, frozen=True, kw_only=True):
    """A fee plan; `version` counts from 1 and is kept on every payin."""

    version: int
    lines: tuple[FeeLine, ...]


class MerchantBody(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant. Settings and fee plan are those of both sets of books."""

    id: str
    object: Literal["merchant"] = "merchant"
    name: str
    country: str
    status: Literal["active", "suspended"]
    late_payments: LatePayments
    refunds_beyond_balance: RefundsBeyondBalance
    fee_plan: FeePlanBody
    shard: int
    created_at: str


class KeyBody(msgspec.Struct, frozen=True, kw_only=True):
    """An API key. `secret` is there in the answer that made it and never again, not even when that is replayed."""

    id: str
    object: Literal["api_key"] = "api_key"
    merchant: str
    mode: Mode
    name: str
    hint: str
    scopes: tuple[str, ...]
    created_at: str
    ends_at: str | None
    revoked_at: str | None
    secret: str | None = None


class OperatorBody(msgspec.Struct, frozen=True, kw_only=True):
    """An operator. `secret` is there when it was just made and never again."""

    id: str
    object: Literal["operator"] = "operator"
    name: str
    hint: str
    created_at: str
    revoked_at: str | None
    secret: str | None = None


class AuditBody(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of the audit trail."""

    id: str
    object: Literal["audit_entry"] = "audit_entry"
    at: str
    actor: str
    action: str
    subject: str
    detail: msgspec.Raw


def merchant_body(
    merchant: MerchantRecord, settings: MerchantSettings, version: int, fees: Fees, shard: int
) -> MerchantBody:
    """The merchant as it is shown, with the settings of its books and a version of its fee plan."""
    return MerchantBody(
        id=public("mer", merchant.id),
        name=merchant.name,
        country=merchant.country,
        status=merchant.status,
        late_payments=settings.late_payments,
        refunds_beyond_balance=settings.refunds_beyond_balance,
        fee_plan=FeePlanBody(version=version, lines=lines_of(fees)),
        shard=shard,
        created_at=rfc3339(merchant.created_at),
    )


def key_body(key: ApiKeyRecord, merchant: UUID) -> KeyBody:
    """The key as it is shown, without its secret."""
    return KeyBody(
        id=public("key", key.id),
        merchant=public("mer", merchant),
        mode=mode_of(key.book),
        name=key.name,
        hint=key.hint,
        scopes=key.scopes,
        created_at=rfc3339(key.created_at),
        ends_at=None if key.ends_at is None else rfc3339(key.ends_at),
        revoked_at=None if key.revoked_at is None else rfc3339(key.revoked_at),
    )


def operator_body(operator: OperatorRecord) -> OperatorBody:
    """The operator as it is shown, without its secret."""
    return OperatorBody(
        id=public("operator", operator.id),
        name=operator.name,
        hint=operator.hint,
        created_at=rfc3339(operator.created_at),
        revoked_at=None if operator.revoked_at is None else rfc3339(operator.revoked_at),
    )


def audit_body(entry: AuditRecord) -> AuditBody:
    """The entry as it is shown."""
    return AuditBody(
        id=public("audit", entry.id),
        at=rfc3339(entry.at),
        actor=entry.actor,
        action=entry.action,
        subject=entry.subject,
        detail=msgspec.Raw(entry.detail),
    )
