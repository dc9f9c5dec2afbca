"""What payins read outside of a batch: one typed function per named query."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from caudal.kernel.context import Context
from caudal.payins.model import Deposit, Payer, Payin
from caudal.payins.rows import SQL, deposit_of, payin_of

LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
FAR_OFF: Final = datetime(9999, 1, 1, tzinfo=UTC)


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


async def payin_of_number(context: Context, shard: int, number: int) -> tuple[UUID, int, str, int] | None:
    """Whose CLABE this is: payin, book, currency, version of the fee plan."""
    row = await context.row(SQL["payin_of_number"], (shard, number))
    return None if row is None else (row[0], row[1], row[2], row[3])


async def payin(context: Context, shard: int, id: UUID, book: int) -> tuple[Payin, Payer | None] | None:
    """A payin of this book with its payer."""
    row = await context.row(SQL["payin_by_id"], (shard, id, book))
    if row is None:
        return None
    *columns, sealed = row
    payer = None
    if sealed is not None:
        payer = msgspec.json.decode(context.sealer.open(sealed, id.bytes), type=Payer)
    return payin_of(tuple(columns)), payer


async def payins_before(
    context: Context, shard: int, book: int, before: tuple[datetime, UUID], narrow: Filter, limit: int
) -> list[Payin]:
    """One page, newest first."""
    before_at, before_id = min(before, (narrow.until, UUID(int=0)))
    parameters = {
        "shard": shard,
        "book": book,
        "before_at": before_at,
        "before_id": before_id,
        "since": narrow.since,
        "limit": limit,
        **narrow.columns(),
    }
    return [payin_of(row) for row in await context.named_rows(SQL["payins_before"], parameters)]


async def payins_after(
    context: Context, shard: int, book: int, after: tuple[datetime, UUID], narrow: Filter, limit: int
) -> list[Payin]:
    """One page back towards the newest, in the same order."""
    parameters = {
        "shard": shard,
        "book": book,
        "after_at": after[0],
        "after_id": after[1],
        "until": narrow.until,
        "limit": limit,
        **narrow.columns(),
    }
    rows = await context.named_rows(SQL["payins_after"], parameters)
    return [payin_of(row) for row in reversed(rows)]


async def payins_found(
    context: Context, shard: int, book: int, terms: Sequence[bytes], before: UUID, narrow: Filter, limit: int
) -> list[Payin]:
    """One page of the payins that have all of these search terms, newest first."""
    parameters = {"shard": shard, "book": book, "before_id": before, **_searched(terms, narrow, limit)}
    return [payin_of(row) for row in await context.named_rows(SQL["payins_found"], parameters)]


async def payins_found_after(
    context: Context, shard: int, book: int, terms: Sequence[bytes], after: UUID, narrow: Filter, limit: int
) -> list[Payin]:
    """One page of them back towards the newest, in the same order."""
    parameters = {"shard": shard, "book": book, "after_id": after, **_searched(terms, narrow, limit)}
    rows = await context.named_rows(SQL["payins_found_after"], parameters)
    return [payin_of(row) for row in reversed(rows)]


def _searched(terms: Sequence[bytes], narrow: Filter, limit: int) -> dict[str, Any]:
    return {
        "terms": list(terms),
        "terms_count": len(terms),
        "scan": max(limit, 1000),
        "since": narrow.since,
        "until": narrow.until,
        "limit": limit,
        **narrow.columns(),
    }


async def open_payins(
    context: Context, shard: int, book: int, after: tuple[datetime, UUID], limit: int
) -> list[tuple[UUID, datetime, datetime]]:
    """Pending payins of a book behind a place, oldest first: id, expiry, creation; a page of them."""
    rows = await context.rows(SQL["payins_to_expire"], (shard, book, *after, limit))
    return [(row[0], row[1], row[2]) for row in rows]


async def deposits_before(
    context: Context, shard: int, book: int | None, before: tuple[datetime, UUID], *, unapplied: bool, limit: int
) -> list[Deposit]:
    """One page of a book's deposits, or of all that have unapplied money; newest first."""
    parameters = {
        "shard": shard,
        "book": book,
        "before_at": before[0],
        "before_id": before[1],
        "unapplied": unapplied,
        "limit": limit,
    }
    query = SQL["unapplied_deposits_before" if book is None else "deposits_before"]
    return [deposit_of(row) for row in await context.named_rows(query, parameters)]


async def deposit(context: Context, shard: int, id: UUID) -> Deposit | None:
    """A deposit by its id."""
    row = await context.row(SQL["read_deposits"], (shard, [id]))
    return None if row is None else deposit_of(row)
