"""More than a server can do: what it still does, and how it says no to the rest.

A closed loop finds the maximum, then arrivals come at a multiple of it, whether they are answered or not. Every
request names its deadline, as clients do that go away after it. *Goodput* is what was acknowledged by its deadline,
counted from the scheduled arrival, per second. That goes on for some rounds, for a machine is not equally fast all the
time: the maximum of a round is measured in the seconds before its overload.
"""

import gc
import statistics
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from rich.console import Console
from rich.table import Table

from caudal_load.caudal_up import Running
from caudal_load.connection import Connection
from caudal_load.drive import OpenLoop
from caudal_load.histogram import Histogram
from caudal_load.memory import Watched
from caudal_load.plan import Plan
from caudal_load.processes import machine
from caudal_load.response import Response
from caudal_load.scenario import Requests, Target
from caudal_load.seed import Say
from caudal_load.side import Side, merchants_of, started

MOST_CONNECTIONS = 8192
"""Enough that nobody waits for one: what is accepted waits for its answer, and the rest of the arrivals go on."""
_FIRST_CONNECTIONS = 6144
"""Opened before: a burst of new ones would be measured as the network's patience with them, which is seconds."""
_CLOSED_CONNECTIONS = 128
_RETRY_AFTER = b"\r\nretry-after: "


class OverloadedLoop(OpenLoop):
    """An open loop that looks closely at refusals, and at who was answered by the deadline."""

    def __init__(self, target: Target, requests: Requests, rate: float, timeout_ms: int) -> None:
        super().__init__(target, requests, rate, MOST_CONNECTIONS)
        self.accepted, self.refusals = Histogram(), Histogram()
        self.late = self.with_retry_after = 0
        self.refused_in_window = Counter[int]()
        self._patience_ns = timeout_ms * 1_000_000
        self._of_all = Histogram()

    def _seat(self) -> Connection:
        return Connection(self, self._of_all)  # one for each would be most of the memory

    def counted(self, connection: Connection, now_ns: int) -> None:
        """Acknowledged; by its deadline or not."""
        latency_ns = now_ns - connection.since_ns
        self.accepted.record(latency_ns)
        self.late += latency_ns > self._patience_ns

    def turned_away(self, connection: Connection, response: Response, buffer: bytes, now_ns: int) -> None:
        """Refused, and how long that took, and whether it said when to come again."""
        super().turned_away(connection, response, buffer, now_ns)
        if self._opened_ns <= now_ns < self._closed_ns:
            self.refused_in_window[response.status] += 1
            self.refusals.record(now_ns - connection.since_ns)
            self.with_retry_after += _RETRY_AFTER in buffer[: response.body_start].lower()


@dataclass(frozen=True, kw_only=True, slots=True)
class Round:
    """One maximum and the overload behind it. Rates are per second, latencies milliseconds from the arrival."""

    maximum: float
    offered: float
    goodput: float
    goodput_share: float
    """Goodput by the maximum of the round."""
    refused_per_s: float
    refused_by_status: Mapping[str, int]
    refusals_with_retry_after: float | None
    """Their share; None where nothing was refused."""
    refusal_p50_ms: float | None
    refusal_p99_ms: float | None
    refusal_cpu_us: float | None
    """CPU of the API processes that the payments of the maximum do not account for, by refusal, microseconds."""
    accepted_p50_ms: float | None
    accepted_p99_ms: float | None
    accepted_late: float
    """The share of the acknowledged whose deadline had passed."""
    second_commits: int
    """Outcomes of providers that were committed behind a call: of every payin that was acknowledged as paid."""
    second_commits_refused: int
    """Payins whose provider was asked and whose answer could not be recorded: they are answered 500."""
    submitting: int
    unknown: int
    unsent: int
    connections: int
    cores: Mapping[str, float]
    """What each process used of the machine while it was overloaded; the generator shares it."""
    lost: int
    doubled: int
    memory_mb_before: Mapping[str, float]
    memory_mb_peak: Mapping[str, float]
    memory_mb_after: Mapping[str, float]

    @property
    def passed(self) -> bool:
        """Whether something was acknowledged and everything that was is there once."""
        return bool(self.goodput) and not (self.lost or self.doubled or self.second_commits_refused)


@dataclass(frozen=True, kw_only=True, slots=True)
class OverloadReport:
    """All rounds."""

    scenario: str
    factor: float
    timeout_ms: int
    merchants: int
    rounds: tuple[Round, ...]
    machine: Mapping[str, str | int]

    @property
    def passed(self) -> bool:
        """Whether every round did."""
        return all(each.passed for each in self.rounds)

    def median(self, name: str) -> float | None:
        """The median of a figure over the rounds that have it."""
        values = [value for each in self.rounds if (value := getattr(each, name)) is not None]
        return round(statistics.median(values), 3) if values else None

    def as_json(self) -> dict[str, Any]:
        """The medians of all figures that are numbers, and every round."""
        numbers = [field.name for field in fields(Round) if not isinstance(getattr(self.rounds[0], field.name), dict)]
        return {
            "scenario": self.scenario,
            "factor": self.factor,
            "timeout_ms": self.timeout_ms,
            "merchants": self.merchants,
            **{name: self.median(name) for name in numbers},
            "rounds": [asdict(each) for each in self.rounds],
            "machine": dict(self.machine),
        }


