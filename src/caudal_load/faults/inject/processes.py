"""kill -9 and SIGSTOP of one process, while requests are in flight."""

import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg

from caudal_load.faults.inject.seen import Seen, until
from caudal_load.faults.model import BadFaults, Fault
from caudal_load.processes import is_running

if TYPE_CHECKING:
    from caudal_load.faults.world import Whole

FOUND_S = 20.0
BUSY_S = 5.0
GONE_S = 5.0
_BACKENDS = """
    select pid from pg_stat_activity
    where backend_type = 'client backend' and application_name like 'caudal-%' order by pid"""


@contextlib.asynccontextmanager
async def killed(world: "Whole", fault: Fault, seen: Seen) -> AsyncIterator[None]:
    """kill -9; whoever supervises the process starts it again."""
    pid = await target_of(world, fault)
    await until(lambda: world.in_flight() > 0, BUSY_S, every_s=0.001)
    in_flight = world.in_flight()
    os.kill(pid, signal.SIGKILL)
    yield
    if await until(lambda: not is_running(pid), GONE_S) and in_flight:
        seen.text = f"process {pid} was killed with {in_flight} requests in flight"


@contextlib.asynccontextmanager
async def paused(world: "Whole", fault: Fault, seen: Seen) -> AsyncIterator[None]:
    """SIGSTOP, and SIGCONT at the end."""
    pid = await target_of(world, fault)
    await until(lambda: world.in_flight() > 0, BUSY_S, every_s=0.001)
    os.kill(pid, signal.SIGSTOP)
    try:
        in_flight, is_stopped = world.in_flight(), await until(lambda: state(pid) == "T", 1.0, every_s=0.001)
        yield
        if in_flight and is_stopped and state(pid) == "T":
            seen.text = f"process {pid} stood still with {in_flight} requests in flight"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


async def target_of(world: "Whole", fault: Fault) -> int:
    """The process that a fault means; one that is being started is waited for. Raises BadFaults if none comes."""
    found: list[int] = []

    async def is_there() -> bool:
        found[:] = await backends(world) if fault.target == "backend" else world.processes().get(fault.target, [])
        return bool(found)

    if not await until(is_there, FOUND_S):
        raise BadFaults(f"no process {fault.target} runs, so it cannot be hit: see {world.logs}")
    return found[int(fault.parameters.get("which", 0)) % len(found)]


async def backends(world: "Whole", query: str = _BACKENDS) -> list[int]:
    """The process ids of caudal's sessions in PostgreSQL; none while it does not answer."""
    try:
        async with await psycopg.AsyncConnection.connect(
            world.database_url, autocommit=True, connect_timeout=2
        ) as asking:
            return [int(pid) for (pid,) in await (await asking.execute(query.encode())).fetchall()]
    except psycopg.Error:
        return []


def state(pid: int) -> str:
    """The letter of /proc/<pid>/stat; empty when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return ""
    return text[text.rindex(")") + 2]
