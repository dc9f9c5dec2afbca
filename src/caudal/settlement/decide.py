"""The judgement of settlement: pure, for the decisions of whoever earns, refunds or holds a merchant's money.

The caller books the transfers of its own verb, in the amounts that the answer names, and adds the answer's `puts` (the
day's release and the line of the statement) and `due` to its decision; nothing else touches a merchant's PENDING.
`at` is the book's own time: the batch's, and in test mode as much later as the book's clock was moved. `day` is when
the money is available: the day of a payment plus the plan's `settlement_days` (`available_on`). All amounts are minor
units and not negative. Rows are looked at through `view.get`, so that one that was not read raises Missing; `needs`
names them.

| function | the caller books, all of it as facts unless said otherwise |
|---|---|
| `earned` | gross → PENDING; PENDING → FEES `fee_from_pending_minor`; AVAILABLE → FEES `fee_from_available_minor` |
| `taken` | PENDING, AVAILABLE → where the money goes; the fee's two parts → FEES. Requests unless `beyond_balance` |
| `given_back` | whence the money comes → PENDING, AVAILABLE; FEES → the fee's two parts |
| `line` | what touches neither PENDING nor AVAILABLE (a lost dispute: DISPUTED → away): a line alone |
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from caudal import ledger
from caudal.kernel.commit import Decision, Due, Put, Table, View
from caudal.kernel.errors import Refused
from caudal.merchants import BOOKS
from caudal.settlement import postings
from caudal.settlement.model import (
    HELD,
    RELEASE,
    BalanceTransaction,
    GivenBack,
    Kind,
    Movement,
    Parts,
    Release,
    Split,
    SubjectKind,
    release_id,
    start_of,
)
from caudal.settlement.rows import BALANCE_TRANSACTIONS, RELEASES

Need = tuple[Table[Any, Any], Any]


def available_on(at: datetime, settlement_days: int) -> date:
    """The day from which money that is earned at this time of the book's clock is available."""
    return at.date() + timedelta(days=settlement_days)


def needs(book: int, currency: str, day: date) -> Iterable[Need]:
    """The rows that the three functions look at, and the accounts that their postings touch."""
    yield RELEASES, release_id(book, currency, day)
    for purpose in (ledger.Purpose.PENDING, ledger.Purpose.AVAILABLE):
        yield ledger.ACCOUNTS, ledger.account_id(book, currency, purpose)


def earned(
    view: View,
    *,
    id: UUID,
    book: int,
    currency: str,
    kind: Kind,
    gross_minor: int,
    fee_minor: int,
    subject: UUID,
    subject_kind: SubjectKind,
    payin: UUID | None,
    day: date,
    at: datetime,
) -> Movement:
    """Money that is available from `day`. The line's net is gross − fee, which may be negative: PENDING never is."""
    assert gross_minor >= 0 and fee_minor >= 0, (gross_minor, fee_minor)
    row = _row(view, book, currency, day)
    fee_from_pending = min(fee_minor, row.amount_minor + gross_minor)
    put, due = _changed(view, row, gross_minor - fee_from_pending, at)
    told = line(
        id=id,
        book=book,
        currency=currency,
        kind=kind,
        gross_minor=gross_minor,
        fee_minor=fee_minor,
        subject=subject,
        subject_kind=subject_kind,
        payin=payin,
        at=at,
        available_on=day,
    )
    return Movement(fee_from_pending, fee_minor - fee_from_pending, (*put, told), due)


def taken(
    view: View,
    *,
    id: UUID,
    book: int,
    currency: str,
    kind: Kind,
    amount_minor: int,
    fee_minor: int = 0,
    subject: UUID,
    subject_kind: SubjectKind,
    payin: UUID | None,
    days: Sequence[date],
    at: datetime,
    beyond_balance: bool,
) -> Split | Refused:
    """Money that goes: first what the payin's `days` still hold unreleased, one after the other, the rest from
    AVAILABLE; then the fee, so too. The line's gross is −amount, or 0 where the money is only held (`dispute`).

    Refuses, unless `beyond_balance`: insufficient_funds, when AVAILABLE does not cover its part.
    """
    assert amount_minor >= 0 and fee_minor >= 0, (amount_minor, fee_minor)
    rows, parts = _rows(view, book, currency, days), list[tuple[Release, int]]()
    wanted = amount_minor + fee_minor
    for row in rows:
        part = min(row.amount_minor, wanted)
        wanted -= part
        parts += [(row, part)] if part else []
    pending = amount_minor + fee_minor - wanted
    from_pending = min(pending, amount_minor)
    fee_from_pending = pending - from_pending
    from_available, fee_from_available = amount_minor - from_pending, fee_minor - fee_from_pending
    asked = from_available + fee_from_available
    if asked and not beyond_balance and asked > _available(view, book, currency):
        return Refused("insufficient_funds", "the available balance does not cover this")
    puts = [put for row, part in parts for put in _changed(view, row, -part, at)[0]]
    told = line(
        id=id,
        book=book,
        currency=currency,
        kind=kind,
        gross_minor=0 if kind in HELD else -amount_minor,
        fee_minor=fee_minor,
        subject=subject,
        subject_kind=subject_kind,
        payin=payin,
        at=at,
    )
    held = tuple((row.day, part) for row, part in parts)
    return Split(from_pending, from_available, fee_from_pending, fee_from_available, (*puts, told), held)


