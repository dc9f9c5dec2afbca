"""Every step predicted by the others: fitted without it, a law says what it should have come to.

One of each loop is *held out*: of the closed ones the first that reached four fifths of the best rate, of the open
ones the one nearest to two thirds of the highest that was kept up with. Which, is decided by where the steps lie and
not by how well they are predicted. The first and the last of a staircase are never predicted: that would be beyond
what was measured.
"""

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from caudal_load.capacity.kept import Kept, KeptStep
from caudal_load.capacity.laws import delay, line, scalability
from caudal_load.capacity.model import batches_of, quieter
from caudal_load.capacity.solve import Unsolvable

WITHIN = 0.15
_KNEE, _HELD_RATE = 0.8, 2 / 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """A figure of a step that nothing was fitted on."""

    step: str
    figure: str
    predicted: float
    measured: float
    held_out: bool

    @property
    def deviation(self) -> float:
        """As a share of what was measured."""
        return self.predicted / self.measured - 1 if self.measured else 0.0

    @property
    def near(self) -> bool:
        """Whether it is within 15 %."""
        return abs(self.deviation) <= WITHIN


@dataclass(frozen=True, kw_only=True, slots=True)
class Check:
    """All predictions."""

    predictions: Sequence[Prediction]

    @property
    def held_out(self) -> list[Prediction]:
        """Those of the steps that are held out."""
        return [one for one in self.predictions if one.held_out]

    def deviations(self, figure: str) -> tuple[float, float]:
        """The median and the largest deviation of a figure over all steps, without sign."""
        found = [abs(one.deviation) for one in self.predictions if one.figure == figure]
        return (statistics.median(found), max(found)) if found else (0.0, 0.0)

    @property
    def figures(self) -> list[str]:
        """What was predicted."""
        return list(dict.fromkeys(one.figure for one in self.predictions))

    @property
    def passed(self) -> bool:
        """Whether a step of each loop is held out, and everything of them was predicted within 15 %."""
        both = {"rate", "p99 ms"} <= {one.figure for one in self.held_out}
        return both and all(one.near for one in self.held_out)


def checked(kept: Kept) -> Check:
    """Predict every step but the first and the last."""
    kept_up = quieter([step for step in kept.open if step.keeps_up])
    return Check(predictions=[*_closed(kept.closed), *_open(kept_up)])


def _inner(steps: Sequence[KeptStep]) -> list[float]:
    return sorted({step.level for step in steps})[1:-1]


def _closed(steps: Sequence[KeptStep]) -> Iterator[Prediction]:
    inner, best = _inner(steps), max((step.rate for step in steps), default=0.0)
    knee = next((s.level for s in steps if s.level in inner and s.rate >= best * _KNEE), max(inner, default=0.0))
    for level in inner:
        others = [step for step in steps if step.level != level]
        try:
            law = scalability([step.level for step in others], [step.rate for step in others])
        except Unsolvable:
            continue
        yield Prediction(
            step=f"{level:.0f} connections",
            figure="rate",
            predicted=law.rate(level),
            measured=statistics.fmean(step.rate for step in steps if step.level == level),
            held_out=level == knee,
        )


def _open(steps: Sequence[KeptStep]) -> Iterator[Prediction]:
    inner, highest = _inner(steps), max((step.level for step in steps), default=0.0)
    held = min(inner, key=lambda level: abs(level - highest * _HELD_RATE), default=0.0)
    for level in inner:
        others, these = ([s for s in steps if (s.level == level) is is_it] for is_it in (False, True))
        rates, rate = [step.rate for step in others], statistics.fmean(step.rate for step in these)
        try:
            latency = delay(rates, {"p50": [s.p50_ms for s in others], "p99": [s.p99_ms for s in others]})
        except Unsolvable:
            continue
        for kind in ("web", "postgres"):
            if any(kind in step.cores for step in these):
                law = line(rates, [step.cores.get(kind, 0.0) for step in others], batches_of(others, latency))
                measured = statistics.fmean(step.cores.get(kind, 0.0) for step in these)
                yield _predicted(level, f"{kind} cores", law.at(rate), measured, held)
        yield _predicted(level, "p50 ms", latency.ms("p50", rate), statistics.fmean(s.p50_ms for s in these), held)
        yield _predicted(level, "p99 ms", latency.ms("p99", rate), statistics.fmean(s.p99_ms for s in these), held)


def _predicted(level: float, figure: str, predicted: float, measured: float, held: float) -> Prediction:
    return Prediction(
        step=f"{level:,.0f} offered/s",
        figure=figure,
        predicted=predicted,
        measured=measured,
        held_out=level == held,
    )
