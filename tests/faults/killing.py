"""kill -9 of one process after the other at seeded moments, while requests are in flight."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from typing import Any

import aiohttp
import psycopg

from tests.faults.restless import Restless, is_healthy, kill, until
from tests.faults.traffic import IN_FLIGHT, Traffic

# `backend` is one session's process of the server, whose postmaster then restarts all the others.
KINDS = ("web", "worker", "sandbox", "postgres", "backend")
BACKEND_EVERY = 4  # rounds
PAUSE_S = (0.01, 0.15)  # between the press and the kill, at random: a request takes a tenth of a second
PAYING = 3
BACK_S = 60.0
WRITING_S = 0.05
BACKENDS = "select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
BEGAN = "select coalesce(min(backend_start), now()) from pg_stat_activity where application_name = 'caudal-worker'"
# Under a lease of a second (doubled with each attempt) that was taken since this worker came.
LEASED = """
    select subject::text from due
    where attempt > 0 and at > clock_timestamp() and at - interval '1 s' * 2 ^ least(attempt - 1, 6) >= %s"""
GIVEN_UP = re.compile(r"of ([0-9a-f-]{36}) (?:did not end|broke)")


class Killer:
    """Kills, and keeps count. `held` are pieces of work that a killed worker had under way."""

    def __init__(self, whole: Restless, traffic: Traffic, session: aiohttp.ClientSession, seed: int) -> None:
        self._whole, self._traffic, self._session, self._random = whole, traffic, session, random.Random(seed)
        self._killed: dict[str, int] = {}
        self._read_to = 0  # of the worker's log
        self.kills, self.held, self._rounds = Counter[str](), 0, 0
        self.least_in_flight: dict[str, int] = {}

    async def round(self) -> None:
        """Each kind once, in a random order; a backend in some of the rounds."""
        self._rounds += 1
        kinds = KINDS if self._rounds % BACKEND_EVERY == 0 else KINDS[:-1]
        for kind in self._random.sample(kinds, len(kinds)):
            await self._until_back(kind)
            self._traffic.press()
            await asyncio.sleep(self._random.uniform(*PAUSE_S))
            await self._kill(kind)
            self._traffic.ease()
            if kind in ("web", "postgres", "backend"):  # while one of these is away, requests wait or are refused
                await self._until_back(kind)

    async def heal(self) -> None:
        """Waits until everything is back."""
        for kind in KINDS:
            await self._until_back(kind)

    async def _until_busy(self, kind: str) -> None:
        """So many requests to the API are in flight; for the bank's death, transfers as well."""
        least = PAYING if kind == "sandbox" else 0

        async def is_busy() -> bool:
            return self._traffic.in_flight >= IN_FLIGHT and self._traffic.paying >= least

        await until(is_busy, lambda: f"{IN_FLIGHT} requests are in flight{self._state}", BACK_S, every_s=0.001)

    @property
    def _state(self) -> str:
        """What to look at when something is stuck."""
        traffic = self._traffic
        at = f"{traffic.in_flight} in flight, {traffic.paying} paying, {dict(traffic.history.counts)}"
        return f": {at}\n{self._whole.log[-3000:]}"

    async def _kill(self, kind: str) -> None:
        pid = self._whole.pid_of("postgres" if kind == "backend" else kind)
        if kind == "worker":
            await self._kill_worker(pid)
        elif kind == "backend":
            await self._kill_backend()
        elif kind == "postgres" and self.kills[kind] % 2 == 1:
            await self._kill_in_a_batch(pid)
        else:
            await self._until_busy(kind)
            self._kill_now(kind, pid)

    def _kill_now(self, kind: str, pid: int) -> None:
        """Notes what is in flight at this very moment."""
        in_flight = self._traffic.in_flight
        kill(pid)
        self.least_in_flight[kind] = min(self.least_in_flight.get(kind, in_flight), in_flight)
        if kind in ("web", "postgres", "backend"):
            self._traffic.history.phase = kind
        self._killed[kind] = pid
        self.kills[kind] += 1

    async def _kill_worker(self, pid: int) -> None:
        """While it has work under way; how much, is looked for afterwards, when nobody can end it any more."""
        async with await psycopg.AsyncConnection.connect(self._whole.database_url, autocommit=True) as asking:
            [[began]] = await (await asking.execute(BEGAN)).fetchall()

            async def holds() -> bool:
                return bool(await self._held(asking, began)) and self._traffic.in_flight >= IN_FLIGHT

            await until(holds, lambda: f"the worker has work under way{self._state}", BACK_S, every_s=0.003)
            self._kill_now("worker", pid)
            self.held += len(await self._held(asking, began))
        self._read_to = len(self._worker_log())

    async def _held(self, asking: psycopg.AsyncConnection[Any], began: object) -> set[str]:
        """What is under a lease of this worker's, less all that it has given up and that waits to be tried again."""
        leased = {subject for (subject,) in await (await asking.execute(LEASED, (began,))).fetchall()}
        return leased - set(GIVEN_UP.findall(self._worker_log()[self._read_to :])) if leased else leased

    def _worker_log(self) -> str:
        return (self._whole.var / "log" / "worker.log").read_text(errors="replace")

    async def _kill_backend(self) -> None:
        """One of the server's processes, that of a session of web or worker."""
        async with await psycopg.AsyncConnection.connect(self._whole.database_url, autocommit=True) as asking:
            found = await (await asking.execute(BACKENDS)).fetchall()
        await self._until_busy("backend")
        self._kill_now("backend", int(self._random.choice(found)[0]))

    async def _kill_in_a_batch(self, pid: int) -> None:
        """Holds the table that a batch writes last, so that one is surely being written: its outcome is unknown."""
        connection = await psycopg.AsyncConnection.connect(self._whole.database_url)
        try:
            await connection.execute("lock table batch in share mode")
            await asyncio.sleep(WRITING_S)
            await self._until_busy("postgres")
        finally:
            self._kill_now("postgres", pid)
            connection.pgconn.finish()

    async def _until_back(self, kind: str) -> None:
        async def is_back() -> bool:
            now = self._whole.pid_of("postgres" if kind == "backend" else kind)
            return now != self._killed.get(kind) and await is_healthy(self._whole, self._session, kind)

        await until(is_back, lambda: f"{kind} is back{self._state}", BACK_S)
