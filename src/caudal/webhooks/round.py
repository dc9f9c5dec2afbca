"""One short transaction for everything that a deliverer has to write and read: a few statements, many rows each.

Rows of the queue are locked in one order at the beginning, and nothing is waited for after that, so that this and the
fan-out never wait for each other in a circle.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

import msgspec
import psycopg

from caudal.contracts.envelope import envelope_of, event_id
from caudal.kernel.commit import Row
from caudal.kernel.db import bigints, byteas, integers, texts, timestamps, uuids
from caudal.kernel.http import encode
from caudal.webhooks.lane import Letter
from caudal.webhooks.model import Attempt, Endpoint
from caudal.webhooks.rows import SQL, endpoint_of
from caudal.webhooks.states import Happening, Status, after

_CANCELLED_AT_ONCE: Final = 1_000

Cursor = psycopg.AsyncCursor[Any]


class Back(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What is written down of one delivery; `attempt` is None where none was made."""

    lane: UUID
    letter: UUID
    created_at: datetime
    status: Status
    attempts: int
    delay_us: int | None = None
    due_at: datetime | None = None
    attempt: Attempt | None = None


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a round is to do."""

    shard: int
    holder: UUID
    lease: timedelta
    back: Sequence[Back]
    failing: Sequence[tuple[UUID, datetime | None]]
    release: Sequence[UUID]
    renew: Sequence[UUID]
    claim: int


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery as it was read."""

    endpoint: UUID
    letter: Letter


async def write(cursor: Cursor, asked: Asked) -> None:
    """What has come back, and which endpoints are let go."""
    locked = {*asked.release, *asked.renew, *(endpoint for endpoint, _ in asked.failing)}
    if locked:
        await cursor.execute(SQL["hold"], (asked.shard, uuids(list(locked)), asked.holder))
    if asked.back:
        await _write_back(cursor, asked.shard, asked.back)
    if asked.failing:
        endpoints, since = zip(*asked.failing, strict=True)
        parameters = (uuids(endpoints), timestamps(since), asked.shard, uuids(endpoints), asked.holder)
        await cursor.execute(SQL["mark_failing"], parameters)
    if asked.release:
        await cursor.execute(SQL["release"], (asked.shard, uuids(asked.release), asked.holder))


async def _write_back(cursor: Cursor, shard: int, back: Sequence[Back]) -> None:
    columns = (
        uuids([one.letter for one in back]),
        timestamps([one.created_at for one in back]),
        texts([one.status for one in back]),
        integers([one.attempts for one in back]),
        timestamps([one.due_at for one in back]),
        bigints([one.delay_us for one in back]),
    )
    await cursor.execute(SQL["finish"], (*columns, shard, shard))
    made = [(one.letter, one.attempt) for one in back if one.attempt is not None]
    if made:
        tried = [attempt for _, attempt in made]
        columns_made = (
            uuids([letter for letter, _ in made]),
            integers([attempt.number for attempt in tried]),
            timestamps([attempt.at for attempt in tried]),
            texts([attempt.url for attempt in tried]),
            texts([attempt.signature for attempt in tried]),
            bigints([attempt.duration_us for attempt in tried]),
            integers([attempt.status for attempt in tried]),
            texts([attempt.error for attempt in tried]),
            byteas([attempt.answer for attempt in tried]),
        )
        await cursor.execute(SQL["insert_attempts"], (shard, *columns_made))


async def renew(cursor: Cursor, asked: Asked) -> set[UUID]:
    """Holds on for another lease; those that are still ours."""
    if not asked.renew:
        return set()
    await cursor.execute(SQL["renew"], (asked.lease, asked.shard, uuids(asked.renew), asked.holder))
    return {row[0] for row in await cursor.fetchall()}


async def claim(cursor: Cursor, asked: Asked) -> list[tuple[UUID, datetime | None]]:
    """Endpoints with something due that nobody held, and since when each has failed."""
    if asked.claim <= 0:
        return []
    parameters = {"shard": asked.shard, "holder": asked.holder, "lease": asked.lease, "limit": asked.claim}
    await cursor.execute(SQL["claim"], parameters)
    return [(row[0], row[1]) for row in await cursor.fetchall()]


async def endpoints(cursor: Cursor, shard: int, ids: Sequence[UUID]) -> list[tuple[Endpoint, bool]]:
    """Endpoints as they are now, and whether something was put off at each."""
    if not ids:
        return []
    await cursor.execute(SQL["read_held"], (shard, uuids(ids)))
    return [(endpoint_of(row[:-1]), row[-1]) for row in await cursor.fetchall()]


async def changed(cursor: Cursor, shard: int, versions: Sequence[tuple[UUID, int]]) -> list[UUID]:
    """Which of these endpoints are not at this version any more."""
    if not versions:
        return []
    ids, known = zip(*versions, strict=True)
    await cursor.execute(SQL["read_changed"], (uuids(ids), integers(known), shard))
    return [row[0] for row in await cursor.fetchall()]


async def due(cursor: Cursor, shard: int, wanted: Sequence[tuple[UUID, int]]) -> list[Read]:
    """What is due at these endpoints, at most so many each, in order."""
    ids, most = zip(*wanted, strict=True)
    await cursor.execute(SQL["read_due"], (uuids(ids), integers(most), shard))
    return [_read(row) for row in await cursor.fetchall()]


def _read(row: Row) -> Read:
    id, created_at, book, endpoint, event_seq, event_at, type, subject, attempts, data = row
    body = None
    if data is not None:
        body = encode(envelope_of(book >> 1, (event_seq, event_at, type, subject, data)))
    letter = Letter(
        id=id,
        created_at=created_at,
        subject=subject,
        seq=event_seq,
        event=event_id(event_at, book >> 1, event_seq),
        attempts=attempts,
        body=body,
    )
    return Read(endpoint=endpoint, letter=letter)


async def blocked(cursor: Cursor, shard: int, read: Sequence[Read], moving: Collection[UUID]) -> dict[UUID, datetime]:
    """Which of these have to wait for an earlier event of their subject that was put off, and until when.

    Put off is what is tried again soon, and what has waited for such a one: it is due later than an event behind it
    that nobody has looked at yet. One that is `moving` is in hand already and goes first by itself, as does one that
    stands before in `read`. The time may have passed: who waits until then comes behind the other, due at the same
    moment.
    """
    if not read:
        return {}
    subjects = {(one.endpoint, one.letter.subject) for one in read}
    ids, of = zip(*subjects, strict=True)
    await cursor.execute(SQL["read_put_off"], (uuids(ids), uuids(of), shard))
    put_off: dict[tuple[UUID, UUID], list[tuple[UUID, int, datetime]]] = {}
    for id, endpoint, subject, seq, due_at in await cursor.fetchall():
        put_off.setdefault((endpoint, subject), []).append((id, seq, due_at))
    found: dict[UUID, datetime] = {}
    going = set(moving)
    for one in read:
        before = put_off.get((one.endpoint, one.letter.subject), ())
        times = [due_at for id, seq, due_at in before if seq < one.letter.seq and id not in going]
        if times:
            found[one.letter.id] = max(times)
        else:
            going.add(one.letter.id)
    return found


async def cancel(cursor: Cursor, shard: int, ids: Sequence[UUID]) -> bool:
    """Nothing waits for disabled endpoints any more; whether there may be more to cancel."""
    status = after(Status.PENDING, Happening.ENDPOINT_DISABLED)
    await cursor.execute(SQL["cancel"], (status, shard, uuids(ids), _CANCELLED_AT_ONCE, shard))
    return cursor.rowcount == _CANCELLED_AT_ONCE
