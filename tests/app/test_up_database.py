"""A database of one's own: used when it is durable, refused when it is not, and never deleted."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from caudal.app.state import Ready, Secrets
from caudal.app.up import Prepared, reset, up
from caudal.kernel.commit import PostgresPort
from caudal.kernel.context import Context
from caudal.kernel.errors import Retry
from caudal.kernel.postgres import NotDurable
from caudal.kernel.settings import Settings
from tests.conftest import KEK, settings_of
from tests.kernel.toy import Note, shard, soon


async def prepare(settings: Settings, secrets: Secrets) -> Prepared:
    return Prepared(operator_key="op_first", demo_key="sk_test_first")


async def ended(var: Path, database_url: str, seen: Callable[[Ready], bool] = lambda _: True) -> tuple[int, list[str]]:
    """The exit status of `caudal demo` without any service, and what it said."""
    said: list[str] = []

    async def show(ready: Ready) -> bool:
        return seen(ready)

    settings = Settings(var=str(var), database_url=database_url)
    status = await up(
        settings, prepare=prepare, show=show, demo_only=True, say=said.append, services=lambda settings: []
    )
    return status, said


@pytest.fixture
def forgetful(database_url: str) -> str:
    """A database that acknowledges before it has written."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("alter database {} set synchronous_commit = off").format(name))
    return database_url


async def test_a_durable_server_is_used_and_left_alone(tmp_path: Path, database_url: str) -> None:
    def seen(ready: Ready) -> bool:
        return ready.database_url == database_url and "postgres" not in ready.processes

    assert await ended(tmp_path, database_url, seen) == (0, [])
    assert not (tmp_path / "postgres").exists()
    assert await reset(Settings(var=str(tmp_path), database_url=database_url)) == 0
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select id from shard order by id").fetchall() == [(0,), (1,)]


async def test_a_server_that_may_forget_is_refused(tmp_path: Path, forgetful: str) -> None:
    status, said = await ended(tmp_path, forgetful)
    assert (status, len(said)) == (1, 1)
    assert "may lose what it has acknowledged: synchronous_commit is off" in said[0]


async def test_a_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    status, said = await ended(tmp_path, "postgresql:///caudal?host=/nowhere")
    assert (status, len(said)) == (1, 1)
    assert said[0].startswith("caudal: the database of CAUDAL_DATABASE_URL does not answer: ")


@pytest.mark.parametrize(("process", "status"), [("web", 3), ("worker", 2)])
def test_no_process_begins_on_a_server_that_may_forget(forgetful: str, process: str, status: int) -> None:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("CAUDAL_")}
    done = subprocess.run(
        [sys.executable, "-m", "caudal", process],
        env={**outside, "CAUDAL_DATABASE_URL": forgetful, "CAUDAL_KEK": KEK, "CAUDAL_PORT": "0"},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == status
    assert "synchronous_commit is off" in done.stderr and "Traceback" not in done.stderr


async def test_a_server_that_becomes_forgetful_is_not_written_to(database_url: str) -> None:
    async with Context(settings_of(database_url), name="test"):
        pass
    with psycopg.connect(database_url, autocommit=True) as connection:
        name = sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL("alter database {} set synchronous_commit = off").format(name))
    with pytest.raises(NotDurable):
        async with Context(settings_of(database_url), name="test"):
            pass
    with pytest.raises(NotDurable):
        await PostgresPort(database_url).open()
    written = shard(database_url)
    with pytest.raises(Retry) as refused:
        await written.submit(Note(text="x"), soon(0.3))
    assert refused.value.code == "database_unavailable"
    await written.stop(within_s=0.1)
