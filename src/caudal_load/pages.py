"""Lists and search: what a page takes, by kind of question, on a caudal that has a past.

One merchant asks, on a few connections, one request in flight on each; the questions are about payins of all ages. What
the answers hold is looked at: a search finds the payin that it is about, a page is as long as it can be.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiohttp
import msgspec
import psycopg

from caudal_load.answers import answer
from caudal_load.caudal_up import CaudalFailed, Running, up_in
from caudal_load.histogram import Histogram
from caudal_load.merchants import post
from caudal_load.processes import machine
from caudal_load.scenario import Target
from caudal_load.seed import Say

_SEARCHED = ("reference", "email", "document")
_LOOKED_AT = 100
"""So many of the payins are looked at one by one: a page does not say who paid."""
_MOMENTS, _BACK = 40, timedelta(days=30)
"""So many moments of so long a time, from which the payins come that are looked for."""
# The test books of the merchant whom most payins of a sample of the table's blocks belong to.
_BUSIEST = (
    "select placement.merchant from payin tablesample system (%s) join placement on placement.slot = payin.book / 2"
    " where payin.book %% 2 = 0 group by placement.merchant order by count(*) desc limit 1"
)
_SAMPLED_PERCENT = (0.1, 100)
# As many as in the blocks of a sample, in all blocks: what is timed has the statistics that it had before.
_COUNT = (
    "select round(count(*) * (pg_relation_size('payin') / current_setting('block_size')::integer)"
    " / count(distinct (ctid::text::point)[0])::numeric)::bigint from payin tablesample system (%s)"
    " having count(*) > 0"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Pages:
    """What is asked for: so many requests of each kind, on so many connections."""

    requests: int = 400
    connections: int = 2
    seed: int = 0
    merchant: str | None = None
    """`mer_…`; without it the one with the most payins."""


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of question: the address of the next one, and whether an answer is as it should be."""

    name: str
    path: Callable[[random.Random], str]
    right: Callable[[dict[str, Any]], bool]


@dataclass(frozen=True, slots=True)
class Past:
    """Payins from all over a merchant's past, and the places behind which their pages ended."""

    payins: list[dict[str, Any]]
    places: list[str]


async def pages(running: Running, asked: Pages, say: Say) -> dict[str, Any]:
    """Ask each kind of question so often and time it, with a key that is revoked behind it.

    Raises CaudalFailed, SetupFailed, OSError, psycopg.Error, aiohttp.ClientError.
    """
    assert running.database_url is not None and running.operator_key is not None, "it is ours"
    busiest, payins = await _busiest(running.database_url)
    merchant = asked.merchant or busiest
    headers = {"Authorization": f"Bearer {running.operator_key}"}
    async with aiohttp.ClientSession(running.url, headers=headers) as session:
        made = await post(session, f"/v1/operator/merchants/{merchant}/keys", {"mode": "test"})
        try:
            async with contextlib.aclosing(Asker(Target.of(running.url), str(made["secret"]))) as asker:
                past = await _past(asker, random.Random(asked.seed))
                found = dict[str, dict[str, float]]()
                for kind in _kinds(past):
                    found[kind.name] = await _timed(asker, kind, asked)
                    say(f"{kind.name}: p50 {found[kind.name]['p50_ms']} ms, p99 {found[kind.name]['p99_ms']} ms")
        finally:
            await post(session, f"/v1/operator/keys/{made['id']}/revocations", {}, status=200)
    return {"payins": payins, "requests_of_each": asked.requests, "connections": asked.connections,
            "pages": found, "machine": machine()}  # fmt: skip


async def pages_in(var: Path, asked: Pages, say: Say) -> dict[str, Any]:
    """The same of the caudal that `caudal up` runs on this directory. Raises as `pages` does."""
    return await pages(up_in(var), asked, say)


class Asker:
    """GET requests of one merchant on kept connections."""

    def __init__(self, target: Target, key: str) -> None:
        self._target = target
        self._head = f" HTTP/1.1\r\nHost: {target.host}:{target.port}\r\nAuthorization: Bearer {key}\r\n\r\n"
        self._free: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._writers: list[asyncio.StreamWriter] = []

    async def get(self, path: str) -> dict[str, Any]:
        """The answer. Raises CaudalFailed unless it is 200, OSError."""
        return dict(msgspec.json.decode(await self.raw(path)))

    async def raw(self, path: str) -> bytes:
        """Its bytes. Raises as `get` does."""
        reader, writer = await self._connection()
        writer.write(f"GET {path}{self._head}".encode())
        await writer.drain()
        status, body = await answer(reader)
        if status != 200:
            raise CaudalFailed(f"GET {path} was answered {status}: {body[:300].decode(errors='replace')}")
        self._free.append((reader, writer))
        return body

    async def _connection(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._free:
            return self._free.pop()
        reader, writer = await asyncio.open_connection(self._target.host, self._target.port)
        self._writers.append(writer)
        return reader, writer

    async def aclose(self) -> None:
        """Closes the connections."""
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in self._writers), return_exceptions=True)


