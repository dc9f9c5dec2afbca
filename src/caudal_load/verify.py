"""The question after a run: does every acknowledged payin stand in the database, once, as what was asked for?

*Lost* is a request that was acknowledged with an id under which the database has no payin with that request's
reference. *Doubled* is a reference of the run at more than one payin, whether it was acknowledged or not.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import islice
from uuid import UUID

import aiohttp
import psycopg

from caudal_load.scenario import Requests
from caudal_load.tally import Tally

_CHUNK = 10_000
_PAGE = 100
_MARGIN_MS = 600_000
"""How far clocks of two machines may differ for the search for doubles: the ids of a run begin at most so much before
its first.
"""

_FOUND = "select p.id, p.reference from shard s join payin p on p.shard = s.id where p.id = any(%s)"
_DOUBLED = (
    "select p.reference from shard s join payin p on p.shard = s.id"
    " where p.id >= %s and starts_with(p.reference, %s) group by p.reference having count(*) > 1"
)
_MEDIAN_BATCH = (
    "select percentile_disc(0.5) within group (order by b.commands) from batch b"
    " join unnest(%s::timestamptz[], %s::timestamptz[]) slice(opened, closed)"
    " on b.at between slice.opened and slice.closed"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What was looked for and not found once."""

    lost: tuple[str, ...]
    """References that were acknowledged and are not there under their id."""
    doubled: tuple[str, ...]
    """References at more than one payin."""


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
        if not tally.acknowledged:
            return verdict
        cursor = connection.cursor()
        await cursor.execute(_DOUBLED, (_lowest_id(tally), requests.prefix))
        doubled = {reference for (reference,) in await cursor.fetchall()}
        return Verdict(lost=verdict.lost, doubled=tuple(sorted(doubled.union(verdict.doubled))))


def _lowest_id(tally: Tally) -> UUID:
    """The least UUIDv7 (RFC 9562, 5.7: it begins with the millisecond) that a payin of the run can have."""
    first_ms = min(id.int >> 80 for _, id in tally.promises())
    return UUID(int=max(0, first_ms - _MARGIN_MS) << 80)


async def verify_by_api(url: str, keys: Iterable[str], requests: Requests, tally: Tally) -> Verdict:
    """Look through the lists of payins, page by page, newest first, until they are older than the run.

    Raises aiohttp.ClientError.
    """
    found: list[tuple[UUID, str]] = []
    lowest = _lowest_id(tally) if tally.acknowledged else UUID(int=0)
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


async def median_batch(database_url: str, slices: list[tuple[datetime, datetime]]) -> int | None:
    """The median number of commands in the batches of these spans of time; None if there was none.

    Raises psycopg.Error.
    """
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        cursor = await connection.execute(_MEDIAN_BATCH, ([o for o, _ in slices], [c for _, c in slices]))
        row = await cursor.fetchone()
    return None if row is None or row[0] is None else int(row[0])
