"""`caudal database`: the embedded PostgreSQL alone, kept running, ended by a signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from caudal.app.database import run
from caudal.kernel.settings import SettingError, Settings
from tests.faults.restless import is_served, kill, until

pytestmark = pytest.mark.server

COMMAND = (sys.executable, "-m", "caudal", "database")


def environment(var: Path) -> dict[str, str]:
    outside = {name: value for name, value in os.environ.items() if not name.startswith("CAUDAL_")}
    return {**outside, "CAUDAL_VAR": str(var)}


@contextmanager
def running(var: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    with subprocess.Popen(COMMAND, env=environment(var), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().strip()
        process.terminate()


async def test_it_prints_where_it_is_and_runs_whatever_dies_until_it_is_told_to_end(
    open_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    var = open_tmp / "var"
    with running(var) as (process, url):
        async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
            await connection.execute("create table kept (number integer)")
        data = var.joinpath("postgres").resolve() / "data"
        kill(int((data / "postmaster.pid").read_text().split()[0]))

        async def is_back() -> bool:
            return await is_served(url, "select count(*) from kept")

        await until(is_back, "it is back, with what it had", 30.0)
        assert await run(Settings(var=str(var))) == 1
        assert "already up" in capsys.readouterr().err
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0
        assert not await is_served(url)


async def test_it_does_not_run_beside_a_database_that_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="CAUDAL_DATABASE_URL names a database"):
        await run(Settings(var=str(tmp_path), database_url="postgresql://elsewhere/caudal"))
