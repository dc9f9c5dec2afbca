"""Something happened: every event becomes a delivery for each endpoint that wants to hear of it.

The consumer's position commits with the deliveries, so that each event is counted once. It takes no shard's lock. Steps
are bounded by events and by deliveries: one that is too long for its transaction would be too long for ever.
"""

from __future__ import annotations

from typing import Any, Final

import psycopg

from caudal.kernel import ids
from caudal.kernel.context import Context
from caudal.webhooks.model import Delivery
from caudal.webhooks.rows import SQL, inserting_deliveries, waking

STEP: Final = 1_000
DELIVERIES: Final = 2_000  # one event's deliveries are made at once, so that a step may have some more


async def fan_out(context: Context, shard: int) -> int:
    """Makes the deliveries of the next events; how many events it went on. One process at a time, the others go on."""
    async with context.connection() as connection, connection.transaction():
        cursor = connection.cursor(binary=True)
        row = await (await cursor.execute(SQL["fan_out_mark"], (shard,))).fetchone()
        if row is None:  # the first time, or somebody else is at it
            await cursor.execute(SQL["fan_out_begin"], (shard,))
            row = await (await cursor.execute(SQL["fan_out_mark"], (shard,))).fetchone()
        mark, head = row or (0, 0)
        if mark == head:
            return 0
        # An endpoint hears of what happens after it was made, so nobody there now means nobody up to the head.
        anybody = await (await cursor.execute(SQL["fan_out_anybody"], (shard,))).fetchone()
        last = head if anybody is None else min(mark + STEP, head)
        if anybody is not None:
            await cursor.execute(SQL["fan_out_source"], (shard, mark, last, DELIVERIES))
            rows = await cursor.fetchall()
            await write(cursor, shard, [_delivery(row) for row in rows])
            last = last if len(rows) < DELIVERIES else rows[-1][0]
        await cursor.execute(SQL["fan_out_advance"], (last, shard))
        return int(last - mark)


def _delivery(row: tuple[Any, ...]) -> Delivery:
    seq, at, book, type, subject, endpoint = row
    return Delivery(
        id=ids.uuid7(book >> 1),
        created_at=at,
        book=book,
        endpoint=endpoint,
        event_seq=seq,
        event_at=at,
        type=type,
        subject=subject,
        cause="event",
    )


async def write(cursor: psycopg.AsyncCursor[Any], shard: int, deliveries: list[Delivery]) -> None:
    """Deliveries, and the endpoints that somebody has to look at."""
    if deliveries:
        await cursor.execute(*inserting_deliveries(shard, deliveries))
        await cursor.execute(*waking(shard, {delivery.endpoint for delivery in deliveries}))
