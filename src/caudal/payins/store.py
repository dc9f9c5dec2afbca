"""What payins read outside of a batch: one typed function per named query."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import msgspec

from caudal.contracts.pages import LOOKED_AT, Looked, Place
from caudal.kernel.clock import wall_clock
from caudal.kernel.commit import Due
from caudal.kernel.context import Context
from caudal.payins.gathered import PayinsRead
from caudal.payins.model import Deposit, Discrepancy, Dispute, Evidence, Kind, Operation, OverrideRecord, Payer, Payin
from caudal.payins.rows import (
    SQL,
    deposit_of,
    discrepancy_of,
    dispute_of,
    evidence_of,
    operation_of,
    override_of,
    payin_of,
)
from caudal.vault import INSTRUMENTS, InstrumentRecord

LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
FAR_OFF: Final = datetime(9999, 1, 1, tzinfo=UTC)
FIRST: Final = UUID(int=0)
LAST: Final = UUID(int=2**128 - 1)
_DUE: Final = ("at", "kind", "subject", "book", "attempt", "said")
_MICROSECOND: Final = timedelta(microseconds=1)


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """What a list is narrowed by; None does not narrow."""

    status: str | None = None
    method: str | None = None
    country: str | None = None
    currency: str | None = None
    since: datetime = LONG_AGO
    until: datetime = FAR_OFF

    def columns(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("status", "method", "country", "currency")}

    @property
    def narrows(self) -> bool:
        """Whether it may leave few of many rows. A range of time does not: it is a range of the index."""
        return any(value is not None for value in self.columns().values())


class Numbered(NamedTuple):
    """Whose CLABE a number is, how that is priced, and how far the book's clock was moved a moment ago."""

    payin: UUID
    book: int
    fee_plan: int
    settlement_days: int
    clock_offset_s: int


async def payin_of_number(context: Context, shard: int, number: int, family: str) -> Numbered | None:
    """Whose CLABE this is, for methods of a family."""
    row = await context.row(SQL["payin_of_number"], (family, shard, number))
    return None if row is None else Numbered(*row)


async def payin(context: Context, shard: int, id: UUID, book: int) -> tuple[Payin, Payer | None] | None:
    """A payin of this book with its payer."""
    row = await context.once(PayinsRead).of(shard).get((id, book))
    if row is None:
        return None
    *columns, sealed = row
    payer = None
    if sealed is not None:
        payer = msgspec.json.decode(context.sealer.open(sealed, id.bytes), type=Payer)
    return payin_of(tuple(columns)), payer


async def payins_before(
    context: Context, shard: int, book: int, before: Place, narrow: Filter, limit: int
) -> Looked[Payin]:
    """One page, newest first."""
    before_at, before_id = min(before, (narrow.until, FIRST))
    parameters = {"shard": shard, "book": book, "before_at": before_at, "before_id": before_id, "limit": limit}
    parameters |= narrow.columns() | _until((narrow.since, FIRST))
    looked = await _looked(context, "payins_looked_before", parameters) if narrow.narrows else None
    rows = await context.named_rows(SQL["payins_before"], parameters)
    return Looked([payin_of(row) for row in rows], looked)


async def payins_after(
    context: Context, shard: int, book: int, after: Place, narrow: Filter, limit: int
) -> Looked[Payin]:
    """One page back towards the newest, in the same order."""
    parameters = {"shard": shard, "book": book, "after_at": after[0], "after_id": after[1], "limit": limit}
    parameters |= narrow.columns() | _until((narrow.until - _MICROSECOND, LAST))
    looked = await _looked(context, "payins_looked_after", parameters) if narrow.narrows else None
    rows = await context.named_rows(SQL["payins_after"], parameters)
    return Looked([payin_of(row) for row in reversed(rows)], looked)


async def payins_found(
    context: Context, shard: int, book: int, terms: Sequence[bytes], before: UUID, narrow: Filter, limit: int
) -> Looked[Payin]:
    """One page of the payins that have all of these search terms, newest first."""
    parameters = {"shard": shard, "book": book, "before_id": before, "limit": limit, **_searched(terms, narrow, FIRST)}
    looked = await _looked(context, "payins_found_looked", parameters)
    rows = await context.named_rows(SQL["payins_found"], parameters)
    return Looked([payin_of(row) for row in rows], looked)


