"""How providers have done lately: an exponentially decayed count in this process's memory, fed by outcomes.

Each process has its own and sees its own share of the outcomes, which is a sample of the same rate. From its first
choice by success rate on it knows of the payins of the last hour, as soon as they are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from caudal.routing.model import Rate

HALF_LIFE_S: Final = 1_800.0
_KEPT: Final = 10_000  # providers × modes × methods × countries; far more than there are


@dataclass(slots=True)
class _Count:
    at_s: float
    succeeded: float = 0.0
    failed: float = 0.0

    def weight(self, at_s: float) -> float:
        """What is left of a count at a time; a clock that was set back adds nothing."""
        return 0.5 ** ((at_s - self.at_s) / HALF_LIFE_S) if at_s > self.at_s else 1.0

    def known(self, at_s: float) -> float:
        """How many ends a count stands for at a time."""
        return (self.succeeded + self.failed) * self.weight(at_s)


class Rates:
    """Counts by provider, mode, method and country: how a provider's test world does says nothing of its live one.

    Times are seconds of whatever clock the caller keeps to.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, bool, str, str], _Count] = {}

    def note(self, provider: str, method: str, country: str, *, live: bool, succeeded: bool, at_s: float) -> None:
        """A payment came to an end; the ends are told in the order of their times."""
        place = (provider, live, method, country)
        count = self._counts.get(place)
        if count is None:
            if len(self._counts) >= _KEPT:
                return
            count = self._counts[place] = _Count(at_s)
        weight = count.weight(at_s)
        count.at_s = at_s
        count.succeeded = count.succeeded * weight + succeeded
        count.failed = count.failed * weight + (not succeeded)

    def learn(self, others: Rates, at_s: float) -> None:
        """Takes over what others know more of. A sum would count twice what both have seen."""
        for place, count in others._counts.items():
            mine = self._counts.get(place)
            if mine is None or mine.known(at_s) < count.known(at_s):
                self._counts[place] = count

    def of(self, provider: str, method: str, country: str, at_s: float, *, live: bool) -> Rate:
        """What is known at a time."""
        found = self._counts.get((provider, live, method, country))
        if found is None:
            return Rate()
        weight = found.weight(at_s)
        return Rate(found.succeeded * weight, found.failed * weight)
