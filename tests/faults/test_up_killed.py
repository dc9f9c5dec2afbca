"""`caudal up` itself ends under load, by kill -9 and by Ctrl-C: nothing of it lives on, and nothing is lost."""

from __future__ import annotations

import itertools
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aiohttp
import psycopg
import pytest

from tests.faults import books
from tests.faults.asking import History
from tests.faults.restless import living, until
from tests.faults.traffic import IN_FLIGHT, Traffic
from tests.whole import Whole

pytestmark = pytest.mark.server

GONE_S = 60.0
ACKNOWLEDGED = 500
SEED = 9
NUMBERS = itertools.count(1)


@pytest.fixture
def whole(open_tmp: Path) -> Iterator[Whole]:
    # Ports that nobody beside it comes to: a killed `up` promises them to no one, and finds them again.
    ports = {"CAUDAL_PORT": "18920", "CAUDAL_SANDBOX_PORT": "18960"}
    started = Whole(open_tmp / f"killed-{next(NUMBERS)}", CAUDAL_LEASE_S="1", **ports)
    started.start()
    yield started
    started.stop()


async def test_a_killed_up_leaves_no_process_and_the_next_start_has_everything(
    whole: Whole, say: Callable[[str], None]
) -> None:
    history = History()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        traffic = Traffic(session, whole.ready, history, SEED)
        traffic.start()
        await until_busy(traffic, 0)
        former, api_url = set(living(whole.var)), whole.api_url
        assert former >= {whole.pid, *whole.ready["processes"].values()}, "the look into /proc sees all processes"
        whole.kill()
        gone_s = await until(lambda: nothing_lives(whole), lambda: f"nothing lives: {living(whole.var)}", GONE_S)
        whole.start()
        assert whole.api_url == api_url
        await until_busy(traffic, len(traffic.told.payins))
        await traffic.stop()
    say(f"gone after {gone_s:.1f} s")
    assert not history.strange + traffic.bank.strange
    assert sum(said["unknown"] for said in history.counts.values()), "nothing was in flight"
    async with await psycopg.AsyncConnection.connect(whole.database_url, autocommit=True) as connection:
        [book] = await books.one(connection, books.BOOK)
        await until(lambda: knows_all(connection, traffic), "the bank has told everything", 20.0)
        await until(lambda: is_done(connection), "all due work is done", 20.0)
        found = await books.examined(connection, traffic.told, book)
    assert (found.lies, found.lost.total(), found.doubled.total()) == ([], 0, 0)
    checked = whole.caudal("check", "--replay", "--against-sandbox")
    assert checked.returncode == 0, checked.stdout + checked.stderr


async def test_ctrl_c_under_load_leaves_no_process_behind(whole: Whole, say: Callable[[str], None]) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        traffic = Traffic(session, whole.ready, History(), SEED)
        traffic.start()
        await until_busy(traffic, 0)
        began = time.monotonic()
        os.killpg(whole.pid, signal.SIGINT)  # what a terminal does
        await until(lambda: has_ended(whole), "caudal up has ended", 30.0)
        say(f"ended after {time.monotonic() - began:.1f} s")
        left = living(whole.var)
        await traffic.abandon()
    assert whole.stop() == 0, whole.log
    assert not left
    assert not (whole.var / "up.json").exists()


async def until_busy(traffic: Traffic, already: int) -> None:
    """Waits for some hundreds of payins, and until many requests are in flight."""

    async def is_busy() -> bool:
        return len(traffic.told.payins) >= already + ACKNOWLEDGED and traffic.in_flight >= IN_FLIGHT

    await until(is_busy, "payins are made", 30.0)


async def nothing_lives(whole: Whole) -> bool:
    return not living(whole.var)


async def has_ended(whole: Whole) -> bool:
    return whole.pid not in living(whole.var)


async def is_done(connection: psycopg.AsyncConnection) -> bool:
    return await books.one(connection, books.UNDONE) == (0,)


async def knows_all(connection: psycopg.AsyncConnection, traffic: Traffic) -> bool:
    [number] = await books.one(connection, "select count(*) from deposit")
    return bool(number == len(traffic.told.transfers))