async def payins_found_after(
    context: Context, shard: int, book: int, terms: Sequence[bytes], after: UUID, narrow: Filter, limit: int
) -> Looked[Payin]:
    """One page of them back towards the newest, in the same order."""
    parameters = {"shard": shard, "book": book, "after_id": after, "limit": limit, **_searched(terms, narrow, LAST)}
    looked = await _looked(context, "payins_found_looked_after", parameters)
    rows = await context.named_rows(SQL["payins_found_after"], parameters)
    return Looked([payin_of(row) for row in reversed(rows)], looked)


async def _looked(context: Context, query: str, parameters: dict[str, Any]) -> Place | None:
    """Where a page ends that looks at LOOKED_AT rows; None when there are no more. The page is read as far as that."""
    rows = await context.named_rows(SQL[query], parameters | {"looked_at": LOOKED_AT})
    if not rows:
        return None
    [(at, id)] = rows
    parameters |= _until((at, id))
    return at, id


def _until(end: Place) -> dict[str, Any]:
    return {"end_at": end[0], "end_id": end[1]}


def _searched(terms: Sequence[bytes], narrow: Filter, end: UUID) -> dict[str, Any]:
    first, *others = terms
    found = {"term": first, "others": others, "since": narrow.since, "until": narrow.until, "end_id": end}
    return found | narrow.columns()


async def open_payins(
    context: Context, shard: int, book: int, after: tuple[datetime, UUID], limit: int
) -> list[tuple[UUID, datetime, datetime]]:
    """Pending and authorized payins of a book behind a place, oldest first: id, expiry, creation; a page of them."""
    rows = await context.rows(SQL["payins_to_expire"], (shard, book, *after, limit))
    return [(row[0], row[1], row[2]) for row in rows]


async def deposits_before(
    context: Context, shard: int, of: int | Payin | None, before: Place, *, unapplied: bool, limit: int
) -> Looked[Deposit]:
    """One page of a book's deposits, of a payin's, or of all that have unapplied money; newest first."""
    parameters = {
        "shard": shard,
        "book": of if isinstance(of, int) else None,
        "before_at": before[0],
        "before_id": before[1],
        "unapplied": unapplied,
        "limit": limit,
        **_until((LONG_AGO, FIRST)),
    }
    query = SQL["unapplied_deposits_before" if of is None else "deposits_before"]
    if isinstance(of, Payin):
        query = SQL["deposits_of_payin"]
        parameters |= {"payin": of.id, "own": list(of.details().deposits)}
    narrows = isinstance(of, int) and unapplied
    looked = await _looked(context, "deposits_looked_before", parameters) if narrows else None
    return Looked([deposit_of(row) for row in await context.named_rows(query, parameters)], looked)


async def deposit(context: Context, shard: int, id: UUID) -> Deposit | None:
    """A deposit by its id."""
    row = await context.row(SQL["read_deposits"], ([id], shard))
    return None if row is None else deposit_of(row)


async def overrides(context: Context, shard: int) -> list[OverrideRecord]:
    """What operators have decided about providers."""
    return [override_of(row) for row in await context.rows(SQL["all_overrides"], (shard,))]


# What provider flows look at between two commits


async def now(context: Context) -> datetime:
    """The database's time."""
    row = await context.row("select clock_timestamp()")
    assert row is not None
    at: datetime = row[0]
    return at


async def payin_row(context: Context, shard: int, id: UUID) -> Payin | None:
    """A payin of any book, without its payer."""
    row = await context.once(PayinsRead).of(shard).get((id, None))
    return None if row is None else payin_of(row[:-1])


async def recent_payins(context: Context, shard: int, within_s: float, limit: int) -> list[Payin]:
    """The payins of any book that were created within a time, newest first, as many as `limit`."""
    since = UUID(int=max(0, int((wall_clock().timestamp() - within_s) * 1000)) << 80)
    return [payin_of(row) for row in await context.rows(SQL["recent_payins"], (shard, since, limit))]


