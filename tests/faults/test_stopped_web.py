"""A web process that stands still in the middle of a batch holds the shard's lock: a second later another goes on."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from tests.faults import books
from tests.faults.asking import History
from tests.faults.restless import until
from tests.faults.traffic import Traffic
from tests.whole import Whole

pytestmark = pytest.mark.server

SEED = 4
STOPS = 3
STOPPED_S = 2.5
# The server's own word that it was its limit for silence, which is a second, and nothing else that freed the shard.
FREED_BY = "terminating connection due to idle-in-transaction timeout"
# A transaction that waits for its client, which is not one that will come in a moment.
HOLDING = """
    select count(*) from pg_stat_activity
    where state = 'idle in transaction' and state_change < clock_timestamp() - interval '50 ms'"""


@pytest.fixture
def whole(open_tmp: Path) -> Iterator[Whole]:
    """Two web processes on one shard."""
    started = Whole(open_tmp / "stopped", CAUDAL_WEB_PROCESSES="2", CAUDAL_LEASE_S="1")
    started.start()
    yield started
    started.stop()


async def test_a_stopped_web_process_frees_the_shard_and_everything_counts_once(
    whole: Whole, say: Callable[[str], None]
) -> None:
    history, moments, freed_s = History(), random.Random(SEED), []
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session,
        await psycopg.AsyncConnection.connect(whole.database_url, autocommit=True) as connection,
    ):
        traffic = Traffic(session, whole.ready, history, SEED, patience_s=1.0)
        traffic.start()
        pids = [int(whole.ready["processes"][name]) for name in ("web", "web-2")]
        for _ in range(STOPS):
            pid, stopped_at, before = await stopped_with_the_lock(pids, connection, moments, history)
            try:
                await until(partial(goes_on, history, before), "the other process goes on", 60.0, every_s=0.01)
                freed_s.append(time.monotonic() - stopped_at)
                await asyncio.sleep(max(0.0, stopped_at + STOPPED_S - time.monotonic()))
            finally:
                os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(0.5)
        await traffic.stop()
        await until(lambda: is_quiet(connection, traffic), "everything is delivered and done", 20.0)
        [book] = await books.one(connection, books.BOOK)
        found = await books.examined(connection, traffic.told, book)
    say("freed after " + ", ".join(f"{seconds:.2f} s" for seconds in freed_s))
    assert not history.strange + traffic.bank.strange
    assert history.counts["-"]["unknown"] > 0, "nobody was kept waiting: this tested nothing"
    assert (found.lies, found.lost.total(), found.doubled.total()) == ([], 0, 0)
    assert (whole.var / "log" / "postgres.log").read_text().count(FREED_BY) >= STOPS
    checked = whole.caudal("check", "--replay", "--against-sandbox")
    assert checked.returncode == 0, checked.stdout + checked.stderr


async def stopped_with_the_lock(
    pids: list[int], connection: psycopg.AsyncConnection[Any], moments: random.Random, history: History
) -> tuple[int, float, int]:
    """Stops one or the other until it has a transaction open; which, when, and how many were acknowledged by then."""
    for _ in range(200):
        pid = moments.choice(pids)
        await asyncio.sleep(moments.uniform(0.02, 0.1))
        os.kill(pid, signal.SIGSTOP)
        stopped_at = time.monotonic()
        await asyncio.sleep(0.1)
        before = history.counts["-"]["acknowledged"]
        if await books.one(connection, HOLDING) == (1,):
            return pid, stopped_at, before
        os.kill(pid, signal.SIGCONT)
    raise AssertionError("it was never stopped in the middle of a batch")


async def goes_on(history: History, before: int) -> bool:
    return history.counts["-"]["acknowledged"] > before


async def is_quiet(connection: psycopg.AsyncConnection[Any], traffic: Traffic) -> bool:
    [number] = await books.one(connection, "select count(*) from deposit")
    return number == len(traffic.told.transfers) and await books.one(connection, books.UNDONE) == (0,)
