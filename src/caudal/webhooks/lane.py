"""One endpoint in the hands of one deliverer: what waits, what flies, what has come of it. Without a clock or a socket.

Deliveries of one subject go one after the other; those of different subjects side by side, as many as the window lets:
one at first, twice as many after each success, one again after a failure. So an endpoint that hangs holds one place,
not many, and one that is there is soon sent to at its full width; one that takes its time stays narrow.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from datetime import datetime
from enum import Enum
from typing import Final
from uuid import UUID

import msgspec

from caudal.webhooks.model import Endpoint
from caudal.webhooks.sender import Target

READ_AHEAD_MAX: Final = 200
_READ_AHEAD: Final = 12
_SLOW_WIDTH: Final = 4
_QUICK_US: Final = 2_000_000


class Pace(Enum):
    """How an endpoint has answered of late."""

    NEW = "not at all so far"
    QUICK = "well and soon"
    SLOW = "late, or not well"


class Letter(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A delivery with the body that is sent. None: the event is kept no longer."""

    id: UUID
    created_at: datetime
    subject: UUID
    seq: int
    event: str
    attempts: int
    body: bytes | None


class Habit(msgspec.Struct, frozen=True, gc=False):
    """What is remembered of an endpoint that nobody here holds."""

    window: int
    pace: Pace


class Lane:
    """An endpoint's deliveries, in order. `held_until`: when its lease ends if nobody renews it; 0: not yet."""

    def __init__(self, id: UUID, *, habit: Habit | None, widest: int, failing_since: datetime | None) -> None:
        self.id, self.failing_since = id, failing_since
        fresh = Habit(1, Pace.NEW if failing_since is None else Pace.SLOW)
        self.window, self.pace = (habit or fresh).window, (habit or fresh).pace
        self.endpoint: Endpoint | None = None
        self.target: Target | None = None
        self.given_up = 0  # the version of the endpoint that was
        self.held_until = 0.0
        self.queued = False
        self.flying = 0
        self.read_in = 0
        self._changed = True
        self._widest = widest
        self._known: set[UUID] = set()
        self._moving: set[UUID] = set()
        self._ready: deque[Letter] = deque()
        self._behind: dict[UUID, deque[Letter]] = {}
        self._failed: dict[UUID, tuple[UUID, int]] = {}

    @property
    def habit(self) -> Habit | None:
        """What to remember of it."""
        return None if self.pace is Pace.NEW else Habit(self.window, self.pace)

    @property
    def known(self) -> int:
        """How many are in hand: waiting, flying, or come back and not written down."""
        return len(self._known)

    @property
    def moving(self) -> Collection[UUID]:
        """Those that wait here or fly."""
        return self._moving

    @property
    def wanted(self) -> int:
        """How many to read now: none while enough are in hand."""
        most = min(READ_AHEAD_MAX, _READ_AHEAD * self.window)
        return most if len(self._known) <= most // 2 else 0

    def may_read(self, look: bool) -> bool:
        """Whether to read more: something has come back, or something might be new and could be sent."""
        return self._changed or (look and self.flying < self.window)

    def reads(self, round_: int) -> None:
        """It reads now; who read longest ago is the first to read again."""
        self._changed, self.read_in = False, round_

    def add(self, letter: Letter) -> None:
        """Takes a delivery in hand, to be sent behind what is there of its subject."""
        self._known.add(letter.id)
        self._moving.add(letter.id)
        behind = self._behind.get(letter.subject)
        if behind is None:
            self._behind[letter.subject] = deque()
            self._ready.append(letter)
        else:
            behind.append(letter)

    def waits(self) -> bool:
        """Whether something could be sent now."""
        return bool(self._ready) and self.flying < self.window

    def take(self) -> Letter:
        """The next to send."""
        self.flying += 1
        return self._ready.popleft()

    def answered(self, *, accepted: bool, duration_us: int) -> None:
        """How the endpoint has taken an attempt."""
        self.pace = Pace.QUICK if accepted and duration_us <= _QUICK_US else Pace.SLOW
        widest = self._widest if self.pace is Pace.QUICK else min(self._widest, _SLOW_WIDTH)
        self.window = min(self.window * 2, widest) if accepted else 1

    def back(self, letter: Letter, *, waits_us: int | None = None) -> list[Letter]:
        """An attempt has ended. Those of the same subject that have to wait with it, no longer in hand.

        `waits_us`: it failed, and until it is tried again nothing else of its subject is.
        """
        self.flying -= 1
        self._changed = True
        self._moving.discard(letter.id)
        if waits_us is not None:
            self._failed[letter.subject] = letter.id, waits_us
        behind = self._behind[letter.subject]
        if waits_us is not None or not behind:
            del self._behind[letter.subject]
            self._moving.difference_update(later.id for later in behind)
            return list(behind)
        self._ready.append(behind.popleft())
        return []

    def waits_us(self, subject: UUID) -> int | None:
        """How long a subject has to wait for one that has just failed, which is not written down yet."""
        failed = self._failed.get(subject)
        return None if failed is None else failed[1]

    def hold(self, letter: Letter) -> None:
        """Takes a delivery in hand that is not sent now."""
        self._known.add(letter.id)

    def has(self, letter: Letter) -> bool:
        """Whether it is in hand."""
        return letter.id in self._known

    def forget(self, id: UUID) -> None:
        """Written down: no longer in hand."""
        self._known.discard(id)
        for subject, (failed, _) in list(self._failed.items()):
            if failed == id:
                del self._failed[subject]

    def drop(self) -> None:
        """Nothing that waits is sent any more: the endpoint was disabled, or is in other hands."""
        waiting = [letter.id for letter in self._ready]
        waiting += [letter.id for behind in self._behind.values() for letter in behind]
        flying = {subject: deque[Letter]() for subject in self._behind}
        for letter in self._ready:
            del flying[letter.subject]
        self._ready.clear()
        self._behind = flying
        self._known.difference_update(waiting)
        self._moving.difference_update(waiting)
