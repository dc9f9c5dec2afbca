"""Weeks of keys and events: made ahead, dropped whole when their time is over; nothing falls between two weeks."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Final, LiteralString

import psycopg
import pytest
from psycopg import sql

from caudal.app import partitions
from caudal.app.migrate import migrate
from caudal.app.partitions import TABLES, Tidied, keep_partitions, tidy
from caudal.kernel.context import Context
from tests.api import Api
from tests.conftest import settings_of
from tests.payins.books import assert_in_order

WEEK = timedelta(weeks=1)
EVENT: Final[LiteralString] = """insert into event (shard, seq, at, book, subject, type, data)
    values (9, 1, %(at)s, 2, gen_random_uuid(), 'x', '') returning tableoid::regclass::text"""


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
        assert await keep_partitions(connection, datetime.now(UTC)) == ([], True)
        made = [f"made {table}_{monday(later + 2 * WEEK)}" for table in TABLES]
        assert await keep_partitions(connection, later) == (made, True)
        assert await keep_partitions(connection, later) == ([], True)


async def test_a_week_that_is_attached_has_what_its_table_has(context: Context) -> None:
    """Indexes and constraints, as those of a week that was made with the table."""
    query = """select replace(pg_get_constraintdef(oid), 'x', '') from pg_constraint where conrelid = %s::regclass
        union all select regexp_replace(indexdef, '^.* USING ', '') from pg_indexes where tablename = %s order by 1"""
    for table in TABLES:
        name = f"{table}_{monday(datetime.now(UTC))}"
        default = await context.rows(query, (f"{table}_default",) * 2)
        assert default and await context.rows(query, (name,) * 2) == default


@pytest.mark.parametrize("day", ["2026-11-23T00:00:00", "2026-11-29T23:59:59.999999", "2026-12-31T12:00:00"])
async def test_every_moment_of_a_week_belongs_to_it(context: Context, day: str) -> None:
    at = datetime.fromisoformat(day).replace(tzinfo=UTC)
    async with context.pool.connection() as connection:
        await keep_partitions(connection, at)
        row = await (await connection.execute(EVENT, {"at": at})).fetchone()
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
    """What a tidy at a time drops, of which the week had been made."""
    async with context.pool.connection() as connection:
        await keep_partitions(connection, at)
    return [done for done in (await tidy(context, at)).done if done.startswith("dropped")]


async def test_a_clock_that_jumps_ahead_drops_nothing_at_once_and_then_one_week_at_a_time(context: Context) -> None:
    now = datetime.now(UTC)
    before = {table: await weeks(context, table) for table in TABLES}
    ahead = now + timedelta(days=3650)
    assert not [one for one in (await tidy(context, ahead)).done if not one.startswith("made")]
    for table in TABLES:
        assert (await weeks(context, table))[:3] == before[table]
    for week in range(3):
        gone = [one for one in (await tidy(context, ahead)).done if one.startswith("dropped")]
        assert gone == [f"dropped {table}_{monday(now + week * WEEK)}" for table in TABLES]


async def test_the_databases_clock_says_what_is_over(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    class Wrong(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> Wrong:
            return cls(2040, 1, 1, tzinfo=tz)

    monkeypatch.setattr(partitions, "datetime", Wrong)
    assert await tidy(context) == ([], True)


async def test_rows_of_a_missing_week_stay_where_they_are_and_other_weeks_are_made(
    context: Context, caplog: pytest.LogCaptureFixture
) -> None:
    later = datetime.now(UTC) + 5 * WEEK
    async with context.pool.connection() as connection:
        await connection.execute(EVENT, {"at": later})
        done, whole = await keep_partitions(connection, later)
    missing = f"event_{monday(later)}"
    assert whole and len(done) == 3 * len(TABLES) - 1 and f"made {missing}" not in done
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        f"{missing} is not made: event_default holds rows of that week, and keeps them"
    ]
    over = later + timedelta(days=context.settings.event_days, minutes=-1)
    assert [one for one in (await dropped_or_deleted(context, over)) if "default" in one] == []
    over += timedelta(minutes=2)
    assert "deleted 1 rows of event_default" in await dropped_or_deleted(context, over)


async def dropped_or_deleted(context: Context, at: datetime) -> list[str]:
    async with context.pool.connection() as connection:
        await keep_partitions(connection, at)
    return (await tidy(context, at)).done


async def test_migrating_goes_on_beside_such_rows(database_url: str, context: Context) -> None:
    week = f"event_{monday(datetime.now(UTC) + WEEK)}"
    async with context.pool.connection() as connection:
        await connection.execute(sql.SQL("drop table {}").format(sql.Identifier(week)))
        await connection.execute(EVENT, {"at": datetime.now(UTC) + WEEK})
    assert await migrate(database_url) == []


@pytest.mark.usefixtures("patient")
async def test_a_long_reader_holds_nobody_up_for_long(database_url: str) -> None:
    """Weeks are given up sooner than the server would give up: the patient one never does."""
    async with Context(settings_of(database_url), name="test") as context:
        await creates_beside_a_long_reader(database_url, context)


async def creates_beside_a_long_reader(database_url: str, context: Context) -> None:
    api, later = Api(context), datetime.now(UTC) + WEEK
    await api.ana()
    async with await psycopg.AsyncConnection.connect(database_url) as reader:
        await reader.execute("select count(*) from key")
        making = asyncio.create_task(tidied(context, later))
        while not making.done():
            assert (await api.create()).status == 201
        done, whole = await making
        assert not whole
        assert [one.partition("_")[0] for one in done] == ["made event", "made webhook", "made webhook"]
    assert await tidied(context, later) == ([f"made key_{monday(later + 2 * WEEK)}"], True)


async def tidied(context: Context, at: datetime) -> Tidied:
    async with context.pool.connection() as connection:
        return await keep_partitions(connection, at)


# Batches


async def test_batches_are_pruned_after_a_day_and_the_books_stay_right(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(partitions, "PRUNED_MAX", 3)
    api = Api(context)
    await api.ana()
    for _ in range(8):
        await api.create()
    assert await partitions.prune_batches(context, 0) == 0
    [(count,)] = await context.rows("select count(*) from batch")
    # As if their ids had been made in the reverse order of their commits.
    await context.rows("""update batch b set at = at - interval '2 days',
            id = ('00000000-0000-7000-8000-' || lpad(n.back::text, 12, '0'))::uuid
        from (select id, row_number() over (order by at desc) back from batch) n where n.id = b.id returning 1""")
    await api.create()
    left = count + 1
    while deleted := await partitions.prune_batches(context, 0):
        left -= deleted
        await assert_in_order(context)
    assert await context.rows("select count(*) from batch") == [(left,)] == [(1,)]
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
