"""Whether two runs differ by more than chance: a bootstrap over their seconds.

A run is resampled many times: blocks of neighbouring seconds are drawn with replacement until there are as many as it
had (the moving-block bootstrap of Künsch, 1989: neighbours are alike, so single seconds would look surer than they
are; a block is as long as the cube root of their number). Where a side has several runs, runs are drawn first. Each
time every figure is computed again from what was drawn, percentiles from the merged histograms, never from averages.
The middle 95 % of the relative differences are the interval; where it holds 0 no difference was seen.
"""

import json
import math
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console
from rich.table import Table

from caudal_load.figures import of_caudal
from caudal_load.histogram import Histogram, middle_ns
from caudal_load.places import said
from caudal_load.seconds import Second

TIMES = 1_000
_LEAST_SECONDS = 5
_WHOLE_S = 0.99
_TAIL = 0.025
_BYTES = 8 * len(Histogram().counts)
_PERCENTILES = (("p50_ms", 50.0), ("p99_ms", 99.0), ("p999_ms", 99.9))


class BadReport(ValueError):
    """A file is not a report of a run."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Saved:
    """A run, read back: all that it said, its whole seconds, and the CPU seconds of caudal in each, if known."""

    path: str
    said: dict[str, Any]
    seconds: list[Second]
    cpu_s: list[float] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Difference:
    """One figure of both sides; changes are shares of the first side's."""

    name: str
    first: float
    second: float
    change: float
    low: float | None
    high: float | None
    """The 95 % interval of the change; None where a side is too short for one."""

    @property
    def seen(self) -> bool:
        """Whether there is a difference at 95 %."""
        return self.low is not None and self.high is not None and not self.low <= 0 <= self.high

    @property
    def statement(self) -> str:
        """In words."""
        if self.low is None or self.high is None:
            return f"no statement: a side has fewer than {_LEAST_SECONDS} whole seconds"
        between = f"{self.low:+.1%} to {self.high:+.1%}"
        if not self.seen:
            return f"no difference seen at 95 % ({between})"
        return f"{'higher' if self.change > 0 else 'lower'} at 95 % ({between})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Both sides and what differs."""

    first: list[Saved]
    second: list[Saved]
    differences: list[Difference]

    def as_json(self) -> dict[str, Any]:
        """One object."""
        return {
            "first": [run.path for run in self.first],
            "second": [run.path for run in self.second],
            "differences": [
                asdict(each) | {"seen": each.seen, "statement": each.statement} for each in self.differences
            ],
        }


def load(path: Path) -> Saved:
    """Read what `--save` wrote. Raises BadReport."""
    try:
        run = json.loads(path.read_text("utf-8"))
        seconds = [Second.of(each) for each in run["timeline"]]
        cpu_s = [
            sum(cores for name, cores in each["cores"].items() if of_caudal(name)) * (each["end_s"] - each["begin_s"])
            for each in run["intervals"]
        ]
    except OSError as error:
        raise BadReport(f"{path} cannot be read: {said(error)}") from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise BadReport(f"{path} is no report of a run: it is not JSON ({error})") from error
    except KeyError as error:
        raise BadReport(f"{path} is no report of a run: it has no {error.args[0]!r}") from error
    except (ValueError, TypeError, IndexError, AttributeError) as error:
        raise BadReport(f"{path} is no report of a run: --save did not write it") from error
    with_cpu = any(of_caudal(name) for each in run["intervals"] for name in each["cores"])
    whole = [place for place, second in enumerate(seconds) if second.lasts_s >= _WHOLE_S]
    return Saved(
        path=str(path),
        said=run,
        seconds=[seconds[place] for place in whole],
        cpu_s=[cpu_s[place] if place < len(cpu_s) else 0.0 for place in whole] if with_cpu else None,
    )