def given_back(
    view: View,
    *,
    id: UUID,
    book: int,
    currency: str,
    kind: Kind,
    amount_minor: int,
    fee_minor: int = 0,
    parts: Parts,
    subject: UUID,
    subject_kind: SubjectKind,
    payin: UUID | None,
    at: datetime,
) -> GivenBack:
    """Money that comes back (a failed refund, a won dispute), each part to where it was: `parts` of it, which are what
    `Split.parts` said, to their days as far as those have not begun, and everything else to AVAILABLE.

    `fee_minor` is the fee that is given back with it. The line's gross is the amount, or 0 where it was only held.
    """
    assert amount_minor >= 0 and fee_minor >= 0, (amount_minor, fee_minor)
    waits = [(day, part) for day, part in parts if part and at < start_of(day)]
    rows = _rows(view, book, currency, [day for day, _ in waits])
    moved = [_changed(view, row, part, at) for row, (_, part) in zip(rows, waits, strict=True)]
    pending = sum(part for _, part in waits)
    assert pending <= amount_minor + fee_minor, "no more comes back than went"
    to_pending = min(pending, amount_minor)
    fee_to_pending = pending - to_pending
    told = line(
        id=id,
        book=book,
        currency=currency,
        kind=kind,
        gross_minor=0 if kind in HELD else amount_minor,
        fee_minor=-fee_minor,
        subject=subject,
        subject_kind=subject_kind,
        payin=payin,
        at=at,
        available_on=max(day for day, _ in waits) if to_pending else None,
    )
    puts, due = [put for puts, _ in moved for put in puts], tuple(one for _, due in moved for one in due)
    return GivenBack(
        to_pending, amount_minor - to_pending, fee_to_pending, fee_minor - fee_to_pending, (*puts, told), due
    )


def line(
    *,
    id: UUID,
    book: int,
    currency: str,
    kind: Kind,
    gross_minor: int,
    fee_minor: int = 0,
    subject: UUID,
    subject_kind: SubjectKind,
    payin: UUID | None,
    at: datetime,
    available_on: date | None = None,
) -> Put:
    """A line of the statement. Its net is the change of PENDING + AVAILABLE + RESERVED + DISPUTED."""
    record = BalanceTransaction(
        id=id,
        book=book,
        created_at=at,
        kind=kind,
        currency=currency,
        gross_minor=gross_minor,
        fee_minor=fee_minor,
        net_minor=gross_minor - fee_minor,
        subject=subject,
        subject_kind=subject_kind,
        payin=payin,
        available_on=available_on,
    )
    return Put(BALANCE_TRANSACTIONS, record)


def release(view: View, *, due: Due) -> Decision:
    """The day has begun: what it holds becomes available. A day that is still to come is due when it begins."""
    row, book = view.get(RELEASES, due.subject), view.get(BOOKS, due.book)
    assert book is not None, "due work names what there is"
    if row is None:
        return Decision(outcome=0, done=(due,))
    stood = due if row.due_at is None else msgspec.structs.replace(due, at=row.due_at, attempt=0)
    offset = timedelta(seconds=book.clock_offset_s)
    if row.amount_minor and start_of(row.day) > view.at + offset:
        later = msgspec.structs.replace(due, at=start_of(row.day) - offset, attempt=0)
        moved = msgspec.structs.replace(row, version=row.version + 1, due_at=later.at)
        # Somebody else may have moved it there: the same work at the same time is one piece.
        return Decision(outcome=0, puts=(Put(RELEASES, moved),), done=(due, stood, later), due=(later,))
    done = msgspec.structs.replace(
        row,
        version=row.version + 1,
        amount_minor=0,
        released_minor=row.released_minor + row.amount_minor,
        due_at=None,
    )
    puts = [Put(RELEASES, done)] if row.due_at is not None else []
    if row.amount_minor:
        posted = ledger.post(view, postings.released(row))
        assert isinstance(posted, ledger.Posted), posted
        puts += ledger.puts(posted)
    return Decision(outcome=row.amount_minor, puts=tuple(puts), done=(due, stood))


def _row(view: View, book: int, currency: str, day: date) -> Release:
    """The day's release, as it is or as it begins."""
    return _rows(view, book, currency, (day,))[0]


def _rows(view: View, book: int, currency: str, days: Sequence[date]) -> list[Release]:
    """The days' releases, likewise, in the order of the days that are named."""
    named = [(release_id(book, currency, day), day) for day in days]
    found = view.get_all(RELEASES, [id for id, _ in named])
    return [
        row
        or Release(
            id=id, book=book, currency=currency, day=day, version=0, amount_minor=0, released_minor=0, due_at=None
        )
        for row, (id, day) in zip(found, named, strict=True)
    ]


def _changed(view: View, row: Release, change_minor: int, at: datetime) -> tuple[tuple[Put, ...], tuple[Due, ...]]:
    """The release with another amount, and its due work if none stands yet. Nothing where nothing changes."""
    if not change_minor:
        return (), ()
    amount = row.amount_minor + change_minor
    assert amount >= 0, "nobody takes more than the day holds"
    changed = msgspec.structs.replace(row, version=row.version + 1, amount_minor=amount)
    if not amount or row.due_at is not None:
        return (Put(RELEASES, changed),), ()
    due = Due(at=start_of(row.day) - (at - view.at), kind=RELEASE, subject=row.id, book=row.book)
    return (Put(RELEASES, msgspec.structs.replace(changed, due_at=due.at)),), (due,)


def _available(view: View, book: int, currency: str) -> int:
    """What may be asked of AVAILABLE now, minor units."""
    id = ledger.account_id(book, currency, ledger.Purpose.AVAILABLE)
    account = view.get(ledger.ACCOUNTS, id) or ledger.opened(id)
    return account.credit_balance_minor - account.debits_pending
