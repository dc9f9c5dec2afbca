"""The figures of a run, as one JSON object and as a table for people."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

from rich.console import Console
from rich.table import Table

from caudal_load.figures import Figures
from caudal_load.objectives import Objective


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """A whole run."""

    scenario: str
    seconds: float
    warm_up_s: float
    figures: Figures
    slo: tuple[Objective, ...] = ()
    versus: str | None = None
    other: Figures | None = None
    began: str
    """UTC, ISO 8601."""
    commit: str
    text: str
    """The scenario's file."""
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

    @property
    def kept(self) -> bool:
        """Whether the SLO was kept."""
        return all(each.met for each in self.slo)

    def as_json(self) -> dict[str, Any]:
        """One flat object; the other side's figures stand under `other`."""
        return {
            "scenario": self.scenario,
            **_flat(self.figures),
            "seconds": self.seconds,
            "warm_up_s": self.warm_up_s,
            "versus": self.versus,
            "ratio": self.ratio,
            "other": None if self.other is None else _flat(self.other),
            "passed": self.passed,
            "slo": [asdict(each) for each in self.slo],
            "began": self.began,
            "commit": self.commit,
            "scenario_text": self.text,
            "machine": dict(self.machine),
        }


def _flat(figures: Figures) -> dict[str, Any]:
    """The seconds of the window are `timeline`: `seconds` is how many were asked for."""
    said = {field.name: getattr(figures, field.name) for field in fields(figures) if field.name != "seconds"}
    plain: dict[str, Any] = {name: _plain(value) for name, value in said.items()}
    return {**plain, "timeline": [second.as_json() for second in figures.seconds]}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    return value


def print_table(report: Report, console: Console) -> None:
    """The same for people."""
    title = f"{report.scenario}, {report.seconds:g} s" + (" a side" if report.other is not None else "")
    table = Table(title=title, title_justify="left")
    table.add_column()
    table.add_column("this side", justify="right")
    if report.other is not None:
        table.add_column(report.versus or "", justify="right")
    sides = [report.figures, *([] if report.other is None else [report.other])]
    for name in (field.name for field in fields(report.figures)):
        values = [getattr(each, name) for each in sides]
        if all(value is None or isinstance(value, int | float | str) for value in values):
            table.add_row(name, *map(_cell, values))
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
    for kind in sides[0].requests_by_kind:
        table.add_row(f"p99_ms, {kind}", *(_cell(each.requests_by_kind[kind].p99_ms) for each in sides))
    console.print(table)
    for objective in report.slo:
        console.print(f"[{'green' if objective.met else 'red'}]SLO {objective.said}[/]", highlight=False)
    for warning in dict.fromkeys(warning for each in sides for warning in each.warnings):
        console.print(f"[yellow]warning: {warning}[/]", highlight=False)
    if report.ratio is not None:
        console.print(f"ratio {report.ratio:.2f}")
    console.print(", ".join(f"{name} {value}" for name, value in report.machine.items()))


def _cell(value: object) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int | float) else str(value)
