"""kill -9 of one process after the other at seeded moments, while requests are in flight."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import aiohttp
import psycopg

from tests.faults.restless import Restless, is_answered, is_served, kill, until
from tests.faults.traffic import IN_FLIGHT, Traffic

KINDS = ("web", "worker", "sandbox", "postgres")
PAUSE_S = (0.02, 0.3)  # between two kills, at random
PAYING = 3
BACK_S = 20.0
WRITING_S = 0.05
LEASES = "select count(*) from due where attempt > 0 and at > clock_timestamp()"
WORKER = "select 1 from pg_stat_activity where application_name = 'caudal-worker'"
BACKENDS = "select pid from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"


class Killer:
    """Kills, and keeps count. `leases` are pieces of work that a killed worker held and could not end."""

    def __init__(self, whole: Restless, traffic: Traffic, session: aiohttp.ClientSession, seed: int) -> None:
        self._whole, self._traffic, self._session, self._random = whole, traffic, session, random.Random(seed)
        self._killed: dict[str, int] = {}
        self.kills, self.leases = Counter[str](), 0
        self.least_in_flight: dict[str, int] = {}

    async def round(self) -> None:
        """Each kind once, in a random order."""
        for kind in self._random.sample(KINDS, len(KINDS)):
            await self._until_back(kind)
            await asyncio.sleep(self._random.uniform(*PAUSE_S))
            await self._until_busy(kind)
            await self._kill(kind)
            if kind in ("web", "postgres"):  # while one of these is away, requests wait or are refused
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
        pid, nth = self._whole.pid_of(kind), self.kills[kind]
        in_flight = self._traffic.in_flight
        self.least_in_flight[kind] = min(self.least_in_flight.get(kind, in_flight), in_flight)
        if kind in ("web", "postgres"):
            self._traffic.history.phase = kind
        self._killed[kind], self.kills[kind] = pid, nth + 1
        if kind == "postgres" and nth % 4 == 1:
            self._killed[kind] = await self._kill_backend()
        elif kind == "postgres" and nth % 4 == 3:
            await self._kill_in_a_batch(pid)
        else:
            kill(pid)
        if kind == "worker":
            self.leases += await self._count_leases()

    async def _kill_backend(self) -> int:
        """One of the server's processes, that of a session of web or worker. The postmaster then restarts them all."""
        async with await psycopg.AsyncConnection.connect(self._whole.database_url, autocommit=True) as asking:
            found = await (await asking.execute(BACKENDS)).fetchall()
        pid = int(self._random.choice(found)[0])
        kill(pid)
        return pid

    async def _kill_in_a_batch(self, pid: int) -> None:
        """Holds the table that a batch writes last, so that one is surely being written: its outcome is unknown."""
        connection = await psycopg.AsyncConnection.connect(self._whole.database_url)
        try:
            await connection.execute("lock table batch in share mode")
            await asyncio.sleep(WRITING_S)
        finally:
            kill(pid)
            connection.pgconn.finish()

    async def _count_leases(self) -> int:
        async with await psycopg.AsyncConnection.connect(self._whole.database_url, autocommit=True) as asking:
            found = await (await asking.execute(LEASES)).fetchone()
        assert found is not None
        return int(found[0])

    async def _until_back(self, kind: str) -> None:
        async def is_back() -> bool:
            return self._whole.pid_of(kind) != self._killed.get(kind) and await self._is_healthy(kind)

        await until(is_back, lambda: f"{kind} is back{self._state}", BACK_S)

    async def _is_healthy(self, kind: str) -> bool:
        if kind == "sandbox":
            return await is_answered(self._session, f"{self._whole.sandbox_url}/livez")
        if kind == "worker":
            return await is_served(self._whole.database_url, WORKER)
        return await is_answered(self._session, f"{self._whole.api_url}/readyz")  # asks the database too
