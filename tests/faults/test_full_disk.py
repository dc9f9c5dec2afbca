"""The disk of the database is full: requests are refused for now or unknown, none is acknowledged that is not there.

A small tmpfs holds all of PostgreSQL's data or its write-ahead log alone, and a file fills it. Where a table cannot
grow, a statement fails; where the log cannot, the server ends and cannot come back. Both end by themselves when there
is room. Root mounts the tmpfs; anybody else mounts it in a namespace of a process of his own and reaches it through it.
"""

from __future__ import annotations

import asyncio
import os
import shlex
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from subprocess import PIPE
from uuid import UUID

import psycopg
import pytest

from caudal.app.check import differences
from caudal.app.migrate import migrate
from caudal.kernel.context import Context
from caudal.kernel.postgres import Cluster
from tests.api import Answered, Api
from tests.conftest import settings_of
from tests.faults.restless import is_served, until

pytestmark = pytest.mark.server

DISK = "128m"
SMALL = {
    "shared_buffers": "16MB",
    "wal_buffers": "1MB",
    "min_wal_size": "32MB",
    "max_wal_size": "32MB",
    "max_connections": "30",
    "autovacuum": "off",
}
CLIENTS = 32
NORMAL, AFTERWARDS = 300, 300  # payins to wait for
SILENT_S = 2.0  # nobody was acknowledged for so long: the disk is full indeed
ROUND = 20_000


@pytest.fixture
def small_disk(open_tmp: Path) -> Iterator[Path]:
    """A file system of its own."""
    place = open_tmp / "disk"
    place.mkdir(exist_ok=True)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0711", "caudal-test", str(place)]
    if not (refused := said_by(mount)):
        yield place
        for options in ([], ["-l"]):  # lazily, if something still has a file open
            if subprocess.run(["umount", *options, str(place)], check=False).returncode == 0:
                break
        return
    if os.geteuid() == 0:
        pytest.fail(f"root needs CAP_SYS_ADMIN to mount a disk that is filled; mount: {refused}")
    if unable := said_by(["unshare", "-rm", *mount]):
        pytest.fail(f"a disk that is filled needs root or user namespaces; mount: {refused}; unshare -rm: {unable}")
    script = f"{shlex.join(mount)} && echo mounted && exec cat"
    with subprocess.Popen(["unshare", "-rm", "sh", "-c", script], stdin=PIPE, stdout=PIPE, text=True) as holding:
        assert holding.stdin is not None and holding.stdout is not None
        assert holding.stdout.readline() == "mounted\n"
        yield Path(f"/proc/{holding.pid}/root{place}")
        holding.stdin.close()


