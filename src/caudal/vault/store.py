"""What the vault reads outside of a batch: one typed function per named query."""

from __future__ import annotations

from uuid import UUID

from caudal.kernel.context import Context
from caudal.vault.model import InstrumentRecord
from caudal.vault.rows import SQL, instrument_of


async def instrument(context: Context, shard: int, id: UUID, book: int) -> InstrumentRecord | None:
    """An instrument of this book."""
    row = await context.row(SQL["instrument_by_id"], (shard, id, book))
    return None if row is None else instrument_of(row)


async def shards(context: Context) -> list[int]:
    """Every shard."""
    return [row[0] for row in await context.rows(SQL["shards"])]


async def to_rewrap(context: Context, shard: int, after: UUID, key_id: str, limit: int) -> list[InstrumentRecord]:
    """A page of the instruments behind a place whose data key is wrapped under another key than this."""
    rows = await context.rows(SQL["instruments_to_rewrap"], (shard, after, key_id, limit))
    return [instrument_of(row) for row in rows]
