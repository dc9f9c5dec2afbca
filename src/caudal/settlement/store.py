"""What settlement reads outside of a batch: one typed function per named query."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec

from caudal.contracts.pages import LOOKED_AT, Looked, Place
from caudal.kernel.context import Context
from caudal.settlement.model import BalanceTransaction, ids_of_book
from caudal.settlement.rows import SQL, transaction_of

LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
FAR_OFF: Final = datetime(9999, 1, 1, tzinfo=UTC)
FIRST: Final = UUID(int=0)
LAST: Final = UUID(int=2**128 - 1)


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """What a statement is narrowed by; None does not narrow."""

    kind: str | None = None
    currency: str | None = None
    payin: UUID | None = None
    since: datetime = LONG_AGO
    until: datetime = FAR_OFF

    @property
    def narrows(self) -> bool:
        """Whether it may leave few of many lines. A range of time does not: it is a range of the index."""
        return any(value is not None for value in (self.kind, self.currency, self.payin))


async def waiting(context: Context, shard: int, book: int) -> list[tuple[UUID, datetime]]:
    """The releases of a book that have due work, and where that stands."""
    rows = await context.rows(SQL["waiting_releases"], (shard, *ids_of_book(book)))
    return [(row[0], row[1]) for row in rows]


async def pending_by_day(context: Context, shard: int, book: int) -> list[tuple[str, date, int]]:
    """What of a book is not available yet: currency, day, amount in minor units; in this order."""
    rows = await context.rows(SQL["pending_by_day"], (shard, *ids_of_book(book)))
    return [(row[0], row[1], row[2]) for row in rows]


async def transactions_before(
    context: Context, shard: int, book: int, before: Place, narrow: Filter, limit: int
) -> Looked[BalanceTransaction]:
    """One page of a statement, newest first."""
    before_at, before_id = min(before, (narrow.until, FIRST))
    parameters = {"shard": shard, "book": book, "before_at": before_at, "before_id": before_id, "limit": limit}
    parameters |= msgspec.structs.asdict(narrow) | {"end_at": narrow.since, "end_id": FIRST}
    looked = await _looked(context, "transactions_looked_before", parameters) if narrow.narrows else None
    rows = await context.named_rows(SQL["transactions_before"], parameters)
    return Looked([transaction_of(row) for row in rows], looked)


async def transactions_after(
    context: Context, shard: int, book: int, after: Place, narrow: Filter, limit: int
) -> Looked[BalanceTransaction]:
    """One page back towards the newest, in the same order."""
    parameters = {"shard": shard, "book": book, "after_at": after[0], "after_id": after[1], "limit": limit}
    end_at = narrow.until - timedelta(microseconds=1)
    parameters |= msgspec.structs.asdict(narrow) | {"end_at": end_at, "end_id": LAST}
    looked = await _looked(context, "transactions_looked_after", parameters) if narrow.narrows else None
    rows = await context.named_rows(SQL["transactions_after"], parameters)
    return Looked([transaction_of(row) for row in reversed(rows)], looked)


async def _looked(context: Context, query: str, parameters: dict[str, Any]) -> Place | None:
    """Where a page ends that looks at LOOKED_AT rows; None when there are no more. The page is read as far as that."""
    rows = await context.named_rows(SQL[query], parameters | {"looked_at": LOOKED_AT})
    if not rows:
        return None
    [(at, id)] = rows
    parameters |= {"end_at": at, "end_id": id}
    return at, id
