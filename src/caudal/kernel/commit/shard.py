"""The writer of one shard in one process: batch after batch, each as large as what queued while the last committed.

Callers wait on futures; cancelling a caller cancels its future and never the batch. Nobody is answered before the
COMMIT has come back, and nothing is run again while it is unknown whether a batch committed. Deadlines are kept
whatever the batch waits for: who cannot wait longer is told that nothing was written, and then nothing is, or behind
the write that it is unknown.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, Final
from uuid import UUID

import psycopg

from caudal.kernel import ids
from caudal.kernel.commit.batch import Batch, reads_of
from caudal.kernel.commit.counts import Counts
from caudal.kernel.commit.failures import Failure, classify
from caudal.kernel.commit.lanes import Lanes, Limits, Waiting
from caudal.kernel.commit.model import Command, Head, Missing, Result, Row, Table
from caudal.kernel.commit.port import BatchPort
from caudal.kernel.errors import CaudalError, Fault, Overloaded, Retry, Unknown
from caudal.kernel.telemetry import CURRENT, Attributes, Reading, Tracer, apart, redact

log = logging.getLogger(__name__)

_ATTEMPTS_MAX: Final = 5
_REREADS_MAX: Final = 2
_PAUSE_S: Final = 0.05
_PAUSE_MAX_S: Final = 1.0
_LOOK_S: Final = 0.1  # how exactly deadlines are kept
_AHEAD: Final = timedelta(minutes=1)
_CONTENDED: Final = timedelta(milliseconds=1)
_AGAIN_S: Final = 60.0  # between two alarms of the same
_SLICE: Final = 64  # callers that are answered at once: between two slices others have their turn, refusals too
_HANGS_S: Final = 1.0  # an answer that takes so long is the database's trouble, no matter of a busy shard


Reads = dict[Table[Any, Any], list[Any]]


class Stuck(Exception):
    """Nobody knows whether the batch committed, and the process is ending."""


class Shard:
    """One shard's queue and the task that commits it."""

    def __init__(self, id: int, port: BatchPort, limits: Limits) -> None:
        self.id, self._port, self.lanes = id, port, Lanes(limits)
        self._limits = limits
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._watch: asyncio.Task[None] | None = None
        self._parts: list[list[Waiting]] = []  # of a batch that fell apart: what has not had its turn
        self._part: list[Waiting] = []  # what is being tried now
        self._writing = False  # whether its write segment has begun
        self._trouble: Failure | None = None  # what became of the last try, unless it committed
        self._failed = ("", -_AGAIN_S)  # what kept the last batch from its commit, and when
        self._began: float | None = None
        self._warned_at = -_AGAIN_S
        self.heard: tuple[datetime, float] | None = None  # the server's clock, and our monotonic one then
        self._stopping = self._giving_up = False
        self._contended = False  # whether another process held the lock last time
        self._seq: int | None = None  # of the last event when a batch of ours had committed
        self._fresh = False  # whether a batch has not been tried yet: only then it may grow
        self.counts = Counts()
        self.tracer: Tracer | None = None

    def readings(self) -> Iterable[Reading]:
        """What was counted here, for the meter."""
        return self.counts.readings(self.id, self.lanes)

    @property
    def fails(self) -> str | None:
        """What keeps batches from being written, unless one came through since, or nobody has tried for a minute."""
        said, at = self._failed
        return said if said and monotonic() - at < _AGAIN_S else None

    @property
    def waits_s(self) -> float:
        """For how long the oldest command has waited, in the queue or in a batch that does not come through."""
        fronts = [part[0].since for part in (self._part, *self._parts) if part]
        queued = self.lanes.oldest
        since = min(fronts if queued is None else [*fronts, queued], default=None)
        return 0.0 if since is None else monotonic() - since

    # Callers

    def submit(self, command: Command, deadline: float) -> asyncio.Future[Result]:
        """Queues a command; its result comes after the commit. Raises Overloaded for a first command with no room."""
        if not command.recorded:
            refusal = self.lanes.admit(command, deadline)
            if refusal is not None:
                try:
                    raise refusal
                finally:
                    del refusal  # whose traceback holds this frame: thousands of such circles a second are memory
        if self._stopping and not command.recorded:
            raise Overloaded("stopping", "this process is stopping", after_s=0.5)
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        trace = None if self.tracer is None else CURRENT.get()
        self.lanes.push(Waiting(command=command, future=future, deadline=deadline, since=monotonic(), trace=trace))
        self._wake.set()
        return future

    def start(self) -> None:
        """Starts the task. It is never cancelled: `stop` lets it finish what was accepted."""
        self._task = asyncio.create_task(self._run(), name=f"shard-{self.id}", context=apart())
        watching = self._keep_deadlines()
        self._watch = asyncio.create_task(watching, name=f"shard-{self.id}-deadlines", context=apart())

    async def stop(self, within_s: float = 8.0) -> None:
        """Takes no new first commands, commits what waits, and ends.

        After `within_s` the connection is closed under what still hangs, which then ends by itself within a batch's
        deadline: whoever waits learns that nothing happened, or that it is unknown.
        """
        self._stopping = True
        self._wake.set()
        if self._task is not None:
            await asyncio.wait({self._task}, timeout=within_s)
            self._giving_up = True
            await self._port.close()
            await self._task
        if self._watch is not None:
            self._watch.cancel()
        await self._port.close()

    # The chain of batches

    async def _run(self) -> None:
        while True:
            if self._giving_up:
                _fail([*self.lanes], Retry, "stopping", "this process is stopping; nothing was written")
                return
            if not len(self.lanes):
                if self._stopping:
                    return
                self._wake.clear()
                await self._wake.wait()
                continue
            batch = self.lanes.take()
            if batch:
                self.counts.waited(batch, monotonic())
                try:
                    await self._settle(batch)
                except Exception:  # the chain goes on, whatever one batch does
                    self.counts.alarms += 1
                    log.exception("batch failed")
                    _fail(batch, Fault, "internal_error", "the batch failed")

    async def _settle(self, batch: list[Waiting]) -> None:
        """Commits a batch, or the parts of it that can be."""
        self._parts, again, pause_s = [batch], 0, _PAUSE_S
        self._fresh = True
        while self._parts:
            self._part = self._parts.pop()
            self._trouble = await self._once(self._part)
            self._fresh = False
            part, self._part, self._began = self._part, [], None
            if self._trouble is None:
                continue
            if self._trouble in (Failure.AGAIN, Failure.LOST):
                again += self._trouble is Failure.AGAIN
                if part := self._wanted(part, too_often=again > _ATTEMPTS_MAX):
                    self._parts.append(part)
                if self._trouble is Failure.LOST or again > _ATTEMPTS_MAX:
                    await asyncio.sleep(pause_s)
                    pause_s = min(pause_s * 2, _PAUSE_MAX_S)
            elif len(part) > 1:
                middle = len(part) // 2
                self._parts += [part[middle:], part[:middle]]
            else:
                self.counts.alarms += 1
                _fail(part, Fault, "internal_error", "the database would not take this request; nothing was written")

    def _wanted(self, part: list[Waiting], *, too_often: bool) -> list[Waiting]:
        """What of a part that was not written runs again: what has already happened as long as its caller waits."""
        if self._giving_up:
            _fail(part, Retry, "stopping", "this process is stopping; nothing was written")
        elif too_often:
            first = [waiting for waiting in part if not waiting.command.recorded]
            _fail(first, Retry, "try_again", "the shard was busy; nothing was written")
            part = [waiting for waiting in part if waiting.command.recorded]
        now = monotonic()
        wanted = [waiting for waiting in part if not waiting.dropped(now)]
        return [] if self._stopping and all(waiting.future.done() for waiting in wanted) else wanted

    async def _once(self, batch: list[Waiting]) -> Failure | None:
        """One try. None when everybody is answered; otherwise nothing was written and the failure says what next."""
        started, batch_id, self._writing = monotonic(), ids.uuid7(), False
        self._began = started
        try:
            async with asyncio.timeout(self._limits.batch_deadline_s):
                head, reads, found = await self._read(batch)
                self.heard = head.clock, started
                if head.at - head.clock > _AHEAD:
                    self._warn_of_time(head)
                judged, since = Batch(head, reads, found), monotonic()
                results, postponed = self._decide(judged, batch)
                statements = judged.statements(batch_id, len(results)) if judged.wrote else []
                self.lanes.decided(len(batch), monotonic() - since)
                self._writing = True
                await self._port.write(statements)
        except Exception as error:
            await self._port.close()
            failure = classify(error, writing=self._writing)
            self.counts.failed(failure.value)
            self._trace(batch, batch_id, started, failure.value)
            if failure in (Failure.LOST, Failure.UNKNOWN):
                self._failed = (_said_of(error), monotonic())
            if failure is not Failure.UNKNOWN:
                _report(failure, error, batch)
                return failure
            if not await self._find(batch, batch_id):
                self.counts.failed(Failure.LOST.value)
                return Failure.LOST
        self._failed = ("", -_AGAIN_S)
        ended, self._seq = monotonic(), judged.before.event_seq + judged.events
        self.counts.committed(len(results), judged.events, ended - started)
        self._trace(batch, batch_id, started, "committed")
        self.lanes.drained(len(results), started, ended)
        _answer_all(results)
        for waiting in postponed:
            self.lanes.push_first(waiting)
        return None

    async def _read(self, batch: list[Waiting]) -> tuple[Head, Reads, list[list[Row]]]:
        """Round trip one. Where another process held the lock last time it is taken first, and the batch grows by what
        has come meanwhile: taken as they are, the batches of two processes would be half as large, and twice as many.
        """
        await self._port.open()
        if self._contended:
            await self._port.lock(self.id)
            if self._fresh:
                self.counts.waited(self.lanes.more(batch), monotonic())
        reads = reads_of(batch)
        head, found = await self._port.read(self.id, [table.reading(self.id, keys) for table, keys in reads.items()])
        others = self._seq is not None and self._seq != head.event_seq
        self._contended = others and head.waited > _CONTENDED
        return head, reads, found

    def _trace(self, batch: list[Waiting], batch_id: UUID, began: float, outcome: str) -> None:
        if self.tracer is not None:
            told: Attributes = {"caudal.shard": self.id, "caudal.batch.size": len(batch), "caudal.outcome": outcome}
            self.tracer.batch(batch, batch_id, began, monotonic(), told)

    def _warn_of_time(self, head: Head) -> None:
        """The server's clock was set back, or had run ahead: work goes on, with times that stand still until then."""
        if monotonic() - self._warned_at < _AGAIN_S:
            return
        self._warned_at = monotonic()
        self.counts.alarms += 1
        log.error("shard %d: its time is %s, ahead of the server's clock by %s", self.id, head.at, head.at - head.clock)

    def _decide(
        self, judged: Batch, batch: Sequence[Waiting]
    ) -> tuple[list[tuple[Waiting, Result | CaudalError]], list[Waiting]]:
        """Every command in order: results, and those that need another row and go first in the next batch."""
        results: list[tuple[Waiting, Result | CaudalError]] = []
        postponed: list[Waiting] = []
        for waiting in batch:
            if waiting.answered:  # while the shard was waited for
                continue
            try:
                results.append((waiting, judged.decide(waiting.command)))
            except Missing as missing:
                waiting.extra = (*waiting.extra, *missing.needs)
                waiting.rereads += 1
                if waiting.rereads <= _REREADS_MAX:
                    postponed.append(waiting)
                else:
                    fault = Fault("internal_error", f"the decision never had all rows that it needs: {missing}")
                    results.append((waiting, fault))
        return results, postponed

    async def _find(self, batch: list[Waiting], batch_id: UUID) -> bool:
        """Whether the batch committed; asks until there is an answer. Callers whose deadline passes learn `unknown`."""
        pause_s = _PAUSE_S
        while True:
            try:
                async with asyncio.timeout(self._limits.batch_deadline_s):
                    found = await self._port.find(self.id, batch_id)
                log.warning("unknown commit resolved", extra={"batch": str(batch_id), "committed": found})
                return found
            except Exception as error:
                await self._port.close()
                log.warning("unknown commit not yet resolved: %s", error)
            if self._giving_up:
                _fail(batch, Unknown, "unknown_outcome", "the commit's answer was lost; ask with the same key")
            if self._stopping and all(waiting.future.done() for waiting in batch):
                raise Stuck
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, _PAUSE_MAX_S)

    async def _keep_deadlines(self) -> None:
        """Answers whoever cannot wait longer, in the queue and in the batch, also while that waits for the database."""
        while True:
            await asyncio.sleep(_LOOK_S)
            self._expire(monotonic())

    def _expire(self, now: float) -> None:
        """Behind the write segment the outcome is unknown; all others are not written any more."""
        stuck = self._trouble in (Failure.AGAIN, Failure.LOST)
        stuck = stuck or (self._began is not None and now - self._began > _HANGS_S)
        late, parts = self.lanes.expired(now, recorded=stuck), list(self._parts)
        if not self._writing:
            parts.append(self._part)
        elif stuck:
            written = [waiting for waiting in self._part if waiting.deadline <= now]
            _fail(written, Unknown, "unknown_outcome", "the commit's answer was lost; ask with the same key")
        late += [w for part in parts for w in part if w.deadline <= now and (stuck or not w.command.recorded)]
        if self._trouble is Failure.AGAIN:
            _fail(late, Retry, "try_again", "the shard was busy; nothing was written")
        elif stuck:
            _fail(late, Retry, "database_unavailable", "the database does not answer; nothing was written")
        else:
            _fail(late, Overloaded, "overloaded", "the request's deadline passed before its turn")


def _answer_all(results: Sequence[tuple[Waiting, Result | CaudalError]]) -> None:
    """Answers in the order of the batch, the first ones now and the others a slice at a time."""
    for waiting, result in results[:_SLICE]:
        if waiting.future.done():
            continue
        if isinstance(result, CaudalError):
            waiting.future.set_exception(result)
        else:
            waiting.future.set_result(result)
    if len(results) > _SLICE:
        asyncio.get_running_loop().call_soon(_answer_all, results[_SLICE:])


def _fail(batch: Sequence[Waiting], error: type[CaudalError], code: str, detail: str) -> None:
    for waiting in batch:
        waiting.fail(error(code, detail))


def _said_of(error: Exception) -> str:
    """For anybody, so without addresses: those stand in what has no SQLSTATE."""
    if isinstance(error, psycopg.Error) and error.sqlstate is None:
        return type(error).__name__
    return redact.error(error)


def _report(failure: Failure, error: BaseException, batch: Sequence[Waiting]) -> None:
    level = logging.WARNING if failure in (Failure.AGAIN, Failure.LOST) else logging.ERROR
    log.log(level, "batch of %d did not commit: %s: %s: %s", len(batch), failure.value, type(error).__name__, error)
