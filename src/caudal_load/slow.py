"""One provider slow, another well: what the second's payments notice of it.

Two streams of arrivals, each at a constant rate on a schedule of its own: cards through `norte`, Pix through `sandbox`,
by a routing profile. Before, both providers are well; during, every answer of norte comes `slow_ms` later. Latency
counts from the scheduled arrival (no coordinated omission).
"""

import asyncio
import secrets
import time
from dataclasses import dataclass
from typing import Any

import aiohttp
from rich.console import Console
from rich.table import Table

from caudal_load.caudal_up import Running, caudal_up
from caudal_load.flows import CARD, PIX
from caudal_load.histogram import Histogram
from caudal_load.merchants import make_instruments, make_merchants, post
from caudal_load.processes import machine
from caudal_load.seed import Say

PROFILE = {
    "name": "each its own",
    "max_attempts": 1,
    "rules": [
        {"name": "cards", "when": {"methods": ["card"]}, "choose": {"by": "order", "providers": ["norte"]}},
        {"name": "pix", "when": {"methods": ["pix"]}, "choose": {"by": "order", "providers": ["sandbox"]}},
    ],
}
METHODS = {"card": "norte", "pix": "sandbox"}
_WARM_UP_S = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """What one method's payments met in one phase."""

    method: str
    provider: str
    phase: str
    asked: int
    answered: dict[str, int]
    """By status of HTTP."""
    p50_ms: float
    p99_ms: float


async def slow_provider(rate: float, slow_ms: int, seconds: float, say: Say) -> dict[str, Any]:
    """Run it, and say what was measured. Raises CaudalFailed, SetupFailed, OSError, aiohttp.ClientError."""
    async with caudal_up({}) as running:
        found = await measured(running, rate, slow_ms, seconds, _WARM_UP_S, say)
    return {"rate": rate, "slow_ms": slow_ms, "seconds": seconds, "phases": found, "machine": machine()}


async def measured(
    running: Running, rate: float, slow_ms: int, seconds: float, warm_up_s: float, say: Say
) -> list[Phase]:
    """The phases against a caudal that runs; its norte is well again afterwards. Raises as `slow_provider` does."""
    assert running.operator_key is not None and running.sandbox_url is not None, "it is ours"
    [key] = await make_merchants(running.url, running.operator_key, 1)
    [cards] = await make_instruments(running.url, [key])
    found = list[Phase]()
    async with aiohttp.ClientSession(running.url, connector=aiohttp.TCPConnector(limit=0)) as session:
        profile = (await post(session, "/v1/routing/profiles", PROFILE, key))["id"]
        await post(session, f"/v1/routing/profiles/{profile}/activations", {}, key, status=200)
        bodies = {"card": CARD.replace("{instrument}", cards[0]), "pix": PIX}
        try:
            for phase, latency_ms, lasts_s in (
                ("warm-up", 0, warm_up_s),
                ("before", 0, seconds),
                ("during", slow_ms, seconds),
            ):
                await _fares(running, latency_ms)
                say(f"{phase}: norte answers {latency_ms} ms later")
                both = [_stream(session, key, method, bodies[method], phase, rate, lasts_s) for method in METHODS]
                found += await asyncio.gather(*both)
        finally:
            await _fares(running, 0)
    return [one for one in found if one.phase != "warm-up"]


async def _fares(running: Running, latency_ms: int) -> None:
    async with (
        aiohttp.ClientSession(running.sandbox_url) as session,
        session.post("/providers/norte/v1/provider/conditions", json={"latency_ms": latency_ms}) as answer,
    ):
        answer.raise_for_status()


async def _stream(
    session: aiohttp.ClientSession, key: str, method: str, body: str, phase: str, rate: float, seconds: float
) -> Phase:
    """Arrivals on a schedule, answered or not; ends when all have their answer."""
    histogram, answered, tasks = Histogram(), dict[str, int](), set[asyncio.Task[None]]()

    async def one(due_s: float) -> None:
        token = secrets.token_hex(13)
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": token, "Content-Type": "application/json"}
        async with session.post("/v1/payins", data=body.replace("{token}", token), headers=headers) as answer:
            told = await answer.json()
            said = f"{answer.status} {told.get('status') if answer.status < 300 else told.get('code')}"
        answered[said] = answered.get(said, 0) + 1
        histogram.record(int((time.perf_counter() - due_s) * 1e9))

    began, count = time.perf_counter(), int(rate * seconds)
    for number in range(count):
        due_s = began + number / rate
        await asyncio.sleep(max(0.0, due_s - time.perf_counter()))
        task = asyncio.create_task(one(due_s))
        tasks.add(task)
    await asyncio.gather(*tasks)
    p50, p99 = (histogram.percentile_ns(percent) or 0 for percent in (50, 99))
    return Phase(
        method=method,
        provider=METHODS[method],
        phase=phase,
        asked=count,
        answered=answered,
        p50_ms=round(p50 / 1e6, 1),
        p99_ms=round(p99 / 1e6, 1),
    )


def print_phases(found: dict[str, Any], console: Console) -> None:
    """The table for people."""
    table = Table(title=f"{found['rate']:g}/s of each; during, norte answers {found['slow_ms']} ms later")
    for name in ("phase", "method", "provider", "asked", "p50 ms", "p99 ms", "answered"):
        table.add_column(name)
    for one in found["phases"]:
        told = ", ".join(f"{count} × {said}" for said, count in sorted(one.answered.items()))
        row = (one.phase, one.method, one.provider, str(one.asked), str(one.p50_ms), str(one.p99_ms), told)
        table.add_row(*row)
    console.print(table)
