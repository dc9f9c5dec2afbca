"""Commands that cannot look: one sentence with the reason and status 2, in a moment, and never "rows are wrong"."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from caudal.app import against, check, running, state
from caudal.app.state import Ready
from caudal.kernel.context import Context
from caudal.kernel.settings import SettingError
from tests.conftest import KEK, settings_of
from tests.payins.story import Story
from tests.payins.test_batch_equals_sequential import play

OUTSIDE = {name: value for name, value in os.environ.items() if not name.startswith("CAUDAL_")}
NOWHERE = "postgresql:///caudal?host=/nowhere"
MISSING = 'connection to server on socket "/nowhere/.s.PGSQL.5432" failed: No such file or directory'


@asynccontextmanager
async def standing_still(url: str, *, behind: bytes) -> AsyncIterator[str]:
    """A database that stands still behind a word that somebody says to it; its address."""
    known, stands, ends = conninfo_to_dict(url), asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if stands.is_set():
            await ends.wait()
        else:
            back, forth = await asyncio.open_unix_connection(f"{known['host']}/.s.PGSQL.5432")
            answers = asyncio.create_task(pass_on(back, writer))
            while said := await reader.read(65_536):
                if behind in said:
                    stands.set()
                    break
                forth.write(said)
            await ends.wait()
            answers.cancel()
            forth.close()
        writer.close()

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while said := await reader.read(65_536):
            writer.write(said)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield make_conninfo(url, host="127.0.0.1", port=server.sockets[0].getsockname()[1])
    ends.set()
    server.close()


@asynccontextmanager
async def a_sandbox(answer: web.StreamResponse | None) -> AsyncIterator[str]:
    """One that says this to everybody, or nothing at all; its address."""
    ends = asyncio.Event()

    async def say(_: web.Request) -> web.StreamResponse:
        if answer is None:
            await ends.wait()
        return answer or web.Response()

    application = web.Application()
    application.router.add_get("/{path:.*}", say)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    ends.set()
    await runner.cleanup()


async def checked(capsys: pytest.CaptureFixture[str], url: str, sandbox: str | None = None) -> tuple[int, str]:
    """The status of a check, and what it said on standard error."""
    settings = settings_of(url, sandbox_url=sandbox)
    status = await check.check(settings, replay=False, against_sandbox=sandbox is not None)
    printed = capsys.readouterr()
    assert "wrong" not in printed.out.lower() and "all is well" not in printed.out
    return status, printed.err


async def test_a_database_without_a_schema_is_not_wrong(capsys: pytest.CaptureFixture[str], database_url: str) -> None:
    empty = make_conninfo(database_url, dbname="postgres")
    lacks = 'relation "shard" does not exist'
    said = f"caudal: the database is not what this version looks at: {lacks} (`caudal migrate`)\n"
    assert await checked(capsys, empty) == (2, said)


async def test_a_database_that_is_away_is_not_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    status, said = await checked(capsys, NOWHERE)
    assert (status, said.count("\n")) == (2, 1)
    assert said.startswith("caudal: the database cannot be looked at: ") and MISSING in said


async def test_a_database_that_stands_still_is_given_up(
    capsys: pytest.CaptureFixture[str], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "_LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(check, "_SILENT_S", 2)
    async with standing_still(database_url, behind=b"timezone") as address:
        said = "caudal: the database does not answer any more: no new connection within 2 s\n"
        assert await checked(capsys, address) == (2, said)


async def test_a_database_that_is_slow_is_waited_for(
    capsys: pytest.CaptureFixture[str], database_url: str, monkeypatch: pytest.MonkeyPatch, context: Context
) -> None:
    monkeypatch.setattr(check, "_LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(check, "SQL", {**check.SQL, "shards": "select id from shard, pg_sleep(0.3)"})
    assert await check.check(settings_of(database_url), replay=False, against_sandbox=False) == 0
    assert "all is well" in capsys.readouterr().out


async def test_a_database_that_refuses_further_connections_is_not_given_up(
    capsys: pytest.CaptureFixture[str], database_url: str, monkeypatch: pytest.MonkeyPatch, context: Context
) -> None:
    """As one does that is full: it answers, and so does the connection that there is."""
    looks = check._stands_still
    monkeypatch.setattr(check, "_stands_still", lambda address: looks(make_conninfo(address, dbname="nobody_has_it")))
    monkeypatch.setattr(check, "_LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(check, "SQL", {**check.SQL, "shards": "select id from shard, pg_sleep(0.3)"})
    assert await check.check(settings_of(database_url), replay=False, against_sandbox=False) == 0
    assert "all is well" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (None, "Timeout on reading data from socket"),
        (web.Response(status=500), "500, message='Internal Server Error'"),
        (web.Response(text="<html>"), "Expecting value"),
    ],
    ids=["silent", "broken", "another"],
)
async def test_a_sandbox_whose_statement_cannot_be_read_is_not_wrong(
    answer: web.Response | None,
    why: str,
    capsys: pytest.CaptureFixture[str],
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(against, "_SILENT_S", 0.2)
    async with a_sandbox(answer) as url:
        status, said = await checked(capsys, database_url, url)
    assert (status, said.count("\n")) == (2, 1)
    assert said.startswith(f"caudal: the sandbox's statement cannot be read at {url}/v1/bank/statement: {why}")


async def test_a_sandbox_that_is_away_is_not_wrong(capsys: pytest.CaptureFixture[str], database_url: str) -> None:
    status, said = await checked(capsys, database_url, "http://127.0.0.1:1")
    assert status == 2 and "Cannot connect to host 127.0.0.1:1" in said


async def test_a_difference_of_the_replay_is_told_like_a_law(
    capsys: pytest.CaptureFixture[str], database_url: str, context: Context
) -> None:
    await play(database_url, 0, Story(seed=7, length=40).commands, 20)
    [(seq,)] = await context.rows("update transfer set hash = sha256('') where seq = 2 returning seq")
    assert await check.check(settings_of(database_url), replay=True, against_sandbox=False) == 1
    printed = capsys.readouterr().out
    assert f"WRONG replay hash: shard 0, transfer {seq}: " in printed and "Difference(" not in printed


def test_a_command_says_at_once_why_its_database_does_not_answer() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "caudal", "operator", "list"],
        env={**OUTSIDE, "CAUDAL_KEK": KEK, "CAUDAL_DATABASE_URL": NOWHERE},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1), done.stderr
    assert done.stderr.startswith("caudal: the database does not answer: ") and MISSING in done.stderr


def test_what_a_killed_up_left_behind_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CAUDAL_DATABASE_URL", raising=False)
    monkeypatch.setenv("CAUDAL_VAR", str(tmp_path))
    ready = Ready(
        pid=os.getpid(),
        api_url="",
        sandbox_url="",
        database_url=NOWHERE,
        operator_key="",
        demo_key="",
        processes={},
    )
    with state.held(tmp_path):  # as `caudal up` does; the kernel lets go of what one that is killed holds
        state.write_ready(tmp_path, ready)
        state.read_secrets(tmp_path, may_make=True)
        assert running.settings().database_url == NOWHERE
    with pytest.raises(SettingError, match="no `caudal up` runs in"):
        running.settings()
