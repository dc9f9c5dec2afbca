"""How a run goes while it goes: a panel that changes every second on a terminal, a line now and then elsewhere."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator

from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from caudal_load.crew import Crew
from caudal_load.seconds import Second, milliseconds
from caudal_load.seed import Say
from caudal_load.side import Side

_LINES = 10
"""So many lines a run, where there is no terminal, but not more often than every five seconds."""
_LEAST_S = 5
_BARS = " ▁▂▃▄▅▆▇█"
_WIDTH = 60
_LOOK_S = 0.25
_SHOWN = (("p50", 50), ("p99", 99), ("max", 100))


class Shown:
    """Shows runs on this console, or says how they go."""

    def __init__(self, console: Console, say: Say) -> None:
        self._console, self._say = console, say

    @contextlib.asynccontextmanager
    async def over(self, side: Side) -> AsyncIterator[None]:
        """Show this side as long as the block lasts. What is not sent by processes of their own is not shown."""
        if not isinstance(side.loop, Crew):
            yield
            return
        showing = asyncio.create_task(
            self._terminal(side, side.loop) if self._console.is_terminal else self._lines(side, side.loop)
        )
        try:
            yield
        finally:
            showing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await showing

    async def _lines(self, side: Side, crew: Crew) -> None:
        every, said = max(_LEAST_S, round(side.plan.seconds / _LINES)), 0
        while True:
            await asyncio.sleep(_LOOK_S)
            if (last := crew.last) is not None and last[0] >= said + every:
                said = last[0]
                self._say(f"{_place(said, side.plan.seconds)}: {_line(last[1])}")

    async def _terminal(self, side: Side, crew: Crew) -> None:
        rates, p99s = list[float](), list[float]()
        with Live(console=self._console, auto_refresh=False, transient=True) as live:
            while True:
                await asyncio.sleep(_LOOK_S)
                last = crew.last
                if last is None or last[0] <= len(rates):
                    continue
                number, second = last
                while len(rates) < number:  # a second that was missed looks like the next one
                    rates.append(second.acknowledged / second.lasts_s)
                    p99s.append((second.latencies.percentile_ns(99) or 0) / 1e6)
                live.update(_panel(side, number, second, rates, p99s), refresh=True)


def _place(number: int, seconds: float) -> str:
    """Which second it is of those that were asked for."""
    if number <= math.ceil(seconds):
        return f"second {number} of {seconds:.0f}"
    return f"second {number}, beyond the {seconds:.0f} that were asked for"


def _line(second: Second) -> str:
    offered = f"{second.offered:,} offered, " if second.offered else ""
    errors = "".join(f", {count:,} × {kind}" for kind, count in second.errors.most_common(3))
    percentiles = ((name, milliseconds(second.latencies.percentile_ns(percent))) for name, percent in _SHOWN)
    latencies = ", ".join(f"{name} {value} ms" for name, value in percentiles if value is not None)
    done = f"{second.acknowledged:,} acknowledged" if second.answered or second.acknowledged else "nothing answered"
    return f"{offered}{done}{', ' + latencies if latencies else ''}{errors}"


def _panel(side: Side, number: int, second: Second, rates: list[float], p99s: list[float]) -> Group:
    grid = Table.grid(padding=(0, 2))
    grid.add_row("acknowledged/s", _sparks(rates), f"{rates[-1]:,.0f}")
    grid.add_row("p99 ms", _sparks(p99s), f"{p99s[-1]:,.1f}")
    phase, upto = "", 0.0
    for each in side.plan.shape:
        upto += each.seconds
        if number <= upto:
            phase = f", {each.name}"
            break
    head = Text(f"{side.plan.scenario.name}{phase}: {_place(number, side.plan.seconds)}", style="bold")
    return Group(head, ProgressBar(total=side.plan.seconds, completed=number), grid, Text(_line(second)))


def _sparks(values: list[float]) -> str:
    """The last values as bars, the highest of them full."""
    shown = values[-_WIDTH:]
    most = max(shown) or 1.0
    return "".join(_BARS[round(value / most * (len(_BARS) - 1))] for value in shown)
