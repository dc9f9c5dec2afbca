"""The queue of one shard in one process: three lanes, what may come in, and what goes into the next batch."""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Final

import msgspec

from caudal.kernel.commit.batch import Ask
from caudal.kernel.commit.model import Command, Lane, Result
from caudal.kernel.commit.tables import DUE_NOW
from caudal.kernel.errors import CaudalError, Overloaded
from caudal.kernel.telemetry import Trace

_SMOOTHING: Final = 0.2
_FIRST_GUESS_PER_S: Final = 1500.0  # about what two cores commit of cards; of SPEI they do four times that
_FIRST_GUESS_EACH_S: Final = 20e-6
_DECIDING_S: Final = 0.016  # what decides longer is too late for those that wait behind it
_LEAST_BATCH: Final = 32
_BETWEEN_S: Final = 0.002  # two batches with less between them follow each other
_MARGIN: Final = 0.5  # of the time that is left: the rate of the next seconds is a guess
_STANDING: Final = 0.1  # the same in a queue that stands; what is in two batches may wait there in any case
_SHORT_S: Final = 0.025  # the queue of whoever keeps up
_BURST_S: Final = 0.5  # for so long a queue is a crowd that has just come
_LATELY_S: Final = 10.0  # for so long it is remembered that somebody came with little time
_LEAST_S: Final = 1.0  # whoever has less has no merchant's share made smaller
_FEW_OF_BULK: Final = 1024  # those of two bulk requests
_FEW: Final = 64  # commands that wait are no crowd: they go with the next batch, whoever's they are


