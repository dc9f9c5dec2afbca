"""The story into the database: one transaction that holds the shard, COPY by COPY, while the next lines are being
written.
"""

import asyncio
import random
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any, LiteralString, NamedTuple
from uuid import UUID

import psycopg
from psycopg import sql

from caudal_load.seed.rows import COLUMNS, FEE_PLAN, KEYS_ARE_KEPT, SHARD, Rows
from caudal_load.seed.seal import Seal
from caudal_load.seed.story import Moment, Price, story, uuid7

_MOMENTS_A_CHUNK = 800
_PRICE = Price(fixed_minor=200, basis_points=150)
_SAY_EVERY_S = 5.0
_WEEK = timedelta(weeks=1)
Connection = psycopg.AsyncConnection[tuple[Any, ...]]
Say = Callable[[str], None]


class SeedFailed(Exception):
    """The database is not one that can be given a past."""


class Seeded(NamedTuple):
    """What was written."""

    payins: int
    events: int
    transfers: int
    seconds: float


async def seed(
    database_url: str, count: int, *, merchants: int = 100, days: float = 60, kek: bytes | None = None, say: Say
) -> Seeded:
    """Write `count` payins of `merchants` new merchants over the last `days` days. All or nothing.

    With the key-encryption key there are payers and search terms; without it payins have no payer, and caudal's worker
    makes the terms. Raises SeedFailed if the database already has payins, psycopg.Error.
    """
    began_s = time.monotonic()
    await _make_partitions(database_url, timedelta(days=days))
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        event_seq, now = await _lock(connection)
        begins_at = now - timedelta(days=days)
        await _date_back(connection, begins_at)
        slots = await _make_merchants(connection, merchants, begins_at)
        rows = Rows(event_seq=event_seq, ends_at=now, seal=None if kek is None else Seal(kek))
        moments = story(count, slots, _PRICE, begins_at=begins_at, ends_at=now, event_seq=event_seq)
        await _copy_all(connection, moments, rows, count, say)
        await _advance(connection, rows, searchable=kek is not None)
        await connection.commit()
    await _settle_down(database_url, say)
    return Seeded(count, rows.event_seq - event_seq, rows.ledger.seq, time.monotonic() - began_s)


async def _make_partitions(database_url: str, past: timedelta) -> None:
    """The weeks of keys and events that the story needs and that nobody has made, named as caudal names them."""
    monday = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    monday -= timedelta(days=monday.weekday())
    statement = sql.SQL("create table if not exists {} partition of {} for values from ({}) to ({})")
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("set client_min_messages = warning")
        for table, kept in (("key", min(past, KEYS_ARE_KEPT)), ("event", past)):
            for week in range(int(kept / _WEEK) + 2):
                first = monday - week * _WEEK
                await connection.execute(
                    statement.format(
                        sql.Identifier(f"{table}_{first:%Y%m%d}"),
                        sql.Identifier(table),
                        sql.Literal(first.isoformat()),
                        sql.Literal((first + _WEEK).isoformat()),
                    )
                )


async def _lock(connection: Connection) -> tuple[int, datetime]:
    """Take the shard: its last event, and the database's time. Raises SeedFailed."""
    cursor = await connection.execute(
        "select event_seq, clock_timestamp() from shard where id = %s for update", (SHARD,)
    )
    row = await cursor.fetchone()
    if row is None:
        raise SeedFailed(f"there is no shard {SHARD}: run `caudal migrate` first")
    event_seq, now = row
    cursor = await connection.execute("select exists (select from payin), exists (select from transfer)")
    if await cursor.fetchone() != (False, False):
        raise SeedFailed("there are payins or postings already: a past would have to come before them")
    return event_seq, now.astimezone(UTC)


async def _date_back(connection: Connection, at: datetime) -> None:
    """What the house did before it had a past (its first operator, a merchant) happened before the story."""
    await connection.execute("update event set at = %s where shard = %s", (at, SHARD))
    await connection.execute("update audit set at = %s where shard = %s", (at, SHARD))
    await connection.execute("update merchant set created_at = %s where shard = %s", (at, SHARD))
    await connection.execute("update operator set created_at = %s where shard = %s", (at, SHARD))
    await connection.execute("update api_key set created_at = %s where shard = %s", (at, SHARD))
    await connection.execute("update fee_plan set created_at = %s where shard = %s", (at, SHARD))
    await connection.execute("delete from batch where shard = %s", (SHARD,))  # they are kept for a day only


