"""Time passed: ranges of events that a merchant wants once more. `JOBS` is the flat list that the worker runs."""

from __future__ import annotations

from typing import Any, Final

from caudal.kernel import ids
from caudal.kernel.commit import Due
from caudal.kernel.context import Context
from caudal.kernel.due import Job
from caudal.webhooks.commands import EndRange
from caudal.webhooks.decide import REDELIVER
from caudal.webhooks.model import Delivery
from caudal.webhooks.reactions import write
from caudal.webhooks.rows import SQL

STEP: Final = 500


async def redeliver(context: Context, shard: int, due: Due) -> None:
    """Makes a range's deliveries, step by step; how far it has come commits with them."""
    while await _step(context, shard, due):
        pass
    await context.commit(shard, EndRange(due=due))


async def _step(context: Context, shard: int, due: Due) -> bool:
    async with context.pool.connection() as connection, connection.transaction():
        cursor = connection.cursor(binary=True)
        row = await (await cursor.execute(SQL["range_mark"], (shard, due.subject))).fetchone()
        if row is None:
            return False
        book, endpoint, since, until, types, only_failed, seq = row
        asked: dict[str, Any] = {"shard": shard, "book": book, "endpoint": endpoint, "since": since, "until": until}
        asked |= {"types": types, "only_failed": only_failed, "seq": seq, "limit": STEP}
        events = await (await cursor.execute(SQL["range_source"], asked)).fetchall()
        deliveries = [
            Delivery(
                id=ids.uuid7(book >> 1),
                created_at=at,
                book=book,
                endpoint=endpoint,
                event_seq=number,
                event_at=at,
                type=type,
                subject=subject,
                cause="redelivery",
            )
            for number, at, type, subject in events
        ]
        await write(cursor, shard, deliveries)
        more = len(events) == STEP
        last = events[-1][0] if events else seq
        await cursor.execute(
            SQL["range_advance"], (last, len(events), "running" if more else "done", shard, due.subject)
        )
        return more


JOBS: Final[dict[str, Job]] = {REDELIVER: redeliver}