async def overload(plan: Plan, factor: float, timeout_ms: int, rounds: int, say: Say) -> OverloadReport:
    """Find the maximum and offer `factor` times as much, so many times. Raises as `run` does."""
    plan = replace(plan, connections=_CLOSED_CONNECTIONS).checked()
    done = list[Round]()
    async with started(plan, say) as running:
        keys, instruments = await merchants_of(plan, running)
        gc.collect()
        gc.freeze()
        gc.disable()  # as in every run: a collection would be measured as latency
        try:
            for number in range(1, rounds + 1):
                done.append(await _round(plan, running, keys, instruments, factor, timeout_ms))
                one = done[-1]
                rates = f"{one.goodput:,.0f}/s of {one.offered:,.0f}/s offered, maximum {one.maximum:,.0f}/s"
                say(f"round {number}: {rates}")
        finally:
            gc.enable()
            gc.unfreeze()
    return OverloadReport(
        scenario=plan.scenario.name,
        factor=factor,
        timeout_ms=timeout_ms,
        merchants=len(keys),
        rounds=tuple(done),
        machine=machine(),
    )


async def _round(
    plan: Plan, running: Running, keys: list[str], instruments: list[list[str]], factor: float, timeout_ms: int
) -> Round:
    most = Side(plan, running, keys, instruments)
    await most.connect()
    await most.load(plan.warm_up_s, plan.seconds / 2)
    await most.loop.end()
    await most.settle()
    target = Target.of(running.url)
    side = Side(plan, running, keys, instruments)
    side.requests = Requests(plan.scenario, target, keys, instruments=instruments, timeout_ms=timeout_ms)
    loop = side.loop = OverloadedLoop(target, side.requests, most.loop.tally.rate * factor, timeout_ms)
    await loop.connect(_FIRST_CONNECTIONS)
    with Watched(running.processes) as memory:
        await side.load(plan.warm_up_s, plan.seconds)
    await loop.end()
    await side.settle()
    memory.look()
    return await _figures(most, side, loop, factor, memory)


async def _figures(most: Side, side: Side, loop: OverloadedLoop, factor: float, memory: Watched) -> Round:
    tally, refused = loop.tally, loop.refused_in_window.total()
    before, now = await most.verify(), await side.verify()
    goodput = tally.window_acknowledged - loop.late
    web_s, at_most_s = (sum(each.cpu_s[name] for name in each.web_pids()) for each in (side, most))
    paid_for_s = at_most_s / max(1, most.loop.tally.window_acknowledged) * tally.window_acknowledged
    maximum = most.loop.tally.rate
    return Round(
        maximum=maximum,
        offered=round(maximum * factor, 1),
        goodput=tally.per_s(goodput),
        goodput_share=round(tally.per_s(goodput) / maximum, 3) if maximum else 0.0,
        refused_per_s=tally.per_s(refused),
        refused_by_status={str(status): count for status, count in sorted(loop.refused_in_window.items())},
        refusals_with_retry_after=round(loop.with_retry_after / refused, 4) if refused else None,
        refusal_p50_ms=_ms(loop.refusals, 50),
        refusal_p99_ms=_ms(loop.refusals, 99),
        refusal_cpu_us=round((web_s - paid_for_s) * 1e6 / refused, 1) if refused and web_s else None,
        accepted_p50_ms=_ms(loop.accepted, 50),
        accepted_p99_ms=_ms(loop.accepted, 99),
        accepted_late=round(loop.late / max(1, tally.window_acknowledged), 5),
        second_commits=tally.acknowledged - tally.submitting if side.plan.scenario.through_provider else 0,
        second_commits_refused=tally.refused_by_status[500],
        submitting=tally.submitting,
        unknown=tally.unknown,
        unsent=tally.unsent,
        connections=len(loop.seats),
        cores={name: round(used_s * 1e9 / tally.window_ns, 2) for name, used_s in side.cpu_s.items()},
        lost=len(before.lost) + len(now.lost),
        doubled=len(before.doubled) + len(now.doubled),
        memory_mb_before=memory.first,
        memory_mb_peak=memory.peak,
        memory_mb_after=memory.last,
    )


def _ms(latencies: Histogram, percent: float) -> float | None:
    value = latencies.percentile_ns(percent)
    return None if value is None else round(value / 1e6, 2)


def print_overload(report: OverloadReport, console: Console) -> None:
    """The same for people: every round, and the median."""
    title = f"{report.scenario}, {report.factor:g} times the maximum, deadline {report.timeout_ms} ms"
    table = Table(title=title, title_justify="left")
    table.add_column()
    for number in range(1, len(report.rounds) + 1):
        table.add_column(f"round {number}", justify="right")
    table.add_column("median", justify="right")
    for field in fields(Round):
        values = [getattr(each, field.name) for each in report.rounds]
        if any(isinstance(value, dict) for value in values):
            for key in sorted({key for value in values for key in value}):
                cells = [_cell(value.get(key, 0)) for value in values]
                table.add_row(f"{field.name.replace('_', ' ')}, {key}", *cells, "")
        else:
            table.add_row(field.name.replace("_", " "), *map(_cell, values), _cell(report.median(field.name)))
    console.print(table)
    console.print(", ".join(f"{name} {value}" for name, value in report.machine.items()))


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int | float) else str(value)
