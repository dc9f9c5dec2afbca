"""The worker's process: runs what is due, delivers webhooks, keeps projections, looks after partitions.

Any number may run at once.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import Final

import psycopg
import uvloop

from caudal.app.partitions import PRUNED_MAX, prune_batches, tidy
from caudal.app.telemetry import OperatorPort, Readiness, Watch, exported, inside
from caudal.kernel import sqlfile
from caudal.kernel.commit import Due, is_away
from caudal.kernel.context import Context
from caudal.kernel.due import ClaimDue, GiveBack, Job, run_job
from caudal.kernel.errors import CaudalError
from caudal.kernel.loops import Loops
from caudal.kernel.settings import Settings
from caudal.ledger import JOBS as LEDGER_JOBS
from caudal.payins import JOBS as PAYIN_JOBS
from caudal.payins import drop_unused_files, overdue, project_search, watch
from caudal.settlement import JOBS as SETTLEMENT_JOBS
from caudal.vault import JOBS as VAULT_JOBS
from caudal.webhooks import JOBS as WEBHOOK_JOBS
from caudal.webhooks import Deliverer, fan_out

log = logging.getLogger(__name__)

SQL: Final = sqlfile.queries(Path(__file__).with_name("queries.sql"))
JOBS: Final[dict[str, Job]] = {**LEDGER_JOBS, **PAYIN_JOBS, **SETTLEMENT_JOBS, **VAULT_JOBS, **WEBHOOK_JOBS}
PROJECTIONS: Final[tuple[Callable[[Context, int], Awaitable[int]], ...]] = (project_search,)

_PLACES: Final = 64
_CLAIMED: Final = 32
_PRUNE_PAUSE_S: Final = 0.1
_TIDY_EVERY_S: Final = 3600.0
_TIDY_AGAIN_S: Final = 300.0
_LOOK_EVERY_S: Final = 60.0
_PAUSE_AFTER_ERROR_S: Final = 1.0
_PAUSE_AFTER_ERRORS_S: Final = 4.0  # the longest: a database that was restarted is looked for so often
_LATER_S: Final = {"tidy": 540.0}  # a partition waits for who reads it
LAST_JOBS_S: Final = 5.0  # how long work that has begun may go on when the process stops, before it is given back


class Places:
    """How many pieces of each kind of work run at once on one shard: a slow kind takes no other's.

    A kind that has no room for a whole claim is busy, and nothing of it is claimed: what is claimed begins at once.
    """

    def __init__(self) -> None:
        self._taken = Counter[str]()
        self.left = asyncio.Event()

    @property
    def busy(self) -> tuple[str, ...]:
        """The kinds of which nothing is to be claimed."""
        return tuple(sorted(kind for kind, taken in self._taken.items() if taken > _PLACES - _CLAIMED))

    def enter(self, kind: str) -> None:
        """One more runs."""
        self._taken[kind] += 1

    def leave(self, kind: str) -> None:
        """One has ended."""
        self._taken[kind] -= 1
        self.left.set()


class Worker:
    """One process's loops over all shards."""

    def __init__(self, context: Context) -> None:
        self._context, self._settings = context, context.settings
        self._stopping = asyncio.Event()
        self._places: dict[int, Places] = {}
        self._deliverers: dict[int, Deliverer] = {}
        self._running: dict[asyncio.Task[None], tuple[int, Due]] = {}
        self._away_since_s: float | None = None  # monotonic
        self._loops, self._readiness = context.once(Loops), Readiness(context)

    def stop(self) -> None:
        """Lets every loop end after its present step, and work that has begun, if that does not take long."""
        self._stopping.set()
        self._context.stopping = True

    async def run(self) -> None:
        """Runs until `stop`. Shards that come later are found within a minute."""
        await self._readiness.checked()
        loop = self._loops.add("shards")
        async with asyncio.TaskGroup() as self._group:
            while not self._stopping.is_set():
                with loop:
                    shards = await self._shards()
                    for shard in shards:
                        if shard not in self._places:
                            self._begin(shard)
                pause_s = _LOOK_EVERY_S if shards else _PAUSE_AFTER_ERROR_S
                loop.rests(pause_s)
                await self._pause(pause_s)
            await self._end_jobs()

    def _begin(self, shard: int) -> None:
        if not self._places:
            self._group.create_task(self._loop(self._tidy, 0))
            self._group.create_task(Watch(self._context, tuple(JOBS)).run(self._stopping))
            self._group.create_task(self._readiness.turned())
        self._places[shard] = Places()
        self._deliverers[shard] = Deliverer(self._context, shard)
        for step in (self._due, self._project, self._fan_out, self._prune, self._drop_files, self._watch):
            self._group.create_task(self._loop(step, shard))
        self._group.create_task(self._deliverers[shard].run(self._stopping))

    async def _shards(self) -> list[int]:
        try:
            return [row[0] for row in await self._context.rows(SQL["shards"])]
        except Exception as error:
            log.warning("the database does not answer yet: %s", error)
            return []

    async def _loop(self, step: Callable[[int], Awaitable[float]], shard: int) -> None:
        failed, name = 0, step.__name__.removeprefix("_")
        loop = self._loops.add(f"{name} of shard {shard}", beyond_s=_LATER_S.get(name, 0.0))
        while not self._stopping.is_set():
            try:
                with loop:
                    pause_s = await step(shard)
                failed = 0
                self._answers()
            except Exception as error:
                self._failed(name, error)
                pause_s = min(_PAUSE_AFTER_ERROR_S * 2**failed, _PAUSE_AFTER_ERRORS_S)
                failed += 1
            loop.rests(pause_s)
            await self._pause(pause_s)

    def _failed(self, step: str, error: Exception) -> None:
        """One line for a database that is away, whatever waits for it meanwhile; all else is said as often as it is."""
        if is_away(error):
            if self._away_since_s is None:
                self._away_since_s = monotonic()
                log.warning("the database is away, everything waits for it: %s: %s", step, " ".join(str(error).split()))
        elif isinstance(error, CaudalError):
            log.warning("%s: %s", step, error)
        else:
            log.error("%s broke", step, exc_info=error)

    def _answers(self) -> None:
        if self._away_since_s is not None:
            log.info("the database answers again, after %.1f s", monotonic() - self._away_since_s)
            self._away_since_s = None

    async def _pause(self, pause_s: float) -> None:
        if pause_s > 0:
            with suppress(TimeoutError):
                async with asyncio.timeout(pause_s):
                    await self._stopping.wait()

    async def _due(self, shard: int) -> float:
        """Claims what is due and lets it run. Looks without a lock first: an idle shard costs one probe of an index."""
        places = self._places[shard]
        places.left.clear()
        busy, asked_s = places.busy, monotonic()
        if await self._context.row(SQL["anything_due"], (shard, list(busy))) is None:
            if not busy:
                return self._settings.worker_poll_s
            with suppress(TimeoutError):
                async with asyncio.timeout(self._settings.worker_poll_s):
                    await places.left.wait()
            return 0.0
        claim = ClaimDue(lease_s=self._settings.lease_s, limit=_CLAIMED, without=busy)
        claimed: tuple[Due, ...] = (await self._context.commit(shard, claim)).outcome
        if monotonic() - asked_s > self._settings.lease_s:
            log.warning("a claim took longer than its lease: %d pieces are left to whoever has them now", len(claimed))
            return 0.0
        if self._stopping.is_set():
            await self._give_back(shard, claimed)
            return 0.0
        for due in claimed:
            places.enter(due.kind)
            task = self._group.create_task(self._one(shard, due))
            self._running[task] = shard, due
            task.add_done_callback(self._running.pop)
        return 0.0 if len(claimed) == _CLAIMED else self._settings.worker_poll_s

    async def _end_jobs(self) -> None:
        """Waits for the work that runs, not for long, and gives back what has not ended: another worker has it then."""
        until = monotonic() + min(LAST_JOBS_S, self._settings.stop_s / 3)
        while self._running and monotonic() < until:
            await asyncio.wait(self._running, timeout=until - monotonic())
        held = dict(self._running)
        for task in held:
            task.cancel()
        for shard in {shard for shard, _ in held.values()}:
            await self._give_back(shard, tuple(due for of, due in held.values() if of == shard))

    async def _give_back(self, shard: int, pieces: tuple[Due, ...]) -> None:
        try:
            given = await self._context.commit(shard, GiveBack(held=pieces))
            log.info("gave back %d of %d pieces of work that had not ended", given.outcome, len(pieces))
        except CaudalError as error:
            log.warning("%d pieces of work stay held until their lease ends: %s", len(pieces), error)

    async def _one(self, shard: int, due: Due) -> None:
        try:
            await run_job(self._context, shard, due, JOBS)
        finally:
            self._places[shard].leave(due.kind)

    async def _project(self, shard: int) -> float:
        """One step of every projection, at no more than its share of a core: the payment path goes first."""
        started, moved = monotonic(), 0
        for projection in PROJECTIONS:
            moved += await projection(self._context, shard)
        if not moved:
            return self._settings.worker_poll_s
        return (monotonic() - started) * (1 / self._settings.worker_share - 1)

    async def _fan_out(self, shard: int) -> float:
        """The next events to their endpoints; what delivers here looks at once."""
        if not await fan_out(self._context, shard):
            return self._settings.worker_poll_s
        self._deliverers[shard].wake()
        return 0.0

    async def _prune(self, shard: int) -> float:
        return _PRUNE_PAUSE_S if await prune_batches(self._context, shard) == PRUNED_MAX else _TIDY_EVERY_S

    async def _drop_files(self, shard: int) -> float:
        dropped = await drop_unused_files(self._context, shard)
        if dropped:
            log.info("dropped %d files that never became evidence", dropped)
        return _TIDY_EVERY_S

    async def _watch(self, _: int) -> float:
        """Says once a minute that something has no outcome, as long as that is so."""
        found = await overdue(self._context)
        if found.count:
            told = {"count": found.count, "oldest_s": found.oldest_s}
            log.warning("%d outcomes are unknown, the oldest for %d s", found.count, found.oldest_s, extra=told)
        return _LOOK_EVERY_S

    async def _tidy(self, _: int) -> float:
        try:
            done, whole = await tidy(self._context)
        except psycopg.Error as error:
            log.warning("partitions: %s", error)
            return _TIDY_AGAIN_S
        if done:
            log.info("partitions: %s", ", ".join(done))
        return _TIDY_EVERY_S if whole else _TIDY_AGAIN_S


async def _serve(settings: Settings) -> None:
    context = Context(settings, name="worker")
    worker = Worker(context)
    loop = asyncio.get_running_loop()

    def asked(number: int) -> None:
        """The first signal asks, the second does not."""
        if context.stopping:
            os._exit(128 + number)
        worker.stop()
        loop.call_later(settings.stop_s, give_up)

    def give_up() -> None:
        log.error("what had not ended within %g s is broken off", settings.stop_s)
        os._exit(1)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, asked, number)
    async with exported(context), context, inside(context), OperatorPort(context).open():
        await watch(context)
        log.info("worker runs")
        await worker.run()


def serve(settings: Settings) -> None:
    """Runs the worker until SIGTERM or SIGINT."""
    # What lives for long is not looked at again for cycles, of which a piece of work leaves none.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    uvloop.run(_serve(settings))
