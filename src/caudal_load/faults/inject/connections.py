"""Connections run out: all of PostgreSQL's are somebody else's, or all of a process's own wait for a lock."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

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
# What is read before a card is charged; and events, of which this partition is empty: what is written goes elsewhere.
_LOCK = "lock table instrument, event_default in access exclusive mode"
_WAITING = """
    select count(*) from pg_locks l join pg_stat_activity a using (pid)
    where l.relation in ('instrument'::regclass, 'event_default'::regclass) and not l.granted
        and a.application_name like 'caudal-%'"""


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
    most = 0
    async with await psycopg.AsyncConnection.connect(world.database_url) as locking:
        await locking.execute(_LOCK.encode())

        async def are_held() -> bool:
            nonlocal most
            [[waiting]] = await (await locking.execute(_WAITING.encode())).fetchall()
            most = max(most, int(waiting))
            return most >= READERS

        yield
        await until(are_held, EVIDENCE_S, every_s=0.05)
        await locking.rollback()
    if most >= READERS:
        seen.text = f"{most} reads waited at once, and a pool has {READERS} connections"
