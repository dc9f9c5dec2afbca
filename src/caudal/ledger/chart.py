"""The chart of accounts: which accounts there are, their ids, and which of them have a limit.

An id is `book << 16 | ISO 4217 numeric << 6 | purpose`: derivable from merchant, mode, currency and purpose, so that
an account needs no look-up. A book is `slot * 2 + (1 if live else 0)`; the house's are 0 (test) and 1 (live).
Codes are written in the database: they never change and are never reused.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, NamedTuple
from uuid import UUID

from caudal.kernel.ids import uuid8
from caudal.kernel.money import CURRENCIES, CURRENCY_BY_NUMERIC
from caudal.ledger.model import DEBITS_MUST_NOT_EXCEED_CREDITS, Account

_CURRENCY_SHIFT: Final = 6
_BOOK_SHIFT: Final = 16
_PURPOSE_MASK: Final = (1 << _CURRENCY_SHIFT) - 1
_CURRENCY_MASK: Final = (1 << _BOOK_SHIFT - _CURRENCY_SHIFT) - 1
BOOK_MAX: Final = 2**47 - 1  # so that an id is a positive bigint


class Purpose(IntEnum):
    """What an account is for. The first five are a merchant's (the house has `UNAPPLIED` too), the rest the house's."""

    PENDING = 1
    AVAILABLE = 2
    RESERVED = 3
    DISPUTED = 4
    UNAPPLIED = 5
    PROVIDER_RECEIVABLE = 10
    BANK = 11
    FEES = 12
    TAX = 13
    LIQUIDITY = 14
    CLEARING = 15


HOUSE_TEST_BOOK: Final = 0
HOUSE_LIVE_BOOK: Final = 1

# What we owe somebody cannot be asked for beyond what we hold of it.
FLAGS_OF_PURPOSE: Final[dict[Purpose, int]] = {
    purpose: DEBITS_MUST_NOT_EXCEED_CREDITS if purpose <= Purpose.UNAPPLIED else 0 for purpose in Purpose
}


class AccountName(NamedTuple):
    """What an account id says."""

    book: int
    currency: str
    purpose: Purpose

    @property
    def live(self) -> bool:
        """Whether the account is in a live book; test and live never meet in one transfer."""
        return bool(self.book & 1)

    @property
    def slot(self) -> int:
        """The merchant's slot; 0 is the house."""
        return self.book >> 1


def house_book(book: int) -> int:
    """The house's book of the same mode as `book`."""
    return book & 1


def ids_of_book(book: int) -> tuple[int, int]:
    """The first id that an account of this book could have, and the one behind the last."""
    return book << _BOOK_SHIFT, (book + 1) << _BOOK_SHIFT


def account_id(book: int, currency: str, purpose: Purpose) -> int:
    """The id of an account. Raises KeyError for a currency that is not in the list of ISO 4217."""
    assert 0 <= book <= BOOK_MAX, book
    return book << _BOOK_SHIFT | CURRENCIES[currency].numeric << _CURRENCY_SHIFT | purpose


def account_name(id: int) -> AccountName:
    """The inverse of `account_id`. Raises KeyError or ValueError for a number that is no account's id."""
    return AccountName(
        book=id >> _BOOK_SHIFT,
        currency=CURRENCY_BY_NUMERIC[id >> _CURRENCY_SHIFT & _CURRENCY_MASK].code,
        purpose=Purpose(id & _PURPOSE_MASK),
    )


def opened(id: int) -> Account:
    """The account before its first entry: version 0, nothing on it, the limit of its purpose."""
    return Account(id=id, flags=FLAGS_OF_PURPOSE[Purpose(id & _PURPOSE_MASK)])


def transfer_id(subject: UUID, code: str, ordinal: int = 0) -> UUID:
    """The id of a subject's transfer, derived, so that the same step of the same object always has the same id.

    The ordinal says which of several such steps.
    """
    return uuid8(b"%b%d:%b" % (subject.bytes, ordinal, code.encode()))
