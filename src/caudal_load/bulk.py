"""Many payins a request: how many payins a second a caudal takes in bulk, what each costs, and that none is lost.

A closed loop: every connection asks for so many payins, waits for the answer, and asks again. A payin counts when its
own answer acknowledges it; afterwards each is looked for in the database, as in every run.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import msgspec

from caudal_load.answers import answer
from caudal_load.caudal_up import Running, caudal_up
from caudal_load.flows import SPEI
from caudal_load.histogram import Histogram
from caudal_load.merchants import make_merchants
from caudal_load.processes import machine, own_cpu_s, trees_cpu_s
from caudal_load.scenario import TOKEN, Requests, Target
from caudal_load.scenarios import SPEI_CREATE
from caudal_load.seed import Say
from caudal_load.tally import Tally
from caudal_load.verify import verify_in_database

_PATH = "/v1/payins/bulk"
_ID = len("payin_")


class _Payin(msgspec.Struct):
    id: str


class _Item(msgspec.Struct):
    status: int
    payin: _Payin | None
    problem: Any


class _Answer(msgspec.Struct):
    data: list[_Item]


_decode = msgspec.json.Decoder(_Answer).decode


@dataclass(frozen=True, kw_only=True, slots=True)
class Bulk:
    """What is asked for: so many payins a request, on so many connections, for so long."""

    items: int = 500
    connections: int = 4
    seconds: float = 8.0
    warm_up_s: float = 2.0
    merchants: int = 1


@dataclass(kw_only=True, slots=True)
class Load:
    """What the connections share: the names of payins, and what was told."""

    items: int
    names: Requests
    tally: Tally = field(default_factory=Tally)
    latency: Histogram = field(default_factory=Histogram)
    asked: int = 0
    measured: bool = False
    running: bool = True

    def request(self, key: str, host: str) -> tuple[int, bytes]:
        """The next request, and the number of its first payin."""
        first = self.asked
        self.asked += self.items
        tokens = (self.names.token(number) for number in range(first, self.asked))
        items = (f'{{"idempotency_key":"{token}","payin":{SPEI.replace(TOKEN, token)}}}' for token in tokens)
        body = f'{{"payins":[{",".join(items)}]}}'.encode()
        head = (
            f"POST {_PATH} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return first, head.encode() + body

    def told(self, first: int, status: int, body: bytes) -> None:
        """Counts an answer, payin by payin."""
        if status != 200:
            self.tally.refuse(status, body)
            return
        for number, item in enumerate(_decode(body).data, first):
            if item.payin is None:
                self.tally.refuse(item.status, msgspec.json.encode(item.problem))
                continue
            self.tally.acknowledge(number, item.payin.id[_ID:].encode())
            self.tally.window_acknowledged += self.measured


async def bulk(asked: Bulk, say: Say) -> dict[str, Any]:
    """Load a caudal of its own, then look for every payin that was acknowledged.

    Raises CaudalFailed, SetupFailed, OSError, psycopg.Error, aiohttp.ClientError.
    """
    say("starting caudal …")
    async with caudal_up({}) as running:
        return await measured(running, asked, say)


async def measured(running: Running, asked: Bulk, say: Say) -> dict[str, Any]:
    """The same on a caudal that runs. Raises as `bulk` does."""
    assert running.operator_key is not None and running.database_url is not None, "it is ours"
    keys = await make_merchants(running.url, running.operator_key, asked.merchants)
    target = Target.of(running.url)
    load = Load(items=asked.items, names=Requests(SPEI_CREATE, target, keys))
    tasks = [
        asyncio.create_task(_ask(load, target, keys[place % len(keys)]), name="bulk")
        for place in range(asked.connections)
    ]
    await asyncio.sleep(asked.warm_up_s)
    async with _window(load, running) as cpu_s:
        await asyncio.sleep(asked.seconds)
    load.running = False
    await asyncio.gather(*tasks)
    say(f"{load.tally.rate:,.0f} payins/s; looking for every one …")
    verdict = await verify_in_database(running.database_url, load.names, load.tally)
    counted = max(1, load.tally.window_acknowledged)
    return {
        "payins_per_s": load.tally.rate,
        "items": asked.items,
        "connections": asked.connections,
        "seconds": asked.seconds,
        "acknowledged": load.tally.acknowledged,
        "refused": dict(load.tally.refused_by_status),
        "request_p50_ms": _ms(load.latency, 50),
        "request_p99_ms": _ms(load.latency, 99),
        "cpu_us_per_payin": {name: round(used_s * 1e6 / counted, 1) for name, used_s in cpu_s.items()},
        "lost": len(verdict.lost),
        "doubled": len(verdict.doubled),
        "machine": machine(),
    }


@asynccontextmanager
async def _window(load: Load, running: Running) -> AsyncIterator[dict[str, float]]:
    """What is told inside counts; the CPU that every process has used in it is there behind it."""
    cpu_s = dict[str, float]()
    before, opened_ns = {**_cpu_s(running)}, time.perf_counter_ns()
    load.measured = True
    yield cpu_s
    load.measured = False
    load.tally.window_ns = time.perf_counter_ns() - opened_ns
    cpu_s |= {name: used_s - before.get(name, 0.0) for name, used_s in _cpu_s(running).items()}


def _cpu_s(running: Running) -> dict[str, float]:
    return {"generator": own_cpu_s(), **trees_cpu_s(running.processes)}


def _ms(latency: Histogram, percent: float) -> float | None:
    found = latency.percentile_ns(percent)
    return None if found is None else round(found / 1e6, 1)


async def _ask(load: Load, target: Target, key: str) -> None:
    """One connection. Raises OSError, CaudalFailed."""
    reader, writer = await asyncio.open_connection(target.host, target.port)
    try:
        while load.running:
            first, request = load.request(key, f"{target.host}:{target.port}")
            since_ns, counts = time.perf_counter_ns(), load.measured
            writer.write(request)
            await writer.drain()
            status, body = await answer(reader)
            if counts:
                load.latency.record(time.perf_counter_ns() - since_ns)
            load.told(first, status, body)
    finally:
        writer.close()
