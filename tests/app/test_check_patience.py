"""A law gets what it needs: what takes too long is looked at in smaller ranges or with more time, till all is seen."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from caudal.app import check
from caudal.app.check import Round, laws
from caudal.app.telemetry import watch
from caudal.kernel import sqlfile
from caudal.kernel.context import Context
from tests.api import Api
from tests.app.test_watch import until, watching

SLOW_S = 0.012  # what a row costs the slow law
EVENTS = (
    "select 'slow', 0, seq, pg_sleep({each})::text from event"
    " where shard = %(shard)s and seq > %(low)s and seq <= %(high)s"
)
WHOLE = "select 'whole', %(shard)s::integer, 0, '' from pg_sleep({each}) where false"


def law(name: str, kind: str, sql: str) -> Any:
    """A law as a file has it."""
    [found] = sqlfile.parse(f"-- name: {name}\n-- range: {kind}\n-- It takes its time.\n{sql}\n", "slow.sql")
    return found


@pytest.fixture
async def told(database_url: str, context: Context) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A database with a few payins, and a connection to it."""
    ana = Api(context)
    await ana.ana()
    for _ in range(6):
        await ana.create()
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("set timezone = 'UTC'")
        yield connection


async def walked(walk: Round, connection: psycopg.AsyncConnection[Any]) -> tuple[list[Any], int]:
    """What a round sees, and how often it was broken off."""
    wrong, broken_off = list[Any](), 0
    while True:
        try:
            look = await walk.look(connection)
        except psycopg.errors.QueryCanceled:
            broken_off += 1
            continue
        if look is None:
            return wrong, broken_off
        wrong += [row[2] for row in look.wrong]


async def test_a_range_that_takes_too_long_is_halved_until_it_does_not(
    told: psycopg.AsyncConnection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "laws", lambda: [law("slow", "events", EVENTS.format(each=SLOW_S))])
    [(count,)] = await (await told.execute("select count(*) from event")).fetchall()
    walk = Round(0, patience_s=4 * SLOW_S)
    seen, broken_off = await walked(walk, told)
    assert seen == list(range(1, count + 1)), "each row once, in order"
    assert broken_off >= 1 and walk.ended == [("slow",)]


async def test_what_cannot_be_halved_gets_more_time(
    told: psycopg.AsyncConnection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    one_row = law("slow", "events", EVENTS.format(each=0.05))
    monkeypatch.setattr(check, "laws", lambda: [law("whole", "shard", WHOLE.format(each=0.05)), one_row])
    walk = Round(0, size=1, patience_s=0.02)
    seen, broken_off = await walked(walk, told)
    assert seen and broken_off >= 2
    assert walk.ended == [("whole",), ("slow",)]


async def test_a_round_goes_on_where_it_was_on_another_connection(
    told: psycopg.AsyncConnection[Any], database_url: str
) -> None:
    walk, numbers = Round(0, only=["event_of_payin"], size=3), list[int]()
    await told.close()
    with pytest.raises(psycopg.OperationalError):
        await walk.look(told)
    while True:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
            await connection.execute("set timezone = 'UTC'")
            look = await walk.look(connection)
        if look is None:
            break
        assert look.wrong == []
        numbers.append(look.number)
    assert numbers == list(range(1, len(numbers) + 1)) and len(numbers) > 2


async def test_the_watch_ends_its_round_however_slow_a_law_is(
    told: psycopg.AsyncConnection[Any], database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = [*laws(), law("whole", "shard", WHOLE.format(each=0.1))]
    for module in (check, watch):
        monkeypatch.setattr(module, "laws", lambda: every)
    monkeypatch.setattr(watch, "_PATIENCE_S", 0.04)
    async with watching(database_url) as worker:
        await until(worker, lambda found: found.get(("caudal.ledger.check.last_run_timestamp", "0", "whole")))
