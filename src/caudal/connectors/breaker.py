"""When to stop asking a provider, and how often to ask again. No clock of their own: the time is given.

closed ──(failures in a row, or a share of many that fail or are slow)──► open
open ──(time)──► half open ──(probes succeed)──► closed
                     └──(a probe fails, or is slow)──► open
"""

from __future__ import annotations

from typing import Final, Literal

BreakerState = Literal["closed", "open", "half_open"]

_WINDOW_S: Final = 10.0  # the share of failures is of this window and the part of it that went before
_ENOUGH: Final = 20  # a share of fewer calls says nothing
_SHARE: Final = 0.6  # above a half: one that fails and its repetition that does not are no reason
_SLOW: Final = 0.6  # of many: one that is slow now and then is no reason
_PROBES: Final = 2  # successes, one after the other, that close the breaker

_CAPACITY: Final = 10.0
_EARNED: Final = 0.2  # a part of a repetition that every call earns


class Breaker:
    """Stands before one provider of one mode. A call enters with a ticket and leaves with how it went."""

    def __init__(self, *, failures: int, open_s: float) -> None:
        self._limit, self._open_s = failures, open_s
        self._state: BreakerState = "closed"
        self._period = 0  # calls that began before the last change of state decide nothing
        self._until = 0.0
        self._in_a_row = self._probing = self._probed = 0
        self._began, self._counts, self._before = 0.0, [0, 0, 0], [0, 0, 0]  # calls, failures, slow answers

    def state(self, now: float) -> BreakerState:
        """The state at a time."""
        return "half_open" if self._state == "open" and now >= self._until else self._state

    def open_for_s(self, now: float) -> float:
        """How much longer it lets nothing through; 0 where it is not open."""
        return self._until - now if self.state(now) == "open" else 0.0

    def would_admit(self, now: float) -> bool:
        """Whether a call could enter now."""
        state = self.state(now)
        return state == "closed" or (state == "half_open" and not self._probing)

    def enter(self, now: float) -> int | None:
        """A ticket, or None while calls are not let through. Every ticket has to leave."""
        if self._state != "closed":
            if not self.would_admit(now):
                return None
            if self._state == "open":
                self._becomes("half_open")
            self._probing = 1
        return self._period

    def leave(self, ticket: int, now: float, *, succeeded: bool | None, slow: bool = False) -> None:
        """A call is over; None says that it found nothing out (it was given up). `slow` is what took too long."""
        if ticket != self._period:
            return
        if self._state == "half_open":
            self._probing = 0
        if succeeded is None:
            return
        self._count(now, failed=not succeeded, slow=slow)
        if succeeded:
            self._in_a_row = 0
            if self._state == "half_open" and not slow:
                self._probed += 1
                if self._probed >= _PROBES:
                    self._becomes("closed")
                return
        else:
            self._in_a_row += 1
        if self._state == "half_open" or self._in_a_row >= self._limit or self._too_many(now):
            self._until = now + self._open_s
            self._becomes("open")

    def failure_share(self, now: float) -> float:
        """The part of the last seconds' calls that failed."""
        return self._share(now, 1)

    def slow_share(self, now: float) -> float:
        """The part of the last seconds' calls that took too long."""
        return self._share(now, 2)

    def _share(self, now: float, which: int) -> float:
        self._roll(now)
        calls = self._counts[0] + self._before[0]
        return (self._counts[which] + self._before[which]) / calls if calls else 0.0

    def _too_many(self, now: float) -> bool:
        if self._counts[0] + self._before[0] < _ENOUGH:
            return False
        return self.failure_share(now) >= _SHARE or self.slow_share(now) >= _SLOW

    def _count(self, now: float, *, failed: bool, slow: bool) -> None:
        self._roll(now)
        self._counts[0] += 1
        self._counts[1] += failed
        self._counts[2] += slow

    def _roll(self, now: float) -> None:
        passed = now - self._began
        if passed >= _WINDOW_S:
            self._before = self._counts if passed < 2 * _WINDOW_S else [0, 0, 0]
            self._began, self._counts = now, [0, 0, 0]

    def _becomes(self, state: BreakerState) -> None:
        self._state, self._period = state, self._period + 1
        self._in_a_row = self._probing = self._probed = 0
        if state == "closed":
            self._counts, self._before = [0, 0, 0], [0, 0, 0]


class RetryBudget:
    """Repetitions are a part of the calls, never a multiple: a provider in trouble is not asked more often."""

    def __init__(self) -> None:
        self._left = _CAPACITY

    def earn(self) -> None:
        """A call was made."""
        self._left = min(_CAPACITY, self._left + _EARNED)

    def spend(self) -> bool:
        """Whether one more repetition is affordable; it is then paid for."""
        if self._left < 1:
            return False
        self._left -= 1
        return True
