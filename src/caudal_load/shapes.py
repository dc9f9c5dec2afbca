"""The shape of a load over time: phases are cut into pieces whose rate goes in a straight line, pieces into arrivals.

With N(t) the arrivals expected until t, the k-th of an even load comes where N(t) = k, and one of a Poisson process
where N(t) is the sum of k exponential gaps of mean 1 (the time-rescaling theorem), whatever the shape is. Pure.
"""

import csv
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from random import Random

_S = 1_000_000_000
_DAY_S = 86_400.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """So many seconds in which the rate goes evenly from one to the other, arrivals per second."""

    seconds: float
    first: float
    last: float

    @property
    def arrivals(self) -> float:
        """How many are expected."""
        return self.seconds * (self.first + self.last) / 2

    def at(self, count: float) -> float:
        """After how many seconds of the piece `count` arrivals are expected; `count` is at most `arrivals`."""
        slope = (self.last - self.first) / self.seconds
        # The root of slope/2·t² + first·t = count in the form that divides by no small difference.
        return 2 * count / (self.first + math.sqrt(max(0.0, self.first * self.first + 2 * slope * count)))


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """A part of a load, one shape."""

    name: str
    pieces: tuple[Piece, ...]
    poisson: bool = False

    @property
    def seconds(self) -> float:
        """How long it lasts."""
        return sum(piece.seconds for piece in self.pieces)

    def within(self, factor: float) -> "Phase":
        """The same shape in `factor` times the seconds, at the same rates."""
        return replace(self, pieces=tuple(replace(piece, seconds=piece.seconds * factor) for piece in self.pieces))

    @property
    def peak(self) -> float:
        """The highest rate, arrivals per second."""
        return max(max(piece.first, piece.last) for piece in self.pieces)


def constant(name: str, seconds: float, rate: float, poisson: bool = False) -> Phase:
    """Always the same rate."""
    return Phase(name=name, pieces=(Piece(seconds=seconds, first=rate, last=rate),), poisson=poisson)


def ramp(seconds: float, first: float, last: float) -> tuple[Piece, ...]:
    """Evenly from one rate to the other."""
    return (Piece(seconds=seconds, first=first, last=last),)


def staircase(seconds: float, first: float, last: float, steps: int) -> tuple[Piece, ...]:
    """From one rate to the other in `steps` equally long steps."""
    rates = [first + (last - first) * step / max(1, steps - 1) for step in range(steps)]
    return tuple(Piece(seconds=seconds / steps, first=rate, last=rate) for rate in rates)


def spike(seconds: float, rate: float, peak: float, peak_seconds: float) -> tuple[Piece, ...]:
    """At once up to the peak in the middle, and at once down again."""
    side = (seconds - peak_seconds) / 2
    parts = ((side, rate), (peak_seconds, peak), (side, rate))
    return tuple(Piece(seconds=lasts, first=level, last=level) for lasts, level in parts)


def diurnal(seconds: float, points: Sequence[tuple[float, float]], factor: float) -> tuple[Piece, ...]:
    """A recorded course of `(moment, rate)`, compressed or stretched to `seconds`, its rates times `factor`."""
    whole = points[-1][0] - points[0][0]
    return tuple(
        Piece(seconds=(next_at - at) / whole * seconds, first=rate * factor, last=next_rate * factor)
        for (at, rate), (next_at, next_rate) in pairwise(points)
    )


def read_rates(path: Path) -> list[tuple[float, float]]:
    """The rows `time,rate` of a CSV file, time as `HH:MM`, `HH:MM:SS` or seconds. Raises ValueError, OSError."""
    points: list[tuple[float, float]] = []
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.reader(file)
        if [cell.strip() for cell in next(rows, [])] != ["time", "rate"]:
            raise ValueError(f"{path}: the first line has to be time,rate")
        for number, row in enumerate(rows, 2):
            try:
                at, rate = row
                points.append((_seconds_of(at.strip()), float(rate)))
            except ValueError as error:
                raise ValueError(f"{path}:{number}: {','.join(row)!r} is no moment and rate") from error
            if not 0 <= points[-1][1] <= 100_000:
                raise ValueError(f"{path}:{number}: a rate is between 0 and 100,000")
            if len(points) > 1 and points[-1][0] <= points[-2][0]:
                raise ValueError(f"{path}:{number}: moments have to go up")
    if len(points) < 2 or not any(rate for _, rate in points):
        raise ValueError(f"{path}: two rows at least, and a rate above 0")
    return points


def _seconds_of(text: str) -> float:
    if ":" not in text:
        return float(text)
    hours, minutes, *seconds = (float(part) for part in text.split(":"))
    at = hours * 3600 + minutes * 60 + sum(seconds)
    if len(seconds) > 1 or not 0 <= at <= _DAY_S:
        raise ValueError(text)
    return at


def arrivals(phases: Iterable[Phase], seed: int) -> Iterator[int]:
    """The moments of all arrivals, nanoseconds from the beginning on, in order; the same for the same seed.

    The first of a load that begins at a rate is at 0.
    """
    random, began_s, owed = Random(seed), 0.0, 0.0
    for phase in phases:
        gap = random.expovariate if phase.poisson else _one
        for piece in phase.pieces:
            expected = piece.arrivals
            while owed < expected:
                yield int((began_s + piece.at(owed)) * _S) if owed else int(began_s * _S)
                owed += gap(1.0)
            owed -= expected
            began_s += piece.seconds


def _one(_: float) -> float:
    return 1.0


def for_ever(rate: float) -> Iterator[int]:
    """A constant rate without an end."""
    number = 0
    while True:
        yield int(number * _S / rate)
        number += 1
