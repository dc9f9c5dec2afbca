"""What tests share: a real PostgreSQL for the run, a fresh migrated database for each test, a whole caudal."""

from __future__ import annotations

import asyncio
import base64
import gc
import itertools
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path

import hypothesis
import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from caudal.app.migrate import migrate
from caudal.kernel import db
from caudal.kernel.context import Context
from caudal.kernel.settings import Settings
from tests.whole import Whole

gc.disable()  # until everything is collected
pytest_plugins = ["tests.house.said", "tests.house.seconds"]

# How long an example takes is the machine's affair.
hypothesis.settings.register_profile("caudal", deadline=None)
hypothesis.settings.load_profile("caudal")

ROOT = Path(__file__).parents[1]
KEK = base64.b64encode(bytes(range(32))).decode()
NUMBERS = itertools.count(1)
# Files of half a minute and more, the longest first: whoever begins last with one of these is waited for.
LONGEST = (
    "caudal_ops/test_alerts_fire.py",
    "faults/test_kills.py",
    "faults/test_harness.py",
    "faults/test_provider_down.py",
    "faults/test_provider_kills.py",
    "faults/test_full_disk.py",
    "app/test_schemathesis.py",
    "app/test_up.py",
    "app/test_forbidden_by_document.py",
    "kernel/test_postgres.py",
    "app/test_demo.py",
    "faults/test_stopped_web.py",
    "faults/test_up_killed.py",
    "faults/test_provider_faults.py",
    "caudal_simulation/test_mirror.py",
    "caudal_simulation/test_histories.py",
    "caudal_simulation/test_second_histories.py",
    "caudal_simulation/test_third_histories.py",
    "caudal_simulation/test_fourth_histories.py",
    "payins/test_provider_machine.py",
    "payins/test_machine.py",
)
# A database made in memory costs 30 ms of CPU, with a disk under it 300. `fsync` stays on: caudal refuses less.
MEMORY, ROOM_BYTES = Path("/dev/shm"), 2 * 1024**3
NEEDS_A_SERVER = {"server_url", "database_url", "context", "running", "whole_home"}
# These start processes of their own, or wait on real clocks.
STARTS_PROCESSES = (
    "app/test_demo.py",
    "app/test_database_command.py",
    "app/test_exits.py",
    "app/test_restart.py",
    "app/test_stopping.py",
    "app/test_restart.py",
    "app/test_up*.py",
    "caudal_load/test_load_drive.py",
    "caudal_load/test_load_run.py",
    "caudal_load/test_fault_*.py",
    "caudal_load/test_overload.py",
    "caudal_load/test_rolling.py",
    "caudal_load/test_load_slow.py",
    "caudal_sandbox/*.py",
    "caudal_simulation/*.py",
    "connectors/test_conformance*.py",
    "house/test_examples.py",
    "house/test_said.py",
    "kernel/test_postgres*.py",
)


def pytest_collection_finish() -> None:
    """What was collected stays: it is not searched for garbage again and again, as it is not while it grows."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs a server, so that `make quick` can leave it out; the longest files begin, side by side.

    Files that share a whole caudal come last, those with most such tests first: from then on it runs in each process of
    the tests, and takes a thirtieth of a core idle.
    """
    needs: dict[pytest.Item, set[str]] = {item: set(getattr(item, "fixturenames", ())) for item in items}
    for item in items:
        if _starts_processes(item.path) or NEEDS_A_SERVER & needs[item]:
            item.add_marker(pytest.mark.server)
    turn = {ROOT / "tests" / name: number for number, name in enumerate(LONGEST)}
    last = Counter(item.path for item in items if "running" in needs[item])
    items.sort(key=lambda item: (turn.get(item.path, len(turn)), item.path in last, -last[item.path]))


@cache
def _starts_processes(file: Path) -> bool:
    place = file.relative_to(ROOT / "tests")
    return any(place.match(pattern) for pattern in STARTS_PROCESSES)


@pytest.fixture(scope="session")
def open_tmp() -> Iterator[Path]:
    """A directory that the database's own user can reach, however this run is started."""
    path = Path(tempfile.mkdtemp(prefix="caudal-test-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def server_url(open_tmp: Path) -> Iterator[str]:
    """A PostgreSQL with a database `template_caudal` that has today's schema. Its own process deletes it."""
    room = shutil.disk_usage(MEMORY).free if MEMORY.is_dir() else 0
    home = Path(tempfile.mkdtemp(prefix="caudal-test-", dir=MEMORY)) if room >= ROOM_BYTES else open_tmp / "server"
    command = [sys.executable, "-m", "tests.server", str(home)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url, "the test server did not start"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create database template_caudal")
    asyncio.run(migrate(make_conninfo(url, dbname="template_caudal")))
    yield url
    process.communicate(timeout=30)


@pytest.fixture
def database_url(server_url: str) -> str:
    """A database of the test's own. The one before goes now: at once, the server would wait for who leaves it.

    Files are copied, which costs half of what a copy by way of the write-ahead log does.
    """
    number = next(NUMBERS)
    return new_database(server_url, f"test_{number}", instead_of=f"test_{number - 1}")


def new_database(server_url: str, name: str, *, instead_of: str | None = None) -> str:
    """A migrated database of this name; its address."""
    with psycopg.connect(server_url, autocommit=True) as connection:
        if instead_of is not None:
            connection.execute(f"drop database if exists {instead_of} with (force)".encode())
        connection.execute(f"create database {name} template template_caudal strategy file_copy".encode())
    return make_conninfo(server_url, dbname=name)


def settings_of(database_url: str, **changed: object) -> Settings:
    """Settings of a process on this database."""
    values: dict[str, object] = {
        "database_url": database_url,
        "kek": KEK,
        "spei_secret_test": "test secret",
        "spei_secret_live": "live secret",
        "spei_url_live": "http://127.0.0.1:9",
        **changed,
    }
    return Settings(**values)  # type: ignore[arg-type]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The server waits for locks for as long as anybody does: whoever ends sooner has a reason of its own.

    For connections that are opened after this.
    """
    for name in ("lock_timeout", "transaction_timeout"):
        monkeypatch.setitem(db.SESSION_SETTINGS, name, "0")


@pytest.fixture(autouse=True, scope="module")
def leftovers(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a client leaves whose server was killed while it connected, and nobody closes, fails no later test."""
    yield
    marks = getattr(request.module, "pytestmark", [])
    if any(mark.name == "server" for mark in (marks if isinstance(marks, list) else [marks])):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)
            gc.collect()


@pytest.fixture
async def context(database_url: str) -> AsyncIterator[Context]:
    """A process's context on a database of the test's own."""
    async with Context(settings_of(database_url), name="test") as opened:
        yield opened


@pytest.fixture(scope="session")
def running(open_tmp: Path) -> Iterator[Whole]:
    """A whole caudal, as `caudal up` starts it; shared, so tests make merchants and payins of their own."""
    whole = Whole(open_tmp / "whole", CAUDAL_WEBHOOK_LOOPBACK="1")
    whole.start()
    yield whole
    whole.stop()
