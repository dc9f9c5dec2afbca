"""The bare write path: what batches of the same shape cost without HTTP, validation, ledger or failure rules.

Commands queue while a batch commits; a batch is two round trips (lock and read, write and commit) on one pipelined
connection, and writes payin, key, due work, event, batch and shard with guarded statements: those of the prototype of
ARCHITECTURE.md, section 4, and its tables. Two things differ from it: an error ends the run instead of replacing the
connection, and it runs on uvloop like everything else here. The product cannot be faster than this; how near it comes
is the figure that `caudal-load bare` is there for.
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
create table bare.shard (id integer primary key, seq bigint not null default 0,
    last_at timestamptz not null default 'epoch') with (fillfactor = 10);
create table bare.batch (shard integer not null, id uuid not null, first_seq bigint not null, last_seq bigint not null,
    primary key (shard, id));
create table bare.payin (shard integer not null, id uuid not null, book bigint not null, amount_minor bigint not null,
    created_at timestamptz not null, body bytea not null, primary key (shard, id)) with (fillfactor = 80);
create table bare.key (shard integer not null, book bigint not null, digest bytea not null, fingerprint bytea not null,
    subject uuid not null, answer bytea not null, created_at timestamptz not null, primary key (shard, book, digest));
create table bare.due (shard integer not null, at timestamptz not null, subject uuid not null, kind text not null,
    primary key (shard, at, subject));
create table bare.event (shard integer not null, seq bigint not null, book bigint not null, type text not null,
    subject uuid not null, data bytea not null, created_at timestamptz not null, primary key (shard, seq));
insert into bare.shard (id) values (0);
"""
SESSION: Final = (
    "set idle_in_transaction_session_timeout = '1s'; set lock_timeout = '2s'; set transaction_timeout = '5s'"
)
_GUARD: Final = " returning 1) select 1 / (count(*) = %s)::int from w"
_LOCK: Final = "select seq, greatest(clock_timestamp(), last_at) from bare.shard where id = 0 for update"
_SEEN: Final = (
    "select i.place from unnest(%s::bigint[], %s::bytea[]) with ordinality i(book, digest, place)"
    " join bare.key k on k.shard = 0 and k.book = i.book and k.digest = i.digest"
)
_WRITES: Final = (
    "with w as (insert into bare.payin select 0, id, book, amount, %s, body"
    " from unnest(%s::uuid[], %s::bigint[], %s::bigint[], %s::bytea[]) t(id, book, amount, body)" + _GUARD,
    "with w as (insert into bare.key select 0, book, digest, print, id, body, %s"
    " from unnest(%s::bigint[], %s::bytea[], %s::bytea[], %s::uuid[], %s::bytea[]) t(book, digest, print, id, body)"
    + _GUARD,
    "with w as (insert into bare.due select 0, %s, id, %s from unnest(%s::uuid[]) t(id)" + _GUARD,
    "with w as (insert into bare.event select 0, seq, book, %s, id, body, %s"
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
        """Commits until cancelled. Raises psycopg.Error, as do the creates of the batch that failed."""
        while True:
            if not self._queue:
                self._wake.clear()
                await self._wake.wait()
            batch = [self._queue.popleft() for _ in range(min(len(self._queue), _BATCH_MAX))]
            try:
                seen = await self._commit([row for row, _ in batch])
            except psycopg.Error as error:
                for _, future in batch:
                    future.set_exception(error)
                raise
            for place, (_, future) in enumerate(batch, 1):
                future.set_result(place not in seen)

    async def _commit(self, rows: list[Create]) -> set[int]:
        connection = self._connection
        async with connection.pipeline() as pipeline:
            begin, lock, keys, write, commit = (connection.cursor(binary=True) for _ in range(5))
            await begin.execute("begin")
            await lock.execute(_LOCK)
            await keys.execute(_SEEN, ([row[0] for row in rows], [row[1] for row in rows]))
            await pipeline.sync()
            found = await lock.fetchone()
            assert found is not None
            first, at = found
            seen = {place for (place,) in await keys.fetchall()}
            fresh = [row for place, row in enumerate(rows, 1) if place not in seen]
            for statement, parameters in zip(_WRITES, _parameters(fresh, first, at), strict=True):
                await write.execute(statement, parameters)
            await commit.execute("commit")
            await pipeline.sync()
        assert commit.statusmessage == "COMMIT", commit.statusmessage
        return seen


def _parameters(fresh: list[Create], first: int, at: Any) -> tuple[tuple[Any, ...], ...]:
    book, digest, print_of, id, amount, body = (
        [list(column) for column in zip(*fresh, strict=True)] if fresh else [[]] * 6
    )
    count, last = len(fresh), first + len(fresh)
    return (
        (at, id, book, amount, body, count),
        (at, book, digest, print_of, id, body, count),
        (at + _DAY, "expire", id, count),
        ("payin.created", at, list(range(first + 1, last + 1)), book, id, body, count),
        (uuid.uuid4(), first + 1, last),
        (last, at, first, 1),
    )


async def rate(database_url: str, in_flight: int, seconds: float) -> float:
    """Creates per second with so many in flight. Makes and drops a schema `bare` of its own."""
    connection = await psycopg.AsyncConnection.connect(database_url, autocommit=True, prepare_threshold=0)
    async with connection:
        await connection.execute(SESSION.encode(), prepare=False)
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
