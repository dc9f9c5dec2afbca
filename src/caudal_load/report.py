"""The figures of a run, as one JSON object and as a table for people."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from caudal_load.connection import Connection
from caudal_load.histogram import Histogram
from caudal_load.processes import resident_mb
from caudal_load.side import Side
from caudal_load.verify import Verdict

_ENOUGH_FOR_A_P99 = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Webhooks:
    """What came at the receiver. The lag is from the event to its arrival, milliseconds."""

    received: int
    lag_p50_ms: float | None
    lag_p99_ms: float | None
    lag_max_ms: float | None
    behind: int
    undelivered: int
    unseen: int
    repeated: int
    unreadable: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """One side. Latencies are milliseconds, CPU is microseconds per answered request of the window."""

    rate: float
    paid_rate: float | None
    p50_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    worst_connection_p99_ms: float | None
    least_connection_share: float | None
    thin_connections: int
    acknowledged: int
    refused: int
    refused_by_status: Mapping[str, int]
    unknown: int
    malformed: int
    unsent: int
    submitting: int
    lost: int
    doubled: int
    disagreeing: int | None
    unpaid: int | None
    webhooks: Webhooks | None
    connections_by_process: Mapping[str, int]
    rate_by_process: Mapping[str, float]
    cpu_us_per_request: Mapping[str, float]
    median_batch: int | None
    web_rss_mb: float | None
    memory_mb_start: Mapping[str, float]
    memory_mb_end: Mapping[str, float]
    memory_growth_mb: float | None
    requests: int | None
    connections: int | None
    open_connections: int
    arrivals_per_s: float | None
    merchants: int
    seeded: int
    settings: Mapping[str, str]

    @property
    def passed(self) -> bool:
        """Whether enough was acknowledged, nothing is lost or double, and the sandbox's books say the same."""
        wrong = [self.lost, self.doubled, self.disagreeing, self.unpaid]
        if self.webhooks is not None:
            wrong += [self.webhooks.undelivered, self.webhooks.unseen, self.webhooks.unreadable]
        return self.acknowledged >= (self.requests or 1) and not any(wrong)


async def figures(side: Side, verdict: Verdict) -> Figures:
    """What one side came to."""
    tally, plan = side.loop.tally, side.plan
    latencies = Histogram()
    for seat in side.loop.seats:
        latencies.merge(seat.histogram)
    start, end = side.memory_mb[0], side.memory_mb[-1]
    resident = [mb for pid in side.web_pids().values() if (mb := resident_mb(pid)) is not None]
    return Figures(
        rate=tally.rate,
        paid_rate=await side.paid_rate(),
        p50_ms=_ms(latencies.percentile_ns(50)),
        p99_ms=_ms(latencies.percentile_ns(99)),
        p999_ms=_ms(latencies.percentile_ns(99.9)),
        worst_connection_p99_ms=_worst_p99_ms(side.loop.seats),
        least_connection_share=least_share(side.loop.seats) if plan.rate is None else None,
        thin_connections=sum(seat.histogram.total < _ENOUGH_FOR_A_P99 for seat in side.loop.seats),
        acknowledged=tally.acknowledged,
        refused=tally.refused,
        refused_by_status={str(status): count for status, count in sorted(tally.refused_by_status.items())},
        unknown=tally.unknown,
        malformed=tally.malformed,
        unsent=tally.unsent,
        submitting=tally.submitting,
        lost=len(verdict.lost),
        doubled=len(verdict.doubled),
        disagreeing=None if verdict.books is None else len(verdict.books.disagreeing),
        unpaid=None if verdict.books is None else len(verdict.books.unpaid),
        webhooks=_webhooks(side, verdict),
        connections_by_process={name: len(seats) for name, seats in side.seats_by_process.items()},
        rate_by_process={
            name: tally.per_s(sum(seat.acknowledged for seat in seats)) for name, seats in side.seats_by_process.items()
        },
        cpu_us_per_request={
            name: round(used_s * 1e6 / max(1, tally.window_answered), 1) for name, used_s in side.cpu_s.items()
        },
        median_batch=await side.median_batch(),
        web_rss_mb=max(resident, default=None),
        memory_mb_start=start,
        memory_mb_end=end,
        memory_growth_mb=max((round(end[name] - start[name], 1) for name in start.keys() & end), default=None),
        requests=plan.requests,
        connections=plan.connections,
        open_connections=len(side.loop.seats),
        arrivals_per_s=plan.rate,
        merchants=plan.merchants,
        seeded=plan.seed,
        settings=dict(plan.settings),
    )


