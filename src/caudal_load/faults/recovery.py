"""How long after a kill the rate is back: from the history alone, acknowledgements per 100 ms.

The former rate is the mean of the 3 s before the kill; where that is less than half of the load's median second, the
kill has hit what was down already, and the median counts. The rate is back when half a second has 90 % of it.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from caudal_load.faults.history import Line, What
from caudal_load.faults.model import Fault

BIN_S = 0.1
FORMER_S = 3.0
BACK = 0.9
_WINDOW = 5
OF = ("web", "worker", "postgres")


class Recovery(NamedTuple):
    """A kill of this kind of process, and what came of the rate. `seconds` is None where it never came back."""

    process: str
    at_s: float
    former_per_s: float
    seconds: float | None


def recoveries(faults: Iterable[Fault], began_s: float, ended_s: float, lines: Sequence[Line]) -> list[Recovery]:
    """Of each kill of a process that merchants wait for. `began_s` is when the plan's time began."""
    answered = sorted(line.at_s for line in lines if line.what is What.OK)
    seconds = sorted(_between(answered, began_s + at, began_s + at + 1) for at in range(int(ended_s - began_s)))
    usual, found = seconds[len(seconds) // 2] if seconds else 0, []
    for fault in faults:
        if fault.kind == "kill" and fault.target in OF:
            at_s = began_s + fault.at_s
            former = _between(answered, at_s - FORMER_S, at_s) / FORMER_S
            former = former if former >= usual / 2 else float(usual)
            found.append(Recovery(fault.target, fault.at_s, former, _back(answered, at_s, ended_s, former)))
    return found


def never_back(recovery: Iterable[Recovery]) -> list[Recovery]:
    """The kills after which the rate never came back."""
    return [one for one in recovery if one.seconds is None]


def _back(answered: Sequence[float], at_s: float, ended_s: float, former: float) -> float | None:
    """When the first window with 90 % of the former rate ends; it begins after the kill."""
    bins = range(int((ended_s - at_s) / BIN_S) - _WINDOW + 1)
    for number in bins:
        low = at_s + number * BIN_S
        high = low + _WINDOW * BIN_S
        if _between(answered, low, high) >= BACK * former * _WINDOW * BIN_S:
            return round(high - at_s, 1)
    return None


def _between(answered: Sequence[float], low: float, high: float) -> int:
    return bisect_left(answered, high) - bisect_left(answered, low)
