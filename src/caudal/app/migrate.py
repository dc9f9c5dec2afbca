"""Migrations: linear SQL files, `NNNN_name.pre.sql` before the new code starts and `….post.sql` after the old has gone.

Each runs in one transaction and is noted in `migration`. Partitions of keys and events are made here and by the
worker, ahead of their time.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import psycopg

from caudal.app.partitions import ONE_AT_A_TIME, keep_partitions

DIRECTORY: Final = Path(__file__).parents[3] / "db" / "migrations"
_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.(pre|post)\.sql")


class MigrationError(Exception):
    """A migration file is misnamed, missing, or the database is newer than the code."""


class Migration(NamedTuple):
    number: int
    name: str
    phase: str
    text: str


def files(directory: Path = DIRECTORY) -> list[Migration]:
    """All migrations in order. Raises MigrationError for a gap or a name that is none."""
    found = []
    for path in sorted(directory.glob("*.sql")):
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise MigrationError(f"{path.name} is no name of a migration")
        found.append(Migration(int(match[1]), match[2], match[3], path.read_text("utf-8")))
    if [migration.number for migration in found] != list(range(1, len(found) + 1)):
        raise MigrationError("migrations are not numbered 1, 2, 3, …")
    return found


async def migrate(database_url: str, *, shards: int = 1) -> list[str]:
    """Brings a database to today's schema; the names of what ran. Safe to run at once from several places."""
    connection: psycopg.AsyncConnection[Any] = await psycopg.AsyncConnection.connect(
        database_url, autocommit=True, connect_timeout=10
    )
    async with connection:
        await connection.execute("set client_min_messages = warning")
        ran = []
        for migration in files():
            async with connection.transaction():
                if await _apply(connection, migration):
                    ran.append(f"{migration.number:04}_{migration.name}")
        for shard in range(shards):
            await connection.execute("insert into shard (id) values (%s) on conflict (id) do nothing", (shard,))
        await keep_partitions(connection, datetime.now(UTC))
        return ran


async def _apply(connection: psycopg.AsyncConnection[Any], migration: Migration) -> bool:
    await connection.execute(ONE_AT_A_TIME)  # the table that notes what ran is made by the first migration itself
    there = await (await connection.execute("select to_regclass('migration')")).fetchone()
    if there is not None and there[0] is not None:
        done = await connection.execute("select 1 from migration where number = %s", (migration.number,))
        if await done.fetchone() is not None:
            return False
    await connection.execute(cast("Any", migration.text))
    await connection.execute("insert into migration (number, name) values (%s, %s)", (migration.number, migration.name))
    return True