def compare(first: Sequence[Saved], second: Sequence[Saved], seed: int = 0) -> Comparison:
    """What differs; the same for the same files. Raises BadReport if a side has no whole second."""
    sides = [[_Lots(run) for run in side if run.seconds] for side in (first, second)]
    if not all(sides):
        raise BadReport("a side has no whole second to compare")
    random = Random(seed)
    measured = [_figures([run.whole() for run in side]) for side in sides]
    enough = all(sum(len(run.saved.seconds) for run in side) >= _LEAST_SECONDS for side in sides)
    drawn = [[_figures(_drawn(side, random)) for side in sides] for _ in range(TIMES if enough else 0)]
    found = []
    for name in measured[0]:
        one, other = (figures.get(name) for figures in measured)
        if one is None or other is None or one == 0:
            continue
        changes = sorted(
            there / here - 1 for a, b in drawn if (here := a.get(name)) and (there := b.get(name)) is not None
        )
        found.append(
            Difference(
                name=name,
                first=one,
                second=other,
                change=other / one - 1,
                low=changes[int(len(changes) * _TAIL)] if changes else None,
                high=changes[-int(len(changes) * _TAIL) - 1] if changes else None,
            )
        )
    return Comparison(first=list(first), second=list(second), differences=found)


@dataclass(frozen=True, slots=True)
class _Sum:
    """What some seconds come to. The histogram is one large whole number with 64 bits for each bucket: it is added
    and subtracted a hundred times as fast as a list is.
    """

    seconds: float = 0.0
    acknowledged: int = 0
    cpu_s: float = 0.0
    counts: int = 0
    with_cpu: bool = True

    def __add__(self, other: "_Sum") -> "_Sum":
        return _Sum(
            self.seconds + other.seconds,
            self.acknowledged + other.acknowledged,
            self.cpu_s + other.cpu_s,
            self.counts + other.counts,
            self.with_cpu and other.with_cpu,
        )

    def __sub__(self, other: "_Sum") -> "_Sum":
        return _Sum(
            self.seconds - other.seconds,
            self.acknowledged - other.acknowledged,
            self.cpu_s - other.cpu_s,
            self.counts - other.counts,
            self.with_cpu,
        )


class _Lots:
    """A run to draw from: sums from its beginning to every second, so that a block is one subtraction."""

    def __init__(self, saved: Saved) -> None:
        self.saved = saved
        self._block = max(1, round(len(saved.seconds) ** (1 / 3)))
        cpu = saved.cpu_s or [0.0] * len(saved.seconds)
        singles = (
            _Sum(
                second.lasts_s,
                second.acknowledged,
                cpu_s,
                int.from_bytes(second.latencies.counts.tobytes(), "little"),
                saved.cpu_s is not None,
            )
            for second, cpu_s in zip(saved.seconds, cpu, strict=True)
        )
        self._upto = list(accumulate(singles, initial=_Sum(with_cpu=saved.cpu_s is not None)))

    def whole(self) -> _Sum:
        """All of it."""
        return self._upto[-1]

    def drawn(self, random: Random) -> _Sum:
        """As much again, in blocks."""
        total, length = _Sum(with_cpu=self.saved.cpu_s is not None), len(self.saved.seconds)
        for _ in range(math.ceil(length / self._block)):
            start = random.randrange(length - self._block + 1)
            total += self._upto[start + self._block] - self._upto[start]
        return total


def _drawn(side: Sequence[_Lots], random: Random) -> list[_Sum]:
    return [random.choice(side).drawn(random) for _ in side]


def _figures(runs: Sequence[_Sum]) -> dict[str, float | None]:
    whole = sum(runs[1:], runs[0])
    found: dict[str, float | None] = {"rate": whole.acknowledged / whole.seconds}
    counts = array("Q", whole.counts.to_bytes(_BYTES, "little"))
    upto = list(accumulate(counts))
    for name, percent in _PERCENTILES:
        wanted = max(1, math.ceil(upto[-1] * percent / 100))
        found[name] = middle_ns(bisect_left(upto, wanted)) / 1e6 if upto[-1] else None
    per_payment = whole.cpu_s * 1e6 / whole.acknowledged if whole.with_cpu and whole.acknowledged else None
    found["cpu_us_per_payment"] = per_payment
    return found


def print_comparison(found: Comparison, console: Console) -> None:
    """The same for people."""
    table = Table("", "first", "second", "change", "at 95 %", box=None, pad_edge=False)
    for each in found.differences:
        table.add_row(each.name, f"{each.first:,.2f}", f"{each.second:,.2f}", f"{each.change:+.1%}", each.statement)
    console.print(table)
