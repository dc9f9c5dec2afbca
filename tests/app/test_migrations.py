"""Migrations lead to db/schema, once, whoever runs them and however many at once; and the schema keeps its laws."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from caudal.app.migrate import DIRECTORY, Migration, MigrationError, Phase, files, migrate

SCHEMA = Path(__file__).parents[2] / "db" / "schema"
MINE = "c.relnamespace = 'public'::regnamespace and c.relname !~ '_\\d{8}'"  # weeks come and go

CATALOGUES = {
    "columns": f"""select c.relname, a.attnum, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
        pg_get_expr(d.adbin, d.adrelid), a.attidentity, a.attgenerated
        from pg_attribute a join pg_class c on c.oid = a.attrelid
        left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
        where {MINE} and c.relkind in ('r', 'p') and a.attnum > 0 and not a.attisdropped order by 1, 2""",
    "tables": f"""select c.relname, c.relkind, c.relpersistence, c.reloptions, pg_get_partkeydef(c.oid),
        pg_get_expr(c.relpartbound, c.oid) from pg_class c
        where {MINE} and c.relkind not in ('i', 'I', 't') order by 1""",
    "constraints": f"""select c.relname, o.conname, pg_get_constraintdef(o.oid)
        from pg_constraint o join pg_class c on c.oid = o.conrelid where {MINE} order by 1, 2""",
    "indexes": f"""select c.relname, i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
        from pg_index i join pg_class c on c.oid = i.indrelid where {MINE} order by 1, 2""",
    "programs": """select proname::text from pg_proc where pronamespace = 'public'::regnamespace
        union all select tgname::text from pg_trigger where not tgisinternal""",
}


@pytest.fixture
def empty(server_url: str) -> Iterator[str]:
    """A database without anything."""
    yield from _made(server_url, "test_empty")


@pytest.fixture
def other(server_url: str) -> Iterator[str]:
    yield from _made(server_url, "test_empty_too")


def _made(server_url: str, name: str) -> Iterator[str]:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("create database {}").format(sql.Identifier(name)))
    yield make_conninfo(server_url, dbname=name)
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def rows(url: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, autocommit=True) as connection:
        return connection.execute(query.encode()).fetchall()


async def test_migrations_lead_to_the_schema(empty: str, other: str) -> None:
    await migrate(empty)
    with psycopg.connect(other, autocommit=True) as connection:
        for path in sorted(SCHEMA.glob("*.sql")):
            connection.execute(path.read_bytes())
    for name, query in CATALOGUES.items():
        assert rows(empty, query) == rows(other, query), name


async def test_a_migration_runs_once(empty: str) -> None:
    assert await migrate(empty) == [f"{one.number:04}_{one.name}" for one in files()]
    assert await migrate(empty) == []
    assert rows(empty, "select number, name from migration") == [(one.number, one.name) for one in files()]
    assert rows(empty, "select id, event_seq, posting_seq from shard") == [(0, 0, 0)]


async def test_several_at_once_migrate_once(empty: str) -> None:
    ran = await asyncio.gather(*(migrate(empty, shards=3) for _ in range(5)))
    assert sorted(name for one in ran for name in one) == [f"{one.number:04}_{one.name}" for one in files()]
    assert rows(empty, "select id from shard order by id") == [(0,), (1,), (2,)]


async def test_shards_are_added_and_never_taken_away(empty: str) -> None:
    await migrate(empty)
    await migrate(empty, shards=2)
    with pytest.raises(MigrationError, match="has 2 shards, and CAUDAL_SHARDS=1"):
        await migrate(empty)
    assert rows(empty, "select id from shard order by id") == [(0,), (1,)]


async def test_an_ordinary_role_that_owns_its_database_can_migrate_it(empty: str) -> None:
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("create role ordinary login password 'x'")
        connection.execute("alter database test_empty owner to ordinary")
    try:
        assert await migrate(make_conninfo(empty, user="ordinary", password="x"))
        assert rows(empty, "select distinct tableowner::text from pg_tables where schemaname = 'public'") == [
            ("ordinary",)
        ]
    finally:
        with psycopg.connect(empty, autocommit=True) as connection:
            connection.execute("reassign owned by ordinary to current_user")
            connection.execute("drop owned by ordinary")
            connection.execute("drop role ordinary")


async def test_a_migration_that_fails_leaves_nothing(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    good = files()
    bad = good[-1]._replace(number=len(good) + 1, name="bad", text="create table half (a int); select 1 / 0")
    monkeypatch.setattr("caudal.app.migrate.files", lambda: [*good, bad])
    with pytest.raises(psycopg.errors.DivisionByZero):
        await migrate(empty)
    assert rows(empty, "select to_regclass('half')::text, count(*) from migration") == [(None, len(good))]
    monkeypatch.undo()
    assert await migrate(empty) == []


@pytest.mark.parametrize("name", ["0003_gap.pre.sql", "two.sql", "0002_x.sql", "0002_X.pre.sql"])
def test_a_file_that_is_misnamed_or_out_of_order_is_an_error(tmp_path: Path, name: str) -> None:
    for path in DIRECTORY.glob("0001_*"):
        (tmp_path / path.name).write_text("select 1")
    (tmp_path / name).write_text("select 1")
    with pytest.raises(MigrationError):
        files(tmp_path)


# Phases

NONE: list[str] = []
PHASES: tuple[Phase, ...] = ("pre", "post", "all")


def steps(*phases: str) -> list[Migration]:
    """Today's migrations, and a few more of these phases."""
    known = files()
    first = len(known) + 1
    return known + [
        Migration(number, f"step{number - first}", phase, f"create table step{number - first} (a int)")
        for number, phase in enumerate(phases, first)
    ]


