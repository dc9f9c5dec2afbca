"""`caudal restart`: the API processes and the workers of a `caudal up` are replaced, one after the other.

SIGUSR1 asks for it, and up.json says what became of it. Each new process has said that it is ready before the one that
was there is asked to end, and that one ends in order, so that nobody is refused. One that is not ready in time is ended
instead, and no further one is tried. PostgreSQL and the sandbox go on as they are.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from caudal.app import state
from caudal.app.children import PATIENCE_S, READY_S, Children, Service
from caudal.app.state import Ready, Restarted, UpError, UpJson
from caudal.kernel.settings import Settings

_LOOK_S: Final = 0.05
log = logging.getLogger(__name__)


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

    async def keep(
        self, children: Children, services: Sequence[Service], say: Callable[[str], None], running: UpJson
    ) -> None:
        """Restarts as often as somebody asks; up.json has which one has begun, and what became of the last one."""
        for number in itertools.count(1):
            await self._event.wait()
            self._event.clear()  # whoever asks from now on means the next one
            done, failure = list[str](), ""
            try:
                running.restarting(number)
                for service in services:
                    if is_replaced(service.name):
                        await children.replace(service)
                        done.append(service.name)
                        say(f"{service.name} is another process now: {children.pids[service.name]}")
            except Exception as error:  # the next one who asks is heard all the same
                failure = f"{_reason(error)}; what was there goes on"
                say(f"caudal: {failure}")
            try:
                running.restarted(Restarted(number=number, begun=number, replaced=done, failure=failure))
            except OSError as error:
                say(f"caudal: up.json cannot be written: {error}")


def _reason(error: Exception) -> str:
    if isinstance(error, (UpError, OSError)):
        return str(error)
    log.error("a restart has broken off", exc_info=error)
    return f"a defect, {type(error).__name__}: {error}"


async def restart(settings: Settings, *, say: Callable[[str], None]) -> int:
    """Asks the `caudal up` of this directory for a restart and waits for its end. Returns the exit status.

    One that runs already has begun with what was installed then: it waits for the next one.
    """
    var = var_of(settings)
    before = state.read_ready(var)
    if before is None or before.pid != state.holder(var):
        say(f"caudal: nothing is up in {var}")
        return 1
    os.kill(before.pid, signal.SIGUSR1)
    clock = asyncio.get_running_loop().time
    former = before.restarted or Restarted()
    number = max(former.begun, former.number) + 1
    limit_s = (READY_S + PATIENCE_S) * sum(map(is_replaced, before.processes)) * (number - former.number)
    until = clock() + limit_s
    while clock() < until:
        await asyncio.sleep(_LOOK_S)
        now = state.read_ready(var)
        if now is None or now.pid != before.pid:
            say("caudal: it is not up any more")
            return 1
        if before.restarted is None or now.restarted is None:
            if not _left(before, now):
                return _told(Restarted(replaced=[*filter(is_replaced, before.processes)]), say)
        elif now.restarted.number >= number:
            return _told(now.restarted, say)
    say(f"caudal: no restart has ended within {limit_s:g} s: {var / 'up.json'} has the processes that are there")
    return 1


def _left(before: Ready, now: Ready) -> set[str]:
    """Of a `caudal up` that does not say it: which are still, or still beside their successors, what they were."""
    former = {name: pid for name, pid in before.processes.items() if is_replaced(name)}
    return {name for name, pid in former.items() if now.processes.get(name) == pid or Path(f"/proc/{pid}").exists()}


def _told(restarted: Restarted, say: Callable[[str], None]) -> int:
    if restarted.replaced:
        say(f"restarted {', '.join(restarted.replaced)}")
    if restarted.failure:
        say(f"caudal: {restarted.failure}")
    return 1 if restarted.failure else 0
