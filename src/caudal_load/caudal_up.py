"""A caudal of the generator's own: started on an empty directory, ended and removed afterwards.

The directory stands directly under the system's temporary directory and is open to pass through (mode 0711), because
the embedded PostgreSQL may run as a user of its own. What `caudal up` says about itself is in `var/up.json`.
"""

import asyncio
import contextlib
import ctypes
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from caudal_load.processes import is_running

COMMAND = (sys.executable, "-m", "caudal", "up", "--no-demo")
START_TIMEOUT_S = 60.0
END_TIMEOUT_S = 30.0
_TAIL_LINES = 15
_NOT_INHERITED = frozenset(
    {"CAUDAL_DATABASE_URL", "CAUDAL_VAR", "CAUDAL_PORT", "CAUDAL_SANDBOX_PORT", "CAUDAL_SANDBOX_URL"}
)
_PR_SET_PDEATHSIG = 1
_BAD_SETTINGS = 2
"""The exit status of `caudal` where a setting is not one, or its value is none."""


class CaudalFailed(Exception):
    """A caudal of our own did not start, or did not end as it should."""


class BadSettings(Exception):
    """A caudal of our own does not take its settings; the message says which."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Running:
    """A caudal that answers: where it is and which processes it consists of."""

    url: str
    database_url: str | None = None
    sandbox_url: str | None = None
    operator_key: str | None = None
    processes: Mapping[str, int]
    """By name: `web` (or `web-1`, `web-2`, …), `worker`, `sandbox`, `postgres`. Empty if it is not ours."""
    var: Path | None = None
    """The directory of one that is ours: its `up.json` and its logs."""


@contextlib.asynccontextmanager
async def caudal_up(settings: Mapping[str, str]) -> AsyncIterator[Running]:
    """Start a caudal with `settings` (environment variables) and end it afterwards.

    Raises BadSettings, CaudalFailed with the tail of its logs.
    """
    directory = _empty_directory()
    try:
        process = await _start(directory, settings)
        try:
            running = await _ready(directory, process)
        except BaseException:
            await _end(process, {})
            raise
        try:
            yield running
        except BaseException:
            print(_tail(directory), file=sys.stderr)
            await _end(process, running.processes)
            raise
        await _end(process, running.processes)
    finally:
        await asyncio.to_thread(shutil.rmtree, directory, ignore_errors=True)


def _empty_directory() -> Path:
    directory = Path(tempfile.mkdtemp(prefix="caudal-load-"))
    directory.chmod(0o711)
    return directory


async def _start(directory: Path, settings: Mapping[str, str]) -> asyncio.subprocess.Process:
    port, sandbox_port = free_ports(2)
    environment = {name: value for name, value in os.environ.items() if name not in _NOT_INHERITED}
    environment |= settings
    environment |= {
        "CAUDAL_VAR": str(directory / "var"),
        "CAUDAL_PORT": str(port),
        "CAUDAL_SANDBOX_PORT": str(sandbox_port),
    }
    with (directory / "up.log").open("wb") as log:
        return await asyncio.create_subprocess_exec(
            *COMMAND,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
            start_new_session=True,  # Ctrl-C is for the generator, which then ends its caudal in order
            preexec_fn=_end_with_parent,
        )


def _end_with_parent() -> None:
    """Runs in the child: if the generator is killed, its caudal is told to end."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGINT)


async def _ready(directory: Path, process: asyncio.subprocess.Process) -> Running:
    """Wait for `up.json`. Raises BadSettings, CaudalFailed."""
    path = directory / "var" / "up.json"
    deadline_s = asyncio.get_running_loop().time() + START_TIMEOUT_S
    while asyncio.get_running_loop().time() < deadline_s:
        if process.returncode == _BAD_SETTINGS:
            raise BadSettings((directory / "up.log").read_text(errors="replace").strip())
        if process.returncode is not None:
            raise CaudalFailed(f"caudal ended with code {process.returncode} before it was ready\n{_tail(directory)}")
        with contextlib.suppress(FileNotFoundError, json.JSONDecodeError):
            return replace(read_up(path.read_text()), var=path.parent)
        await asyncio.sleep(0.05)
    raise CaudalFailed(f"caudal was not ready after {START_TIMEOUT_S:.0f} s\n{_tail(directory)}")


def read_up(text: str) -> Running:
    """What `up.json` says. Raises JSONDecodeError while it is being written, KeyError if it is something else."""
    up = json.loads(text)
    processes: dict[str, int] = {}
    for name, pids in up["processes"].items():
        if isinstance(pids, int):
            processes[name] = pids
        else:
            processes |= {name if len(pids) == 1 else f"{name}-{index}": pid for index, pid in enumerate(pids, 1)}
    return Running(
        url=up["api_url"],
        database_url=up["database_url"],
        sandbox_url=up.get("sandbox_url"),
        operator_key=up["operator_key"],
        processes=processes,
    )


def up_in(var: Path) -> Running:
    """The caudal that `caudal up` runs on this directory. Raises CaudalFailed."""
    try:
        running = read_up((var / "up.json").read_text())
    except (OSError, ValueError, KeyError) as error:
        raise CaudalFailed(f"no caudal runs on {var}: {error}") from error
    gone = [name for name, pid in running.processes.items() if not is_running(pid)]
    if gone:
        raise CaudalFailed(f"the caudal of {var} does not run any more: no {', '.join(gone)}")
    return replace(running, var=var)


async def _end(process: asyncio.subprocess.Process, processes: Mapping[str, int]) -> None:
    """Ctrl-C, and look whether everything is gone. Raises CaudalFailed, after killing what was left."""
    if process.returncode is None:
        process.send_signal(signal.SIGINT)
    try:
        await asyncio.wait_for(asyncio.shield(process.wait()), END_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        raise CaudalFailed(f"caudal did not end within {END_TIMEOUT_S:.0f} s of SIGINT and was killed") from None
    left = {name: pid for name, pid in processes.items() if is_running(pid)}
    if left:
        for pid in left.values():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        raise CaudalFailed(f"caudal ended and left processes behind: {', '.join(left)}")


def free_ports(count: int) -> list[int]:
    """Ports of 127.0.0.1 that are free now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def _tail(directory: Path) -> str:
    """The last lines of every log."""
    logs = [directory / "up.log", *sorted((directory / "var" / "log").glob("*.log"))]
    parts = []
    for log in logs:
        with contextlib.suppress(OSError):
            lines = log.read_text(errors="replace").splitlines()[-_TAIL_LINES:]
            if lines:
                parts.append("\n".join([f"--- {log.name}", *lines]))
    return "\n".join(parts) or "(it logged nothing)"
