"""How providers have done lately: an exponentially decayed count in this process's memory, fed by outcomes.

Each process has its own and sees its own share of the outcomes, which is a sample of the same rate. Before its first
choice by success rate it is fed with the payins of the last hour.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from caudal.routing.model import Rate

HALF_LIFE_S: Final = 1_800.0
_KEPT: Final = 10_000  # providers × modes × methods × countries; far more than there are


class _Count(NamedTuple):
    at_s: float
    succeeded: float
    failed: float

    def decayed(self, at_s: float) -> tuple[float, float]:
        weight = 0.5 ** (max(at_s - self.at_s, 0.0) / HALF_LIFE_S)
        return self.succeeded * weight, self.failed * weight


class Rates:
    """Counts by provider, mode, method and country: how a provider's test world does says nothing of its live one.

    Times are seconds of whatever clock the caller keeps to.
    """

    def __init__(self) -> None:
        self._counts: dict[tuple[str, bool, str, str], _Count] = {}

    def note(self, provider: str, method: str, country: str, *, live: bool, succeeded: bool, at_s: float) -> None:
        """A payment came to an end; the ends are told in the order of their times."""
        place = (provider, live, method, country)
        before = self._counts.get(place)
        if before is None and len(self._counts) >= _KEPT:
            return
        good, bad = (0.0, 0.0) if before is None else before.decayed(at_s)
        self._counts[place] = _Count(at_s, good + succeeded, bad + (not succeeded))

    def of(self, provider: str, method: str, country: str, at_s: float, *, live: bool) -> Rate:
        """What is known at a time."""
        found = self._counts.get((provider, live, method, country))
        return Rate() if found is None else Rate(*found.decayed(at_s))
