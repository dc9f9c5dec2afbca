"""The bare write path: what batches of the same shape cost without HTTP, validation, ledger or failure rules.

Commands queue while a batch commits; a batch is two round trips (lock and read, write and commit) on one pipelined
connection, and writes payin, key, due work, event, batch and shard with guarded statements. The product cannot be
faster than this; how near it comes is the figure `caudal-load bare` is there for.
"""

from __future__ import annotations

import asyncio
import os
import uuid
from collections import deque
from datetime import timedelta
from time import perf_counter
from typing import Any, Final

import psycopg

TABLES: Final = """
drop schema if exists bare cascade;
create schema bare;
create table bare.shard (id integer primary key, seq bigint not null, last_at timestamptz not null)
    with (fillfactor = 10);
create table bare.batch (shard integer, id uuid, first_seq bigint, last_seq bigint, primary key (shard, id));
create table bare.payin (shard integer, id uuid, book bigint, amount_minor bigint, body bytea, created_at timestamptz,
    primary key (shard, id));
create table bare.key (shard integer, book bigint, digest bytea, fingerprint bytea, subject uuid, answer bytea,
    created_at timestamptz, primary key (shard, book, digest));
create table bare.due (shard integer, at timestamptz, subject uuid, kind text, primary key (shard, at, subject));
create table bare.event (shard integer, seq bigint, book bigint, type text, subject uuid, data bytea, at timestamptz,
    primary key (shard, seq));
insert into bare.shard values (0, 0, '2000-01-01');
"""
_GUARD: Final = " returning 1) select 1 / (count(*) = %s)::int from w"
_LOCK: Final = "select seq, greatest(clock_timestamp(), last_at) from bare.shard where id = 0 for update"
_SEEN: Final = (
    "select i.place from unnest(%s::bigint[], %s::bytea[]) with ordinality i(book, digest, place)"
    " cross join lateral (select from bare.key where shard = 0 and book = i.book and digest = i.digest limit 1) k"
)
_WRITES: Final = (
    "with w as (insert into bare.payin select 0, id, book, amount, body, %s"
    " from unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::bytea[]) t(id, book, amount, body)" + _GUARD,
    "with w as (insert into bare.key select 0, book, digest, print, id, body, %s"
    " from unnest(%s::bigint[], %s::bytea[], %s::bytea[], %s::uuid[], %s::bytea[]) t(book, digest, print, id, body)"
    + _GUARD,
    "with w as (insert into bare.due select 0, %s, id, 'expire' from unnest(%s::uuid[]) t(id)" + _GUARD,
    "with w as (insert into bare.event select 0, seq, book, 'payin.created', id, body, %s"
    " from unnest(%s::bigint[], %s::bigint[], %s::uuid[], %s::bytea[]) t(seq, book, id, body)" + _GUARD,
    "insert into bare.batch values (0, %s, %s, %s)",
    "with w as (update bare.shard set seq = %s, last_at = %s where id = 0 and seq = %s" + _GUARD,
)
_DAY: Final = timedelta(days=1)
_BODY: Final = b"x" * 450
_BATCH_MAX: Final = 256

Create = tuple[int, bytes, bytes, uuid.UUID, int, bytes]


class Bare:
    """One queue, one connection, one task that commits batch after batch."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection = connection
        self._queue: deque[tuple[Create, asyncio.Future[bool]]] = deque()
        self._wake = asyncio.Event()

    def create(self, row: Create) -> asyncio.Future[bool]:
        """Queues one create; True after its commit, False where its key was there."""
        future: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._queue.append((row, future))
        self._wake.set()
        return future

    async def run(self) -> None:
        """Commits until cancelled."""
        while True:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), _BATCH_MAX))]
            seen = await self._commit([row for row, _ in batch])
            for place, (_, future) in enumerate(batch, 1):
                future.set_result(place not in seen)

    async def _commit(self, rows: list[Create]) -> set[int]:
        connection = self._connection
        async with connection.pipeline() as pipeline:
            lock, keys, commit = (connection.cursor(binary=True) for _ in range(3))
            await connection.execute("begin")
            await lock.execute(_LOCK)
            await keys.execute(_SEEN, ([row[0] for row in rows], [row[1] for row in rows]))
            await pipeline.sync()
            found = await lock.fetchone()
            assert found is not None
            first, at = found
            seen = {place for (place,) in await keys.fetchall()}
            fresh = [row for place, row in enumerate(rows, 1) if place not in seen]
            if fresh:
                for statement, parameters in zip(_WRITES, _parameters(fresh, first, at), strict=True):
                    await connection.cursor(binary=True).execute(statement, parameters)
            await commit.execute("commit")
        assert commit.statusmessage == "COMMIT", commit.statusmessage
        return seen


def _parameters(fresh: list[Create], first: int, at: Any) -> tuple[tuple[Any, ...], ...]:
    book, digest, print_of, id, amount, body = (list(column) for column in zip(*fresh, strict=True))
    count, last = len(fresh), first + len(fresh)
    return (
        (at, id, book, amount, body, count),
        (at, book, digest, print_of, id, body, count),
        (at + _DAY, id, count),
        (at, list(range(first + 1, last + 1)), book, id, body, count),
        (uuid.uuid4(), first + 1, last),
        (last, at, first, 1),
    )


async def rate(database_url: str, in_flight: int, seconds: float) -> float:
    """Creates per second with so many in flight. Makes and drops a schema `bare` of its own."""
    connection = await psycopg.AsyncConnection.connect(database_url, autocommit=True, prepare_threshold=0)
    async with connection:
        await connection.execute(TABLES.encode(), prepare=False)
        bare, done = Bare(connection), 0
        committing = asyncio.create_task(bare.run())
        end = perf_counter() + seconds

        async def client() -> None:
            nonlocal done
            while perf_counter() < end:
                await bare.create((1, os.urandom(16), os.urandom(16), uuid.uuid4(), 1000, _BODY))
                done += 1

        await asyncio.gather(*(client() for _ in range(in_flight)))
        committing.cancel()
        await asyncio.gather(committing, return_exceptions=True)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as cleaning:
        await cleaning.execute("drop schema bare cascade")
    return done / seconds
