"""GET /v1/events costs a page, not a history: a rare type and a late `since` look at a bounded number of events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from caudal.app import http
from caudal.kernel.context import Context
from caudal_load.seed import seed
from tests.payins.cast import Merchant
from tests.payins.conftest import ana, caro, olga

__all__ = ["ana", "caro", "olga"]

PAYINS, DAYS, LOOKED_AT = 4_000, 30, 500
SEEDED_BOOK, WEEKS = 2, 10


@pytest.fixture
async def history(context: Context, database_url: str) -> Context:
    """A merchant with a month behind it."""
    await seed(database_url, PAYINS, merchants=1, days=DAYS, say=lambda text: None)
    return context


async def looked_at(context: Context, query: str, **parameters: Any) -> tuple[list[Any], int]:
    """What a query of the page answers, and how many rows of tables it looked at."""
    statement = http.SQL[query]
    rows: list[Any] = await context.named_rows(statement, parameters)
    async with context.pool.connection() as connection:
        cursor = await connection.execute(b"explain (analyze, format json) " + statement.encode(), parameters)
        [[plan]] = await cursor.fetchall()
    nodes = list(_nodes((plan if isinstance(plan, list) else json.loads(plan))[0]["Plan"]))
    scans = [node for node in nodes if "Relation Name" in node]
    return rows, sum(
        int((node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]) for node in scans
    )


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from _nodes(child)


async def test_a_time_is_found_by_halving(history: Context) -> None:
    events = await history.rows("select seq, at from event order by seq")
    for number in (0, 1, 77, len(events) // 2, len(events) - 1):
        at = events[number][1]
        first = next(seq for seq, other in events if other >= at)
        rows, looked = await looked_at(history, "last_event_before", shard=0, since=at)
        assert rows == [(first - 1,)]
        assert looked < 50 < len(events)
    late, early = events[-1][1] + timedelta(seconds=1), events[0][1] - timedelta(days=9)
    assert (await looked_at(history, "last_event_before", shard=0, since=late))[0] == [(events[-1][0],)]
    assert (await looked_at(history, "last_event_before", shard=0, since=early))[0] == [(0,)]


async def test_a_rare_type_looks_at_so_many_events_and_says_where_it_stopped(history: Context) -> None:
    asked = {"shard": 0, "book": SEEDED_BOOK, "types": ["deposit.returned"], "limit": 21, "looked_at": LOOKED_AT}
    rows, looked = await looked_at(history, "events_of_types", after=0, **asked)
    [(seq, _, type, _, _)] = rows
    assert (seq, type) == (LOOKED_AT, None)
    assert looked <= 2 * (LOOKED_AT + WEEKS)
    behind, _ = await looked_at(history, "events_of_types", after=10**9, **asked)
    assert behind == []


async def test_a_page_costs_a_page(history: Context) -> None:
    rows, looked = await looked_at(history, "events_after", shard=0, book=SEEDED_BOOK, after=3_000, limit=21)
    assert len(rows) == 21
    assert looked <= 21 + WEEKS, "a row ahead of each week"


async def test_whoever_reads_on_sees_every_event_of_the_types(ana: Merchant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "_LOOKED_AT", 3)
    payins = [await ana.payin() for _ in range(8)]
    await ana.paid(payins[2])
    await ana.paid(payins[7])
    found, after, pages = list[str](), "", 0
    while True:
        page = (await ana.get(f"/v1/events?types=payin.paid&limit=1{after}")).json
        found += [event["subject"] for event in page["data"]]
        pages += 1
        if not page["has_more"]:
            break
        after = f"&after={page['next']}"
    assert found == [payins[2]["id"], payins[7]["id"]]
    assert pages >= 4
