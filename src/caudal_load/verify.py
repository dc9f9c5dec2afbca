"""The question after a run: does every acknowledged payin stand in the database, once, as what was asked for?

*Lost* is a request that was acknowledged with an id under which the database has no payin with that request's
reference. *Doubled* is a reference of the run at more than one payin, whether it was acknowledged or not, or a payin
that was collected more than once. What goes through a provider is compared with the sandbox's books: `books.py`.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from uuid import UUID

import aiohttp
import psycopg

from caudal_load.books import Agreement, compare, ours_of, theirs_of
from caudal_load.outside import Hearing
from caudal_load.scenario import Requests
from caudal_load.tally import Tally

_CHUNK = 10_000
_PAGE = 100
_MARGIN_MS = 600_000
"""How far clocks of two machines may differ for the search for doubles: the ids of a run begin at most so much before
its first.
"""

_FOUND = "select p.id, p.reference from shard s join payin p on p.shard = s.id where p.id = any(%s)"
_OPERATIONS = "select o.id from shard s join payin_operation o on o.shard = s.id where o.id = any(%s)"
_CANCELLED = (
    "select p.id from shard s join payin p on p.shard = s.id where p.id = any(%s) and (p.status = 'cancelled' or exists"
    " (select from payin_operation o where o.shard = p.shard and o.payin = p.id and o.kind = 'void'))"
)
_DOUBLED = (
    "select p.reference from shard s join payin p on p.shard = s.id"
    " where p.id >= %s and starts_with(p.reference, %s) group by p.reference having count(*) > 1"
)
_PAID = (
    "select count(*) from shard s join payin p on p.shard = s.id"
    " join unnest(%s::timestamptz[], %s::timestamptz[]) slice(opened, closed)"
    " on p.paid_at between slice.opened and slice.closed where p.id >= %s and starts_with(p.reference, %s)"
)
_BATCHES = (
    "with seen as (select b.commands from batch b"
    " join unnest(%s::timestamptz[], %s::timestamptz[]) slice(opened, closed)"
    " on b.at between slice.opened and slice.closed)"
    " select count(*), coalesce(sum(commands), 0), (select percentile_disc(0.5) within group (order by commands)"
    " from seen cross join generate_series(1, seen.commands)) from seen"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What was looked for and not found once."""

    lost: tuple[str, ...]
    """References that were acknowledged and are not there under their id."""
    doubled: tuple[str, ...]
    """References at more than one payin, and those collected twice."""
    books: Agreement | None = None
    """What the sandbox's books say; None where they were not asked."""
    heard: Hearing | None = None
    """What became of the events; None where nobody was told of them."""

    def found_wrong(self) -> Iterable[tuple[str, tuple[str, ...]]]:
        """What is to be said of it, with the references."""
        yield "lost", self.lost
        yield "doubled", self.doubled
        if self.books is not None:
            yield "disagreeing", self.books.disagreeing
            yield "unpaid", self.books.unpaid


def judge(requests: Requests, tally: Tally, found: Iterable[tuple[UUID, str]]) -> Verdict:
    """Compare what was promised with every payin that was found. Pure."""
    there = dict(found)
    lost = [requests.token(number) for number, id in tally.promises() if there.get(id) != requests.token(number)]
    doubled = (reference for reference, count in Counter(there.values()).items() if count > 1)
    return Verdict(lost=tuple(lost), doubled=tuple(sorted(doubled)))


