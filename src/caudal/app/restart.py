"""`caudal restart`: the API processes and the workers of a `caudal up` are replaced, one after the other.

SIGUSR1 asks for it. Each new process is ready before the one that was there is asked to end, and that one ends in
order, so that nobody is refused. PostgreSQL and the sandbox go on as they are.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from caudal.app import state
from caudal.app.children import PATIENCE_S, READY_S, Children, Service
from caudal.app.state import Ready, UpError
from caudal.kernel.settings import Settings

_LOOK_S: Final = 0.05


def var_of(settings: Settings) -> Path:
    """Where this caudal keeps what it has."""
    return Path(settings.var).absolute()


def is_replaced(name: str) -> bool:
    """Whether a restart is about this process: an API process or a worker."""
    return name.partition("-")[0] in ("web", "worker")


class Asked:
    """Whether somebody has asked for a restart; from the moment at which `caudal up` can hear it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, self._event.set)

    async def keep(self, children: Children, services: Sequence[Service], say: Callable[[str], None]) -> None:
        """Restarts as often as somebody asks."""
        while True:
            await self._event.wait()
            self._event.clear()
            try:
                for service in services:
                    if is_replaced(service.name):
                        await children.replace(service)
                        say(f"{service.name} is another process now: {children.pids[service.name]}")
            except UpError as error:
                say(f"caudal: {error}; what was there goes on")


async def restart(settings: Settings, *, say: Callable[[str], None]) -> int:
    """Asks the `caudal up` of this directory for a restart and waits for its end. Returns the exit status."""
    var = var_of(settings)
    before = state.read_ready(var)
    if before is None or before.pid != state.holder(var):
        say(f"caudal: nothing is up in {var}")
        return 1
    wanted = {name for name in before.processes if is_replaced(name)}
    os.kill(before.pid, signal.SIGUSR1)
    clock = asyncio.get_running_loop().time
    until = clock() + (READY_S + PATIENCE_S) * len(wanted)
    while clock() < until:
        await asyncio.sleep(_LOOK_S)
        now = state.read_ready(var)
        if now is None:
            break
        if not (left := _left(wanted, before, now)):
            say(f"restarted {', '.join(sorted(wanted))}")
            return 0
    say(f"caudal: not restarted: {', '.join(sorted(left))}" if now else "caudal: it is not up any more")
    return 1


def _left(wanted: set[str], before: Ready, now: Ready) -> set[str]:
    """Which are still, or still beside their successors, the processes that they were."""
    former = {name: before.processes[name] for name in wanted}
    return {name for name, pid in former.items() if now.processes.get(name) == pid or Path(f"/proc/{pid}").exists()}
