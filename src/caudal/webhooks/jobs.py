"""Time passed: ranges of events that a merchant wants once more. `JOBS` is the flat list that the worker runs."""

from __future__ import annotations

from typing import Any, Final

import psycopg

from caudal.kernel import ids
from caudal.kernel.commit import Due
from caudal.kernel.context import Context
from caudal.kernel.due import Job
from caudal.webhooks.commands import RangeStep
from caudal.webhooks.decide import REDELIVER
from caudal.webhooks.model import Delivery
from caudal.webhooks.reactions import write
from caudal.webhooks.rows import SQL

STEP: Final = 500


async def redeliver(context: Context, shard: int, due: Due) -> None:
    """One step of a range, bounded in the events that it looks at; then the rest is due, behind everybody's work."""
    await context.commit(shard, RangeStep(due=due, more=await _step(context, shard, due)))


async def _step(context: Context, shard: int, due: Due) -> bool:
    """Makes the next deliveries; how far it has come commits with them. Whether there may be more."""
    async with context.connection() as connection, connection.transaction():
        cursor = connection.cursor(binary=True)
        row = await (await cursor.execute(SQL["range_mark"], (shard, due.subject))).fetchone()
        if row is None:
            return False
        book, endpoint, since, until, types, only_failed, seq, status = row
        asked: dict[str, Any] = {"shard": shard, "book": book, "endpoint": endpoint, "since": since, "until": until}
        asked |= {"types": types, "only_failed": only_failed, "looked_at": STEP}
        asked["seq"] = seq or await _begin(cursor, asked)
        events: list[Any] = []
        if status == "enabled":  # nobody else gets anything
            events = await (await cursor.execute(SQL["range_source"], asked)).fetchall()
        deliveries = [_delivery(book, endpoint, event) for event in events if event[-1]]
        await write(cursor, shard, deliveries)
        more = len(events) == STEP
        last = events[-1][0] if events else asked["seq"]
        written = (last, len(deliveries), "running" if more else "done", shard, due.subject)
        await cursor.execute(SQL["range_advance"], written)
        return more


async def _begin(cursor: psycopg.AsyncCursor[Any], asked: dict[str, Any]) -> int:
    row = await (await cursor.execute(SQL["range_begin"], asked)).fetchone()
    return 0 if row is None else int(row[0])


def _delivery(book: int, endpoint: Any, event: tuple[Any, ...]) -> Delivery:
    seq, at, type, subject, _ = event
    return Delivery(
        id=ids.uuid7(book >> 1),
        created_at=at,
        book=book,
        endpoint=endpoint,
        event_seq=seq,
        event_at=at,
        type=type,
        subject=subject,
        cause="redelivery",
    )


JOBS: Final[dict[str, Job]] = {REDELIVER: redeliver}
