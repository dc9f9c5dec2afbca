"""The nouns of settlement: what is released on a day, the lines of a statement, and how money that moves is divided.

Money earned for a day stands in the ledger's PENDING until that day begins (UTC, of the book's own clock), then in
AVAILABLE. For every book and currency PENDING is the sum of what its releases still hold.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Final, Literal, NamedTuple
from uuid import UUID

import msgspec

from caudal.kernel import ids
from caudal.kernel.clock import rfc3339
from caudal.kernel.commit import Due, Put
from caudal.kernel.money import CURRENCIES, CURRENCY_BY_NUMERIC
from caudal.ledger import Purpose, account_id

RELEASE: Final = "funds.release"
_DAY_ZERO: Final = date(1970, 1, 1)
_BOOK_SHIFT, _CURRENCY_SHIFT, _CURRENCY_MASK = 80, 64, 0xFFF
_UUID8: Final = 0x8 << 76 | 0b10 << 62

Kind = Literal["payment", "capture", "refund", "refund_failure", "dispute", "dispute_won", "dispute_lost", "adjustment"]
SubjectKind = Literal["payin", "capture", "refund", "dispute", "adjustment"]  # the prefix of its public id

# Money that moves between a merchant's own accounts is the merchant's all the while: the line's gross is 0.
HELD: Final[frozenset[Kind]] = frozenset(("dispute", "dispute_won"))


class Release(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a book has earned in one currency for one day: `amount_minor` waits, `released_minor` has become available.

    `due_at` is where its due work stands, in real time; None when nothing waits.
    """

    id: UUID
    book: int
    currency: str
    day: date
    version: int
    amount_minor: int
    released_minor: int
    due_at: datetime | None


class BalanceTransaction(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A line of a statement: net = gross − fee changed what the merchant has. `created_at` is of the book's clock."""

    id: UUID
    book: int
    created_at: datetime
    kind: Kind
    currency: str
    gross_minor: int
    fee_minor: int
    net_minor: int
    subject: UUID
    subject_kind: str
    payin: UUID | None
    available_on: date | None


class Movement(NamedTuple):
    """Money earned: `gross_minor` goes to PENDING, the fee comes from PENDING as far as the day holds so much, the rest
    of it from AVAILABLE (a fee larger than the payment). All of it facts.
    """

    fee_from_pending_minor: int
    fee_from_available_minor: int
    puts: tuple[Put, ...]
    due: tuple[Due, ...]


# What of the money that was taken came from which day's PENDING, amount and fee together, minor units.
Parts = tuple[tuple[date, int], ...]


class Split(NamedTuple):
    """Money taken: from which account the amount comes, and from which the fee.

    `parts` are for `given_back`, when it comes back.
    """

    from_pending_minor: int
    from_available_minor: int
    fee_from_pending_minor: int
    fee_from_available_minor: int
    puts: tuple[Put, ...]
    parts: Parts

    @property
    def pending_minor(self) -> int:
        """All that came from PENDING: the sum of its parts."""
        return self.from_pending_minor + self.fee_from_pending_minor


class GivenBack(NamedTuple):
    """Money that comes back: to which account the amount goes, and to which the fee."""

    to_pending_minor: int
    to_available_minor: int
    fee_to_pending_minor: int
    fee_to_available_minor: int
    puts: tuple[Put, ...]
    due: tuple[Due, ...]


def release_id(book: int, currency: str, day: date) -> UUID:
    """The id of a release: a UUIDv8 (RFC 9562) of book, currency and days since 1970, in the order of these three."""
    return UUID(
        int=book << _BOOK_SHIFT | CURRENCIES[currency].numeric << _CURRENCY_SHIFT | _UUID8 | (day - _DAY_ZERO).days
    )


def ids_of_book(book: int) -> tuple[UUID, UUID]:
    """The range of a book's releases: from the first id to before the second."""
    return UUID(int=book << _BOOK_SHIFT), UUID(int=(book + 1) << _BOOK_SHIFT)


def accounts_of_release(id: UUID) -> tuple[int, int]:
    """The accounts PENDING and AVAILABLE of a release, by its id."""
    book, numeric = id.int >> _BOOK_SHIFT, id.int >> _CURRENCY_SHIFT & _CURRENCY_MASK
    currency = CURRENCY_BY_NUMERIC[numeric].code
    return account_id(book, currency, Purpose.PENDING), account_id(book, currency, Purpose.AVAILABLE)


def start_of(day: date) -> datetime:
    """When a day begins, UTC."""
    return datetime.combine(day, time.min, UTC)


class BalanceTransactionBody(msgspec.Struct, frozen=True, kw_only=True):
    """A line of the statement, minor units. net = gross − fee; the sum of all nets is what the merchant has."""

    id: str
    object: Literal["balance_transaction"] = "balance_transaction"
    mode: Literal["test", "live"]
    kind: Kind
    currency: str
    gross: int
    fee: int
    net: int
    subject: str
    payin: str | None
    available_on: str | None
    created_at: str


def transaction_body(line: BalanceTransaction) -> BalanceTransactionBody:
    """The line as it is shown."""
    return BalanceTransactionBody(
        id=ids.public("txn", line.id),
        mode="live" if line.book & 1 else "test",
        kind=line.kind,
        currency=line.currency,
        gross=line.gross_minor,
        fee=line.fee_minor,
        net=line.net_minor,
        subject=ids.public(line.subject_kind, line.subject),
        payin=None if line.payin is None else ids.public("payin", line.payin),
        available_on=None if line.available_on is None else line.available_on.isoformat(),
        created_at=rfc3339(line.created_at),
    )
