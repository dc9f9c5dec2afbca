"""Weeks of keys and events: made ahead, dropped whole when their time is over; nothing falls between two weeks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from caudal.app.partitions import TABLES, keep_partitions, tidy
from caudal.kernel.context import Context
from tests.api import Api
from tests.payins.books import assert_in_order

WEEK = timedelta(weeks=1)


async def weeks(context: Context, table: str) -> list[str]:
    """The first days of a table's partitions."""
    query = """select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid
        where i.inhparent = %s::regclass and c.relname not like '%%default' order by 1"""
    return [name.removeprefix(f"{table}_") for (name,) in await context.rows(query, (table,))]


def monday(at: datetime) -> str:
    return f"{at - timedelta(days=at.weekday()):%Y%m%d}"


async def test_this_week_and_the_next_two_are_there_from_the_first_moment(context: Context) -> None:
    now = datetime.now(UTC)
    for table in TABLES:
        assert await weeks(context, table) == [monday(now + n * WEEK) for n in range(3)]


async def test_partitions_are_made_once_and_ahead(context: Context) -> None:
    later = datetime.now(UTC) + WEEK
    async with context.pool.connection() as connection:
        assert await keep_partitions(connection, datetime.now(UTC)) == []
        made = [f"{table}_{monday(later + 2 * WEEK)}" for table in TABLES]
        assert await keep_partitions(connection, later) == made
        assert await keep_partitions(connection, later) == []


@pytest.mark.parametrize("day", ["2026-11-23T00:00:00", "2026-11-29T23:59:59.999999", "2026-12-31T12:00:00"])
async def test_every_moment_of_a_week_belongs_to_it(context: Context, day: str) -> None:
    at = datetime.fromisoformat(day).replace(tzinfo=UTC)
    async with context.pool.connection() as connection:
        await keep_partitions(connection, at)
        query = """insert into event (shard, seq, at, book, subject, type, data)
            values (9, 1, %s, 2, gen_random_uuid(), 'x', '') returning tableoid::regclass::text"""
        row = await (await connection.execute(query, (at,))).fetchone()
    assert row == (f"event_{monday(at)}",)


async def test_what_is_over_is_dropped_whole_and_the_rest_stays(context: Context) -> None:
    api = Api(context)
    await api.ana()
    await api.deposit((await api.create("k")).json["next_action"]["clabe"], 10_000)
    now = datetime.now(UTC)
    assert await dropped(context, now + timedelta(days=29)) == []
    gone = await dropped(context, now + timedelta(days=38))
    assert gone == [f"dropped {table}_{monday(now)}" for table in ("key", "webhook_delivery", "webhook_attempt")]
    assert await context.rows("select count(*) from key") == [(0,)]
    assert len((await api.get("/v1/events")).json["data"]) == 2
    await dropped(context, now + timedelta(days=373))
    assert (await api.get("/v1/events")).json["data"] == []
    assert (await context.rows("select count(*) from event"))[0] == (0,)


async def dropped(context: Context, at: datetime) -> list[str]:
    return [done for done in await tidy(context, at) if done.startswith("dropped")]


async def test_batches_are_pruned_after_a_day_and_the_books_stay_right(context: Context) -> None:
    api = Api(context)
    await api.ana()
    await api.create()
    assert not [done for done in await tidy(context, datetime.now(UTC)) if done.startswith("pruned")]
    done: list[Any] = await tidy(context, datetime.now(UTC) + timedelta(days=1, minutes=1))
    assert [one for one in done if one.startswith("pruned")]
    assert await context.rows("select count(*) from batch") == [(0,)]
    assert (await api.create()).status == 201
    await assert_in_order(context)


async def test_a_key_is_found_in_whatever_week_it_was_used(context: Context) -> None:
    api = Api(context)
    await api.ana()
    first = await api.create("k")
    async with context.pool.connection() as connection:
        await keep_partitions(connection, datetime.now(UTC) - 2 * WEEK)
        await connection.execute("update key set created_at = created_at - interval '14 days'")
    assert (await api.create("k")).body == first.body
