"""Time partitions: keys, events and deliveries live in weeks that are made ahead and dropped whole.

What needs an exclusive lock waits for it a moment only, because whoever writes waits behind it. It is tried again
minutes later; weeks are made long before they begin. A week that is missing is caught by the table's default partition,
and what lies there stays there until its time is over.
"""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql

from caudal.kernel import sqlfile
from caudal.kernel.context import Context
from caudal.kernel.settings import Settings

log = logging.getLogger(__name__)

SQL: Final = sqlfile.queries(Path(__file__).with_name("queries.sql"))
TIMES: Final = {"key": "created_at", "event": "at", "webhook_delivery": "created_at", "webhook_attempt": "at"}
TABLES: Final = tuple(TIMES)
# Migrations and partitions are made by one process at a time; held until the transaction ends.
ONE_AT_A_TIME: Final = "select pg_advisory_xact_lock(870087)"
_SHORT_LOCKS: Final = "set local lock_timeout = '100ms'"
_TIDY_S: Final = 60.0  # for all tables together
_AHEAD_WEEKS: Final = 2
_WEEK: Final = timedelta(weeks=1)
PRUNED_MAX: Final = 5000  # rows in one statement
_ROUNDS: Final = 20

Connection = psycopg.AsyncConnection[Any]


class Tidied(NamedTuple):
    """What was done, in words, and whether all of it could be."""

    done: list[str]
    whole: bool


async def database_time(connection: Connection) -> datetime:
    """The database's time: no other clock says what is over."""
    row = await (await connection.execute("select now()")).fetchone()
    assert row is not None
    now: datetime = row[0]
    return now.astimezone(UTC)


async def keep_partitions(connection: Connection, now: datetime) -> Tidied:
    """Makes this week's partitions and the next ones. Each stands for itself: one that fails is told and left."""
    done, whole = list[str](), True
    for table in TABLES:
        there = await _partitions(connection, table)
        for week in range(_AHEAD_WEEKS + 1):
            first = _monday(now) + week * _WEEK
            name = f"{table}_{first:%Y%m%d}"
            if name in there:
                continue
            try:
                if await _make(connection, table, name, first):
                    done.append(f"made {name}")
            except psycopg.errors.CheckViolation:
                log.error("%s is not made: %s_default holds rows of that week, and keeps them", name, table)
            except psycopg.errors.LockNotAvailable:
                log.warning("%s is not made yet: somebody reads %s for long", name, table)
                whole = False
    return Tidied(done, whole)


def _monday(at: datetime) -> datetime:
    return (at - timedelta(days=at.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)


async def _partitions(connection: Connection, table: str) -> list[str]:
    """The weeks that are there, oldest first."""
    rows = await (await connection.execute(SQL["partitions"], (table,))).fetchall()
    return [name for (name,) in rows if name != f"{table}_default"]


async def _make(connection: Connection, table: str, name: str, first: datetime) -> bool:
    """Whether it was not there. Attaching lets whoever uses the other weeks go on; only the default one is held."""
    names = {"partition": sql.Identifier(name), "table": sql.Identifier(table)}
    bounds = {"first": sql.Literal(first.isoformat()), "last": sql.Literal((first + _WEEK).isoformat())}
    async with connection.transaction():
        await connection.execute(ONE_AT_A_TIME)
        exists = await (await connection.execute("select to_regclass(%s)", (name,))).fetchone()
        if exists is not None and exists[0] is not None:
            return False
        await connection.execute(_SHORT_LOCKS)
        await connection.execute(
            sql.SQL("create table {partition} (like {table} including defaults including constraints)").format(**names)
        )
        await connection.execute(
            sql.SQL("alter table {table} attach partition {partition} for values from ({first}) to ({last})").format(
                **names, **bounds
            )
        )
    return True


async def tidy(context: Context, now: datetime | None = None) -> Tidied:
    """Makes coming partitions and drops the oldest week of each table that is over; `now` is the database's time.

    A week that is new drops none: a clock that jumps ahead costs nothing before somebody has had an hour to see it, and
    then a week an hour.
    """
    async with context.connection(_TIDY_S) as connection:
        now = now or await database_time(connection)
        before = {table: await _partitions(connection, table) for table in TABLES}
        done, whole = await keep_partitions(connection, now)
        for table, there in before.items():
            if max(there, default="") < f"{table}_{_monday(now):%Y%m%d}":
                continue
            until = now - timedelta(days=_days(context.settings, table))
            over = next((name for name in there if _over(name, until)), None)
            if over is not None:
                try:
                    await _drop(connection, over)
                    done.append(f"dropped {over}")
                except psycopg.errors.LockNotAvailable:
                    log.warning("%s is not dropped yet: somebody reads %s for long", over, table)
                    whole = False
            for _ in range(_ROUNDS):
                gone = await _prune_default(connection, table, until)
                if gone:
                    done.append(f"deleted {gone} rows of {table}_default")
                if gone < PRUNED_MAX:
                    break
    return Tidied(done, whole)


def _days(settings: Settings, table: str) -> int:
    return {"key": settings.key_days, "event": settings.event_days}.get(table, settings.webhook_days)


def _over(name: str, until: datetime) -> bool:
    match = re.fullmatch(r"[a-z_]+_(\d{8})", name)
    if match is None:
        return False
    return datetime.strptime(match[1], "%Y%m%d").replace(tzinfo=UTC) + _WEEK <= until


async def _drop(connection: Connection, name: str) -> None:
    async with connection.transaction():
        await connection.execute(_SHORT_LOCKS)
        await connection.execute(sql.SQL("drop table {}").format(sql.Identifier(name)))


async def _prune_default(connection: Connection, table: str, until: datetime) -> int:
    """Deletes some of what a default partition has kept for its time. It is empty unless weeks could not be made."""
    statement = sql.SQL(
        "delete from {default} where ctid = any(array(select ctid from {default} where {time} < {until} limit {most}))"
    )
    cursor = await connection.execute(
        statement.format(
            default=sql.Identifier(f"{table}_default"),
            time=sql.Identifier(TIMES[table]),
            until=sql.Literal(until),
            most=sql.Literal(PRUNED_MAX),
        )
    )
    deleted: int = cursor.rowcount
    return deleted


async def prune_batches(context: Context, shard: int) -> int:
    """Deletes the oldest batch rows that are over, PRUNED_MAX at most, in the order in which they committed."""
    async with context.connection() as connection:
        cursor = await connection.execute(SQL["prune_batches"], {"shard": shard, "limit": PRUNED_MAX})
        deleted: int = cursor.rowcount
        return deleted
