"""`caudal-load failover`: a database that fails over under load, and what became of every request.

A primary and its synchronous standby (`cluster`), a caudal that knows both addresses, payins by SPEI and by card. The
primary is killed, or stands still as a frozen machine does and comes back later, believing itself the primary; its
standby is promoted. Nobody tells caudal. The standby is held up for a moment before, so that commits are under way.
Afterwards every request is asked for: what was acknowledged is there once, what was refused is not there, and what was
left unknown answers the same twice.
"""

import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from time import monotonic
from typing import Any

import psycopg
from rich.console import Console
from rich.table import Table

from caudal_load.asking_again import Watched, asked_again
from caudal_load.caudal_up import Running, caudal_up, read_up
from caudal_load.cluster import Pair, pair
from caudal_load.merchants import make_instruments, make_merchants
from caudal_load.outside import come_to_rest
from caudal_load.processes import machine
from caudal_load.scenario import Requests, Scenario, Target
from caudal_load.scenarios import CARD_CAPTURED, SPEI_CREATE
from caudal_load.seed import Say
from caudal_load.verify import lowest_id, verify_in_books, verify_in_database

_HELD_UP_S = 0.1
_STEP_S = 0.5
"""How finely rates are looked at, for the moment at which the former one is nearly reached."""
_NEARLY = 0.9
_UNKNOWN_RESOLVED = "unknown commit resolved"
_THERE = "select reference from shard s join payin p on p.shard = s.id where p.id >= %s and p.reference = any(%s)"
# Those that watch for the next promotion only read, and may stay.
_SESSIONS = "select count(*) from pg_stat_activity where usename = 'caudal' and application_name <> 'caudal-watch'"


@dataclass(frozen=True, kw_only=True, slots=True)
class Failover:
    """What is to happen. Seconds count from the first request."""

    seconds: float = 24.0
    connections: int = 32
    """Closed loop, payins by SPEI; a quarter as many beside them pay by card."""
    pause: bool = False
    """The primary stands still instead of dying, and goes on after the promotion."""
    noticed_s: float = 1.0
    """What the failover manager takes from the fault to the promotion."""

    @property
    def fault_at_s(self) -> float:
        """When the primary fails."""
        return self.seconds / 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """What became of it."""

    fault: str
    seconds: float
    connections: int
    acknowledged: int
    refused: int
    unknown: int
    lost: int
    doubled: int
    disagreeing: int
    refused_and_there: int
    contradictory: int
    """Unknown ones that answered differently when they were asked again."""
    unknown_commits: Mapping[str, int]
    """Batches whose COMMIT had no answer, by what the new primary had: `found` or `not there`."""
    sessions_on_the_former_primary: int | None
    """That caudal still holds there in the end, when it is back; None where it is dead."""
    restarted: tuple[str, ...]
    """Processes that are not those of the beginning."""
    check: int
    """The exit status of `caudal check --replay --against-sandbox`."""
    rate_before: float
    without_service_s: float
    """The longest time without one acknowledgement, from the fault on."""
    recovered_s: float | None
    """From the fault until nine tenths of the former rate; None if that did not come."""
    machine: Mapping[str, str | int]

    @property
    def passed(self) -> bool:
        """Whether nothing is lost or double, traffic went on, and nobody was restarted for it."""
        wrong = (self.lost, self.doubled, self.disagreeing, self.refused_and_there, self.contradictory, self.check)
        return not any(wrong) and not self.restarted and self.recovered_s is not None and self.acknowledged > 0


