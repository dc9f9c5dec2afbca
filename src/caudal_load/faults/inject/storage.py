"""What PostgreSQL writes to fails: no room on the file system, or an fsync that says EIO."""

import asyncio
import contextlib
import ctypes
import signal
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import psycopg

from caudal_load.faults.inject.processes import backends
from caudal_load.faults.inject.seen import EVIDENCE_S, Seen, Tail, until
from caudal_load.faults.model import BadFaults, Fault

if TYPE_CHECKING:
    from caudal_load.faults.world import Whole

_FULL = "No space left on device"
_SWITCHES = 200
_ATTACHED_S = 5.0
_AGAIN_S = 0.2
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
_WRITERS = {
    "wal": """
        select pid from pg_stat_activity
        where backend_type = 'walwriter' or application_name like 'caudal-%' order by pid""",
    "data": "select pid from pg_stat_activity where backend_type = 'checkpointer'",
}


@contextlib.asynccontextmanager
async def full_disk(world: "Whole", fault: Fault, seen: Seen) -> AsyncIterator[None]:
    """Leave no room, and make some at the end."""
    if world.disks is None:
        raise BadFaults("the world was started without disks that can be filled")
    log = Tail(world.directory / "var" / "log" / "postgres.log")
    await world.disks.fill(fault.target)
    using_up = asyncio.create_task(_use_up_the_log(world.database_url)) if fault.target == "wal" else None
    try:
        yield
        await until(lambda: log.count(_FULL) > 0, EVIDENCE_S)
    finally:
        if using_up is not None:
            using_up.cancel()
            await asyncio.wait({using_up})
        await world.disks.make_room(fault.target)
    if number := log.count(_FULL):
        seen.text = f"PostgreSQL's log says {number} times: {_FULL}"


async def _use_up_the_log(database_url: str) -> None:
    """Segments that are kept for reuse are room, too: use them up."""
    with contextlib.suppress(psycopg.Error):
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as asking:
            for _ in range(_SWITCHES):
                await asking.execute("select pg_switch_wal()")
                await asking.execute("select pg_log_standby_snapshot()")  # or the next switch finds nothing to do


@contextlib.asynccontextmanager
async def failing_fsync(world: "Whole", fault: Fault, seen: Seen) -> AsyncIterator[None]:
    """Let strace answer EIO in the kernel's place, until the end or the first time that it does."""
    pids: list[int] = []

    async def are_there() -> bool:
        pids[:] = await backends(world, _WRITERS[fault.target])
        return bool(pids)

    if not await until(are_there, EVIDENCE_S * 3):
        raise BadFaults(f"PostgreSQL does not answer, so its fsync cannot fail: see {world.logs}")
    told, out = world.logs / "strace.log", world.logs / f"strace-{fault.at_s:g}.txt"
    inject, attached = "inject=fsync,fdatasync:error=EIO", Tail(told)
    with told.open("ab") as log:
        tracing = await asyncio.create_subprocess_exec(
            *("strace", "-o", str(out), "-e", "trace=fsync,fdatasync", "-e", inject),
            *(word for pid in pids for word in ("-p", str(pid))),
            stdout=log,
            stderr=log,
            start_new_session=True,
            preexec_fn=_end_with_us,
        )
    await until(lambda: attached.count("attached") >= len(pids) or tracing.returncode is not None, _ATTACHED_S)
    checkpoint = asyncio.create_task(_checkpoint(world.database_url)) if fault.target == "data" else None
    try:
        yield
        await until(lambda: out.exists() and "(INJECTED)" in out.read_text(), EVIDENCE_S)
    finally:
        with contextlib.suppress(ProcessLookupError):
            tracing.send_signal(signal.SIGINT)
        await tracing.wait()
        if checkpoint is not None:
            checkpoint.cancel()
            await asyncio.wait({checkpoint})
    if number := out.read_text().count("(INJECTED)"):
        seen.text = f"strace answered EIO to {number} calls of fsync"


async def _checkpoint(database_url: str) -> None:
    """What has been written is flushed now, and again, until PostgreSQL cannot any more."""
    with contextlib.suppress(psycopg.Error):
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as asking:
            while True:
                await asking.execute("checkpoint")
                await asyncio.sleep(_AGAIN_S)


def _end_with_us() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM))
