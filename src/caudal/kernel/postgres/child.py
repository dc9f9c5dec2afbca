"""A child process that dies with this one, in a session of its own, its output in a file.

Its own session: Ctrl-C on the terminal reaches only `caudal up`, which then stops everything in the right order.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, Signals
from typing import Final

LAUNCHER: Final = Path(__file__).with_name("launch.py")
LOG_BYTES: Final = 10 * 1024 * 1024  # a longer log begins anew at a start, the former one kept beside it


@dataclass(frozen=True, kw_only=True)
class Owner:
    """The user and group that a child runs as."""

    uid: int
    gid: int


def launch_command(command: Sequence[str], *, death_signal: Signals, owner: Owner | None = None) -> list[str]:
    """The command line that runs `command` as `owner` and lets `death_signal` end it when this process dies."""
    who = "-" if owner is None else f"{owner.uid}:{owner.gid}"
    start = [sys.executable, "-I", "-S", str(LAUNCHER)]
    return [*start, str(int(death_signal)), str(os.getpid()), who, *command]


class Child:
    """A running child. Start it in the thread that lives longest: the kernel means that thread when it says parent."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        log: Path,
        directory: Path | None = None,
        death_signal: Signals = SIGKILL,
        owner: Owner | None = None,
        inherited: Sequence[int] = (),
    ) -> None:
        _rotate(log)
        with os.fdopen(os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "wb") as output:
            self._process = subprocess.Popen(
                launch_command(command, death_signal=death_signal, owner=owner),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=directory,
                env=environment,
                start_new_session=True,
                pass_fds=inherited,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def status(self) -> int | None:
        """None while it runs; then its exit status, negative for a signal."""
        return self._process.poll()

    def signal(self, number: Signals) -> None:
        """Send a signal; nothing happens when it has ended."""
        self._process.send_signal(number)

    async def wait(self) -> int:
        """Its exit status, once it has ended."""
        while (status := self.status) is None:
            await _ended(self.pid)
        return status

    async def end(self, *steps: tuple[Signals, float]) -> int:
        """Send each signal in turn and give it its seconds; SIGKILL is the last word. Returns the exit status."""
        for number, patience_s in steps:
            self.signal(number)
            try:
                return await asyncio.wait_for(self.wait(), patience_s)
            except TimeoutError:
                continue
        self.signal(SIGKILL)
        return await self.wait()


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LOG_BYTES:
        log.rename(log.with_name(log.name + ".1"))


async def _ended(pid: int) -> None:
    """Return when the process (a child not yet waited for) is readable as ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except OSError:  # a kernel without pidfd_open
        await asyncio.sleep(0.05)
        return
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    loop.add_reader(descriptor, ended.set)
    try:
        await ended.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


def reason(status: int) -> str:
    """An exit status in words: `status 1`, `SIGKILL`."""
    return f"status {status}" if status >= 0 else Signals(-status).name