class Clock:
    """When acknowledgements came, in seconds since the first request."""

    def __init__(self) -> None:
        self.began = monotonic()
        self.times: list[float] = []

    def note(self, number: int, answer: bytes) -> None:
        """An acknowledgement, now."""
        self.times.append(monotonic() - self.began)

    def rate(self, opened_s: float, closed_s: float) -> float:
        """Acknowledgements per second within a span."""
        return sum(opened_s <= at < closed_s for at in self.times) / (closed_s - opened_s)

    def longest_gap_s(self, since_s: float, until_s: float) -> float:
        """The longest time without one."""
        marks = [since_s, *(at for at in self.times if since_s <= at < until_s), until_s]
        return max(after - before for before, after in pairwise(marks))

    def nearly_at_s(self, rate: float, since_s: float, until_s: float) -> float | None:
        """The end of the first step since then in which nine tenths of this rate came."""
        steps = int((until_s - since_s) / _STEP_S)
        for step in range(1, steps):
            opened = since_s + step * _STEP_S
            if self.rate(opened, opened + _STEP_S) >= _NEARLY * rate:
                return opened + _STEP_S - since_s
        return None


async def failover(plan: Failover, say: Say, settings: Mapping[str, str]) -> Outcome:
    """Carry it out. Raises CaudalFailed, SetupFailed, ServerFailed, OSError, psycopg.Error, aiohttp.ClientError."""
    async with contextlib.AsyncExitStack() as stack:
        say("starting a primary, its standby, and caudal …")
        servers = await stack.enter_async_context(pair())
        running = await stack.enter_async_context(caudal_up({**settings, "CAUDAL_DATABASE_URL": servers.url}))
        loops = [
            await _loop(running, SPEI_CREATE, plan.connections),
            await _loop(running, CARD_CAPTURED, max(1, plan.connections // 4)),
        ]
        clock = Clock()
        for loop in loops:
            loop.promised = clock.note
        gc.freeze()
        await _load(plan, servers, loops, clock, say)
        say("asking for everything that was told …")
        return await _outcome(plan, servers, running, loops, clock)


async def _loop(running: Running, scenario: Scenario, connections: int) -> Watched:
    assert running.operator_key is not None
    keys = await make_merchants(running.url, running.operator_key, 1)
    cards = await make_instruments(running.url, keys) if scenario.instruments else []
    target = Target.of(running.url)
    loop = Watched(target, Requests(scenario, target, keys, instruments=cards))
    await loop.connect(connections)
    return loop


async def _load(plan: Failover, servers: Pair, loops: list[Watched], clock: Clock, say: Say) -> None:
    for loop in loops:
        loop.start()
    clock.began = monotonic()
    await _until(clock, plan.fault_at_s)
    say("the primary stands still" if plan.pause else "the primary is killed")
    servers.second.signal(signal.SIGSTOP)
    await asyncio.sleep(_HELD_UP_S)
    servers.first.signal(signal.SIGSTOP) if plan.pause else servers.first.kill()
    servers.second.signal(signal.SIGCONT)
    await _until(clock, plan.fault_at_s + plan.noticed_s)
    await servers.promote()
    say("the standby is the primary")
    if plan.pause:
        await _until(clock, plan.seconds * 2 / 3)
        servers.first.signal(signal.SIGCONT)
        say("the former primary goes on")
    await _until(clock, plan.seconds)
    await asyncio.gather(*(loop.rest() for loop in loops))
    for loop in loops:
        await loop.end()


async def _until(clock: Clock, at_s: float) -> None:
    await asyncio.sleep(max(0.0, clock.began + at_s - monotonic()))


async def _outcome(plan: Failover, servers: Pair, running: Running, loops: list[Watched], clock: Clock) -> Outcome:
    url = servers.promoted_url  # the former primary may be back, and knows nothing of what came after it
    contradictory = sum([await asked_again(loop) for loop in loops])
    verdicts, there = [], 0
    for loop in loops:
        tally = loop.tally
        if tally.acknowledged:
            await come_to_rest(url, None, lowest_id(tally), loop.requests.prefix)
            there += await _refused_and_there(url, loop)
        verdict = await verify_in_database(url, loop.requests, tally)
        if loop.requests.scenario.through_provider and running.sandbox_url is not None:
            verdict = await verify_in_books(verdict, url, running.sandbox_url, loop.requests, tally)
        verdicts.append(verdict)
    rate = clock.rate(min(1.0, plan.fault_at_s / 2), plan.fault_at_s)
    books = [verdict.books for verdict in verdicts if verdict.books is not None]
    return Outcome(
        fault="pause" if plan.pause else "kill",
        seconds=plan.seconds,
        connections=plan.connections,
        acknowledged=sum(loop.tally.acknowledged for loop in loops),
        refused=sum(len(loop.refused) for loop in loops),
        unknown=sum(len(loop.unknown) for loop in loops),
        lost=sum(len(verdict.lost) for verdict in verdicts),
        doubled=sum(len(verdict.doubled) for verdict in verdicts),
        disagreeing=sum(len(each.disagreeing) + len(each.unpaid) for each in books),
        refused_and_there=there,
        contradictory=contradictory,
        unknown_commits=_unknown_commits(running),
        sessions_on_the_former_primary=await _sessions(servers) if plan.pause else None,
        restarted=_restarted(running),
        check=await _check(running),
        rate_before=round(rate, 1),
        without_service_s=round(clock.longest_gap_s(plan.fault_at_s, plan.seconds), 2),
        recovered_s=clock.nearly_at_s(rate, plan.fault_at_s, plan.seconds),
        machine=machine(),
    )


async def _refused_and_there(url: str, loop: Watched) -> int:
    references = [loop.requests.token(number) for number in loop.refused]
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        cursor = await connection.execute(_THERE, (lowest_id(loop.tally), references))
        return len(await cursor.fetchall())


async def _sessions(servers: Pair) -> int:
    [[count]] = await servers.first.rows(_SESSIONS)
    return int(count)


def _unknown_commits(running: Running) -> dict[str, int]:
    counts = {"found": 0, "not there": 0}
    assert running.var is not None
    for log in (running.var / "log").glob("*.log"):
        for line in log.read_text(errors="replace").splitlines():
            if _UNKNOWN_RESOLVED in line:
                with contextlib.suppress(ValueError):
                    counts["found" if json.loads(line)["committed"] else "not there"] += 1
    return counts


def _restarted(running: Running) -> tuple[str, ...]:
    assert running.var is not None
    now = read_up((running.var / "up.json").read_text()).processes
    return tuple(name for name, pid in running.processes.items() if now.get(name) != pid)


async def _check(running: Running) -> int:
    command = (sys.executable, "-m", "caudal", "check", "--replay", "--against-sandbox")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CAUDAL_")}
    environment["CAUDAL_VAR"] = str(running.var)
    process = await asyncio.create_subprocess_exec(*command, env=environment, stdout=sys.stderr.fileno())
    return await process.wait()


def print_outcome(outcome: Outcome, console: Console) -> None:
    """The same for people."""
    table = Table(title="failover", title_justify="left", show_header=False)
    for name, value in _rows(outcome).items():
        table.add_row(name, f"{value:,}" if isinstance(value, int | float) else str(value))
    console.print(table)


def _rows(outcome: Outcome) -> dict[str, Any]:
    left = outcome.sessions_on_the_former_primary
    return {
        "fault": f"{outcome.fault} of the primary after {outcome.seconds / 3:.0f} of {outcome.seconds:g} s",
        "acknowledged": outcome.acknowledged,
        "refused": outcome.refused,
        "unknown, asked again": outcome.unknown,
        "lost": outcome.lost,
        "doubled": outcome.doubled,
        "different from the sandbox's books": outcome.disagreeing,
        "refused and yet there": outcome.refused_and_there,
        "answered differently when asked again": outcome.contradictory,
        "commits without an answer": ", ".join(f"{count} {what}" for what, count in outcome.unknown_commits.items()),
        "sessions left on the former primary": "it is dead" if left is None else left,
        "processes restarted": ", ".join(outcome.restarted) or "none",
        "exit status of caudal check": outcome.check,
        "payins/s before": outcome.rate_before,
        "seconds without an acknowledgement": outcome.without_service_s,
        "seconds until nine tenths of that rate": "never" if outcome.recovered_s is None else outcome.recovered_s,
        "machine": ", ".join(f"{name} {value}" for name, value in outcome.machine.items()),
    }
