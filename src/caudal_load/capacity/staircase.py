"""Which steps are taken: up by doubling until it gets no better, then bisection where it ceased to.

First connections, one request in flight on each, which find the most that can be done. Then arrivals at a rate, from
an eighth of that on, until they are no longer kept up with; then the middles of the highest that held the SLO and the
next that did not. A step that misses it is taken twice: one stall of a shared machine is not its limit.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import psycopg

from caudal_load.capacity.disk import growth, measured, sizes
from caudal_load.capacity.kept import Disk, Kept, KeptStep, Level, kept_step
from caudal_load.caudal_up import Running
from caudal_load.plan import Plan
from caudal_load.processes import commit, device_of, machine
from caudal_load.seed import Say
from caudal_load.side import merchants_of, started
from caudal_load.step import step

Ask = Callable[[Level], Awaitable[KeptStep]]
_BETTER, _FLAT = 1.03, 2
_LEAST_DOUBLINGS = 5
_FIRST_SHARE = 1 / 8
_LEAST_RATE = 1.0
_MOST_DOUBLINGS = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class Climb:
    """How far to go."""

    most: int = 256
    """Connections."""
    slo_ms: float = 25.0
    """The 99th percentile."""
    between: int = 3
    """Bisections of rates."""


async def climb(ask: Ask, how: Climb) -> list[KeptStep]:
    """Take the steps, `ask` by `ask`."""
    closed = await _connections(ask, how.most)
    return closed + await _rates(ask, max(step.rate for step in closed), how)


async def _connections(ask: Ask, most: int) -> list[KeptStep]:
    """1, 2, 4 … until two more doublings brought less than a thirtieth; then the middles on both sides of the best."""
    taken, connections = list[KeptStep](), 1
    while connections <= most and not _flat(taken):
        taken.append(await ask(Level(connections=connections)))
        connections *= 2
    top = round(max(taken, key=lambda step: step.rate).level)
    for between in (top * 3 // 4, top * 3 // 2):
        if 1 < between <= most and between not in {round(step.level) for step in taken}:
            taken.append(await ask(Level(connections=between)))
    return taken


def _flat(taken: list[KeptStep]) -> bool:
    rates = [step.rate for step in taken]
    return len(rates) > _LEAST_DOUBLINGS and max(rates[-_FLAT:]) < max(rates[:-_FLAT]) * _BETTER


async def _rates(ask: Ask, highest: float, how: Climb) -> list[KeptStep]:
    taken, within, beyond = list[KeptStep](), {0.0}, set[float]()

    async def kept_up_at(rate: float) -> bool:
        for _ in range(2):
            taken.append(await ask(Level(rate=rate)))
            if taken[-1].within(how.slo_ms):
                within.add(rate)
                return True
        beyond.add(rate)
        return any(step.keeps_up for step in taken[-2:])

    rate = _round(highest * _FIRST_SHARE)
    for _ in range(_MOST_DOUBLINGS):
        if not await kept_up_at(rate):
            break
        rate = _round(rate * 2)
    for _ in range(how.between):
        good = max(within)
        bad = min((each for each in beyond if each > good), default=None)
        if bad is None or bad <= _LEAST_RATE:
            break
        await kept_up_at(_round((good + bad) / 2))
    return taken


def _round(rate: float) -> float:
    """Three digits are enough of a rate."""
    return max(_LEAST_RATE, float(f"{rate:.3g}"))


async def climbed(plan: Plan, how: Climb, say: Say, keep: Callable[[Kept], None] = lambda _: None) -> Kept:
    """The steps of a plan on one caudal, the one that it names or one of our own; `plan` says seconds and warm-up.

    What there is so far goes to `keep` with each step, so that a run that is ended has not been for nothing. Raises
    as `run` does.
    """
    replace(plan, connections=1).checked()
    began = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    async with started(plan, say) as running:
        kept = Kept(
            scenario=plan.scenario.name,
            began=began,
            commit=commit(),
            machine=machine(),
            web_processes=max(1, sum(name.startswith("web") for name in running.processes)),
            shards=await asyncio.to_thread(_shards, running),
            generators=plan.processes,
            disk=await _disk(running, say),
            steps=[],
        )
        async with _asking(plan, running, say) as ask:

            async def noted(level: Level) -> KeptStep:
                kept.steps.append(await ask(level))
                keep(kept)
                return kept.steps[-1]

            await climb(noted, how)
    return kept


@contextlib.asynccontextmanager
async def _asking(plan: Plan, running: Running, say: Say) -> AsyncIterator[Ask]:
    """Steps on a caudal that runs, with merchants that are made once."""
    cast = await merchants_of(plan, running)

    async def ask(level: Level) -> KeptStep:
        one = replace(
            plan,
            connections=level.connections,
            rate=level.rate,
            phases=(),
            processes=min(plan.processes, level.connections or plan.processes),
        )
        before = await asyncio.to_thread(sizes, running.database_url)
        found = await step(one, say, running, cast)
        after = await asyncio.to_thread(sizes, running.database_url)
        kept = kept_step(level, found, growth(before, after, found.figures.acknowledged))
        say(f"{level}: {kept.rate:,.0f}/s, p50 {kept.p50_ms:.1f} ms, p99 {kept.p99_ms:.1f} ms{_told(kept)}")
        return kept

    yield ask


def _told(step: KeptStep) -> str:
    """The busiest processes, and what went wrong."""
    busiest = sorted(step.cores.items(), key=lambda each: -each[1])[:3]
    cores = ", ".join(f"{kind} {used:.2f}" for kind, used in busiest)
    return f" ({cores} cores{', not keeping up' if step.offered and not step.keeps_up else ''})"


async def _disk(running: Running, say: Say) -> Disk | None:
    """The disk of an embedded PostgreSQL, before anything else wants it."""
    if running.var is None or "postgres" not in running.processes or device_of(running.var) is None:
        return None
    disk = await asyncio.to_thread(measured, running.var)
    say(f"the disk writes {disk.mb_per_s:,.0f} MB/s and flushes a block in {disk.flush_ms:.2f} ms")
    return disk


def _shards(running: Running) -> int:
    """How many orders of batches the database has; 1 where it cannot be asked."""
    if running.database_url is None:
        return 1
    with contextlib.suppress(psycopg.Error), psycopg.connect(running.database_url) as connection:
        row = connection.execute("select count(*) from shard").fetchone()
        return 1 if row is None else int(row[0])
    return 1
