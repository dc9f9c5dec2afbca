"""What `make bench` measures: a figure with its target, its value in a run's result, and how both are printed."""

from __future__ import annotations

import operator
import statistics
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

SIGNS: Final = {"≥": operator.ge, "≤": operator.le}
Result = dict[str, Any]


class Figure(NamedTuple):
    """One number of a run and what it should be. `field` is its place in the result, with dots."""

    field: str
    unit: str
    sign: str
    target: float | None
    """None: it is shown for what it is, and nothing is asked of it."""
    what: str
    """As the README names it."""


class Run(NamedTuple):
    """One measurement: its figures stand in what `measure` answers."""

    title: str
    measure: Callable[[], Result]
    figures: tuple[Figure, ...]


class Measured(NamedTuple):
    """A figure with its value; None if there was none."""

    title: str
    figure: Figure
    value: float | None

    @property
    def met(self) -> bool:
        """Whether it is as it should be."""
        if self.value is None or self.figure.target is None:
            return self.value is not None
        return bool(SIGNS[self.figure.sign](self.value, self.figure.target))


def median_of(results: list[Result], field: str) -> float | None:
    """The median of what stands at this place; None where one of the runs has nothing there."""
    values = [value for result in results if (value := value_of(result, field)) is not None]
    return statistics.median(values) if len(values) == len(results) else None


def value_of(result: Result, field: str) -> float | None:
    """What stands at a place like `cpu_us_per_request.generator`."""
    found: Any = result
    for name in field.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def line(measured: Measured) -> str:
    """One figure for whoever watches."""
    figure = measured.figure
    verdict = "ok" if measured.met else "MISSED"
    goal = f"target {_target(figure):<14} {verdict}" if figure.target is not None or not measured.met else ""
    return f"{measured.title:<34} {figure.field:<29} {_value(measured):>12}   {goal}".rstrip()


def proof(result: Result) -> Iterator[str]:
    """What else a run of the load generator showed."""
    if result.get("failed"):
        yield f"{'':<34} FAILED"
    if "weighted_median_batch" in result:
        counts = f"{result['acknowledged']:,} acknowledged, {result['lost']} lost, {result['doubled']} double"
        if result.get("disagreeing") is not None:
            counts += f", {result['disagreeing']} disagreeing, {result['unpaid']} unpaid"
        cpu = ", ".join(f"{name} {used} µs" for name, used in result["cpu_us_per_request"].items())
        yield f"{'':<34} {counts}; weighted median batch {result['weighted_median_batch']}; CPU per request: {cpu}"
        if result.get("webhooks"):
            heard = (f"{name} {value:,}" for name, value in result["webhooks"].items() if value is not None)
            yield f"{'':<34} webhooks: {', '.join(heard)}"
        if len(result["rate_by_process"]) > 1:
            held = result["connections_by_process"]
            shares = (f"{name} {rate:,.0f}/s on {held[name]}" for name, rate in result["rate_by_process"].items())
            yield f"{'':<34} {', '.join(shares)} connections; {result['thin_connections']} with too few for a p99"


def table(measured: list[Measured], machine: Result) -> str:
    """The figures as the README has them, and the machine."""
    lines = ["| figure | target | measured |", "|---|---|---|"]
    for one in measured:
        lines.append(f"| {one.figure.what} | {_target(one.figure)} | {_value(one)}{'' if one.met else ' (missed)'} |")
    if machine:
        lines += ["", f"Measured on {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}."]
    return "\n".join(lines)


def _target(figure: Figure) -> str:
    if figure.target is None:
        return "–"
    return f"{figure.sign} {figure.target:,.10g}{figure.unit}"


def _value(measured: Measured) -> str:
    if measured.value is None:
        return "none"
    digits = 0 if measured.value >= 100 else 1 if measured.value >= 10 else 2
    return f"{measured.value:,.{digits}f}{measured.figure.unit}"
