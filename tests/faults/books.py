"""Afterwards: does the database have everything that was acknowledged, once, and does the bank agree?"""

from __future__ import annotations

import sqlite3
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg

from tests.faults.traffic import Told

PAYINS = "select id, reference, amount_minor, status from payin where book = %s"
DEPOSITS = "select id, tracking_key, amount_minor, returning_minor, returned_minor from deposit where book % 2 = 0"
# What may happen to an object only once: a second time would be work that was done double.
DONE_TWICE = """
    select count(*) from (
        select from event where type in ('payin.paid', 'payin.expired', 'payin.cancelled', 'deposit.returned')
        group by type, subject having count(*) > 1) twice"""
DONE = "select count(*) from event where type in ('payin.expired', 'deposit.returned', 'deposit.return_failed')"
# Whatever is to be done soon; the rest is due in hours.
UNDONE = "select count(*) from due where at < clock_timestamp() + interval '1 minute' or attempt > 0"
# Work that is gone, when none waits any more: what should have ended by now and has not.
FORGOTTEN = """
    select (select count(*) from payin where status in ('pending', 'authorized') and expires_at < clock_timestamp())
        + (select count(*) from deposit where returning_minor > 0)"""
EVENTS = "select (select count(*) from event where shard = id), event_seq from shard where id = 0"
SUM = """
    select coalesce(sum(amount_minor), 0)::bigint, coalesce(sum(returned_minor), 0)::bigint
    from deposit where book % 2 = 0"""
BOOK = "select min(book) from book where book >= 2 and book % 2 = 0"


class Books:
    """Lost and double by phase (of transfers `sandbox`, of due work `worker`); `lies`: refused, and yet there.

    Look when no work waits any more (`UNDONE`): only then is what has not ended lost.
    """

    def __init__(self) -> None:
        self.lost, self.doubled, self.lies = Counter[str](), Counter[str](), list[str]()
        self.done = 0


async def rows(connection: psycopg.AsyncConnection[Any], query: str, *parameters: object) -> list[tuple[Any, ...]]:
    """All rows."""
    return await (await connection.execute(query.encode(), parameters or None)).fetchall()


async def one(connection: psycopg.AsyncConnection[Any], query: str, *parameters: object) -> tuple[Any, ...]:
    """The only row."""
    [row] = await rows(connection, query, *parameters)
    return row


def provider_rows(var: Path, query: str) -> list[tuple[Any, ...]]:
    """All rows of a query to the sandbox providers' own books, read from their disk whether they live or not."""
    found = list[tuple[Any, ...]]()
    for path in sorted((var / "sandbox").glob("provider*.sqlite3")):
        with closing(sqlite3.connect(path)) as books:
            found += books.execute(query).fetchall()
    return found


async def examined(connection: psycopg.AsyncConnection[Any], told: Told, book: int) -> Books:
    """Compares what was told with what is there."""
    books = Books()
    payins = {
        id.hex: (reference, amount, status) for id, reference, amount, status in await rows(connection, PAYINS, book)
    }
    times = Counter(reference for reference, _, _ in payins.values())
    for reference, (id, amount, phase) in told.payins.items():
        books.lost[phase] += payins.get(id.removeprefix("payin_"), ())[:2] != (reference, amount)
        books.doubled[phase] += times[reference] > 1
    for id, phase in told.cancelled.items():
        books.lost[phase] += payins.get(id.removeprefix("payin_"), ())[2:] != ("cancelled",)
    books.lies = [reference for reference in told.refused if times[reference]]
    assert set(times) <= told.payins.keys() | set(books.lies), "payins that nobody asked for"
    await _deposits(connection, told, books)
    [books.done], [twice] = await one(connection, DONE), await one(connection, DONE_TWICE)
    [books.lost["worker"]] = await one(connection, FORGOTTEN)
    books.doubled["worker"] = twice
    return books


async def _deposits(connection: psycopg.AsyncConnection[Any], told: Told, books: Books) -> None:
    found = await rows(connection, DEPOSITS)
    amounts, times = {key: amount for _, key, amount, _, _ in found}, Counter(key for _, key, _, _, _ in found)
    for key, amount in told.transfers.items():
        books.lost["sandbox"] += amounts.get(key) != amount
    books.doubled["sandbox"] += sum(number > 1 for number in times.values())
    assert set(times) == told.transfers.keys(), "deposits that nobody paid"
    returned = {id.hex for id, _, _, returning, back in found if back > 0 and returning == 0}
    for id, phase in told.returned.items():
        books.lost[phase] += id.removeprefix("dep_") not in returned
