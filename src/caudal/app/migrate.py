"""Migrations: linear SQL files, `NNNN_name.pre.sql` before the new code starts and `….post.sql` after the old has gone.

A deployment without a pause: `caudal migrate --phase pre`, replace every process, `caudal migrate --phase post`. The
numbers are one order: a *pre* behind a *post* that has not run belongs to a later release and waits for it.

Each runs in one transaction and is noted in `migration`. Partitions of keys and events are made here and by the
worker, ahead of their time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, cast

import psycopg
from psycopg.conninfo import make_conninfo

from caudal.app.partitions import ONE_AT_A_TIME, database_time, keep_partitions
from caudal.kernel.primary import Primary

DIRECTORY: Final = Path(__file__).parents[3] / "db" / "migrations"
_NAME: Final = re.compile(r"(\d{4})_([a-z0-9_]+)\.(pre|post)\.sql")


Phase = Literal["pre", "post", "all"]


class MigrationError(Exception):
    """A file is misnamed or missing, a phase is out of its order, or the database is newer than the code."""


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


async def migrate(database_url: str, *, shards: int = 1, phase: Phase = "all") -> list[str]:
    """Brings a database to today's schema, or through one phase; the names of what ran.

    Safe to run at once from several places. Raises MigrationError, for fewer `shards` than there are, too.
    """
    async with Primary(database_url) as primary:
        address = make_conninfo(primary.url, connect_timeout=10, target_session_attrs="read-write")
    connection: psycopg.AsyncConnection[Any] = await psycopg.AsyncConnection.connect(address, autocommit=True)
    async with connection:
        await connection.execute("set client_min_messages = warning")
        await _refuse_fewer(connection, shards)
        ran, known = [], files()
        for migration in _asked(known, await _noted(connection), phase):
            async with connection.transaction():
                if await _apply(connection, migration):
                    ran.append(f"{migration.number:04}_{migration.name}")
        for shard in range(shards):
            await connection.execute("insert into shard (id) values (%s) on conflict (id) do nothing", (shard,))
        await keep_partitions(connection, await database_time(connection))
        return ran


async def _refuse_fewer(connection: psycopg.AsyncConnection[Any], shards: int) -> None:
    """A shard has the books of its merchants: it is never taken away. Before the first migration there is none."""
    there = await (await connection.execute("select to_regclass('shard')")).fetchone()
    if there is None or there[0] is None:
        return
    row = await (await connection.execute("select count(*) from shard")).fetchone()
    if row is not None and row[0] > shards:
        raise MigrationError(
            f"the database has {row[0]} shards, and CAUDAL_SHARDS={shards}: shards are added and never taken away"
        )


async def _noted(connection: psycopg.AsyncConnection[Any]) -> dict[int, str]:
    """What has run, by number; the table that notes it is made by the first migration itself."""
    there = await (await connection.execute("select to_regclass('migration')")).fetchone()
    if there is None or there[0] is None:
        return {}
    return dict(await (await connection.execute("select number, name from migration order by number")).fetchall())


def _asked(known: Sequence[Migration], noted: Mapping[int, str], phase: Phase) -> list[Migration]:
    """What is left to run of a phase. Raises MigrationError."""
    names = {migration.number: migration.name for migration in known}
    for number, name in noted.items():
        if names.get(number) != name:
            one = f"{number:04}_{name}"
            raise MigrationError(f"the database has migration {one}, which this caudal does not know: it is newer")
    left = [migration for migration in known if migration.number not in noted]
    if phase == "all":
        return left
    for before, behind in pairwise(left):
        if before.phase == "post" and behind.phase == "pre":
            raise MigrationError(
                f"{before.number:04}_{before.name} (post) comes before {behind.number:04}_{behind.name} (pre): "
                "a release was skipped; stop every process and run `caudal migrate`"
            )
    if phase == "post" and left and left[0].phase == "pre":
        raise MigrationError(f"{left[0].number:04}_{left[0].name} (pre) comes first: run `caudal migrate --phase pre`")
    return [migration for migration in left if migration.phase == phase]


async def _apply(connection: psycopg.AsyncConnection[Any], migration: Migration) -> bool:
    await connection.execute(ONE_AT_A_TIME)
    if migration.number in await _noted(connection):
        return False
    await connection.execute(cast("Any", migration.text))
    await connection.execute("insert into migration (number, name) values (%s, %s)", (migration.number, migration.name))
    return True
