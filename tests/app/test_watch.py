"""What one worker gathers for all: figures that are true, laws that are held, and one that watches at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from caudal.app.check import laws
from caudal.app.telemetry import Watch
from caudal.app.worker import JOBS
from caudal.kernel.commit import Due
from caudal.kernel.context import Context
from caudal.kernel.primary import Primary
from caudal.webhooks import fan_out
from tests.api import Api
from tests.app.test_worker import Work
from tests.conftest import settings_of

Figures = dict[tuple[str, ...], object]


@asynccontextmanager
async def watching(database_url: str, watch_s: float = 0.02) -> AsyncIterator[Context]:
    """A worker that does nothing else."""
    stopping = asyncio.Event()
    async with Context(settings_of(database_url, check_share=1.0, watch_s=watch_s), name="worker") as context:
        task = asyncio.create_task(Watch(context, tuple(JOBS)).run(stopping))
        yield context
        stopping.set()
        await task


def figures(context: Context) -> Figures:
    return {(one.name, *values): value for one, samples in context.meter.read() for values, value in samples}


async def until(context: Context, seen: Callable[[Figures], object]) -> Figures:
    async with asyncio.timeout(30):
        while not seen(found := figures(context)):  # noqa: ASYNC110 (nobody says when something was gathered)
            await asyncio.sleep(0.02)
    return found


def all_laws(found: Figures) -> bool:
    """Whether a round has ended."""
    looked = [value for name, value in found.items() if name[0] == "caudal.ledger.check.last_run_timestamp" and value]
    return len(looked) == len(laws())


async def test_the_figures_are_those_of_the_database(database_url: str, context: Context) -> None:
    ana = Api(context)
    await ana.ana()
    payin = (await ana.create()).json
    await ana.deposit(payin["next_action"]["clabe"], 10_000)
    at = datetime.now(UTC) - timedelta(hours=1)
    late = Due(at=at, kind="payin.submit", subject=uuid4(), book=2)
    held = Due(at=at + timedelta(days=1), kind="payin.operate", subject=uuid4(), book=2, attempt=1, said="RuntimeError")
    await context.commit(0, Work(text="", due=(late, held)))
    async with watching(database_url) as worker:
        found = await until(worker, all_laws)
    assert 3_600 <= float(str(found["caudal.due.oldest_age", "0", "payin.submit"])) < 3_700
    assert (
        found["caudal.due.oldest_age", "0", "payin.expire"] == found["caudal.due.oldest_age", "0", "payin.operate"] == 0
    )
    assert [found["caudal.due.in_vain", "0", kind] for kind in ("payin.submit", "payin.operate")] == [0, 1]
    assert found["caudal.money.house", "0", "test", "MXN", "bank"] == 10_000
    assert found["caudal.shard.time_ahead", "0"] == 0
    assert found["caudal.discrepancies.open", "0"] == 0
    assert found["caudal.unresolved.outcomes",] == 0
    assert {found["caudal.webhook.lag", "0", state] for state in ("unmade", "first", "again")} == {0.0}
    assert sum(value for name, value in found.items() if name[0] == "caudal.ledger.check.violations") == 0  # type: ignore[misc]


async def test_webhooks_that_are_late_are_told_by_what_they_wait_for(database_url: str, context: Context) -> None:
    ana = Api(context)
    await ana.ana()
    made = await ana.post("/v1/webhook_endpoints", {"url": "https://shop.example.com/hook"})
    assert made.status == 201, made.body
    while await fan_out(context, 0):
        pass
    await ana.create()

    async def late(expected: str) -> float:
        """How late are those that wait for this, while nothing waits for anything else."""
        async with watching(database_url) as worker:
            found = await until(worker, lambda found: ("caudal.webhook.lag", "0", "unmade") in found)
        lags = {state: float(str(found["caudal.webhook.lag", "0", state])) for state in ("unmade", "first", "again")}
        [(state, lag)] = [(state, lag) for state, lag in lags.items() if lag]
        assert state == expected, lags
        return lag

    await context.rows("update event set at = at - interval '1 hour' returning 1")
    assert 3_600 <= await late("unmade") < 3_700
    await context.rows(
        "update event set at = at + interval '1 hour' returning 1"
    )  # or it is before its endpoint's time
    while await fan_out(context, 0):
        pass
    due = "update webhook_delivery set due_at = clock_timestamp() - interval '2 hours', attempts = %s returning 1"
    await context.rows("update webhook_queue set due_at = clock_timestamp() - interval '2 hours' returning 1")
    await context.rows(due, (0,))
    assert 7_200 <= await late("first") < 7_300
    await context.rows(due, (3,))
    assert 7_200 <= await late("again") < 7_300


async def test_a_law_that_is_broken_is_counted_and_told(
    database_url: str, context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    ana = Api(context)
    await ana.ana()
    await ana.deposit((await ana.create()).json["next_action"]["clabe"], 10_000)

    def wrong(found: Figures) -> bool:
        return found.get(("caudal.ledger.check.violations", "0", "account_balance"), 0) != 0

    async with watching(database_url) as worker:
        await until(worker, all_laws)
        with caplog.at_level(logging.ERROR, "caudal.app.telemetry.watch"):
            await context.rows("update account set credits_posted = credits_posted + 1 where id > 131072 returning 1")
            await until(worker, wrong)
            await context.rows("update account set credits_posted = credits_posted - 1 where id > 131072 returning 1")
            await until(worker, lambda found: not wrong(found))
    told = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert told and all("the books break the law" in record.message for record in told)


async def test_a_law_that_nobody_has_looked_at_says_so(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stands_still(_: Watch, stopping: asyncio.Event) -> None:
        await stopping.wait()

    monkeypatch.setattr(Watch, "_check", stands_still)
    async with watching(database_url) as worker:
        found = await until(worker, lambda found: ("caudal.watch.last_run_timestamp",) in found)
    assert {
        law.name: found["caudal.ledger.check.last_run_timestamp", "0", law.name] for law in laws()
    } == dict.fromkeys((law.name for law in laws()), 0.0)


async def test_who_stops_while_a_look_ends_closes_its_connections(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened, connect, stopping = list[psycopg.AsyncConnection[Any]](), Primary.connect, asyncio.Event()

    async def noted(self: Primary, **settings: str) -> psycopg.AsyncConnection[Any]:
        opened.append(await connect(self, **settings))
        return opened[-1]

    async def commit(_: psycopg.AsyncConnection[Any]) -> None:
        await asyncio.sleep(0.1)  # an answer takes its time

    monkeypatch.setattr(Primary, "connect", noted)
    monkeypatch.setattr(psycopg.AsyncConnection, "commit", commit)
    async with Context(settings_of(database_url, check_share=0.001, watch_s=0.5), name="worker") as context:
        task = asyncio.create_task(Watch(context, tuple(JOBS)).run(stopping))
        found = await until(context, lambda found: found.get(("caudal.ledger.check.ranges", "0")))
        before = found["caudal.watch.last_run_timestamp",]
        await until(context, lambda found: found["caudal.watch.last_run_timestamp",] != before)
        stopping.set()  # the look at the laws has rested for longer than the figures: it ends, and they end it
        await task
    assert [connection.closed for connection in opened] == [True, True]


async def test_one_watches_at_a_time_and_another_one_goes_on(database_url: str) -> None:
    def watches(found: Figures) -> bool:
        return ("caudal.watch.last_run_timestamp",) in found

    async with watching(database_url) as first:
        await until(first, watches)
        async with watching(database_url) as second:
            await asyncio.sleep(0.2)
            assert not watches(figures(second))
            for backend in await first.rows(
                "select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory' and objid = 870088"
            ):
                assert backend == (True,)
            await until(second, lambda found: watches(found) or watches(figures(first)))
            assert not (watches(figures(first)) and watches(figures(second)))
        await until(first, watches)
