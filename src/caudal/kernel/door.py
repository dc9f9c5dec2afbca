"""A door before work that takes its time: who would wait too long inside is told so before it begins.

A door knows how many are inside and how many come out a second; what is asked of it next will take as long as those
who are inside need to come out at that rate (Little's law). The rate is learned while there is a crowd, for an idle
door says nothing about what could come through it, and from time passing too: where nobody comes out, it falls.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Final

from caudal.kernel.errors import Overloaded

_FIRST_GUESS_PER_S: Final = 500.0
_SAMPLE_S: Final = 0.1
_CROWD: Final = 96  # fewer inside say how long one takes, and not how many could
_SMOOTHING: Final = 0.2
_LEAST_PER_S: Final = 1.0
_MARGIN: Final = 0.5  # of the time that is left: the rate of the next seconds is a guess, and what is inside has begun


class Door:
    """One door of one process. Times are monotonic seconds. `coming` counts who was let in and is not inside yet, where
    somebody counts that: in a crowd hundreds come before the first of them is.
    """

    def __init__(self, name: str, *, reserve_s: float = 0.0, now: Callable[[], float] = monotonic) -> None:
        """`reserve_s` of every deadline is not for waiting."""
        self._name, self._reserve_s, self._now = name, reserve_s, now
        self.inside = self.coming = self.turned_away = 0
        self.rate_per_s = _FIRST_GUESS_PER_S
        self._since, self._left, self._crowded = 0.0, 0, False

    @property
    def wait_s(self) -> float:
        """How long the way through takes as it stands."""
        return self.inside / self.rate_per_s

    @property
    def is_crowded(self) -> bool:
        """Whether so many are inside that it is worth asking whether one more may come in."""
        return self.inside >= _CROWD

    def refusal(self, deadline: float, ahead: int = 0) -> Overloaded | None:
        """Why one more may not come in now behind those inside and `ahead` others that are on their way, or None."""
        if not self.is_crowded:
            return None
        now = self._now()
        self._learn(now)
        wait_s = self.wait_s + ahead / self.rate_per_s
        if wait_s <= _MARGIN * (deadline - self._reserve_s - now):
            return None
        self.turned_away += 1
        return Overloaded("overloaded", f"too much waits for {self._name}", after_s=wait_s)

    def entered(self, deadline: float) -> Inside:
        """Inside, until the end of the block. Raises Overloaded where the way through is longer than the time left."""
        return Inside(self, deadline)

    def leave(self) -> None:
        """Somebody comes out."""
        self.inside -= 1
        self._left += 1
        self._learn(self._now())

    def _learn(self, now: float) -> None:
        passed_s = now - self._since
        if passed_s < _SAMPLE_S:
            return
        crowded = self.inside >= _CROWD
        if self._crowded and crowded:
            sample = self._left / passed_s
            self.rate_per_s = max(_LEAST_PER_S, self.rate_per_s + _SMOOTHING * (sample - self.rate_per_s))
        self._since, self._left, self._crowded = now, 0, crowded


class Inside:
    """A block behind a door. A generator would cost four times as much."""

    __slots__ = ("_deadline", "_door")

    def __init__(self, door: Door, deadline: float) -> None:
        self._door, self._deadline = door, deadline

    def __enter__(self) -> None:
        refusal = self._door.refusal(self._deadline)
        if refusal is not None:
            try:
                raise refusal
            finally:
                del refusal  # whose traceback holds this frame: thousands of such circles a second are memory
        self._door.inside += 1

    def __exit__(self, *_: object) -> None:
        self._door.leave()
