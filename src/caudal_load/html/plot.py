"""Plots as SVG: lines over time or over percentiles, on linear or logarithmic axes.

Colours are classes (`c0` … `c7`), so that the page's style decides what they are by day and by night.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, HEIGHT = 880, 260
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 12, 26, 34
_COLOURS = 8
_LEAST_LOG = 0.01
_WANTED_TICKS = 5
_PERCENTS = (0.0, 50.0, 90.0, 99.0, 99.9, 99.99, 99.999, 99.9999)

Point = tuple[float, float | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Series:
    """One line. A point without a value is a gap."""

    name: str
    points: Sequence[Point]
    colour: int
    dashed: bool = False
    filled: bool = False
    dots: bool = False
    """Every point for itself."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plot:
    """Some lines on the same axes. `bands` are names with the part of the x axis that is theirs."""

    title: str
    unit: str
    series: Sequence[Series]
    x_label: str = "seconds"
    log: bool = False
    percentiles: bool = False
    bands: Sequence[tuple[str, float, float]] = field(default=())

    def svg(self) -> str:
        """The whole plot; a word where there is nothing to draw."""
        drawn = [one for one in self.series if any(value is not None for _, value in one.points)]
        if not drawn:
            return f'<p class="none">{escape(self.title)}: none.</p>'
        x, x_ticks = self._x_axis(drawn)
        y, y_ticks = self._y_axis(drawn)
        parts = [
            f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(self.title)}">',
            f'<text class="title" x="{_LEFT}" y="15">{escape(self.title)}, {escape(self.unit)}</text>',
            *self._bands(x),
            *_grid(x, x_ticks, y, y_ticks),
            f'<text class="tick" x="{WIDTH - _RIGHT}" y="{HEIGHT - 4}" text-anchor="end">{escape(self.x_label)}</text>',
            *(line for one in drawn for line in _line(one, x, y, y(y_ticks[0][0]))),
            "</svg>",
            '<p class="legend">',
            *(f'<span class="k{one.colour % _COLOURS}">{escape(one.name)}</span>' for one in drawn),
            "</p>",
        ]
        return "".join(parts)

    def _x_axis(self, drawn: Sequence[Series]) -> tuple[Callable[[float], float], list[tuple[float, str]]]:
        values = [x for one in drawn for x, _ in one.points]
        if self.percentiles:
            low, high = 0.0, max(_nines(99.0), *values)
            ticks = [(_nines(percent), f"{percent:g} %") for percent in _PERCENTS if _nines(percent) <= high]
        else:
            low, high = min(0.0, *values), max(values) or 1.0
            ticks = [(tick, f"{tick:g}") for tick in _nice(low, high, 8)]
        return _scale(low, high, _LEFT, WIDTH - _RIGHT), ticks

    def _y_axis(self, drawn: Sequence[Series]) -> tuple[Callable[[float], float], list[tuple[float, str]]]:
        values = [value for one in drawn for _, value in one.points if value is not None]
        if not self.log:
            ticks = _nice(min(0.0, *values), max(values) or 1.0, _WANTED_TICKS)
            low, high = ticks[0], ticks[-1]
            return _scale(low, high, HEIGHT - _BOTTOM, _TOP), [(tick, _short(tick)) for tick in ticks]
        low = math.floor(math.log10(max(_LEAST_LOG, min(values))))
        high = max(low + 1, math.ceil(math.log10(max(_LEAST_LOG, *values))))
        scale = _scale(low, high, HEIGHT - _BOTTOM, _TOP)
        ticks = [step * 10.0**decade for decade in range(low, high) for step in (1, 2, 5)] + [10.0**high]
        return lambda value: scale(math.log10(max(_LEAST_LOG, value))), [(tick, _short(tick)) for tick in ticks]

    def _bands(self, x: Callable[[float], float]) -> Iterator[str]:
        for number, (name, begin, end) in enumerate(self.bands):
            left, right = x(begin), x(end)
            if number % 2:
                yield (
                    f'<rect class="band" x="{left:.1f}" y="{_TOP}" width="{max(0.0, right - left):.1f}"'
                    f' height="{HEIGHT - _TOP - _BOTTOM}"/>'
                )
            yield f'<text class="tick" x="{left + 4:.1f}" y="{_TOP + 11}">{escape(name)}</text>'