def _webhooks(side: Side, verdict: Verdict) -> Webhooks | None:
    if side.outside is None or verdict.heard is None:
        return None
    receiver = side.outside.receiver
    return Webhooks(
        received=len(receiver.events),
        lag_p50_ms=_ms(receiver.lag.percentile_ns(50)),
        lag_p99_ms=_ms(receiver.lag.percentile_ns(99)),
        lag_max_ms=_ms(receiver.lag.percentile_ns(100)),
        behind=side.outside.behind,
        undelivered=verdict.heard.undelivered,
        unseen=verdict.heard.unseen,
        repeated=receiver.repeated,
        unreadable=receiver.unreadable,
    )


def _ms(value_ns: int | None) -> float | None:
    return None if value_ns is None else round(value_ns / 1e6, 3)


def _worst_p99_ms(seats: list[Connection]) -> float | None:
    """The highest p99 of one connection, of those with enough answers to have one, or of all if none has.

    How many have not is `thin_connections`, and how few one of them had is `least_connection_share`.
    """
    enough = [seat for seat in seats if seat.histogram.total >= _ENOUGH_FOR_A_P99] or seats
    values = [value for seat in enough if (value := seat.histogram.percentile_ns(99)) is not None]
    return _ms(max(values, default=None))


def least_share(seats: list[Connection]) -> float | None:
    """The fewest acknowledgements of one connection, divided by the mean: 1 if all are alike, 0 if one starves."""
    counts = [seat.acknowledged for seat in seats]
    return round(min(counts) * len(counts) / sum(counts), 3) if any(counts) else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """A whole run."""

    scenario: str
    seconds: float
    warm_up_s: float
    figures: Figures
    versus: str | None = None
    other: Figures | None = None
    machine: Mapping[str, str | int]

    @property
    def ratio(self) -> float | None:
        """The rate divided by the other side's."""
        return round(self.figures.rate / self.other.rate, 3) if self.other is not None and self.other.rate else None

    @property
    def passed(self) -> bool:
        """Whether on every side something was acknowledged, or as much as was wanted, and all of it is there, once."""
        sides = [self.figures] + ([self.other] if self.other is not None else [])
        return all(each.passed for each in sides)

    def as_json(self) -> dict[str, Any]:
        """One flat object; the other side's figures stand under `other`."""
        return {
            "scenario": self.scenario,
            **asdict(self.figures),
            "seconds": self.seconds,
            "warm_up_s": self.warm_up_s,
            "versus": self.versus,
            "ratio": self.ratio,
            "other": None if self.other is None else asdict(self.other),
            "machine": dict(self.machine),
        }


def print_table(report: Report, console: Console) -> None:
    """The same for people."""
    title = f"{report.scenario}, {report.seconds:g} s" + (" a side" if report.other is not None else "")
    table = Table(title=title, title_justify="left")
    table.add_column()
    table.add_column("this side", justify="right")
    if report.other is not None:
        table.add_column(report.versus or "", justify="right")
    sides = [report.figures] + ([report.other] if report.other is not None else [])
    for name in (name for name, value in asdict(report.figures).items() if not isinstance(value, dict)):
        table.add_row(name, *(_cell(getattr(each, name)) for each in sides))
    for name in asdict(sides[0].webhooks) if sides[0].webhooks is not None else ():
        table.add_row(f"webhooks {name}", *(_cell(getattr(each.webhooks, name, None)) for each in sides))
    for status in sorted({status for each in sides for status in each.refused_by_status}):
        table.add_row(f"refused {status}", *(_cell(each.refused_by_status.get(status, 0)) for each in sides))
    for process in sides[0].rate_by_process:
        table.add_row(f"rate, {process}", *(_cell(each.rate_by_process.get(process)) for each in sides))
    for process in sides[0].memory_mb_end:
        table.add_row(
            f"memory MB, {process}",
            *(f"{each.memory_mb_start.get(process)} → {each.memory_mb_end.get(process)}" for each in sides),
        )
    for process in sides[0].cpu_us_per_request:
        table.add_row(f"CPU µs/request, {process}", *(_cell(each.cpu_us_per_request.get(process)) for each in sides))
    console.print(table)
    if report.ratio is not None:
        console.print(f"ratio {report.ratio:.2f}")
    console.print(", ".join(f"{name} {value}" for name, value in report.machine.items()))


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int | float) else str(value)
