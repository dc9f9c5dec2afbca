"""What the tests of faults do to a whole caudal from outside: kill, look what lives, wait until it is back."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import aiohttp
import psycopg

from tests.whole import Whole

ROOT = Path(__file__).parents[2]
WORKER = "select 1 from pg_stat_activity where application_name = 'caudal-worker'"


class Restless(Whole):
    """A whole caudal whose processes may be killed every second (tests/faults/up.py), or by way of another module."""

    module = "tests.faults.up"

    def start(self, *options: str, within_s: float = 60.0) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        self.home.chmod(0o711)
        outside = {name: value for name, value in os.environ.items() if not name.startswith("CAUDAL_")}
        ports = {"CAUDAL_PORT": "18700", "CAUDAL_SANDBOX_PORT": "18800"}
        with (self.home / "up.log").open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", self.module, "up", *(options or ("--no-demo",))],
                env={**outside, **ports, "CAUDAL_VAR": str(self.var), **self._environment},
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self.wait(within_s)

    def pid_of(self, name: str) -> int:
        """The process id as up.json has it now."""
        self.refresh()
        return int(self.ready["processes"][name])


async def until(
    true: Callable[[], Awaitable[bool]], what: str | Callable[[], str], within_s: float, every_s: float = 0.1
) -> float:
    """Waits, and says for how many seconds. Who asks a database has a connection made for each look."""
    began = time.monotonic()
    while not await true():
        if time.monotonic() - began > within_s:
            raise AssertionError(f"not within {within_s:g} s: {what if isinstance(what, str) else what()}")
        await asyncio.sleep(every_s)
    return time.monotonic() - began


async def is_answered(session: aiohttp.ClientSession, url: str) -> bool:
    """Whether a GET is answered with 200."""
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=2)) as answer:
            return answer.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def is_healthy(whole: Whole, session: aiohttp.ClientSession, kind: str) -> bool:
    """Whether the process of this name works."""
    if kind == "sandbox":
        return await is_answered(session, f"{whole.sandbox_url}/livez")
    if kind == "worker":
        return await is_served(whole.database_url, WORKER)
    return await is_answered(session, f"{whole.api_url}/readyz")  # asks the database too


async def is_served(database_url: str, query: str = "select 1") -> bool:
    """Whether the database answers this query, with a row."""
    try:
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True, connect_timeout=2) as asking:
            return await (await asking.execute(query.encode())).fetchone() is not None
    except psycopg.OperationalError:
        return False


def living(var: Path) -> dict[int, str]:
    """Every process that has this directory in its command line, environment or working directory."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and int(folder.name) != os.getpid() and (command := _belongs(folder, var)):
            found[int(folder.name)] = command
    return found


def _belongs(folder: Path, var: Path) -> str | None:
    try:
        command = (folder / "cmdline").read_bytes()
        if not command:  # the kernel's, or ended and not yet waited for
            return None
        at = os.readlink(folder / "cwd")  # noqa: PTH115 (of a process, not of a file)
        is_ours = os.fsencode(var) in command + (folder / "environ").read_bytes() or at.startswith(str(var))
    except OSError:
        return None
    return command.replace(b"\0", b" ").decode(errors="replace") if is_ours else None


def kill(pid: int) -> None:
    """kill -9."""
    os.kill(pid, signal.SIGKILL)