async def _busiest(database_url: str) -> tuple[str, int]:
    """The merchant, and how many payins there are in all, about. Raises CaudalFailed, psycopg.Error."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        for percent in _SAMPLED_PERCENT:
            row = await (await connection.execute(_BUSIEST, (percent,))).fetchone()
            count = await (await connection.execute(_COUNT, (percent,))).fetchone()
            if row is not None and count is not None:
                return f"mer_{row[0].hex}", count[0]
    raise CaudalFailed("no payin is there: give it a past first (caudal-load seed)")


async def _past(asker: Asker, luck: random.Random) -> Past:
    """Pages that end at moments of the last days. Raises as `get` does."""
    newest = await asker.get("/v1/payins?limit=1")
    last = datetime.fromisoformat(newest["data"][0]["created_at"])
    past = Past(newest["data"], [])
    for _ in range(_MOMENTS):
        until = last - _BACK * luck.random()
        page = await asker.get(f"/v1/payins?limit=20&created_to={_text(until)}")
        past.payins.extend(page["data"])
        if page["next"]:
            past.places.append(page["next"])
    some = luck.sample(past.payins, min(_LOOKED_AT, len(past.payins)))
    return Past([await asker.get(f"/v1/payins/{payin['id']}") for payin in some], past.places)


def _text(at: datetime) -> str:
    return quote(at.isoformat().replace("+00:00", "Z"))


def _kinds(past: Past) -> Iterator[Kind]:
    def day(luck: random.Random) -> str:
        to = datetime.fromisoformat(luck.choice(past.payins)["created_at"])
        return f"/v1/payins?limit=20&created_from={_text(to - timedelta(days=1))}&created_to={_text(to)}"

    yield Kind("the newest 20", lambda _: "/v1/payins?limit=20", _full(20))
    yield Kind("the newest 100", lambda _: "/v1/payins?limit=100", _full(100))
    if past.places:
        yield Kind("20 of any age", lambda luck: f"/v1/payins?limit=20&after={luck.choice(past.places)}", _full(20))
    yield Kind("20 of a day", day, _full(20))
    yield Kind("20 that are paid", lambda _: "/v1/payins?limit=20&status=paid", _full(20))
    yield Kind(
        "a filter that finds nothing",
        lambda _: "/v1/payins?limit=20&country=KE&currency=MXN",
        lambda page: not page["data"],
    )
    yield Kind("20 events", lambda _: "/v1/events?limit=20", _full(20))
    yield Kind("20 lines of the statement", lambda _: "/v1/balance_transactions?limit=20", _full(20))
    for field in _SEARCHED:
        said = [value for payin in past.payins if (value := payin.get(field) or (payin.get("payer") or {}).get(field))]
        if said:
            yield Kind(f"by {field}", _by(field, said), lambda page: bool(page["data"]))


def _full(limit: int) -> Callable[[dict[str, Any]], bool]:
    return lambda page: len(page["data"]) == limit or not page["has_more"]


def _by(field: str, said: Sequence[str]) -> Callable[[random.Random], str]:
    return lambda luck: f"/v1/payins?limit=20&{field}={quote(luck.choice(said), safe='')}"


async def _timed(asker: Asker, kind: Kind, asked: Pages) -> dict[str, float]:
    """Percentiles of one kind, in milliseconds. Raises CaudalFailed for an answer that is not as it should be."""
    luck, latency, left = random.Random(asked.seed), Histogram(), iter(range(asked.requests))

    async def connection() -> None:
        for _ in left:
            path, began_ns = kind.path(luck), time.perf_counter_ns()
            body = await asker.raw(path)
            latency.record(time.perf_counter_ns() - began_ns)
            if not kind.right(msgspec.json.decode(body)):
                raise CaudalFailed(f"GET {path} was answered with another page: {body[:300].decode(errors='replace')}")

    together = [asyncio.create_task(connection()) for _ in range(asked.connections)]
    try:
        await asyncio.gather(*together)
    finally:  # what one has ended leaves none behind that still opens a connection
        for one in together:
            one.cancel()
        await asyncio.gather(*together, return_exceptions=True)
    return {f"p{percent}_ms": round((latency.percentile_ns(percent) or 0) / 1e6, 2) for percent in (50, 99, 100)}


def table_of(found: dict[str, Any]) -> str:
    """What was found, for people."""
    lines = [
        f"{found['payins']:,} payins; {found['requests_of_each']} requests of each, {found['connections']} at a time"
    ]
    lines += [f"{'':<30}{'p50 ms':>10}{'p99 ms':>10}{'longest':>10}"]
    lines += [f"{name:<30}" + "".join(f"{ms:>10}" for ms in row.values()) for name, row in found["pages"].items()]
    return "\n".join(lines)