def said_by(command: list[str]) -> str:
    """Why a command did not do what it should; nothing when it did."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return f"there is no program `{command[0]}`"
    return "" if done.returncode == 0 else done.stderr.strip() or f"status {done.returncode}"


class Clients:
    """Payins made and paid through the API, and what was said of each."""

    def __init__(self, api: Api) -> None:
        self._api, self._stopping, self._numbers = api, False, 0
        self.created: dict[str, str] = {}  # key: id
        self.deposited: dict[str, int] = {}  # tracking key: amount
        self.unknown: list[str] = []
        self.said, self.strange, self.last_at = Counter[str](), list[str](), time.monotonic()
        self._tasks = [asyncio.create_task(self._go_on()) for _ in range(CLIENTS)]

    async def stop(self) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def _go_on(self) -> None:
        while not self._stopping:
            self._numbers += 1
            key = f"disk {self._numbers}"
            answer = await self.create(key)
            word = self._says(answer)
            if word == "acknowledged":
                self.created[key] = answer.json["id"]
                await self._deposit(answer.json["next_action"]["clabe"])
            elif word == "unknown":
                self.unknown.append(key)
            await asyncio.sleep(0)

    async def create(self, key: str) -> Answered:
        """The same request whenever it is the same key."""
        return await self._api.create(key, reference=key, description="x" * 400)

    async def _deposit(self, clabe: str) -> None:
        self._numbers += 1
        tracking, amount = f"T{self._numbers}", 1 + self._numbers % ROUND
        if self._says(await self._api.deposit(clabe, amount, tracking)) == "acknowledged":
            self.deposited[tracking] = amount

    def _says(self, answer: Answered) -> str:
        retry = answer.json.get("retry")
        if answer.status in (200, 201):
            word, self.last_at = "acknowledged", time.monotonic()
        elif (answer.status, retry) == (503, "after"):
            word = "refused"
        elif (answer.status, retry) == (500, "same_key"):
            word = "unknown"
        else:
            word = "strange"
            self.strange.append(f"{answer.status} {answer.body.decode()}")
        self.said[word] += 1
        return word


@asynccontextmanager
async def running(home: Path, log: Path, said: list[str]) -> AsyncIterator[Cluster]:
    """A PostgreSQL that is kept running; its messages go elsewhere."""
    async with Cluster(home, log=log, settings=SMALL, say=said.append) as cluster:
        supervising = asyncio.create_task(cluster.supervise())
        yield cluster
        supervising.cancel()
        with suppress(asyncio.CancelledError):
            await supervising


async def test_where_a_table_cannot_grow_nothing_is_acknowledged_that_is_not_there(
    small_disk: Path, open_tmp: Path, say: Callable[[str], None]
) -> None:
    said: list[str] = []
    home = await made(open_tmp / "all-on-the-disk", small_disk, "data")
    async with running(home, open_tmp / "disk.log", said) as cluster:
        clients, while_full = await filled(cluster, small_disk, say)
        await check(cluster.database_url, clients)
    assert while_full["refused"] + while_full["unknown"] > 0


async def test_where_the_log_cannot_grow_the_server_comes_back_with_all_that_was_acknowledged(
    small_disk: Path, open_tmp: Path, say: Callable[[str], None]
) -> None:
    said: list[str] = []
    home = await made(open_tmp / "log-on-the-disk", small_disk, "data/pg_wal")
    async with running(home, open_tmp / "disk.log", said) as cluster:
        clients, while_full = await filled(cluster, small_disk, say, ended=said)
        await check(cluster.database_url, clients)
    assert while_full["refused"] + while_full["unknown"] > 0


async def filled(
    cluster: Cluster, disk: Path, say: Callable[[str], None], *, ended: list[str] | None = None
) -> tuple[Clients, Counter[str]]:
    """Fills the disk under load and makes room again; what was said until then.

    Where the server is to end, `ended` is where its keeper says so.
    """
    await migrate(cluster.database_url, shards=1)
    settings = settings_of(cluster.database_url, request_timeout_ms=1_500, batch_deadline_s=2.0)
    async with Context(settings, name="test") as context:
        api = Api(context)
        await api.ana()
        clients = Clients(api)
        await until_made(clients, NORMAL)
        filler = fill(disk)
        if ended is not None:
            await until(lambda: has_no_log_left(cluster), "no log is left", 30.0)
            await until(lambda: is_told(ended), "the server ends, and cannot come back", 60.0)
        await until(lambda: is_silent(clients, SILENT_S), "the full disk is noticed", 30.0)
        while_full = Counter(clients.said)
        filler.unlink()
        await until_made(clients, len(clients.created) + AFTERWARDS)
        await clients.stop()
        say(f"{dict(while_full)} until there was room again, {dict(clients.said)} in all")
        for key in clients.unknown:
            answer = await clients.create(key)
            assert answer.status == 201, answer.body
            assert (await clients.create(key)).body == answer.body
            clients.created[key] = answer.json["id"]
    assert not clients.strange, clients.strange[:5]
    return clients, while_full


async def made(home: Path, disk: Path, part: str) -> Path:
    """The home of a new PostgreSQL that does not run yet, with this part of it on the disk."""
    async with Cluster(home, settings=SMALL, say=lambda text: None):
        pass
    former = home / part
    place = disk / former.name
    shutil.copytree(former, place, symlinks=True)
    for path in (place, *place.rglob("*")):
        os.chown(path, former.stat().st_uid, former.stat().st_gid)
    shutil.rmtree(former)
    former.symlink_to(place)
    return home


async def check(database_url: str, clients: Clients) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("set timezone = 'UTC'")
        rows = await (await connection.execute("select reference, id from payin")).fetchall()
        booked = await (await connection.execute("select tracking_key, amount_minor from deposit")).fetchall()
        wrong = [row async for row in differences(connection, 0)]
    assert len({reference for reference, _ in rows}) == len(rows), "a payin is there twice"
    ids: dict[str, UUID] = dict(rows)
    lost = [key for key, id in clients.created.items() if key not in ids or f"payin_{ids[key].hex}" != id]
    assert not lost
    deposits: dict[str, int] = dict(booked)
    assert len(deposits) == len(booked)
    assert clients.deposited.items() <= deposits.items()
    assert not wrong


def fill(place: Path) -> Path:
    """Takes all the room there is."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(65_536))
    left = os.statvfs(place)
    assert left.f_bavail * left.f_frsize < 65_536
    return filler


async def until_made(clients: Clients, number: int) -> None:
    async def are_made() -> bool:
        return len(clients.created) >= number

    await until(are_made, f"{number} payins are made", 30.0)


async def has_no_log_left(cluster: Cluster) -> bool:
    return not await is_served(cluster.database_url, "select pg_switch_wal()")


async def is_told(said: list[str]) -> bool:
    return any("PostgreSQL ended with" in line for line in said)


async def is_silent(clients: Clients, for_s: float) -> bool:
    return time.monotonic() - clients.last_at > for_s
