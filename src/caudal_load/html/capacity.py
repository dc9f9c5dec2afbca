"""The page of a capacity run: the verdict, what was measured with the laws over it, and what a wanted rate needs."""

from collections.abc import Callable, Sequence

from caudal_load.capacity.answer import Answer
from caudal_load.capacity.model import told
from caudal_load.capacity.show import interval, verdict
from caudal_load.capacity.sizing import NAMES
from caudal_load.html.page import filled
from caudal_load.html.plot import Plot, Point, Series

_POINTS = 60
_NEAR = 0.995


def capacity_page(answer: Answer) -> str:
    """One file, nothing to download."""
    kept = answer.model.kept
    return filled(
        "capacity.html",
        filters={"told": told, "interval": interval},
        answer=answer,
        kept=kept,
        verdict=verdict(answer),
        names=NAMES,
        kinds=list(answer.model.fit.cores),
        plots=[plot.svg() for plot in (_scalability(answer), _delay(answer), _cores(answer))],
    )


def _curve(of: Callable[[float], float], first: float, last: float) -> list[Point]:
    step = (last - first) / (_POINTS - 1)
    return [(first + step * place, of(first + step * place)) for place in range(_POINTS)]


def _dots(name: str, points: Sequence[Point], colour: int) -> Series:
    return Series(name=name, points=points, colour=colour, dots=True)


def _scalability(answer: Answer) -> Plot:
    closed, law = answer.model.kept.closed, answer.model.fit.scalability
    last = max(step.level for step in closed)
    return Plot(
        title="Throughput against concurrency",
        unit="acknowledged per second",
        x_label="connections",
        series=[
            _dots("measured", [(step.level, step.rate) for step in closed], 0),
            Series(name="law of scalability", points=_curve(law.rate, 1, last), colour=0, dashed=True),
        ],
    )


def _delay(answer: Answer) -> Plot:
    steps, law = [step for step in answer.model.kept.open if step.keeps_up], answer.model.fit.delay
    first = min(step.rate for step in steps)
    last = min(max(step.rate for step in steps), law.limit * _NEAR)
    return Plot(
        title="Delay against rate",
        unit="ms, logarithmic",
        x_label="payments per second",
        log=True,
        series=[
            _dots("p99", [(step.rate, step.p99_ms) for step in steps], 1),
            Series(name="p99, law", points=_curve(lambda at: law.ms("p99", at), first, last), colour=1, dashed=True),
            _dots("p50", [(step.rate, step.p50_ms) for step in steps], 0),
            Series(name="p50, law", points=_curve(lambda at: law.ms("p50", at), first, last), colour=0, dashed=True),
            Series(name="SLO", points=[(first, answer.model.slo_ms), (last, answer.model.slo_ms)], colour=7),
        ],
    )


def _cores(answer: Answer) -> Plot:
    steps = [step for step in answer.model.kept.open if step.keeps_up]
    first, last = min(step.rate for step in steps), max(step.rate for step in steps)
    series = []
    for colour, (kind, law) in enumerate(answer.model.fit.cores.items()):
        series.append(_dots(kind, [(step.rate, step.cores.get(kind, 0.0)) for step in steps], colour))
        series.append(Series(name=f"{kind}, law", points=_curve(law.at, first, last), colour=colour, dashed=True))
    return Plot(title="CPU against rate", unit="cores", x_label="payments per second", series=series)
