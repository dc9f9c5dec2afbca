"""Connections run out: all of PostgreSQL's are somebody else's, or all of a process's own wait for a lock."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import aiohttp
import psycopg

from caudal_load.faults.inject.seen import EVIDENCE_S, Seen, Tail, until
from caudal_load.faults.model import Fault

if TYPE_CHECKING:
    from caudal_load.faults.world import Whole

READERS = 4
"""So many connections has the pool of one API process, for what it reads."""
_REFUSED = ("too many clients already", "remaining connection slots are reserved")
_AT_ONCE = 16
_AGAIN_S = 0.02
_END_SOME = """
    select pg_terminate_backend(pid) from (
        select pid, row_number() over (order by pid) as number from pg_stat_activity
        where application_name like 'caudal-%') sessions where number % 2 = 0"""
# Read for operators alone, and written when one of them does something.
_LOCK = "lock table audit in access exclusive mode"
_READ = "/v1/operator/audit?limit=1"
_WAITING = """
    select count(*) from pg_locks l join pg_stat_activity a using (pid)
    where l.relation = 'audit'::regclass and not l.granted and a.application_name like 'caudal-%'"""


@contextlib.asynccontextmanager
async def taken(world: "Whole", fault: Fault, seen: Seen) -> AsyncIterator[None]:
    """Take what there is, and give it back at the end."""
    injector = _all_of_the_servers if fault.target == "server" else _a_pool
    async with injector(world, seen):
        yield


@contextlib.asynccontextmanager
async def _all_of_the_servers(world: "Whole", seen: Seen) -> AsyncIterator[None]:
    log, held, own = Tail(world.directory / "var" / "log" / "postgres.log"), list[psycopg.AsyncConnection](), [0]

    async def take() -> bool:
        try:
            held.append(await psycopg.AsyncConnection.connect(world.database_url, autocommit=True))
        except psycopg.OperationalError:
            own[0] += 1
            return False
        return True

    async def go_on() -> None:
        while True:
            if not await take():
                await asyncio.sleep(_AGAIN_S)

    await asyncio.gather(*(_while_it_works(take) for _ in range(_AT_ONCE)))
    taking = [asyncio.create_task(go_on()) for _ in range(2)]
    try:
        for connection in held[:1]:
            with contextlib.suppress(psycopg.Error):
                await connection.execute(_END_SOME.encode())
        yield
        await until(lambda: log.count(*_REFUSED) > own[0] + len(taking), EVIDENCE_S)
    finally:
        for task in taking:
            task.cancel()
        await asyncio.wait(taking)
        for connection in held:
            await connection.close()
    if (others := log.count(*_REFUSED) - own[0] - len(taking)) > 0:
        seen.text = f"with {len(held)} connections taken, {others} of caudal's were refused"


async def _while_it_works(take: Callable[[], Awaitable[bool]]) -> None:
    while await take():
        pass


@contextlib.asynccontextmanager
async def _a_pool(world: "Whole", seen: Seen) -> AsyncIterator[None]:
    """Operators' reads wait for a lock, more of them than each API process has connections to read on."""
    most = [0]
    reading = [asyncio.create_task(_read(world, url)) for url in world.api_urls for _ in range(2 * READERS)]
    locking = asyncio.create_task(_lock(world.database_url, most))
    try:
        yield
        await until(lambda: most[0] >= READERS, EVIDENCE_S, every_s=0.05)
    finally:
        for task in (locking, *reading):
            task.cancel()
        await asyncio.wait([locking, *reading])
    if most[0] >= READERS:
        seen.text = f"{most[0]} reads waited at once, and a pool has {READERS} connections"


async def _lock(database_url: str, most: list[int]) -> None:
    """Keep the lock, and count who waits for it; again, where the database went away meanwhile."""
    while True:
        with contextlib.suppress(psycopg.Error):
            async with await psycopg.AsyncConnection.connect(database_url) as locking:
                await locking.execute(_LOCK.encode())
                while True:
                    [[waiting]] = await (await locking.execute(_WAITING.encode())).fetchall()
                    most[0] = max(most[0], int(waiting))
                    await asyncio.sleep(0.05)
        await asyncio.sleep(_AGAIN_S)


async def _read(world: "Whole", url: str) -> None:
    headers = {"Authorization": f"Bearer {world.operator_key}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        while True:
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with session.get(url + _READ) as answer:
                    await answer.read()
            await asyncio.sleep(_AGAIN_S)
