"""Time partitions: keys, events and deliveries live in weeks that are made ahead and dropped whole."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import psycopg
from psycopg import sql

from caudal.kernel import sqlfile
from caudal.kernel.context import Context

SQL: Final = sqlfile.queries(Path(__file__).with_name("queries.sql"))
TABLES: Final = ("key", "event", "webhook_delivery", "webhook_attempt")
# Migrations and partitions are made by one process at a time; held until the transaction ends.
ONE_AT_A_TIME: Final = "select pg_advisory_xact_lock(870087)"
_AHEAD_WEEKS: Final = 2
_WEEK: Final = timedelta(weeks=1)
_BATCHES_KEPT: Final = timedelta(days=1)


async def keep_partitions(connection: psycopg.AsyncConnection[Any], now: datetime) -> list[str]:
    """Makes this week's partitions and the next ones; the names of new ones."""
    async with connection.transaction():
        await connection.execute(ONE_AT_A_TIME)
        return await _make_partitions(connection, now)


async def _make_partitions(connection: psycopg.AsyncConnection[Any], now: datetime) -> list[str]:
    made = []
    monday = (now - timedelta(days=now.weekday())).replace(hour=0, minute=0, second=0, microsecond=0)
    for table in TABLES:
        for week in range(_AHEAD_WEEKS + 1):
            first = monday + week * _WEEK
            name = f"{table}_{first:%Y%m%d}"
            exists = await (await connection.execute("select to_regclass(%s)", (name,))).fetchone()
            if exists is not None and exists[0] is None:
                statement = sql.SQL("create table if not exists {} partition of {} for values from ({}) to ({})")
                await connection.execute(
                    statement.format(
                        sql.Identifier(name),
                        sql.Identifier(table),
                        sql.Literal(first.isoformat()),
                        sql.Literal((first + _WEEK).isoformat()),
                    )
                )
                made.append(name)
    return made


async def tidy(context: Context, now: datetime) -> list[str]:
    """Makes coming partitions, drops those whose time is over, prunes old batch rows. What was done, in words."""
    settings = context.settings
    async with context.pool.connection() as connection:
        done = [f"made {name}" for name in await keep_partitions(connection, now)]
        days_of = {"key": settings.key_days, "event": settings.event_days}
        for table in TABLES:
            days = days_of.get(table, settings.webhook_days)
            for row in await (await connection.execute(SQL["partitions"], (table,))).fetchall():
                if _over(row[0], now - timedelta(days=days)):
                    await connection.execute(sql.SQL("drop table {}").format(sql.Identifier(row[0])))
                    done.append(f"dropped {row[0]}")
        oldest = UUID(int=int((now - _BATCHES_KEPT).timestamp() * 1000) << 80)
        for row in await (await connection.execute(SQL["shards"])).fetchall():
            pruned = await connection.execute(SQL["prune_batches"], (row[0], row[0], oldest))
            if pruned.rowcount:
                done.append(f"pruned {pruned.rowcount} batches")
    return done


def _over(name: str, until: datetime) -> bool:
    match = re.fullmatch(r"[a-z_]+_(\d{8})", name)
    if match is None:
        return False
    return datetime.strptime(match[1], "%Y%m%d").replace(tzinfo=UTC) + _WEEK <= until