def percentile_points(counts: Sequence[tuple[float, int]]) -> list[Point]:
    """Where each counted value stands among all, from values in order with their counts."""
    whole, upto, points = sum(count for _, count in counts), 0, list[Point]()
    for value, count in counts:
        points.append((_nines(100 * upto / whole), value))
        upto += count
    if points:
        points.append((_nines(100 - 100 / (2 * whole)), counts[-1][0]))
    return points


def _nines(percent: float) -> float:
    """A percentile on the axis on which 90, 99 and 99.9 are equally far from each other."""
    return -math.log10(max(1e-9, 1 - percent / 100))


def _scale(low: float, high: float, first: float, last: float) -> Callable[[float], float]:
    return lambda value: first + (value - low) / (high - low or 1.0) * (last - first)


def _nice(low: float, high: float, wanted: int) -> list[float]:
    """Ticks at 1, 2 or 5 times a power of ten that enclose all."""
    rough = (high - low or 1.0) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough)
    return [round(number * step, 10) for number in range(math.floor(low / step), math.ceil(high / step) + 1)]


def _short(value: float) -> str:
    for limit, suffix in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            divisor = 1e3 if suffix == "k" else limit
            return f"{value / divisor:g}{suffix}"
    return f"{value:g}"


def _grid(
    x: Callable[[float], float],
    x_ticks: Sequence[tuple[float, str]],
    y: Callable[[float], float],
    y_ticks: Sequence[tuple[float, str]],
) -> Iterator[str]:
    bottom = HEIGHT - _BOTTOM
    for value, text in y_ticks:
        at = y(value)
        yield f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>'
        yield f'<text class="tick" x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{text}</text>'
    for value, text in x_ticks:
        at = x(value)
        if _LEFT - 1 <= at <= WIDTH - _RIGHT + 1:
            yield f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{bottom}"/>'
            anchor = "middle" if at < WIDTH - _RIGHT - 12 else "end"
            yield f'<text class="tick" x="{at:.1f}" y="{bottom + 14}" text-anchor="{anchor}">{text}</text>'


def _line(one: Series, x: Callable[[float], float], y: Callable[[float], float], floor: float) -> Iterator[str]:
    for run in _runs(one.points):
        at = [(x(place), y(value)) for place, value in run]
        if one.dots:
            for across, up in at:
                yield _dot(one, across, up)
            continue
        path = "M" + "L".join(f"{across:.1f},{up:.1f}" for across, up in at)
        if one.filled:
            area = f"{path}L{at[-1][0]:.1f},{floor:.1f}L{at[0][0]:.1f},{floor:.1f}Z"
            yield f'<path class="area c{one.colour % _COLOURS}" d="{area}"/>'
        dashed = ' stroke-dasharray="5 4"' if one.dashed else ""
        if len(at) == 1:
            yield _dot(one, *at[0])
        else:
            yield f'<path class="line c{one.colour % _COLOURS}" d="{path}"{dashed}/>'


def _dot(one: Series, across: float, up: float) -> str:
    return f'<circle class="dot c{one.colour % _COLOURS}" cx="{across:.1f}" cy="{up:.1f}" r="2.5"/>'


def _runs(points: Sequence[Point]) -> Iterator[list[tuple[float, float]]]:
    """The parts between gaps."""
    run: list[tuple[float, float]] = []
    for place, value in points:
        if value is not None:
            run.append((place, value))
        elif run:
            yield run
            run = []
    if run:
        yield run
