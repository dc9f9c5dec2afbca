"""What webhooks read outside of a batch: one typed function per named query."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import msgspec

from caudal.contracts.envelope import envelope_of
from caudal.kernel.commit import Row
from caudal.kernel.context import Context
from caudal.kernel.http import encode
from caudal.webhooks.model import Attempt, Delivery, Endpoint
from caudal.webhooks.rows import SQL, delivery_of, endpoint_of

LONG_AGO: Final = datetime(2000, 1, 1, tzinfo=UTC)
FAR_OFF: Final = datetime(9999, 1, 1, tzinfo=UTC)

Place = tuple[datetime, UUID]
Seen = tuple[Endpoint, datetime | None]


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """What a list of deliveries is narrowed by; None does not narrow."""

    status: str | None = None
    type: str | None = None
    seq: int | None = None
    since: datetime = LONG_AGO
    until: datetime = FAR_OFF


class Happened(msgspec.Struct, frozen=True, kw_only=True):
    """An event that may be delivered again."""

    seq: int
    at: datetime
    type: str
    subject: UUID


async def endpoint(context: Context, shard: int, id: UUID, book: int) -> Seen | None:
    """An endpoint of this book, and since when nothing else than failures came of it."""
    row = await context.row(SQL["endpoint_by_id"], (shard, id, book))
    return None if row is None else _seen(row)


async def endpoints_before(context: Context, shard: int, book: int, before: Place, limit: int) -> list[Seen]:
    """One page, newest first."""
    return [_seen(row) for row in await context.rows(SQL["endpoints_before"], (shard, book, *before, limit))]


async def endpoints_after(context: Context, shard: int, book: int, after: Place, limit: int) -> list[Seen]:
    """One page back towards the newest, in the same order."""
    rows = await context.rows(SQL["endpoints_after"], (shard, book, *after, limit))
    return [_seen(row) for row in reversed(rows)]


async def endpoints_for(context: Context, shard: int, book: int, type: str) -> list[UUID]:
    """The enabled endpoints of a book that hear of a type."""
    return [row[0] for row in await context.rows(SQL["endpoints_for"], (shard, book, type))]


async def deliveries_before(
    context: Context, shard: int, endpoint: Endpoint, before: Place, narrow: Filter, limit: int
) -> list[Delivery]:
    """One page, newest event first."""
    parameters = _narrowed(shard, endpoint, before, narrow, limit)
    return [delivery_of(row) for row in await context.named_rows(SQL["deliveries_before"], parameters)]


async def deliveries_after(
    context: Context, shard: int, endpoint: Endpoint, after: Place, narrow: Filter, limit: int
) -> list[Delivery]:
    """One page back towards the newest, in the same order."""
    rows = await context.named_rows(SQL["deliveries_after"], _narrowed(shard, endpoint, after, narrow, limit))
    return [delivery_of(row) for row in reversed(rows)]


def _narrowed(shard: int, endpoint: Endpoint, place: Place, narrow: Filter, limit: int) -> dict[str, Any]:
    return {
        "shard": shard,
        "book": endpoint.book,
        "endpoint": endpoint.id,
        "place_at": place[0],
        "place_id": place[1],
        "limit": limit,
        **msgspec.structs.asdict(narrow),
    }


async def delivery(context: Context, shard: int, id: UUID, book: int) -> Delivery | None:
    """A delivery of this book."""
    row = await context.row(SQL["delivery_by_id"], (shard, id, book))
    return None if row is None else delivery_of(row)


async def attempts(context: Context, shard: int, delivery: UUID) -> list[Attempt]:
    """What was tried, oldest first."""
    rows = await context.rows(SQL["attempts_of"], (shard, delivery))
    return [
        Attempt(
            number=number,
            at=at,
            url=url,
            signature=signature,
            duration_us=duration_us,
            status=status,
            error=error,
            answer=answer,
        )
        for number, at, url, signature, duration_us, status, error, answer in rows
    ]


async def event(context: Context, shard: int, book: int, seq: int) -> tuple[Happened, bytes] | None:
    """An event of this book with its body as it is sent, while events are kept."""
    row = await context.row(SQL["event_by_seq"], (shard, book, seq))
    if row is None:
        return None
    seq, at, type, subject, _ = row
    return Happened(seq=seq, at=at, type=type, subject=subject), encode(envelope_of(book >> 1, row))


async def lag_s(context: Context, shard: int) -> float:
    """How old the oldest event without its deliveries is, or how long a delivery has been due; seconds."""
    row = await context.named_rows(SQL["lag"], {"shard": shard})
    return float(row[0][0])


def _seen(row: Row) -> Seen:
    *columns, failing_since = row
    return endpoint_of(tuple(columns)), failing_since
