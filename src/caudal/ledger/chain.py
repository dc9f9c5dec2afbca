"""Numbers and the hash chain: pure functions that turn booked transfers and their entries into rows.

A transfer's `hash` is SHA-256 over the hash before it and the packed bytes of the transfer and its two entries, the
debit side first; the chain of a shard begins with 32 zero bytes. So a row changed, moved, added or taken away shows
in every hash from there on, the shard's own included. `docs/money.md` has the layout and a worked example.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from struct import Struct
from typing import Final, NamedTuple
from uuid import UUID

from caudal.ledger.model import Booked, Entry

GENESIS: Final = bytes(32)
_NO_ID: Final = bytes(16)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)
# Big-endian: seq, group_seq, id, kind, flags, debit, credit, amount, pending id, timeout, subject, at, length of code.
_TRANSFER: Final = Struct(">qq16sBHqqq16si16sqH")
# Account, version, side, amount, four counters, fact, flags; twice.
_ENTRIES: Final = Struct(">" + "qqbqqqqqBH" * 2)


class TransferRow(NamedTuple):
    """A row of `transfer`, without its shard."""

    seq: int
    group_seq: int
    id: UUID
    kind: int
    flags: int
    debit_account: int
    credit_account: int
    amount_minor: int
    pending_id: UUID | None
    timeout_s: int
    subject: UUID | None
    code: str
    at: datetime
    hash: bytes


class EntryRow(NamedTuple):
    """A row of `entry`, without its shard."""

    account_id: int
    version: int
    seq: int
    side: int
    kind: int
    amount_minor: int
    debits_pending: int
    debits_posted: int
    credits_pending: int
    credits_posted: int
    fact: bool
    flags: int


class Numbered(NamedTuple):
    """Rows in the order of `seq`, the last number given (the one before `first_seq` when there is none), its hash."""

    transfers: list[TransferRow]
    entries: list[EntryRow]
    last_seq: int
    last_hash: bytes


def number(transfers: Sequence[Booked], entries: Sequence[Entry], first_seq: int, previous_hash: bytes) -> Numbered:
    """Number transfers from `first_seq` on and chain them. Entries stand two to a transfer, the debit side first."""
    assert len(entries) == 2 * len(transfers), (len(transfers), len(entries))
    rows = Numbered([], [], first_seq + len(transfers) - 1, previous_hash)
    last_hash, seen_at, at_us = previous_hash, _EPOCH, 0
    for index, booked in enumerate(transfers):
        seq = first_seq + index
        if booked.at is not seen_at:  # a batch has one time
            seen_at, at_us = booked.at, (booked.at - _EPOCH) // _MICROSECOND
        debit = _entry_row(entries[2 * index], seq)
        credit = _entry_row(entries[2 * index + 1], seq)
        row = _transfer_row(booked, seq, last_hash, at_us, debit, credit)
        rows.transfers.append(row)
        rows.entries.append(debit)
        rows.entries.append(credit)
        last_hash = row.hash
    return rows._replace(last_hash=last_hash)


def _entry_row(entry: Entry, seq: int) -> EntryRow:
    return EntryRow(
        entry.account_id,
        entry.version,
        seq,
        entry.side,
        entry.kind.value,
        entry.amount_minor,
        entry.debits_pending,
        entry.debits_posted,
        entry.credits_pending,
        entry.credits_posted,
        entry.fact,
        entry.flags,
    )


def _transfer_row(
    booked: Booked, seq: int, previous_hash: bytes, at_us: int, debit: EntryRow, credit: EntryRow
) -> TransferRow:
    transfer = booked.transfer
    assert debit.account_id == transfer.debit_account and credit.account_id == transfer.credit_account, transfer
    group_seq, kind, code = seq - booked.position, debit.kind, transfer.code.encode()
    packed = _TRANSFER.pack(
        seq,
        group_seq,
        transfer.id.bytes,
        kind,
        transfer.flags,
        transfer.debit_account,
        transfer.credit_account,
        transfer.amount_minor,
        _NO_ID if transfer.pending_id is None else transfer.pending_id.bytes,
        transfer.timeout_s,
        _NO_ID if transfer.subject is None else transfer.subject.bytes,
        at_us,
        len(code),
    )
    (d_account, d_version, _, d_side, _, *d_rest), (c_account, c_version, _, c_side, _, *c_rest) = debit, credit
    sides = _ENTRIES.pack(d_account, d_version, d_side, *d_rest, c_account, c_version, c_side, *c_rest)
    return TransferRow(
        seq,
        group_seq,
        transfer.id,
        kind,
        transfer.flags,
        transfer.debit_account,
        transfer.credit_account,
        transfer.amount_minor,
        transfer.pending_id,
        transfer.timeout_s,
        transfer.subject,
        transfer.code,
        booked.at,
        sha256(previous_hash + packed + code + sides).digest(),
    )
