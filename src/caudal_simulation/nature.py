"""Time and chance of a simulated world. `take_over` comes before anything of caudal is imported.

What reads the time or draws a random number takes the standard library's function at its import; so those are
replaced first, and the code that runs is the same, with no seam that would cost the payment path anything.
"""

from __future__ import annotations

import os
import random
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta
from functools import cache
from importlib import import_module
from typing import Any, Final, cast

_DAWN: Final = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)  # a Monday's noon
_DAWN_S: Final = _DAWN.timestamp()
_BEGINNING_S: Final = 1_000.0  # never 0, which some take for never


class Clock:
    """Virtual time: seconds since the world began. It moves only when nothing is left to do at its present moment."""

    def __init__(self) -> None:
        self.at_s = _BEGINNING_S  # what programs measure by
        self.rules = False  # whether this process has been taken over

    @property
    def now_s(self) -> float:
        """Seconds since the world began."""
        return self.at_s - _BEGINNING_S

    def monotonic(self) -> float:
        """What programs measure by."""
        return self.at_s

    def time(self) -> float:
        """Seconds since 1970."""
        return _DAWN_S + self.now_s

    def time_ns(self) -> int:
        """Nanoseconds since 1970."""
        return round(self.time() * 1e9)

    def wall(self) -> datetime:
        """The time of day."""
        return self.at(self.now_s)

    def at(self, now_s: float) -> datetime:
        """The time of day at so many seconds."""
        return _DAWN + timedelta(seconds=now_s)


CLOCK: Final = Clock()
CHANCE: Final = random.Random(0)


def take_over() -> None:
    """Replaces time and chance in this process, for good. Raises RuntimeError where caudal has them already."""
    here = [name for name in sys.modules if name.partition(".")[0] == "caudal"]
    if here:
        raise RuntimeError(f"{here[0]} was imported before nature was taken over")
    CLOCK.rules = True
    time.monotonic, time.time, time.time_ns = CLOCK.monotonic, CLOCK.time, CLOCK.time_ns
    os.urandom = random._urandom = CHANCE.randbytes  # type: ignore[attr-defined]
    random.random = CHANCE.random
    uuid.uuid4 = lambda: uuid.UUID(bytes=CHANCE.randbytes(16), version=4)

    from caudal.kernel import clock

    clock.wall_clock = CLOCK.wall
    _put_in_place()


def _put_in_place() -> None:
    """Columns are not packed for a wire that is not there, nobody looks about ten times a second, and what a
    configuration says is read once."""
    from caudal.kernel import db
    from caudal_simulation.database.arrays import unpacked

    for pack in (db.bigints, db.integers, db.booleans, db.uuids, db.byteas, db.texts, db.timestamps, db.dates):
        setattr(db, pack.__name__, unpacked)
    db.abandon = lambda connection: cast(Any, connection).session.end()

    from caudal.kernel.commit import shard  # behind what it takes from there
    from caudal.webhooks import deliverer

    shard._LOOK_S = 0.5  # type: ignore[misc]
    deliverer._BETWEEN_ROUNDS_S = 0.25  # type: ignore[misc]
    links = vars(import_module("caudal.connectors.links"))
    links["providers_of"] = cache(links["providers_of"])


def begin(seed: int) -> None:
    """The beginning of a history: time is where it always begins, and chance is the seed's."""
    from caudal.kernel import ids

    CLOCK.at_s = _BEGINNING_S
    CHANCE.seed(seed)
    ids._pool.forget()