async def payer(context: Context, shard: int, payin: UUID) -> Payer | None:
    """Who pays, opened."""
    row = await context.row(SQL["payer_seal"], (shard, payin))
    return None if row is None else msgspec.json.decode(context.sealer.open(row[0], payin.bytes), type=Payer)


async def instrument(context: Context, shard: int, id: UUID) -> InstrumentRecord | None:
    """An instrument as the vault keeps it."""
    query, parameters = INSTRUMENTS.reading(shard, [id])
    row = await context.row(query, parameters)
    return None if row is None else INSTRUMENTS.load(row)[1]


async def instruments(context: Context, shard: int, ids: Collection[UUID]) -> list[InstrumentRecord]:
    """Instruments as the vault keeps them."""
    query, parameters = INSTRUMENTS.reading(shard, sorted(ids))
    return [INSTRUMENTS.load(row)[1] for row in await context.rows(query, parameters)] if ids else []


async def operation(context: Context, shard: int, id: UUID) -> Operation | None:
    """A capture, a void or a refund of any book."""
    row = await context.row(SQL["read_operations"], ([id], shard))
    return None if row is None else operation_of(row)


def place_of_operation(operation: Operation) -> Place:
    return operation.created_at, operation.id


async def operations_before(
    context: Context,
    shard: int,
    book: int,
    kind: Kind,
    before: Place,
    *,
    since: datetime,
    payin: UUID | None,
    status: str | None,
    limit: int,
) -> Looked[Operation]:
    """One page of a book's operations of one kind, newest first; of one payin, which has few, where it is named."""
    if payin is not None:
        rows = await context.rows(SQL["operations_of_payin"], (shard, payin))
        all_of_it = sorted(map(operation_of, rows), key=place_of_operation, reverse=True)
        found = [one for one in all_of_it if (one.book, one.kind) == (book, kind) and status in (None, one.status)]
        return Looked([one for one in found if (since, FIRST) <= place_of_operation(one) < before][:limit], None)
    parameters = {
        "shard": shard,
        "book": book,
        "kind": kind,
        "before_at": before[0],
        "before_id": before[1],
        "status": status,
        "limit": limit,
        **_until((since, FIRST)),
    }
    looked = await _looked(context, "operations_looked_before", parameters)
    rows = await context.named_rows(SQL["operations_before"], parameters)
    return Looked([operation_of(row) for row in rows], looked)


async def discrepancies_before(
    context: Context,
    shard: int,
    before: Place,
    *,
    all: bool,
    kind: str | None,
    provider: str | None,
    limit: int,
) -> Looked[Discrepancy]:
    """One page of all merchants' discrepancies, newest first; the open ones unless `all`."""
    parameters = {"shard": shard, "before_at": before[0], "before_id": before[1], "kind": kind, "provider": provider}
    parameters |= {"limit": limit, **_until((LONG_AGO, FIRST))}
    narrows = kind is not None or provider is not None
    which = "discrepancies" if all else "open_discrepancies"
    looked = await _looked(context, f"{which}_looked_before", parameters) if narrows else None
    rows = await context.named_rows(SQL[f"{which}_before"], parameters)
    return Looked([discrepancy_of(row) for row in rows], looked)


async def discrepancy(context: Context, shard: int, id: UUID) -> Discrepancy | None:
    """A discrepancy of any book."""
    row = await context.row(SQL["read_discrepancies"], (shard, [id]))
    return None if row is None else discrepancy_of(row)


async def discrepancies_of(context: Context, shard: int, ids: Sequence[UUID]) -> list[Discrepancy]:
    """Those that there are."""
    rows = await context.rows(SQL["read_discrepancies"], (shard, list(ids))) if ids else []
    return [discrepancy_of(row) for row in rows]


