"""Delivers callbacks out of the outbox, until caudal has answered each.

The outbox is the truth; what is in memory is only what is on its way. So a restart goes on where kill -9 stopped:
a callback whose answer was not recorded is sent again, as a bank does, and caudal must know it by its key or id.
Callbacks of one lane (a transfer, a payment) follow each other; lanes travel side by side, up to a limit. When
nobody answers at all, one callback at a time asks whether caudal is back, so that a long outbox costs nothing.
"""

import asyncio
import logging
import random
import sqlite3
import time
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from caudal_sandbox import clock
from caudal_sandbox.carrier import Carrier, NoAnswer
from caudal_sandbox.delivery import ANSWER_MAX, Letter, Outcome, backoff_ms, judge
from caudal_sandbox.journal import Journal

DEADLINE_S = 5.0
KEPT_S = 3.0
IDLE_S = 1.0
FAREWELL_S = 2.0
GATHER_S = 0.003

log = logging.getLogger(__name__)


L = TypeVar("L", bound=Letter)


class Outbox(Protocol[L]):
    """What a courier delivers: rows of some books, and how each is put on the wire."""

    def next_due(self, books: sqlite3.Connection, limit: int) -> list[L]:
        """List the waiting letters that are due first, due already or not, at most one a lane."""

    def record_outcome(self, books: sqlite3.Connection, sent: L, outcome: Outcome) -> None:
        """Record what became of an attempt."""

    def request(self, letter: L, now_s: int) -> tuple[str, bytes, dict[str, str]]:
        """Build path, body and headers."""


class Courier(Generic[L]):
    """Runs from `start` to `stop`; `wake` tells it that the outbox has something new."""

    def __init__(self, journal: Journal, outbox: Outbox[L], caudal_url: str, concurrency: int) -> None:
        self._journal = journal
        self._outbox = outbox
        # Shorter than the keep-alive of any server, or a callback now and then would meet a closing connection.
        self._carrier = Carrier(caudal_url, kept_s=KEPT_S)
        self._concurrency = concurrency
        self._new = asyncio.Event()
        self._travelling: dict[int, asyncio.Task[None]] = {}
        self._unreached = 0
        self._quiet_until_s = 0.0

    async def start(self) -> None:
        """Begin to deliver, with what the last run left."""
        self._running = asyncio.create_task(self._run())

    def wake(self) -> None:
        """Look into the outbox now."""
        self._new.set()

    async def stop(self) -> None:
        """Send nothing more, give what is on its way a moment, and end."""
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running
        if self._travelling:
            _, late = await asyncio.wait(self._travelling.values(), timeout=FAREWELL_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        self._carrier.close()

    async def _run(self) -> None:
        while True:
            self._new.clear()
            try:
                pause_s = await self._send_due()
            except Exception:
                log.exception("the outbox cannot be read; trying again")
                pause_s = IDLE_S
            with suppress(TimeoutError):
                await asyncio.wait_for(self._new.wait(), pause_s)
            if self._travelling:
                # Those that arrive together make room together: one look into the outbox serves them all.
                await asyncio.sleep(GATHER_S)

    async def _send_due(self) -> float:
        """Send what is due and may travel; return for how many seconds nothing else will be."""
        quiet_s = self._quiet_until_s - time.monotonic()
        if quiet_s > 0:
            return quiet_s
        room = (1 if self._unreached else self._concurrency) - len(self._travelling)
        if room <= 0:
            return IDLE_S
        # What was on its way when the read began may have ended since: its row is stale, so it waits for the next look.
        travelled = set(self._travelling)
        limit = room + len(travelled) + 1
        first = self._journal.glance(lambda rows: self._outbox.next_due(rows, limit))
        now_ms = clock.now_ms()
        for letter in first:
            if letter.lane in travelled:
                continue
            assert letter.next_attempt_ms is not None
            wait_s = (letter.next_attempt_ms - now_ms) / 1000
            if wait_s > 0:
                return min(wait_s, IDLE_S)
            if room == 0:
                break
            room -= 1
            self._travelling[letter.lane] = asyncio.create_task(self._deliver(letter))
        return IDLE_S

    async def _deliver(self, letter: L) -> None:
        try:
            status, detail = await self._call(letter)
            outcome = judge(letter, status, detail, clock.now_ms(), random.random())
            await self._journal.write(lambda rows: self._outbox.record_outcome(rows, letter, outcome))
        except Exception:
            # The callback stays in the outbox; without the pause a full disk would make this loop spin.
            log.exception("the outcome of callback %d cannot be recorded", letter.lane)
            await asyncio.sleep(IDLE_S)
        finally:
            del self._travelling[letter.lane]
            self.wake()

    async def _call(self, letter: L) -> tuple[int | None, str]:
        path, body, headers = self._outbox.request(letter, int(time.time()))
        try:
            status, said = await self._carrier.post(path, body, headers, DEADLINE_S)
        except (NoAnswer, TimeoutError, OSError) as error:
            self._nobody_answered()
            return None, str(error) or type(error).__name__
        self._unreached = 0
        return status, said[:ANSWER_MAX].decode(errors="replace")

    def _nobody_answered(self) -> None:
        now_s = time.monotonic()
        # The callbacks that were on their way together fail together; that is one silence, not sixty-four.
        if now_s >= self._quiet_until_s:
            self._unreached += 1
            self._quiet_until_s = now_s + backoff_ms(self._unreached, random.random()) / 1000
