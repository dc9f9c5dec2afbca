"""`/readyz` of a worker: which of its loops does not turn, for how long, and why; 503 while that is so."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from caudal.app import worker
from caudal.app.telemetry import OperatorPort, health, health_of
from caudal.app.worker import Worker
from caudal.kernel import loops
from caudal.kernel.context import Context
from caudal.kernel.loops import Loops
from tests.conftest import settings_of


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(loops, "monotonic", made)
    return made


def test_a_loop_that_turns_and_rests_is_not_late(clock: Clock) -> None:
    every = Loops(Context(settings_of("postgresql://127.0.0.1/nowhere"), name="worker"))
    loop = every.add("tidy")
    with loop:
        clock.now += 50
    loop.rests(3_600)
    clock.now += 3_650
    assert list(every.late()) == []
    clock.now += 20
    assert list(every.late()) == ["tidy has not turned for 70 s: nothing turns it"]


def test_a_turn_that_does_not_end_is_late(clock: Clock) -> None:
    every = Loops(Context(settings_of("postgresql://127.0.0.1/nowhere"), name="worker"))
    with every.add("due"):
        clock.now += 61
        assert list(every.late()) == ["due has not turned for 61 s: a turn of it does not end"]
    assert list(every.late()) == []


def test_a_loop_whose_turns_fail_is_late_although_it_turns(clock: Clock) -> None:
    every = Loops(Context(settings_of("postgresql://127.0.0.1/nowhere"), name="worker"))
    loop = every.add("project", beyond_s=-50)
    for _ in range(3):
        with pytest.raises(ValueError, match="4111111111111111"), loop:
            raise ValueError("4111111111111111")
        loop.rests(5)
        clock.now += 4
    assert list(every.late()) == ["project has not turned for 12 s: its turns end with ValueError"]
    with loop:
        pass
    assert list(every.late()) == []


@asynccontextmanager
async def working(context: Context) -> AsyncIterator[None]:
    one = Worker(context)
    task = asyncio.create_task(one.run())
    try:
        yield
    finally:
        one.stop()
        await asyncio.wait_for(task, 30)


async def readyz(context: Context) -> tuple[int, dict[str, str]]:
    status, _, body = await OperatorPort(context)._said(b"GET", b"/readyz")
    return status, json.loads(body)["checks"]


async def until_loops(context: Context, bad: bool) -> tuple[int, dict[str, str]]:
    async with asyncio.timeout(30):
        while True:
            status, checks = await readyz(context)
            if "loops" in checks and (checks["loops"] != "ok") == bad and len(context.once(Loops)._loops) >= 10:
                return status, checks
            await asyncio.sleep(0.02)


async def test_a_worker_with_a_loop_that_hangs_is_not_ready_and_says_which(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    goes_on = asyncio.Event()

    async def hangs(_: Context, __: int) -> int:
        await goes_on.wait()
        return 0

    monkeypatch.setattr(worker, "PROJECTIONS", (hangs,))
    async with Context(settings_of(database_url, worker_poll_s=0.01), name="worker") as context, working(context):
        status, checks = await until_loops(context, bad=False)
        assert (status, checks["loops"]) == (200, "ok")
        for loop in context.once(Loops)._loops:
            loop._limit_s = 0.3 if loop.name.startswith("project") else 1e9
        status, checks = await until_loops(context, bad=True)
        assert status == 503
        assert checks["loops"].startswith("project of shard 0 has not turned for ")
        assert checks["loops"].endswith(" s: a turn of it does not end")
        goes_on.set()
        assert (await until_loops(context, bad=False))[0] == 200
        names = {loop.name.split(" of ")[0] for loop in context.once(Loops)._loops}
        assert names >= {"shards", "tidy", "watch", "due", "project", "fan_out", "prune", "drop_files", "deliver"}


async def test_it_says_so_too_where_the_database_stands_still(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: object) -> list[Any]:
        await asyncio.Event().wait()
        return []

    monkeypatch.setattr(health, "_ANSWER_S", 0.05)
    monkeypatch.setattr(context, "rows", never)
    context.once(Loops).add("due of shard 0", beyond_s=-61.0)
    status, checks = await readyz(context)
    assert (status, checks["database"]) == (503, "the database does not answer: TimeoutError")
    assert checks["loops"].startswith("due of shard 0 has not turned for 0 s")


async def test_a_process_without_loops_is_asked_for_none(context: Context) -> None:
    assert "loops" not in (await health_of(context)).checks
