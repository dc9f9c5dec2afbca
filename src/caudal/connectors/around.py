"""What stands around every provider, whatever it speaks: slots, deadlines, repetitions, the breaker, the figures.

A try is a function of the seconds that it may take; it answers with a noun, and with Unresolved where it failed. It
never raises. Once a try is `unknown`, so is the call, until a later one with the same key finds out.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from time import monotonic
from typing import Final, Literal, TypeVar

from caudal.connectors.breaker import Breaker, RetryBudget
from caudal.connectors.model import Override, ProviderHealth, Unresolved
from caudal.connectors.providers import Provider
from caudal.kernel.clock import rfc3339, wall_clock

T = TypeVar("T")

_RESERVE_S: Final = 0.25  # of a request's deadline, for the commit that follows the call
_PAUSE_S: Final = 0.1  # at most, before the first repetition; doubles. Any part of it, so that nobody comes together
_LONGEST_PAUSE_S: Final = 1.0
_FAIR: Final = 0.5  # of a try's time; silence in less of it is the caller's haste, not the provider's failure
_REMEMBERED: Final = 512  # times of tries that the percentiles are of
_WEIGHT: Final = 0.1  # of the newest time in the average
_FORCED: Final = "an operator has stopped the calls to this provider"
_PAUSED: Final = "the provider does not answer; it is asked again in a few seconds"


class Around:
    """Stands around one provider in one mode, in one process: its methods share what it can bear, and its fate."""

    def __init__(
        self,
        provider: Provider,
        *,
        now: Callable[[], float] = monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._provider, self._now, self._sleep = provider, now, sleep
        self._try_s, self._slow_s, self._tries = provider.timeout_ms / 1000, provider.slow_ms / 1000, provider.tries
        self._override: Override | None = None
        self._slots = asyncio.Semaphore(provider.concurrency)
        self._breaker = Breaker(failures=provider.breaker_failures, open_s=provider.breaker_open_s)
        self._budget = RetryBudget()
        self._calls = self._failed = self._turned_away = self._repeated = self._in_flight = 0
        self._times: deque[float] = deque(maxlen=_REMEMBERED)
        self._average_s: float | None = None

    def direct(self, override: Override | None) -> None:
        """An operator's decision stands from now on; None: the breaker decides, and new payments are welcome."""
        self._override = override

    def available(self) -> bool:
        """Whether a call could be made now."""
        forced = self._forced()
        return self._breaker.would_admit(self._now()) if forced is None else forced == "closed"

    def welcomes(self) -> bool:
        """Whether a new payment could begin here now: not while it is drained, whatever else goes on."""
        return self.available() and not self.drained

    def why_unwelcome(self) -> str | None:
        """What keeps new payments from here now, and until when, for people; None where nothing does."""
        override, forced, now = self._override, self._forced(), self._now()
        if override is not None and forced == "open":
            return f"an operator holds its breaker open until {_end(override.forced_until)}"
        if self.drained:
            return "an operator drains it until that is ended: nothing new begins there"
        if forced == "closed" or self._breaker.would_admit(now):
            return None
        left_s = self._breaker.open_for_s(now)
        if not left_s:
            return "its breaker is half open: others try whether it answers again"
        return f"its breaker is open until {_end(wall_clock() + timedelta(seconds=left_s))}: calls failed, or were slow"

    @property
    def drained(self) -> bool:
        """Whether an operator wants nothing new to begin here."""
        return self._override is not None and self._override.drained

    def _forced(self) -> Literal["open", "closed"] | None:
        override = self._override
        if override is None or override.forced is None:
            return None
        over = override.forced_until is not None and override.forced_until <= wall_clock()
        return None if over else override.forced

    async def call(
        self, ask: Callable[[float], Awaitable[T | Unresolved]], deadline: float | None, *, deduplicates: bool
    ) -> T | Unresolved:
        """Asks, and again where that is safe: what did not happen, and what the provider knows by its key.

        `deadline` is monotonic seconds, the request's; None where nobody waits.
        """
        until = self._now() + self._try_s * self._tries if deadline is None else deadline - _RESERVE_S
        self._calls += 1
        self._budget.earn()
        answer, worst = await self._one_try(ask, until), None
        for repetition in range(self._tries):
            if not isinstance(answer, Unresolved):
                return answer
            if worst is None or answer.kind == "unknown":
                worst = answer
            pause_s = min(_LONGEST_PAUSE_S, _PAUSE_S * 2**repetition) * random.random()
            safe = worst.kind == "retry" or deduplicates
            if repetition + 1 == self._tries or not safe or self._now() + pause_s >= until:
                break
            if not self.available() or not self._budget.spend():
                break
            self._repeated += 1
            await self._sleep(pause_s)
            answer = await self._one_try(ask, until)
        assert worst is not None
        self._failed += 1
        return worst

    async def _one_try(self, ask: Callable[[float], Awaitable[T | Unresolved]], until: float) -> T | Unresolved:
        if not self.available():
            return self._turn_away(_FORCED if self._forced() == "open" else _PAUSED)
        if self._slots.locked():
            try:
                async with asyncio.timeout(until - self._now()):
                    await self._slots.acquire()
            except TimeoutError:
                return self._turn_away("every connection to the provider is in use")
        else:
            await self._slots.acquire()  # does not wait
        try:
            return await self._in_slot(ask, until)
        finally:
            self._slots.release()

    async def _in_slot(self, ask: Callable[[float], Awaitable[T | Unresolved]], until: float) -> T | Unresolved:
        began = self._now()
        if began >= until:
            return self._turn_away("no time is left to ask the provider")
        forced = self._forced()
        ticket = self._breaker.enter(began)
        if forced == "open" or (ticket is None and forced is None):
            if ticket is not None:
                self._breaker.leave(ticket, began, succeeded=None)
            return self._turn_away(_FORCED if forced == "open" else _PAUSED)
        within_s, succeeded = min(self._try_s, until - began), None
        self._in_flight += 1
        try:
            answer = await ask(within_s)
            hasty = within_s < _FAIR * self._try_s and self._now() - began >= 0.9 * within_s
            if not isinstance(answer, Unresolved):
                succeeded = True
            elif not hasty:
                succeeded = False
            return answer
        finally:
            self._in_flight -= 1
            ended = self._now()
            if ticket is not None:
                self._breaker.leave(ticket, ended, succeeded=succeeded, slow=ended - began >= self._slow_s)
            self._took(ended - began)

    def _turn_away(self, why: str) -> Unresolved:
        self._turned_away += 1
        return Unresolved(kind="retry", detail=why)

    def _took(self, seconds: float) -> None:
        self._times.append(seconds)
        if self._average_s is None:
            self._average_s = seconds
        self._average_s += _WEIGHT * (seconds - self._average_s)

    def health(self) -> ProviderHealth:
        """The figures as they stand now."""
        times, now = sorted(self._times), self._now()
        return ProviderHealth(
            provider=self._provider.name,
            mode=self._provider.mode,
            breaker=self._breaker.state(now),
            forced=self._forced(),
            drained=self.drained,
            calls=self._calls,
            failed=self._failed,
            turned_away=self._turned_away,
            repeated=self._repeated,
            in_flight=self._in_flight,
            failure_share=self._breaker.failure_share(now),
            slow_share=self._breaker.slow_share(now),
            average_ms=None if self._average_s is None else self._average_s * 1000,
            p50_ms=_percentile_ms(times, 50),
            p99_ms=_percentile_ms(times, 99),
        )


def _end(at: datetime | None) -> str:
    return "somebody ends it" if at is None else rfc3339(at)


def _percentile_ms(times: list[float], percent: int) -> float | None:
    return times[(len(times) - 1) * percent // 100] * 1000 if times else None
