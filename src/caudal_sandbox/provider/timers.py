"""Runs what happens by itself: expiries, payers who pay or dispute alone, refunds that end, time for evidence.

The books are the truth here too: a restart runs what is overdue.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from contextlib import suppress

from caudal_sandbox import clock
from caudal_sandbox.journal import Journal
from caudal_sandbox.provider import books

IDLE_S = 1.0
BATCH_MAX = 200

log = logging.getLogger(__name__)


class Timers:
    """Runs from `start` to `stop`; `run_due` is the step that runs what is due, and `told` is called after it."""

    def __init__(
        self, journal: Journal, run_due: Callable[[sqlite3.Connection, int], int], told: Callable[[], None]
    ) -> None:
        self._journal = journal
        self._run_due = run_due
        self._told = told
        self._sooner = asyncio.Event()
        self._next_ms = 0
        self._running: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, with what has become due meanwhile."""
        self._running = asyncio.create_task(self._run())

    def wake(self, at_ms: int | None) -> None:
        """Tell that something will happen at a moment; None: nothing new will."""
        if at_ms is not None and at_ms < self._next_ms:
            self._sooner.set()

    async def stop(self) -> None:
        """Let nothing more happen."""
        if self._running is None:
            return
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running

    async def _run(self) -> None:
        while True:
            self._sooner.clear()
            try:
                pause_s = await self._run_what_is_due()
            except Exception:
                log.exception("what is due cannot be done; trying again")
                pause_s = IDLE_S
            with suppress(TimeoutError):
                await asyncio.wait_for(self._sooner.wait(), pause_s)

    async def _run_what_is_due(self) -> float:
        """Run what is due; return for how many seconds nothing else will be."""
        # Until the moment is known, whatever is told counts as sooner.
        self._next_ms = 1 << 62
        next_ms = self._journal.glance(books.next_moment)
        now_ms = clock.now_ms()
        if next_ms is not None and next_ms <= now_ms:
            await self._journal.write(lambda rows: self._run_due(rows, now_ms))
            self._told()
            return 0
        self._next_ms = min(next_ms or 1 << 62, now_ms + int(IDLE_S * 1000))
        return (self._next_ms - now_ms) / 1000