async def phased(url: str, monkeypatch: pytest.MonkeyPatch, phases: str, phase: Phase) -> list[str]:
    monkeypatch.setattr("caudal.app.migrate.files", lambda: steps(*phases.split()))
    try:
        return [name.partition("_")[2] for name in await migrate(url, phase=phase)]
    finally:
        monkeypatch.undo()


async def test_a_deployment_without_a_pause_goes_through_two_phases(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate(empty)
    assert await phased(empty, monkeypatch, "pre pre post", "pre") == ["step0", "step1"]
    assert await phased(empty, monkeypatch, "pre pre post", "pre") == NONE
    assert rows(empty, "select to_regclass('step1')::text, to_regclass('step2')::text") == [("step1", None)]
    assert await phased(empty, monkeypatch, "pre pre post", "post") == ["step2"]
    assert await phased(empty, monkeypatch, "pre pre post", "all") == NONE


async def test_a_phase_out_of_its_order_is_refused_and_changes_nothing(
    empty: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await migrate(empty)
    with pytest.raises(MigrationError, match="comes first: run `caudal migrate --phase pre`"):
        await phased(empty, monkeypatch, "pre post", "post")
    for phase in PHASES[:2]:
        with pytest.raises(MigrationError, match="a release was skipped"):
            await phased(empty, monkeypatch, "pre post pre", phase)
    assert rows(empty, "select count(*) from migration") == [(len(files()),)]
    assert await phased(empty, monkeypatch, "pre post pre", "all") == ["step0", "step1", "step2"]


async def test_a_database_that_is_newer_is_refused(empty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    await migrate(empty)
    await phased(empty, monkeypatch, "pre", "all")
    for phase in PHASES:
        with pytest.raises(MigrationError, match=f"{len(files()) + 1:04}_step0, which this caudal does not know"):
            await phased(empty, monkeypatch, "", phase)


def test_the_command_says_so_in_one_line(empty: str) -> None:
    with psycopg.connect(empty, autocommit=True) as connection:
        connection.execute("create table migration (number int, name text)")
        connection.execute("insert into migration values (9000, 'from_tomorrow')")
    outside = {name: value for name, value in os.environ.items() if not name.startswith("CAUDAL_")}
    for words, status, expected in (
        (["migrate"], 2, "caudal: the database has migration 9000_from_tomorrow"),
        (["migrate", "--phase", "between"], 2, "between"),
    ):
        done = subprocess.run(
            [sys.executable, "-m", "caudal", *words],
            env={**outside, "CAUDAL_DATABASE_URL": empty},
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert (done.returncode, done.stdout) == (status, "")
        assert expected in done.stderr and "Traceback" not in done.stderr


# The schema's laws

WITHOUT_SHARD = {"placement", "directory", "migration", "sealing_key", "shard"}


def test_shard_leads_every_key_and_index(database_url: str) -> None:
    query = f"""select c.relname, i.indexrelid::regclass::text, a.attname from pg_index i
        join pg_class c on c.oid = i.indrelid
        join pg_attribute a on a.attrelid = i.indrelid and a.attnum = i.indkey[0] where {MINE}"""
    assert {table for table, _, first in rows(database_url, query) if first != "shard"} == WITHOUT_SHARD


def test_there_are_no_sequences_programs_or_references(database_url: str) -> None:
    assert rows(database_url, CATALOGUES["programs"]) == []
    assert (
        rows(database_url, f"select c.relname from pg_class c where {MINE} and c.relkind not in ('r','p','i','I')")
        == []
    )
    query = f"select conname from pg_constraint o join pg_class c on c.oid = o.conrelid where {MINE} and contype = 'f'"
    assert rows(database_url, query) == []


def test_money_is_bigint_and_time_has_a_zone(database_url: str) -> None:
    columns = rows(database_url, CATALOGUES["columns"])
    assert {type for _, _, name, type, *_ in columns if name.endswith(("_minor", "_posted", "_pending"))} == {"bigint"}
    assert {type for _, _, name, type, *_ in columns if name.endswith("_at") or name == "at"} == {
        "timestamp with time zone"
    }
    floating = {"double precision", "real", "numeric", "money", "timestamp without time zone", "json", "jsonb"}
    assert not {type for _, _, _, type, *_ in columns} & floating


def test_every_check_has_a_name_that_says_what_it_wants(database_url: str) -> None:
    query = f"select conname from pg_constraint o join pg_class c on c.oid = o.conrelid where {MINE} and contype = 'c'"
    names = [name for (name,) in rows(database_url, query)]
    assert len(names) > 30 and not [name for name in names if name.endswith(("_check", "_check1"))]
