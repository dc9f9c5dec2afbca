"""The worker's process: runs what is due, delivers webhooks, keeps projections, looks after partitions.

Any number may run at once.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Final

import uvloop

from caudal.app.partitions import tidy
from caudal.kernel import sqlfile
from caudal.kernel.commit import Due
from caudal.kernel.context import Context
from caudal.kernel.due import CLAIM_MAX, ClaimDue, Job, run_job
from caudal.kernel.errors import CaudalError
from caudal.kernel.settings import Settings
from caudal.ledger import JOBS as LEDGER_JOBS
from caudal.payins import JOBS as PAYIN_JOBS
from caudal.payins import project_search
from caudal.settlement import JOBS as SETTLEMENT_JOBS
from caudal.vault import JOBS as VAULT_JOBS
from caudal.webhooks import JOBS as WEBHOOK_JOBS
from caudal.webhooks import Deliverer, fan_out

log = logging.getLogger(__name__)

SQL: Final = sqlfile.queries(Path(__file__).with_name("queries.sql"))
JOBS: Final[dict[str, Job]] = {**LEDGER_JOBS, **PAYIN_JOBS, **SETTLEMENT_JOBS, **VAULT_JOBS, **WEBHOOK_JOBS}
PROJECTIONS: Final[tuple[Callable[[Context, int], Awaitable[int]], ...]] = (project_search,)

_AT_ONCE: Final = 32
_TIDY_EVERY: Final = timedelta(hours=1)
_PAUSE_AFTER_ERROR_S: Final = 1.0


class Worker:
    """One process's loops over all shards."""

    def __init__(self, context: Context) -> None:
        self._context, self._settings = context, context.settings
        self._stopping = asyncio.Event()
        self._places = asyncio.Semaphore(_AT_ONCE)
        self._deliverers: dict[int, Deliverer] = {}

    def stop(self) -> None:
        """Lets every loop end after its present step; claimed work that has not begun is due again after its lease."""
        self._stopping.set()

    async def run(self) -> None:
        """Runs until `stop`."""
        shards = await self._shards()
        loops = [self._loop(self._due, shard) for shard in shards]
        loops += [self._loop(self._project, shard) for shard in shards]
        self._deliverers = {shard: Deliverer(self._context, shard) for shard in shards}
        loops += [self._loop(self._fan_out, shard) for shard in shards]
        loops += [deliverer.run(self._stopping) for deliverer in self._deliverers.values()]
        loops.append(self._loop(self._tidy, 0))
        await asyncio.gather(*loops)

    async def _shards(self) -> list[int]:
        while not self._stopping.is_set():
            try:
                return [row[0] for row in await self._context.rows(SQL["shards"])]
            except Exception as error:
                log.warning("the database does not answer yet: %s", error)
                await self._pause(_PAUSE_AFTER_ERROR_S)
        return []

    async def _loop(self, step: Callable[[int], Awaitable[float]], shard: int) -> None:
        while not self._stopping.is_set():
            try:
                pause_s = await step(shard)
            except CaudalError as error:
                log.warning("%s: %s", step.__name__, error)
                pause_s = _PAUSE_AFTER_ERROR_S
            except Exception:
                log.exception("%s broke", step.__name__)
                pause_s = _PAUSE_AFTER_ERROR_S
            await self._pause(pause_s)

    async def _pause(self, pause_s: float) -> None:
        if pause_s > 0:
            try:
                await asyncio.wait_for(self._stopping.wait(), pause_s)
            except TimeoutError:
                return

    async def _due(self, shard: int) -> float:
        """Claims what is due and runs it. Looks without a lock first: an idle shard costs one probe of an index."""
        if await self._context.row(SQL["anything_due"], (shard,)) is None:
            return self._settings.worker_poll_s
        result = await self._context.commit(shard, ClaimDue(lease_s=self._settings.lease_s))
        claimed = result.outcome
        await asyncio.gather(*(self._one(shard, due) for due in claimed))
        return 0.0 if len(claimed) == CLAIM_MAX else self._settings.worker_poll_s

    async def _one(self, shard: int, due: Due) -> None:
        async with self._places:
            if not self._stopping.is_set():
                await run_job(self._context, shard, due, JOBS)

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

    async def _tidy(self, _: int) -> float:
        done = await tidy(self._context, datetime.now(UTC))
        if done:
            log.info("partitions and old rows: %s", ", ".join(done))
        return _TIDY_EVERY.total_seconds()


async def _serve(settings: Settings) -> None:
    async with Context(settings, name="worker") as context:
        worker = Worker(context)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, worker.stop)
        log.info("worker runs")
        await worker.run()


def serve(settings: Settings) -> None:
    """Runs the worker until SIGTERM or SIGINT."""
    uvloop.run(_serve(settings))
