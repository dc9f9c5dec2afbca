"""What settlement reads outside of a batch: one typed function per named query."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from caudal.kernel.context import Context
from caudal.settlement.model import BalanceTransaction, ids_of_book
from caudal.settlement.rows import SQL, transaction_of

LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
FAR_OFF: Final = datetime(9999, 1, 1, tzinfo=UTC)


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """What a statement is narrowed by; None does not narrow."""

    kind: str | None = None
    currency: str | None = None
    payin: UUID | None = None
    since: datetime = LONG_AGO
    until: datetime = FAR_OFF


async def waiting(context: Context, shard: int, book: int) -> list[tuple[UUID, datetime]]:
    """The releases of a book that have due work, and where that stands."""
    rows = await context.rows(SQL["waiting_releases"], (shard, *ids_of_book(book)))
    return [(row[0], row[1]) for row in rows]


async def pending_by_day(context: Context, shard: int, book: int) -> list[tuple[str, date, int]]:
    """What of a book is not available yet: currency, day, amount in minor units; in this order."""
    rows = await context.rows(SQL["pending_by_day"], (shard, *ids_of_book(book)))
    return [(row[0], row[1], row[2]) for row in rows]


async def transactions_before(
    context: Context, shard: int, book: int, before: tuple[datetime, UUID], narrow: Filter, limit: int
) -> list[BalanceTransaction]:
    """One page of a statement, newest first."""
    before_at, before_id = min(before, (narrow.until, UUID(int=0)))
    parameters = {"shard": shard, "book": book, "before_at": before_at, "before_id": before_id, "limit": limit}
    rows = await context.named_rows(SQL["transactions_before"], parameters | _columns(narrow))
    return [transaction_of(row) for row in rows]


async def transactions_after(
    context: Context, shard: int, book: int, after: tuple[datetime, UUID], narrow: Filter, limit: int
) -> list[BalanceTransaction]:
    """One page back towards the newest, in the same order."""
    parameters = {"shard": shard, "book": book, "after_at": after[0], "after_id": after[1], "limit": limit}
    rows = await context.named_rows(SQL["transactions_after"], parameters | _columns(narrow))
    return [transaction_of(row) for row in reversed(rows)]


def _columns(narrow: Filter) -> dict[str, Any]:
    return msgspec.structs.asdict(narrow)
