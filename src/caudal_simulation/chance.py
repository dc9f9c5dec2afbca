"""What goes wrong, how often it really did, and how long things take: all from the history's seed."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextvars import Context
from random import Random
from typing import Any, Final, TypeVar, cast

from caudal_simulation.loop import Loop
from caudal_simulation.nature import Clock

T = TypeVar("T")

_MOMENT_S: Final = 0.002  # a message takes no longer, unless it is slow
FATES: Final = ("lost", "unheard", "late", "silent", "refused")


class There:
    """Nothing to wait for."""

    def __await__(self) -> Generator[None, None, None]:
        return cast(Any, iter(()))  # type: ignore[no-any-return]


THERE: Final = There()


class Faults:
    """One history's bad luck. `on` until it heals; `rate` multiplies every probability."""

    def __init__(self, random: Random, loop: Loop, clock: Clock, rate: float = 1.0) -> None:
        self.random, self.loop, self.clock, self.rate = random, loop, clock, rate
        self.on = True
        self.happened: Counter[str] = Counter()
        self.context = Context()  # of nobody's process

    def later(self, delay_s: float, callback: Callable[..., object], *arguments: Any) -> None:
        """The world does this by itself, whoever is dead by then."""
        self.loop.call_later(delay_s, callback, *arguments, context=self.context)

    def happens(self, kind: str, probability: float) -> bool:
        """Whether this goes wrong now; it is counted."""
        if not self.on or self.random.random() >= probability * self.rate:
            return False
        self.happened[kind] += 1
        return True

    def fate_of_commit(self) -> str:
        """What becomes of a commit."""
        if not self.on or self.random.random() >= 0.04 * self.rate:
            return "committed"
        fate = self.pick(FATES)
        self.happened[f"commit {fate}"] += 1
        return fate

    def hop_s(self) -> float:
        """How long a message is on its way."""
        if self.on and self.random.random() < 0.01 * self.rate:
            self.happened["slow message"] += 1
            return self.spread(0.1, 0.6)
        return self.random.random() * _MOMENT_S

    def hop(self) -> Awaitable[None]:
        """Waits for a message; every other one is there before anything else happens."""
        if self.random.random() < 0.5:
            return THERE
        seconds = self.hop_s()
        return asyncio.sleep(seconds) if seconds > _MOMENT_S else self.loop.moment(seconds)

    def spread(self, low: float, high: float) -> float:
        """Somewhere between."""
        return low + self.random.random() * (high - low)

    def pick(self, among: Sequence[T]) -> T:
        """One of these."""
        return among[int(self.random.random() * len(among))]
