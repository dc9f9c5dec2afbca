"""What tests share: a real PostgreSQL for the run, a fresh migrated database for each test, a whole caudal."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from psycopg.conninfo import make_conninfo

from caudal.app.migrate import migrate
from caudal.kernel.context import Context
from caudal.kernel.settings import Settings
from tests.whole import Whole

pytest_plugins = ["tests.house.said", "tests.house.seconds"]

ROOT = Path(__file__).parents[1]
KEK = base64.b64encode(bytes(range(32))).decode()
NUMBERS = itertools.count(1)
NEEDS_A_SERVER = {"server_url", "database_url", "context", "running", "whole_home"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks what needs a server, so that `make quick` can leave it out."""
    for item in items:
        if NEEDS_A_SERVER & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.server)


@pytest.fixture(scope="session")
def open_tmp() -> Iterator[Path]:
    """A directory that the database's own user can reach, however this run is started."""
    path = Path(tempfile.mkdtemp(prefix="caudal-test-"))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def server_url(open_tmp: Path) -> Iterator[str]:
    """A PostgreSQL with a database `template_caudal` that has today's schema."""
    command = [sys.executable, "-m", "tests.server", str(open_tmp / "postgres")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url, "the test server did not start"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("create database template_caudal")
    asyncio.run(migrate(make_conninfo(url, dbname="template_caudal"), shards=2))
    yield url
    process.communicate(timeout=30)


@pytest.fixture
def database_url(server_url: str) -> Iterator[str]:
    """A database of the test's own."""
    name = f"test_{os.getpid()}_{next(NUMBERS)}"
    create = sql.SQL("create database {} template template_caudal").format(sql.Identifier(name))
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(create)
    yield make_conninfo(server_url, dbname=name)
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


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
