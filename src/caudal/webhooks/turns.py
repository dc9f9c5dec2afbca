"""Places of attempts in the air, and who gets the next: merchants in turns, each one's endpoints in turns. Pure.

There are three sets of places, one for each pace: who hangs or takes its time waits among its like, and holds no place
of those that answer at once or that have to show it first. A merchant's book may hold half as many as are free, so that
however many hold what they may, whoever comes next finds some.
"""

from __future__ import annotations

from collections import Counter, deque
from typing import Final

from caudal.webhooks.lane import Lane, Pace

PLACES: Final = {Pace.QUICK: 1_000, Pace.NEW: 500, Pace.SLOW: 500}


class Turns:
    """One set of places, and the lanes that wait for one."""

    def __init__(self, places: int) -> None:
        self._free = places
        self._held: Counter[int] = Counter()
        self._waiting: dict[int, deque[Lane]] = {}  # in the order of the books' turns

    def wait(self, book: int, lane: Lane) -> None:
        """A lane waits for a place, behind those of its book that wait already."""
        self._waiting.setdefault(book, deque()).append(lane)

    def next(self) -> tuple[int, Lane] | None:
        """Gives a place away, and says to whom. None where nobody may have one."""
        if not self._free or not self._waiting:
            return None
        most = max(1, self._free // 2)
        book = next((book for book in self._waiting if self._held[book] < most), None)
        if book is None:
            return None
        lanes = self._waiting.pop(book)
        lane = lanes.popleft()
        if lanes:
            self._waiting[book] = lanes
        self._free -= 1
        self._held[book] += 1
        return book, lane

    def back(self, book: int) -> None:
        """A place of this book is free again."""
        self._free += 1
        self._held[book] -= 1
        if not self._held[book]:
            del self._held[book]
