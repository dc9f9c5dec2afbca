"""kill -9 of web, worker, sandbox and PostgreSQL, twenty times each, with 32 requests or more in flight.

The table has one row a kind; `backend` is one session's process of PostgreSQL, killed in some of the rounds. It, `web`
and `postgres` count the API's commands: those that were answered after one of the three was killed, until the next.
`sandbox` counts payers' transfers: unknown when the bank died before it answered. `worker` counts due work, for which
no request waits: unknown are the pieces that a killed worker had under way, so that nobody knows whether they are done
until their lease has ended and another worker has looked; lost is what should have ended and has no work any more.
"""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from tests.faults import books
from tests.faults.asking import History
from tests.faults.killing import KINDS, Killer
from tests.faults.restless import Restless, is_served, until
from tests.faults.traffic import IN_FLIGHT, Traffic

pytestmark = pytest.mark.server

KILLS = int(os.environ.get("KILLS_OF_EACH_KIND", "20"))
SEED = 20261123
HEALED_S = 120.0
NOTHING_UNDONE = f"select 1 where ({books.UNDONE}) = 0"
COLUMNS = ("kills", "in flight", "acknowledged", "refused", "unknown", "lost", "doubled")


@pytest.fixture
def whole(open_tmp: Path) -> Iterator[Restless]:
    """A caudal whose leases end after a second."""
    started = Restless(open_tmp / "kills", CAUDAL_LEASE_S="1")
    started.start()
    yield started
    assert started.stop() == 0, started.log


@asynccontextmanager
async def connected(whole: Restless) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(whole.database_url, autocommit=True) as connection:
        yield connection


async def test_nothing_is_lost_or_double_whatever_is_killed(whole: Restless, say: Callable[[str], None]) -> None:
    history, began = History(), time.monotonic()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        async with connected(whole) as connection:
            [book] = await books.one(connection, books.BOOK)
        traffic = Traffic(session, whole.ready, history, SEED)
        killer = Killer(whole, traffic, session, SEED)
        traffic.start()
        for _ in range(KILLS):
            await killer.round()
        await killer.heal()
        await traffic.stop()
        killed = time.monotonic()
        await everything_delivered(session, whole)
        await until(lambda: is_served(whole.database_url, NOTHING_UNDONE), "all due work is done", HEALED_S)
        bank = await bank_books(session, whole)
    async with connected(whole) as connection:
        found = await books.examined(connection, traffic.told, book)
        events = await books.one(connection, books.EVENTS)
        sums = await books.one(connection, books.SUM)
    checked = whole.caudal("check", "--replay", "--against-sandbox")
    counted = counts(killer, traffic, found)
    say(table(counted))
    say(f"killed for {killed - began:.0f} s, looked for {time.monotonic() - killed:.0f} s")
    strange = history.strange + traffic.bank.strange
    assert not strange, f"{len(strange)} answers that nobody promised:\n" + "\n".join(strange[:10])
    assert not found.lies, "refused, and yet there"
    assert not found.lost.total() and not found.doubled.total()
    number, head = events
    assert number == head, "a gap in the events"
    assert sums == (bank["received"], bank["returned"])
    assert bank["undelivered"] == 0 and bank["deliveries"]["refused"] == 0
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert min(killer.least_in_flight.values()) >= IN_FLIGHT
    unknown = {kind: counted[kind]["unknown"] for kind in ("web", "worker", "sandbox")}
    assert sum(unknown.values()), "nothing was in flight: this tested nothing"
    assert KILLS < 20 or all(unknown.values()), f"nothing was in flight of a kind: {unknown}"
    # A server that is killed is soon back: callers wait for what became of their batch, and hear that.
    resolved = sum(path.read_text().count("unknown commit resolved") for path in (whole.var / "log").glob("*.log*"))
    say(f"{resolved} batches were being written when their server was killed, and found again")
    assert KILLS < 20 or resolved, "no batch was being written"


async def everything_delivered(session: aiohttp.ClientSession, whole: Restless) -> None:
    """Waits until caudal has answered every callback."""

    async def is_quiet() -> bool:
        return bool((await bank_books(session, whole))["deliveries"]["waiting"] == 0)

    await until(is_quiet, "the bank has delivered everything", HEALED_S)


async def bank_books(session: aiohttp.ClientSession, whole: Restless) -> dict[str, Any]:
    async with session.get(f"{whole.sandbox_url}/v1/bank/books") as answer:
        sums: dict[str, Any] = await answer.json()
    return sums


def counts(killer: Killer, traffic: Traffic, found: books.Books) -> dict[str, dict[str, int]]:
    """The table's rows."""
    said = {kind: dict(traffic.history.counts[kind]) for kind in ("web", "postgres", "backend")}
    said["sandbox"] = dict(traffic.bank.counts["sandbox"])
    said["worker"] = {"acknowledged": found.done, "unknown": killer.held}
    return {
        kind: {
            "kills": killer.kills[kind],
            "in flight": killer.least_in_flight.get(kind, 0),
            **{name: said[kind].get(name, 0) for name in ("acknowledged", "refused", "unknown")},
            "lost": found.lost[kind],
            "doubled": found.doubled[kind],
        }
        for kind in KINDS
    }


def table(counted: dict[str, dict[str, int]]) -> str:
    """For people; `in flight` is the least number of requests that waited when one was killed."""
    lines = [f"{'killed':<9}" + "".join(f"{name:>14}" for name in COLUMNS)]
    lines += [f"{kind:<9}" + "".join(f"{row[name]:>14,}" for name in COLUMNS) for kind, row in counted.items()]
    return "\n" + "\n".join(lines)
