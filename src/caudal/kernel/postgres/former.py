"""The processes of a server: found by what they call themselves, and ended before a new server starts.

A killed postmaster leaves backends that end at their next wait, and they hold the shared memory until then.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from signal import SIGINT, SIGKILL, SIGQUIT, Signals
from typing import Final

from caudal.kernel.postgres.failures import ClusterError

POLL_S: Final = 0.02


def title(data: Path) -> str:
    """The cluster's name, which its processes carry: `postgres: <title>: checkpointer`."""
    return "caudal-" + hashlib.sha256(os.fsencode(data)).hexdigest()[:12]


def processes(data: Path) -> dict[int, bool]:
    """Every living process of this cluster's server, and whether it is the postmaster."""
    uid, found = data.stat().st_uid, {}
    child, own = f"postgres: {title(data)}: ".encode(), os.fsencode(data)
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            # Another user may call a process anything; only the server's user is believed.
            if folder.stat().st_uid != uid:
                continue
            command = (folder / "cmdline").read_bytes()
        except OSError:  # it ended, or is hidden from us
            continue
        words = command.split(b"\0")
        is_postmaster = words[0].endswith(b"/postgres") and words[1:3] == [b"-D", own]
        if is_postmaster or command.startswith(child):
            found[int(folder.name)] = is_postmaster
    return found


async def end_former(data: Path, say: Callable[[str], None]) -> None:
    """End a server that outlived whoever ran it (our lock says that nobody does), and remove its stale pid file.

    A whole server may shut down cleanly first. Backends without a postmaster only have to go: the log has it all.
    """
    if any(processes(data).values()):
        say("a former PostgreSQL is still running on this data: stopping it")
        await _signal_until_gone(data, SIGINT, 10.0)
    for number, patience_s in ((SIGQUIT, 6.0), (SIGKILL, 10.0)):
        await _signal_until_gone(data, number, patience_s)
    if processes(data):
        raise ClusterError(f"processes of a former PostgreSQL on {data} do not end: {sorted(processes(data))}")
    # Its number may be another program's by now, which would keep the new server from starting.
    (data / "postmaster.pid").unlink(missing_ok=True)


async def _signal_until_gone(data: Path, number: Signals, patience_s: float) -> None:
    deadline, told = time.monotonic() + patience_s, set[int]()
    while (living := processes(data)) and time.monotonic() < deadline:
        # A postmaster tells its children itself.
        heads = {pid for pid, is_postmaster in living.items() if is_postmaster} or set(living)
        if number is SIGKILL:
            heads = set(living)
        for pid in heads - told:
            told.add(pid)
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        await asyncio.sleep(POLL_S)
