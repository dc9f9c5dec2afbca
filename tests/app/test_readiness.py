"""Whoever is waited for begins nothing until its checks pass, says what it lacks, and that it is ready at last."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import uvicorn

from caudal.app import worker as app_worker
from caudal.app.edge.server import Server
from caudal.app.ready import Telling, Told
from caudal.app.web import Web
from caudal.kernel.context import Context
from caudal.kernel.loops import Loops
from caudal.kernel.settings import SettingError
from tests.app.test_worker_turns import working
from tests.conftest import settings_of

UNDO = "delete from migration where number = 2 returning number"
REDO = "insert into migration (number, name) values (2, 'provider_payins') returning number"
LACKS = "not migrated: 0002_provider_payins (`caudal migrate`)"


@pytest.fixture
async def told(database_url: str) -> AsyncIterator[Told]:
    told = Told()
    yield told
    told.close()


@pytest.fixture
async def waited(database_url: str, told: Told) -> AsyncIterator[Context]:
    """What a process has that somebody waits for."""
    async with Context(
        settings_of(database_url, worker_poll_s=0.01, ready_fd=told.descriptor), name="worker"
    ) as context:
        yield context


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


class Beginning:
    """The API, asked to begin as uvicorn asks it; `said` is what it answered."""

    def __init__(self, context: Context) -> None:
        self.web, self.said, self._asked = Web(context), list[Any](), asyncio.Queue[dict[str, str]]()
        self._asked.put_nowait({"type": "lifespan.startup"})
        self.running = asyncio.create_task(self.web({"type": "lifespan"}, self._asked.get, self._say))

    async def _say(self, message: Any) -> None:
        self.said.append(message)

    async def end(self) -> None:
        self._asked.put_nowait({"type": "lifespan.shutdown"})
        await asyncio.wait_for(self.running, 30)


async def test_a_worker_takes_no_work_until_its_checks_pass(waited: Context, told: Told) -> None:
    await waited.rows(UNDO)
    async with working(waited):
        await until(lambda: told.lacks == LACKS)
        assert not waited.once(Loops) and not told.has_begun, "no loop turns"
        await waited.rows(REDO)
        await until(lambda: told.is_ready)
        assert not list(waited.once(Loops).unturned()) and len(waited.once(Loops)._loops) >= 10


async def test_a_worker_whose_loop_breaks_is_not_ready(
    waited: Context, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(_: Context, __: int) -> int:
        raise LookupError("a defect")

    monkeypatch.setattr(app_worker, "PROJECTIONS", (breaks,))
    async with working(waited):
        await until(lambda: told.lacks == "project of shard 0 has not turned yet: its turns end with LookupError")
        assert told.has_begun
        monkeypatch.setattr(app_worker, "PROJECTIONS", ())
        await until(lambda: told.is_ready)


async def test_a_worker_that_is_asked_to_end_waits_for_nothing(waited: Context, told: Told) -> None:
    await waited.rows(UNDO)
    async with working(waited):
        await until(lambda: told.lacks == LACKS)
    assert not told.is_ready and [loop.name for loop in waited.once(Loops)._loops] == ["shards"]


async def test_the_api_begins_when_its_checks_pass_and_says_ready_when_it_listens(
    database_url: str, told: Told, context: Context
) -> None:
    await context.rows(UNDO)
    begins = Beginning(Context(settings_of(database_url, ready_fd=told.descriptor), name="web"))
    await until(lambda: told.lacks == LACKS)
    assert begins.said == [], "it does not listen beside one that is ready"
    await context.rows(REDO)
    await until(lambda: begins.said == [{"type": "lifespan.startup.complete"}])
    assert not told.is_ready
    begins.web.readiness.ready()
    await until(lambda: told.is_ready)
    await begins.end()


async def test_the_api_that_is_asked_to_end_before_does_not_begin(
    database_url: str, told: Told, context: Context
) -> None:
    await context.rows(UNDO)
    begins = Beginning(Context(settings_of(database_url, ready_fd=told.descriptor), name="web"))
    await until(lambda: told.lacks == LACKS)
    server = Server(uvicorn.Config(begins.web), begins.web, notice_s=0.0, stop_s=25.0)
    server.handle_exit(signal.SIGTERM, None)
    await asyncio.wait_for(begins.running, 30)
    message = "caudal: asked to end before it was ready"
    assert begins.said == [{"type": "lifespan.startup.failed", "message": message}] and not told.is_ready


async def test_the_api_that_nobody_waits_for_begins_whatever_it_lacks(database_url: str, context: Context) -> None:
    await context.rows(UNDO)
    begins = Beginning(Context(settings_of(database_url), name="web"))
    await until(lambda: begins.said == [{"type": "lifespan.startup.complete"}])
    await begins.end()


async def test_what_is_said_is_heard_line_by_line_until_the_other_end_is_gone(told: Told) -> None:
    os.write(told.descriptor, b"the database does not answer\nnot mig")
    await until(lambda: told.lacks == "the database does not answer")
    os.write(told.descriptor, b"rated\nrea")
    await until(lambda: told.lacks == "not migrated")
    told.handed_over()
    await until(lambda: told._end < 0)
    assert not told.is_ready


def test_an_end_that_can_only_be_read_is_refused() -> None:
    read, written = os.pipe()
    try:
        Telling(written)
        with pytest.raises(SettingError, match=f"CAUDAL_READY_FD={read}: it can only be read"):
            Telling(read)
    finally:
        os.close(read)
        os.close(written)
