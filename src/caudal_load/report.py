"""The figures of a run, as one JSON object and as a table for people."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from caudal_load.connection import Connection
from caudal_load.histogram import Histogram
from caudal_load.processes import resident_mb
from caudal_load.side import GENERATOR, Side
from caudal_load.verify import Verdict

_ENOUGH_FOR_A_P99 = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """One side. Latencies are milliseconds, CPU is microseconds per answered request of the window."""

    rate: float
    p50_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    worst_connection_p99_ms: float | None
    acknowledged: int
    refused: Mapping[str, int]
    unknown: int
    malformed: int
    unsent: int
    lost: int
    doubled: int
    cpu_us_per_request: Mapping[str, float]
    median_batch: int | None
    web_rss_mb: float | None
    connections: int | None
    open_connections: int
    arrivals_per_s: float | None
    merchants: int
    seeded: int
    settings: Mapping[str, str]


async def figures(side: Side, verdict: Verdict) -> Figures:
    """What one side came to."""
    tally, plan = side.loop.tally, side.plan
    latencies = Histogram()
    for seat in side.loop.seats:
        latencies.merge(seat.histogram)
    webs = [pid for name, pid in side.running.processes.items() if name.startswith("web")]
    resident = [mb for pid in webs if (mb := resident_mb(pid)) is not None]
    return Figures(
        rate=round(tally.rate, 1),
        p50_ms=_ms(latencies.percentile_ns(50)),
        p99_ms=_ms(latencies.percentile_ns(99)),
        p999_ms=_ms(latencies.percentile_ns(99.9)),
        worst_connection_p99_ms=_worst_p99_ms(side.loop.seats),
        acknowledged=tally.acknowledged,
        refused={str(status): count for status, count in sorted(tally.refused.items())},
        unknown=tally.unknown,
        malformed=tally.malformed,
        unsent=tally.unsent,
        lost=len(verdict.lost),
        doubled=len(verdict.doubled),
        cpu_us_per_request={
            name: round(used_s * 1e6 / max(1, tally.window_answered), 1) for name, used_s in side.cpu_s.items()
        },
        median_batch=await side.median_batch(),
        web_rss_mb=max(resident, default=None),
        connections=plan.connections,
        open_connections=len(side.loop.seats),
        arrivals_per_s=plan.rate,
        merchants=plan.merchants,
        seeded=plan.seed,
        settings=dict(plan.settings),
    )


def _ms(value_ns: int | None) -> float | None:
    return None if value_ns is None else round(value_ns / 1e6, 3)


def _worst_p99_ms(seats: list[Connection]) -> float | None:
    """The highest p99 of one connection, of those with enough answers to have one, or of all if none has."""
    enough = [seat for seat in seats if seat.histogram.total >= _ENOUGH_FOR_A_P99] or seats
    values = [value for seat in enough if (value := seat.histogram.percentile_ns(99)) is not None]
    return _ms(max(values, default=None))


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
        """Whether something was acknowledged on every side, and nothing of it is lost or double."""
        sides = [self.figures] + ([self.other] if self.other is not None else [])
        return all(each.acknowledged and not each.lost and not each.doubled for each in sides)

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
    for name in (name for name in asdict(report.figures) if name not in {"refused", "cpu_us_per_request", "settings"}):
        table.add_row(name, *(_cell(getattr(each, name)) for each in sides))
    for status in sorted({status for each in sides for status in each.refused}):
        table.add_row(f"refused {status}", *(_cell(each.refused.get(status, 0)) for each in sides))
    for process in sides[0].cpu_us_per_request:
        table.add_row(f"CPU µs/request, {process}", *(_cell(each.cpu_us_per_request.get(process)) for each in sides))
    console.print(table)
    if report.ratio is not None:
        console.print(f"ratio {report.ratio:.2f}")
    console.print(", ".join(f"{name} {value}" for name, value in report.machine.items()))


def generator_cost_us(figures: Figures) -> float:
    """What the generator itself cost, CPU microseconds per request."""
    return figures.cpu_us_per_request.get(GENERATOR, 0.0)


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int | float) else str(value)