class Waiting(Ask, kw_only=True):
    """A command in the queue, its caller's future, since when it waits and until when (monotonic seconds)."""

    future: asyncio.Future[Result]
    deadline: float
    since: float = 0.0
    trace: Trace | None = None

    @property
    def answered(self) -> bool:
        """Whether its caller was told something: it is not run after that. One that was cancelled was told nothing."""
        return self.future.done() and not self.future.cancelled()

    def dropped(self, now: float) -> bool:
        """Whether it must not run (again): it was answered, or it is a first command whose deadline has passed."""
        if self.command.recorded or self.deadline > now:
            return self.answered
        self.fail(Overloaded("overloaded", "its turn comes too late for the request's deadline", after_s=0.5))
        return True

    def fail(self, error: CaudalError) -> None:
        """Answers the caller, if it still waits. Each gets an exception of its own: a traceback is not shared."""
        if not self.future.done():
            self.future.set_exception(error)


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What bounds the queue and its batches. `usual_s` is the time of requests that name none."""

    max_batch: int = 256
    bulk_hold_s: float = 0.005
    queue_limit: int = 8192
    merchant_share: float = 0.5
    merchant_rate: int = 0
    usual_s: float = 10.0
    batch_deadline_s: float = 8.0


class Lanes:
    """Commands in order of urgency, with the rate at which they drain."""

    def __init__(self, limits: Limits, now: Callable[[], float] = monotonic) -> None:
        self.limits, self._now = limits, now
        self._lanes: tuple[deque[Waiting], ...] = (deque(), deque(), deque())
        self._first: deque[Waiting] = deque()
        self._of_book: Counter[int] = Counter()
        self._bulk_of_book: Counter[int] = Counter()
        self._tokens: dict[int, tuple[float, float]] = {}
        self._bulk_last = False
        self.drain_per_s = _FIRST_GUESS_PER_S
        self.admitted = self.bulk_admitted = 0  # first commands that wait, those of the bulk lane apart
        self._each_s = _FIRST_GUESS_EACH_S
        self._takes_s = 0.0  # from taking a batch until it has committed
        self._short_at = self._least_at = now()  # when the queue was short the last time that somebody asked
        self._least_s = limits.usual_s  # the least time that somebody came with, at `_least_at`
        self._stands = False  # whether the queue has not been short for a while
        self._ended = 0.0  # when the last batch had committed

    def __len__(self) -> int:
        urgent, normal, bulk = self._lanes
        return len(urgent) + len(normal) + len(bulk) + len(self._first)

    @property
    def lengths(self) -> tuple[int, ...]:
        """How many wait in each lane, in the order of urgency, and then those that have been out already."""
        return (*map(len, self._lanes), len(self._first))

    def __iter__(self) -> Iterator[Waiting]:
        for lane in (self._first, *self._lanes):
            yield from lane

    # The door

    def admit(self, command: Command, deadline: float) -> Overloaded | None:
        """Why a first command may not wait here, or None. Never asked for what has already happened."""
        refusal = self.refusal(command.book, deadline - self._now(), command.lane)
        if refusal is None and self.limits.merchant_rate and not self._has_token(command.book):
            return Overloaded("too_many_requests", "this merchant asks more often than is agreed", after_s=1.0)
        return refusal

    def refusal(self, book: int | None, left_s: float, lane: Lane = Lane.NORMAL, ahead: int = 0) -> Overloaded | None:
        """Why a first command of a book (None: whose it is nobody knows yet) would find no room, or None.

        There is room for as many as drain in half of the time that is left, in a queue that stands for fewer, and for
        one book a share of it. `ahead` others came before this one and are not in the queue yet.
        """
        bulk = lane is Lane.BULK  # nobody else waits for it
        waiting = max(self.admitted + bulk * self.bulk_admitted, self._ahead_of(lane)) + ahead
        wait_s = waiting / self.drain_per_s
        if not bulk:
            self._notice(wait_s, left_s)
        if waiting >= self.limits.queue_limit or wait_s > self._most_s(left_s, stands=self._stands and not bulk):
            return Overloaded(
                "overloaded", "the queue is longer than the request's deadline", after_s=max(wait_s, 0.05)
            )
        here = 0 if book is None else (self._bulk_of_book if bulk else self._of_book).get(book, 0)
        few = min(_FEW_OF_BULK if bulk else _FEW, self.limits.merchant_share * self.limits.queue_limit)
        if here >= few and here >= self._most_of_one(left_s, bulk=bulk):
            return Overloaded("too_many_requests", "too many of this merchant's requests wait already", after_s=wait_s)
        return None

    def _notice(self, wait_s: float, left_s: float) -> None:
        """What is learned from being asked: whether the queue stands, and how little time callers have."""
        now = self._now()
        if wait_s < _SHORT_S:
            self._short_at = now
        self._stands = now - self._short_at > _BURST_S
        if left_s <= self._least_s or now - self._least_at > _LATELY_S:
            self._least_s, self._least_at = min(left_s, self.limits.usual_s), now

    def _most_s(self, left_s: float, *, stands: bool) -> float:
        """How long somebody with so much time may wait.

        A crowd that has just come may take half of its time. A queue that does not get short again only has everybody
        wait, thousands of requests cold in memory, and does nothing sooner (the controlled delay of RFC 8289).
        """
        most_s = left_s * _MARGIN
        return min(most_s, max(left_s * _STANDING, 2 * self.limits.max_batch / self.drain_per_s)) if stands else most_s

    def _most_of_one(self, left_s: float, *, bulk: bool) -> float:
        """How many of one book may wait, if more than few do: its share of others' room where the queue stands.

        That is the room of whoever came with the least time lately: behind a merchant that names a longer one they
        would find none, for as long as it keeps coming.
        """
        share, limit = self.limits.merchant_share, self.limits.queue_limit
        if share == 1:  # nothing is kept for others
            return limit
        others_s = self.limits.usual_s if bulk else max(_LEAST_S, self._least_s)
        room = self.drain_per_s * self._most_s(min(left_s, others_s), stands=not bulk)
        return share * min(limit, room)

    @property
    def is_full(self) -> bool:
        """Whether no first command is let in, whatever its time."""
        return self.admitted >= self.limits.queue_limit

    @property
    def oldest(self) -> float | None:
        """Since when what waits longest has waited; each lane is in order."""
        fronts = [lane[0].since for lane in (self._first, *self._lanes) if lane]
        return min(fronts, default=None)

    @property
    def is_crowded(self) -> bool:
        """Whether so many wait that it is worth asking whether one more may."""
        return self.admitted + self.bulk_admitted >= _FEW

    def _ahead_of(self, lane: Lane) -> int:
        """How many go before a command of this lane. What has already happened takes the room of first commands."""
        ahead = len(self._first)
        for queue in self._lanes[: lane + 1]:
            ahead += len(queue)
        return ahead

    def _has_token(self, book: int) -> bool:
        """A bucket of one second's tokens per book, filled all the time."""
        now, rate = self._now(), self.limits.merchant_rate
        left, since = self._tokens.get(book, (float(rate), now))
        left = min(float(rate), left + (now - since) * rate)
        self._tokens[book] = (left - 1, now) if left >= 1 else (left, now)
        return left >= 1

    def push(self, waiting: Waiting) -> None:
        """Takes a command into its lane."""
        self._lanes[waiting.command.lane].append(waiting)
        if waiting.command.recorded:
            return
        if waiting.command.lane is Lane.BULK:
            self.bulk_admitted += 1
            self._bulk_of_book[waiting.command.book] += 1
        else:
            self.admitted += 1
            self._of_book[waiting.command.book] += 1

    def push_first(self, waiting: Waiting) -> None:
        """Puts a command that has been out already before all others."""
        self._first.append(waiting)

    # The next batch

    def take(self) -> list[Waiting]:
        """The next batch; drops what would be answered too late. A look for due work always goes alone."""
        now, room = self._now() + self._takes_s, self.room
        batch = [waiting for waiting in self._first if not waiting.dropped(now)]
        self._first.clear()
        for lane in self._lanes[: Lane.BULK]:
            self._move(lane, batch, room, now)
        bulk = self._lanes[Lane.BULK]
        self._bulk_last = bool(bulk) and not (batch and self._bulk_last)
        if self._bulk_last:
            self._take_bulk(bulk, batch, room, now)
        if not batch:
            self._takes_s /= 2  # it may have been a moment's: what nobody has time for is never learned again
        return batch

    def more(self, batch: list[Waiting]) -> list[Waiting]:
        """Adds what has come since a batch was taken and has room in it, but for bulk work; what was added."""
        before, now, room = len(batch), self._now() + self._takes_s, self.room
        if not self._looks(batch[0]):
            for lane in self._lanes[: Lane.BULK]:
                self._move(lane, batch, room, now)
        return batch[before:]

    def _take_bulk(self, bulk: deque[Waiting], batch: list[Waiting], room: int, now: float) -> None:
        """As much bulk work as keeps others waiting for a moment, and all that there is room for when somebody waits
        for it and nobody for anything else.
        """
        if not batch and self._looks(bulk[0]):
            self._move(bulk, batch, 1, now)
            return
        waited_for = not bulk[0].command.recorded
        if batch or not waited_for:
            quota = int(self.limits.bulk_hold_s * self.drain_per_s)
            room = min(room, len(batch) + max(_LEAST_BATCH if waited_for else 1, quota))
        self._move(bulk, batch, room, now, stop_at_look=True)

    def _move(
        self, lane: deque[Waiting], batch: list[Waiting], room: int, now: float, *, stop_at_look: bool = False
    ) -> None:
        while lane and len(batch) < room:
            if stop_at_look and self._looks(lane[0]):
                break
            waiting = lane.popleft()
            if not waiting.command.recorded:
                self._leave(waiting.command)
                if waiting.future.cancelled():  # before it began
                    continue
            if not waiting.dropped(now):
                batch.append(waiting)

    def expired(self, now: float, *, recorded: bool) -> list[Waiting]:
        """Takes out whose deadline has passed: first commands, and `recorded` ones too while nothing is written."""
        out: list[Waiting] = []
        for lane in (self._first, *self._lanes):
            if not lane or all(waiting.deadline > now for waiting in lane):
                continue
            waiting_here = [*lane]
            lane.clear()
            for waiting in waiting_here:
                if waiting.deadline > now or (waiting.command.recorded and not recorded):
                    lane.append(waiting)
                    continue
                out.append(waiting)
                if lane is not self._first and not waiting.command.recorded:
                    self._leave(waiting.command)
        return out

    @staticmethod
    def _looks(waiting: Waiting) -> bool:
        return waiting.command.recorded and any(table is DUE_NOW for table, _ in waiting.command.needs())

    def _leave(self, command: Command) -> None:
        if command.lane is Lane.BULK:
            self.bulk_admitted -= 1
            here = self._bulk_of_book
        else:
            self.admitted -= 1
            here = self._of_book
        here[command.book] -= 1
        if not here[command.book]:
            del here[command.book]

    @property
    def room(self) -> int:
        """How many commands the next batch may have: as many as are decided without keeping everybody else waiting."""
        return min(self.limits.max_batch, max(_LEAST_BATCH, int(_DECIDING_S / max(self._each_s, 1e-6))))

    def decided(self, commands: int, took_s: float) -> None:
        """Learns how long a command of a large batch keeps the process."""
        if commands > 8:
            self._each_s += _SMOOTHING * (took_s / commands - self._each_s)

    def drained(self, commands: int, began: float, ended: float) -> None:
        """Learns from a batch that has committed how long one takes, and the rate, with the time since the last one
        where they follow.

        What a process does between two batches is a part of how fast its queue drains.
        """
        self._takes_s += _SMOOTHING * (ended - began - self._takes_s)
        followed = began - self._ended < _BETWEEN_S
        rate = commands / max(ended - (self._ended if followed else began), 1e-6)
        self._ended = ended
        # A batch of one says how long a commit takes, not how much the shard could do: only more is learned from it.
        if commands >= self.limits.max_batch or commands > 8 or rate > self.drain_per_s:
            self.drain_per_s += _SMOOTHING * (rate - self.drain_per_s)
