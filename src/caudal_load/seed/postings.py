"""The money of the story: transfers with their two entries each, numbered and chained as docs/money.md says.

Written from that page and not from the ledger's code, so that a replay that is clean says something about both.
"""

from collections.abc import Iterator
from hashlib import blake2b, sha256
from struct import Struct
from typing import NamedTuple

MXN = 484
PENDING, AVAILABLE, BANK, FEES = 1, 2, 11, 12
DEBIT, CREDIT = 1, -1
_DIRECT, _FACT, _LIMITED = 1, 1, 1
_LAST_LIMITED_PURPOSE = 5
_NO_ID = bytes(16)
# Big-endian: seq, group_seq, id, kind, flags, debit, credit, amount, pending id, timeout, subject, at, length of code.
_TRANSFER = Struct(">qq16sBHqqq16si16sqH")
# Account, version, side, amount, four counters, fact, flags; twice.
_ENTRIES = Struct(">" + "qqbqqqqqBH" * 2)


class Account:
    """An account and its counters so far; of the four only the posted ones move here."""

    __slots__ = ("credits_minor", "debits_minor", "flags", "id", "version")

    def __init__(self, book: int, purpose: int) -> None:
        self.id = book << 16 | MXN << 6 | purpose
        self.flags = _LIMITED if purpose <= _LAST_LIMITED_PURPOSE else 0
        self.version = self.debits_minor = self.credits_minor = 0


class Entry(NamedTuple):
    """One side of a transfer: the account right after it."""

    account: int
    version: int
    side: int
    debits_minor: int
    credits_minor: int
    flags: int


class Posting(NamedTuple):
    """A direct transfer of something that has happened, and its entries."""

    seq: int
    group_seq: int
    id: bytes
    debit: Entry
    credit: Entry
    amount_minor: int
    subject: bytes
    code: str
    hash: bytes


class Ledger:
    """The accounts of the story, from the first posting on."""

    def __init__(self) -> None:
        self.seq = 0
        self.chain = bytes(32)
        self.accounts: dict[tuple[int, int], Account] = {}

    def paid(self, book: int, deposit: bytes, amount_minor: int, fee_minor: int, at_us: int) -> Iterator[Posting]:
        """A payin is paid in full: the bank's money becomes the merchant's, less the fee.

        One group of two transfers.
        """
        house = book & 1
        group_seq = self.seq + 1
        bank, pending, fees = self._of(house, BANK), self._of(book, PENDING), self._of(house, FEES)
        yield self._post(bank, pending, amount_minor, deposit, "payin.received", group_seq, at_us)
        if fee_minor:
            yield self._post(pending, fees, fee_minor, deposit, "payin.fee", group_seq, at_us)

    def released(self, book: int, release: bytes, version: int, amount_minor: int, at_us: int) -> Posting:
        """A day has begun: what was earned for it, by `version` payments, becomes available."""
        pending, available = self._of(book, PENDING), self._of(book, AVAILABLE)
        return self._post(
            pending, available, amount_minor, release, "funds.released", self.seq + 1, at_us, ordinal=version
        )

    def _of(self, book: int, purpose: int) -> Account:
        account = self.accounts.get((book, purpose))
        if account is None:
            account = self.accounts[book, purpose] = Account(book, purpose)
        return account

    def _post(
        self,
        debit: Account,
        credit: Account,
        amount_minor: int,
        subject: bytes,
        code: str,
        group_seq: int,
        at_us: int,
        *,
        ordinal: int = 0,
    ) -> Posting:
        self.seq = seq = self.seq + 1
        debit.debits_minor += amount_minor
        credit.credits_minor += amount_minor
        for account in (debit, credit):
            account.version += 1
        id = transfer_id(subject, code, ordinal or seq - group_seq)
        head = _TRANSFER.pack(
            *(seq, group_seq, id, _DIRECT, _FACT, debit.id, credit.id, amount_minor, _NO_ID, 0, subject, at_us),
            len(code),
        )
        sides = _ENTRIES.pack(*_packed(debit, DEBIT, amount_minor), *_packed(credit, CREDIT, amount_minor))
        self.chain = sha256(self.chain + head + code.encode() + sides).digest()
        return Posting(
            seq, group_seq, id, _entry(debit, DEBIT), _entry(credit, CREDIT), amount_minor, subject, code, self.chain
        )


def transfer_id(subject: bytes, code: str, ordinal: int) -> bytes:
    """The id of a subject's transfer: a UUIDv8 (RFC 9562) over subject, ordinal and code."""
    digest = blake2b(b"%b%d:%b" % (subject, ordinal, code.encode()), digest_size=16).digest()
    return uuid8(digest)


def uuid8(digest: bytes) -> bytes:
    """16 bytes with the version and variant of a UUIDv8 set in them."""
    return b"%b%c%b%c%b" % (digest[:6], digest[6] & 0x0F | 0x80, digest[7:8], digest[8] & 0x3F | 0x80, digest[9:])


def _packed(account: Account, side: int, amount_minor: int) -> tuple[int, ...]:
    counters = (0, account.debits_minor, 0, account.credits_minor)
    return (account.id, account.version, side, amount_minor, *counters, _FACT, account.flags)


def _entry(account: Account, side: int) -> Entry:
    return Entry(account.id, account.version, side, account.debits_minor, account.credits_minor, account.flags)
