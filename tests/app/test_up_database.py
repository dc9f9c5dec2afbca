"""A database of one's own: used when it is durable, refused when it is not, and never deleted."""

from __future__ import annotations

import asyncio
import base64
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from caudal.app import first
from caudal.app.state import Ready, Secrets
from caudal.app.up import Prepare, Prepared, reset, up
from caudal.kernel.commit import PostgresPort
from caudal.kernel.context import Context
from caudal.kernel.errors import Retry
from caudal.kernel.postgres import NotDurable
from caudal.kernel.seal import WrongKek
from caudal.kernel.settings import Settings
from tests.conftest import KEK, settings_of
from tests.kernel.toy import Note, shard, soon


async def prepared(settings: Settings, secrets: Secrets) -> Prepared:
    return Prepared(operator_key="op_first", demo_key="sk_test_first")


async def ended(
    var: Path,
    database_url: str | None,
    seen: Callable[[Ready], bool] = lambda _: True,
    prepare: Prepare = prepared,
    synchronous: bool = False,
) -> tuple[int, list[str]]:
    """The exit status of `caudal demo` without any service, and what it said."""
    said: list[str] = []

    async def show(ready: Ready) -> bool:
        return seen(ready)

    settings = Settings(var=str(var), database_url=database_url, database_synchronous=synchronous)
    status = await up(
        settings, prepare=prepare, show=show, demo_only=True, say=said.append, services=lambda settings: []
    )
    return status, said


def begun(command: str, database_url: str, **changed: str) -> subprocess.CompletedProcess[str]:
    """A process of caudal that has ended."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("CAUDAL_")}
    return subprocess.run(
        [sys.executable, "-m", "caudal", command],
        env={**outside, "CAUDAL_DATABASE_URL": database_url, "CAUDAL_PORT": "0", **changed},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


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
    secrets, said = (tmp_path / "secrets.json").read_text(), list[str]()
    assert await reset(Settings(var=str(tmp_path)), say=said.append) == 0
    assert (tmp_path / "secrets.json").read_text() == secrets, "the database is sealed under it"
    assert [line.endswith("cannot be read without it") for line in said] == [True]
    with psycopg.connect(database_url) as connection:
        assert connection.execute("select id from shard order by id").fetchall() == [(0,)]


async def test_a_server_that_may_forget_is_refused(tmp_path: Path, forgetful: str) -> None:
    status, said = await ended(tmp_path, forgetful)
    assert (status, len(said)) == (1, 1)
    assert "may lose what it has acknowledged: synchronous_commit is off" in said[0]


async def test_a_server_that_does_not_answer_is_named(tmp_path: Path) -> None:
    status, said = await ended(tmp_path, "postgresql:///caudal?host=/nowhere")
    assert (status, len(said)) == (1, 1)
    assert said[0].startswith("caudal: the database of CAUDAL_DATABASE_URL does not answer: ")


async def test_a_standby_is_demanded_of_a_database_that_can_have_one(tmp_path: Path, database_url: str) -> None:
    status, said = await ended(tmp_path, None, synchronous=True)
    expected = "caudal: CAUDAL_DATABASE_SYNCHRONOUS needs CAUDAL_DATABASE_URL: the embedded database has no standby"
    assert (status, said) == (1, [expected])
    assert not (tmp_path / "postgres").exists()
    status, said = await ended(tmp_path, database_url, synchronous=True)
    assert (status, len(said)) == (1, 1)
    assert "synchronous_standby_names is empty, and CAUDAL_DATABASE_SYNCHRONOUS demands a standby" in said[0]


@pytest.mark.parametrize(("process", "status"), [("web", 3), ("worker", 2)])
def test_no_process_begins_on_a_server_that_may_forget(forgetful: str, process: str, status: int) -> None:
    done = begun(process, forgetful, CAUDAL_KEK=KEK)
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
        await written.submit(Note(text="x"), soon(1.5))
    assert refused.value.code == "database_unavailable"
    await written.stop(within_s=0.1)


# The key that a database is sealed under

OTHER = base64.b64encode(bytes(32)).decode()


async def entered(database_url: str, **changed: object) -> None:
    async with Context(settings_of(database_url, **changed), name="test"):
        pass


async def test_a_process_with_another_key_does_not_begin(database_url: str) -> None:
    await entered(database_url)
    with pytest.raises(WrongKek, match="CAUDAL_KEK_FORMER"):
        await entered(database_url, kek=OTHER)
    await entered(database_url)


async def test_the_key_changes_where_its_former_one_is_known_and_can_change_back(database_url: str) -> None:
    await entered(database_url)
    await entered(database_url, kek=OTHER, kek_former=KEK)
    with pytest.raises(WrongKek):
        await entered(database_url)
    await entered(database_url, kek=OTHER)
    await entered(database_url, kek=KEK, kek_former=OTHER)
    await entered(database_url)


async def test_of_several_first_processes_with_keys_of_their_own_one_begins(database_url: str) -> None:
    keys = [base64.b64encode(bytes([n]) * 32).decode() for n in range(4)]
    begun = await asyncio.gather(*(entered(database_url, kek=key) for key in keys), return_exceptions=True)
    assert sorted(type(one).__name__ for one in begun) == ["NoneType", "WrongKek", "WrongKek", "WrongKek"]


async def test_nothing_is_written_under_a_key_that_the_database_left_behind(database_url: str) -> None:
    async with Context(settings_of(database_url), name="test") as context:
        await entered(database_url, kek=OTHER, kek_former=KEK)
        with pytest.raises(Retry) as refused:
            await context.commit(0, Note(text="x"), soon(1.5))
        assert refused.value.code == "database_unavailable"
        await context.shard(0).stop(within_s=0.1)


@pytest.mark.parametrize(("process", "status"), [("web", 3), ("worker", 2)])
async def test_a_process_says_in_a_line_that_the_database_is_sealed_under_another_key(
    database_url: str, process: str, status: int
) -> None:
    await entered(database_url)
    done = begun(process, database_url, CAUDAL_KEK=OTHER)
    assert done.returncode == status
    assert "sealed under another key-encryption key" in done.stderr and "Traceback" not in done.stderr


async def test_a_second_directory_on_the_same_database_is_refused_before_it_seals_anything(
    tmp_path: Path, database_url: str
) -> None:
    for _ in range(2):
        assert await ended(tmp_path / "one", database_url, prepare=first.prepare) == (0, [])
    with pytest.raises(WrongKek):
        await ended(tmp_path / "two", database_url, prepare=first.prepare)