async def verify_in_database(database_url: str, requests: Requests, tally: Tally) -> Verdict:
    """Look in the tables themselves. Raises psycopg.Error."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        found: list[tuple[UUID, str]] = []
        promises = (id for _, id in tally.promises())
        while chunk := list(islice(promises, _CHUNK)):
            cursor = connection.cursor(binary=True)
            await cursor.execute(_FOUND, (chunk,))
            found += await cursor.fetchall()
        verdict = judge(requests, tally, found)
        for query, promised in ((_OPERATIONS, tally.operations), (_CANCELLED, tally.cancelled)):
            missing = await _missing(connection, query, promised)
            verdict = replace(verdict, lost=(*verdict.lost, *missing))
        if not tally.acknowledged:
            return verdict
        cursor = connection.cursor()
        await cursor.execute(_DOUBLED, (lowest_id(tally), requests.prefix))
        doubled = {reference for (reference,) in await cursor.fetchall()}
        return Verdict(lost=verdict.lost, doubled=tuple(sorted(doubled.union(verdict.doubled))))


async def _missing(connection: psycopg.AsyncConnection[tuple[UUID]], query: str, promised: bytearray) -> list[str]:
    """The ids, 16 bytes each, that the query does not find. A capture, a refund or a cancellation is one."""
    ids = [UUID(bytes=bytes(promised[place : place + 16])) for place in range(0, len(promised), 16)]
    missing: list[str] = []
    for place in range(0, len(ids), _CHUNK):
        chunk = ids[place : place + _CHUNK]
        cursor = connection.cursor(binary=True)
        await cursor.execute(query.encode(), (chunk,))
        there = {id for (id,) in await cursor.fetchall()}
        missing += [id.hex for id in chunk if id not in there]
    return missing


async def verify_in_books(
    verdict: Verdict, database_url: str, sandbox_url: str, requests: Requests, tally: Tally
) -> Verdict:
    """The verdict with what the sandbox's books say. Raises psycopg.Error, aiohttp.ClientError."""
    if not tally.acknowledged:
        return replace(verdict, books=Agreement())
    lowest = lowest_id(tally)
    theirs = await theirs_of(sandbox_url, requests, lowest)  # read first: what is collected has been recorded since
    books = compare(await ours_of(database_url, lowest), theirs, requests.prefix)
    return replace(verdict, doubled=tuple(sorted({*verdict.doubled, *books.twice})), books=books)


def lowest_id(tally: Tally) -> UUID:
    """The least UUIDv7 (RFC 9562, 5.7: it begins with the millisecond) that a payin of the run can have."""
    first_ms = min(id.int >> 80 for _, id in tally.promises())
    return UUID(int=max(0, first_ms - _MARGIN_MS) << 80)


async def verify_by_api(url: str, keys: Iterable[str], requests: Requests, tally: Tally) -> Verdict:
    """Look through the lists of payins, page by page, newest first, until they are older than the run.

    Raises aiohttp.ClientError.
    """
    found: list[tuple[UUID, str]] = []
    lowest = lowest_id(tally) if tally.acknowledged else UUID(int=0)
    async with aiohttp.ClientSession(url) as session:
        for key in keys:
            after, headers = "", {"Authorization": f"Bearer {key}"}
            while True:
                query = {"limit": str(_PAGE)} | ({"after": after} if after else {})
                async with session.get("/v1/payins", params=query, headers=headers, raise_for_status=True) as response:
                    page = await response.json()
                rows = [(UUID(item["id"].rpartition("_")[2]), item.get("reference") or "") for item in page["data"]]
                found += [row for row in rows if row[1].startswith(requests.prefix)]
                after = page.get("next")
                if not after or not rows or rows[-1][0] < lowest:
                    break
    return judge(requests, tally, found)


async def paid_within(
    database_url: str, slices: list[tuple[datetime, datetime]], requests: Requests, lowest: UUID
) -> int:
    """How many payins of the run became paid in these spans of time. Raises psycopg.Error."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        parameters = ([o for o, _ in slices], [c for _, c in slices], lowest, requests.prefix)
        row = await (await connection.execute(_PAID, parameters)).fetchone()
    return 0 if row is None else int(row[0])


@dataclass(frozen=True, kw_only=True, slots=True)
class Batched:
    """The batches of some spans of time, of all shards."""

    batches: int
    commands: int
    """In all of them, those of workers too."""
    weighted_median: int | None
    """The size of the batch that the median command was in; None without any.

    Of batches as they are, half can be of one command: where one comes back alone while all others are written.
    """

    @property
    def mean(self) -> float | None:
        """Commands of a batch; None without any."""
        return round(self.commands / self.batches, 3) if self.batches else None


async def batched(database_url: str, slices: list[tuple[datetime, datetime]]) -> Batched:
    """Look at the batches themselves. Raises psycopg.Error."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        cursor = await connection.execute(_BATCHES, ([o for o, _ in slices], [c for _, c in slices]))
        row = await cursor.fetchone()
    assert row is not None, "it counts"
    return Batched(batches=row[0], commands=int(row[1]), weighted_median=row[2])
