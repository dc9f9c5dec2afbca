"""One endpoint in the hands of one deliverer: what waits, what flies, what has come of it. Without a clock or a socket.

Deliveries of one subject go one after the other; those of different subjects side by side, as many as the window lets:
one at first, twice as many after each success, one again after a failure. So an endpoint that hangs holds one place,
not many, and one that is there is soon sent to at its full width.
"""

from __future__ import annotations

from collections import deque
from datetime import datetime
from typing import Final
from uuid import UUID

import msgspec

from caudal.webhooks.model import Endpoint
from caudal.webhooks.sender import Target

READ_AHEAD_MAX: Final = 200
_READ_AHEAD: Final = 12


class Letter(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A delivery with the body that is sent. None: the event is kept no longer."""

    id: UUID
    created_at: datetime
    subject: UUID
    seq: int
    event: str
    attempts: int
    body: bytes | None


class Lane:
    """An endpoint's deliveries, in order. `proven`: its last attempt succeeded."""

    def __init__(self, id: UUID, *, window: int, widest: int, failing_since: datetime | None) -> None:
        self.id, self.window, self.failing_since = id, window, failing_since
        self.endpoint: Endpoint | None = None
        self.target: Target | None = None
        self.given_up = 0  # the version of the endpoint that was
        self.flying = 0
        self.read_in = 0
        self._changed = True
        self._widest = widest
        self._known: set[UUID] = set()
        self._ready: deque[Letter] = deque()
        self._behind: dict[UUID, deque[Letter]] = {}

    @property
    def proven(self) -> bool:
        """Whether it has answered well of late."""
        return self.window > 1

    @property
    def known(self) -> int:
        """How many are in hand: waiting, flying, or come back and not written down."""
        return len(self._known)

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

    def back(self, letter: Letter, *, accepted: bool, blocks: bool) -> list[Letter]:
        """An attempt has ended. Those of the same subject that have to wait with it, no longer in hand."""
        self.flying -= 1
        self._changed = True
        self.window = min(self.window * 2, self._widest) if accepted else 1
        behind = self._behind[letter.subject]
        if blocks or not behind:
            del self._behind[letter.subject]
            return list(behind)
        self._ready.append(behind.popleft())
        return []

    def hold(self, letter: Letter) -> None:
        """Takes a delivery in hand that is not sent now."""
        self._known.add(letter.id)

    def has(self, letter: Letter) -> bool:
        """Whether it is in hand."""
        return letter.id in self._known

    def forget(self, ids: list[UUID]) -> None:
        """Written down: no longer in hand."""
        self._known.difference_update(ids)

    def drop(self) -> None:
        """Nothing that waits is sent any more: the endpoint was disabled."""
        waiting = [letter.id for letter in self._ready]
        waiting += [letter.id for behind in self._behind.values() for letter in behind]
        flying = {subject: deque[Letter]() for subject in self._behind}
        for letter in self._ready:
            del flying[letter.subject]
        self._ready.clear()
        self._behind = flying
        self._known.difference_update(waiting)