async def work_in_vain(context: Context, shard: int, kind: str, after: UUID, limit: int) -> list[Due]:
    """Work of a kind that was tried and did not end, behind a subject, in the order of its subjects."""
    parameters = {"shard": shard, "kind": kind, "after": after, "limit": limit}
    return [
        Due(**dict(zip(_DUE, row, strict=True))) for row in await context.named_rows(SQL["work_in_vain"], parameters)
    ]


async def work_in_vain_of(context: Context, shard: int, kinds: Sequence[str], subject: UUID) -> Due | None:
    """The same about one subject."""
    row = await context.row(SQL["work_in_vain_of"], (shard, list(kinds), subject))
    return None if row is None else Due(**dict(zip(_DUE, row, strict=True)))


async def evidence_on(context: Context, shard: int, payin: UUID) -> tuple[list[tuple[Any, ...]], list[UUID]]:
    """What has become of a payin, oldest first (event, status, reason, time), and its discrepancies, newest first."""
    changes = await context.rows(SQL["changes_of_payin"], (shard, payin))
    return changes, [row[0] for row in await context.rows(SQL["discrepancies_of_payin"], (shard, payin))]


async def under_way(context: Context, shard: int, payin: UUID) -> bool:
    """Whether a capture, a void or a refund of a payin has no outcome yet."""
    rows = await context.rows(SQL["operations_of_payin"], (shard, payin))
    return any(operation_of(row).status == "pending" for row in rows)


# Disputes


async def dispute(context: Context, shard: int, id: UUID) -> Dispute | None:
    """A dispute of any book."""
    row = await context.row(SQL["read_disputes"], (shard, [id]))
    return None if row is None else dispute_of(row)


async def disputes_before(
    context: Context,
    shard: int,
    book: int,
    before: Place,
    *,
    since: datetime,
    payin: UUID | None,
    status: str | None,
    limit: int,
) -> list[Dispute]:
    """One page of a book's disputes, newest first; of one payin where it is named."""
    parameters = {"shard": shard, "book": book, "before_at": before[0], "before_id": before[1], "since": since}
    parameters |= {"payin": payin, "status": status, "limit": limit}
    return [dispute_of(row) for row in await context.named_rows(SQL["disputes_before"], parameters)]


async def open_disputes(
    context: Context, shard: int, book: int, after: UUID, limit: int
) -> list[tuple[UUID, str, datetime]]:
    """Open disputes of a book behind an id: id, currency, last moment for evidence; a page of them."""
    rows = await context.rows(SQL["open_disputes"], (shard, book, after, limit))
    return [(row[0], row[1], row[2]) for row in rows]


async def evidence(context: Context, shard: int, id: UUID) -> Evidence | None:
    """What is said of a file."""
    row = await context.row(SQL["read_evidence"], (shard, [id]))
    return None if row is None else evidence_of(row)


async def evidence_of_dispute(context: Context, shard: int, dispute: UUID) -> list[Evidence]:
    """The files of a dispute, oldest first; there are few."""
    return [evidence_of(row) for row in await context.rows(SQL["evidence_of_dispute"], (shard, dispute))]


async def keep_file(context: Context, shard: int, id: UUID, sealed: bytes) -> None:
    """Keeps a file's sealed content, durable before any batch speaks of it. The same id again is kept from then on."""
    async with context.connection() as connection, connection.transaction():
        await connection.execute(SQL["keep_file"], (shard, id, sealed))


async def drop_file(context: Context, shard: int, id: UUID) -> None:
    """Forgets a file that was kept for nothing."""
    async with context.connection() as connection, connection.transaction():
        await connection.execute(SQL["drop_file"], (shard, id))


async def drop_unused_files(context: Context, shard: int) -> int:
    """Forgets files of the last days that were kept for an hour and never became evidence; how many."""
    async with context.connection() as connection:
        cursor = await connection.execute(SQL["drop_unused_files"], (shard,))
        dropped: int = cursor.rowcount
        return dropped


async def file(context: Context, shard: int, id: UUID) -> bytes | None:
    """A file's content, sealed under its id."""
    row = await context.row(SQL["read_file"], (shard, id))
    return None if row is None else bytes(row[0])