async def _make_merchants(connection: Connection, count: int, at: datetime) -> list[int]:
    """New merchants with their two sets of books and a price; nobody has keys to them. Their slots."""
    cursor = await connection.execute("select coalesce(max(slot), 0) from placement")
    row = await cursor.fetchone()
    assert row is not None
    slots = [row[0] + 1 + index for index in range(count)]
    made: LiteralString = " from unnest(%(slots)s::integer[], %(ids)s::uuid[]) made(slot, merchant)"
    statements: tuple[LiteralString, ...] = (
        "insert into placement (slot, merchant, shard) select slot, merchant, %(shard)s" + made,
        "insert into merchant (shard, id, slot, version, name, country, status, created_at)"
        " select %(shard)s, merchant, slot, 1, 'Seeded ' || slot, 'MX', 'active', %(at)s" + made,
        "insert into book (shard, book, merchant, version, late_payments, fee_plan)"
        " select %(shard)s, slot::bigint * 2 + live, merchant, 1, 'accept', %(plan)s"
        + made
        + ", (values (0), (1)) _(live)",
        "insert into fee_plan (shard, book, version, family, currency, fixed_minor, basis_points, created_at)"
        " select %(shard)s, slot::bigint * 2 + live, %(plan)s, 'instant_transfer', 'MXN', %(fixed)s, %(share)s, %(at)s"
        + made
        + ", (values (0), (1)) _(live)",
    )
    values = {
        "slots": slots,
        "ids": [UUID(int=uuid7(at, slot, random.SystemRandom())) for slot in slots],
        "shard": SHARD,
        "at": at,
        "plan": FEE_PLAN,
        "fixed": _PRICE.fixed_minor,
        "share": _PRICE.basis_points,
    }
    for statement in statements:
        await connection.execute(statement, values)
    return slots


async def _copy_all(connection: Connection, moments: Iterator[Moment], rows: Rows, count: int, say: Say) -> None:
    """Copy chunk after chunk; a thread writes the next one meanwhile."""
    switch_s = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)  # the copying wants the interpreter for moments only, but at once
    try:
        chunk = await asyncio.to_thread(_write, moments, rows)
        copied, said_s = 0, time.monotonic()
        while chunk:
            writing = asyncio.create_task(asyncio.to_thread(_write, moments, rows))
            try:
                copied += chunk["payin"].count(b"\n")
                for table, lines in chunk.items():
                    await _copy(connection, table, lines)
            finally:
                next_chunk = await writing
            chunk = next_chunk
            if time.monotonic() - said_s > _SAY_EVERY_S:
                say(f"{copied:,} of {count:,} payins")
                said_s = time.monotonic()
    finally:
        sys.setswitchinterval(switch_s)


def _write(moments: Iterator[Moment], rows: Rows) -> dict[str, bytes]:
    """The lines of the next moments, by table; nothing when the story is over."""
    for moment in islice(moments, _MOMENTS_A_CHUNK):
        rows.write(moment)
    return rows.take()


async def _copy(connection: Connection, table: str, lines: bytes) -> None:
    columns = sql.SQL(", ").join(map(sql.Identifier, (name.strip() for name in COLUMNS[table].split(","))))
    statement = sql.SQL("copy {} ({}) from stdin").format(sql.Identifier(table), columns)
    async with connection.cursor().copy(statement) as copy:
        await copy.write(lines)


async def _advance(connection: Connection, rows: Rows, *, searchable: bool) -> None:
    """The balances, what is released later, and the shard moved on to the story's end."""
    rows.write_releases()
    rows.write_accounts()
    for table, lines in rows.take().items():
        await _copy(connection, table, lines)
    await connection.execute(
        "update shard set event_seq = %s, posting_seq = %s, chain = %s,"
        " last_at = greatest(last_at, clock_timestamp()) where id = %s",
        (rows.event_seq, rows.ledger.seq, rows.ledger.chain, SHARD),
    )
    if searchable:
        await connection.execute(
            "insert into consumer (shard, name, seq) values (%s, 'payin_search', %s)"
            " on conflict (shard, name) do update set seq = excluded.seq",
            (SHARD, rows.event_seq),
        )


async def _settle_down(database_url: str, say: Say) -> None:
    """What autovacuum would do next, so that it does not do it while somebody measures."""
    say("vacuum, analyze and checkpoint …")
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        for table in COLUMNS:
            await connection.execute(sql.SQL("vacuum (analyze) {}").format(sql.Identifier(table)))
        await connection.execute("checkpoint")
