"""Due work: expiries, retries, sweeps. It commits with the batch that makes it due; a worker claims it with a lease.

A claim moves a piece of work to the end of its lease, in the shard's order like everything else. If the worker dies,
the work is due again then, with `attempt` one higher; leases grow with the attempts, so that what keeps failing is
tried less and less often. A job ends by a command that removes its work; one that does not end leaves its last word
with it.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from time import monotonic
from typing import Any, Final, Literal
from uuid import UUID

import msgspec

from caudal.kernel.commit import DUE_NOW, DUE_WORK, Answer, Decision, Due, Lane, Table, View, is_away
from caudal.kernel.context import Context
from caudal.kernel.errors import CaudalError
from caudal.kernel.telemetry import Attributes, Histogram, Reading, histogram

log = logging.getLogger(__name__)

CLAIM_MAX: Final = 200
SAID_MAX: Final = 200
_GROWTH_MAX: Final = 3  # after a provider was away for an hour, what waits for it is looked at within eight leases

Job = Callable[[Context, int, Due], Awaitable[None]]


class ClaimDue(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Takes what is due, at most `limit` pieces and of no kind in `without`, for the time of a lease."""

    lease_s: float
    limit: int = CLAIM_MAX
    without: tuple[str, ...] = ()
    book: int = 0
    key: None = None
    lane: Lane = Lane.BULK
    recorded: bool = True

    def needs(self) -> Iterable[tuple[Table[Any, Any], Any]]:
        return ((DUE_NOW, (self.limit, self.without)),)

    def decide(self, view: View) -> Decision:
        due = view.get(DUE_NOW, (self.limit, self.without)) or ()
        claimed = tuple(
            msgspec.structs.replace(piece, at=view.clock + self._lease(piece.attempt), attempt=piece.attempt + 1)
            for piece in due
        )
        return Decision(outcome=claimed, done=due, due=claimed)

    def _lease(self, attempt: int) -> timedelta:
        return timedelta(seconds=self.lease_s * 2 ** min(attempt, _GROWTH_MAX))

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("a claim has no key")


class GiveBack(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Lets go of claimed work that is not going to end here: it is due again now, as if nobody had claimed it."""

    held: tuple[Due, ...]
    book: int = 0
    key: None = None
    lane: Lane = Lane.URGENT
    recorded: bool = True

    def needs(self) -> Iterable[tuple[Table[Any, Any], Any]]:
        return ((DUE_WORK, (piece.at, piece.kind, piece.subject)) for piece in self.held)

    def decide(self, view: View) -> Decision:
        found = view.get_all(DUE_WORK, [(piece.at, piece.kind, piece.subject) for piece in self.held])
        there = tuple(piece for piece in found if piece is not None)
        due = tuple(msgspec.structs.replace(piece, at=view.clock, attempt=max(0, piece.attempt - 1)) for piece in there)
        return Decision(outcome=len(due), done=there, due=due)

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("what is given back has no key")


class KeepWord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A claimed piece did not end: why stands with it, for people, until it is done."""

    due: Due
    said: str
    key: None = None
    lane: Lane = Lane.BULK
    recorded: bool = True

    @property
    def book(self) -> int:
        return self.due.book

    @property
    def _place(self) -> tuple[datetime, str, UUID]:
        return self.due.at, self.due.kind, self.due.subject

    def needs(self) -> Iterable[tuple[Table[Any, Any], Any]]:
        return ((DUE_WORK, self._place),)

    def decide(self, view: View) -> Decision:
        piece = view.get(DUE_WORK, self._place)
        if piece is None or piece.said == self.said:
            return Decision()  # it is done, or whoever has it now says what there is to say
        return Decision(done=(piece,), due=(msgspec.structs.replace(piece, said=self.said),))

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("not stored")


async def run_job(context: Context, shard: int, due: Due, jobs: Mapping[str, Job]) -> bool:
    """Runs one claimed piece. False when it did not end and will be due again after its lease."""
    began, counts = monotonic(), context.once(_Counts)
    counts.running[due.kind] += 1
    trace = None if context.tracer is None else context.tracer.work(due.subject)
    try:
        outcome = await _run_job(context, shard, due, jobs)
        if trace is not None:
            told: Attributes = {"caudal.job": due.kind, "caudal.attempt": due.attempt, "caudal.outcome": outcome}
            error = outcome if outcome == "broken" else None
            trace.end(due.kind, "consumer", told, error=error, ended=monotonic())
        counts.ended(due.kind, outcome, monotonic() - began)
    finally:
        counts.running[due.kind] -= 1
    return outcome == "done"


class _Counts:
    """What one process's jobs came to."""

    def __init__(self, context: Context) -> None:
        self.running = Counter[str]()
        self._times: dict[tuple[str, str], Histogram] = {}
        context.meter.add(self._readings)

    def ended(self, kind: str, outcome: str, seconds: float) -> None:
        """One more."""
        times = self._times.get((kind, outcome))
        if times is None:
            times = self._times[kind, outcome] = histogram("caudal.job.duration")
        times.record(seconds)

    def _readings(self) -> Iterator[Reading]:
        for kind, running in self.running.items():
            yield "caudal.job.running", (kind,), running
        for of, times in self._times.items():
            yield "caudal.job.duration", of, times


class _NoSuchJob(Exception):
    """Work of a kind that this version knows nothing of: an older one's, or a newer one's."""


async def _unnamed(_: Context, __: int, due: Due) -> None:
    raise _NoSuchJob(f"no job is named {due.kind}")


async def _run_job(
    context: Context, shard: int, due: Due, jobs: Mapping[str, Job]
) -> Literal["done", "again", "broken"]:
    outcome: Literal["again", "broken"] = "again"
    try:
        await jobs.get(due.kind, _unnamed)(context, shard, due)
    except CaudalError as error:
        log.warning("%s of %s did not end: %s", due.kind, due.subject, error)
        said = str(error)
    except _NoSuchJob as error:
        log.error("%s", error, extra={"subject": str(due.subject)})
        said, outcome = str(error), "broken"
    except Exception as error:
        if is_away(error):  # it is due again after its lease, and nothing of ours is broken
            log.warning("%s of %s did not end: the database is away: %s", due.kind, due.subject, error)
            return "again"
        log.exception("%s of %s broke", due.kind, due.subject)
        said, outcome = type(error).__name__, "broken"
    else:
        return "done"
    with suppress(CaudalError):
        await context.commit(shard, KeepWord(due=due, said=said[:SAID_MAX]))
    return outcome
