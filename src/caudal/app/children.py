"""The processes that `caudal up` runs: started, watched, restarted when they die, stopped in order."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Final
from urllib.parse import urlsplit

from caudal.app.ports import listens
from caudal.app.ready import Told
from caudal.app.state import UpError
from caudal.kernel.postgres import Child, reason
from caudal.kernel.settings import PREFIX

# Whoever dies for the first time is started again at once. Pauses before the second and later restarts: the shortest,
# doubled each time, and the longest.
BACKOFF_S: Final = (0.2, 5.0)
STEADY_S: Final = 10.0  # a process that lived this long has died for the first time
# From SIGTERM to SIGKILL: a process breaks off what it has not ended within 25 s itself (CAUDAL_STOP_S).
PATIENCE_S: Final = 30.0
READY_FD: Final = f"{PREFIX}READY_FD"
READY_S: Final = 60.0  # until every process is ready, and a successor is
DEATHS: Final = 5  # before it was ready once: it will not be
_LOOK_S: Final = 0.05


@dataclass(frozen=True, kw_only=True)
class Service:
    """One process to keep running.

    It says itself when it is ready (`app/ready.py`); with a `health_url` it is when it listens on that port, which is
    its own, and 200 is answered there.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    health_url: str | None = None


@dataclass(frozen=True, kw_only=True)
class _Process:
    """A process of a service. Who is waited for tells what it lacks."""

    child: Child
    health_url: str | None
    told: Told | None

    async def is_ready(self) -> bool:
        if self.child.status is not None:
            return False
        if self.told is not None:
            return self.told.is_ready
        if self.health_url is None:
            return True  # another one has been ready in its place, and nobody waits for this one
        port = urlsplit(self.health_url).port
        assert port is not None, "an address of our own names its port"
        return listens(self.child.pid, port) and await answers(self.health_url)

    @property
    def has_begun(self) -> bool:
        return self.child.status is None and self.told is not None and self.told.has_begun

    @property
    def lacks(self) -> str:
        if self.child.status is not None:
            return f"it ended with {reason(self.child.status)}"
        if self.told is None:
            return f"{self.health_url} is not answered with 200"
        return self.told.lacks or "it has not said what it waits for"

    def unawaited(self) -> _Process:
        """Nobody waits for it any more, nor for the one that takes its place when it dies."""
        if self.told is not None:
            self.told.close()
        return replace(self, told=None)

    async def end(self, patience_s: float) -> None:
        await self.child.end((SIGTERM, patience_s))
        if self.told is not None:
            self.told.close()


class Children:
    """Running services. `say` gets a line when one dies, `changed` its name and new process id when it is back."""

    def __init__(self, logs: Path, *, say: Callable[[str], None], changed: Callable[[str, int], None]) -> None:
        self._logs, self._say, self._changed = logs, say, changed
        self._running = dict[str, _Process]()
        self._beside = dict[str, _Process]()  # a successor until it is ready, then the former one until it has ended
        self._keepers = dict[str, asyncio.Task[None]]()
        self._deaths = Counter[str]()

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return {name: process.child.pid for name, process in self._running.items()}

    def start(self, service: Service) -> None:
        """Start a service and keep it running."""
        self._run(service, self._begun(service, awaited=True))

    def _run(self, service: Service, process: _Process) -> None:
        self._running[service.name] = process
        self._keepers[service.name] = asyncio.create_task(self._keep(service), name=f"keep {service.name}")

    def _begun(self, service: Service, *, awaited: bool) -> _Process:
        """Another process of a service. One that nobody waits for begins whatever it lacks."""
        told = Told() if awaited and service.health_url is None else None
        asked = {} if told is None else {READY_FD: str(told.descriptor)}
        try:
            child = Child(
                service.command,
                environment={**service.environment, **asked},
                log=self._log(service.name),
                # It keeps nothing that a sudden end could spoil, and nobody is left to ask it politely.
                death_signal=SIGKILL,
                inherited=() if told is None else (told.descriptor,),
            )
        except OSError:
            if told is not None:
                told.close()
            raise
        finally:
            if told is not None:
                told.handed_over()
        return _Process(child=child, health_url=service.health_url, told=told)

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    async def _keep(self, service: Service) -> None:
        pause_s = 0.0
        while True:
            began = time.monotonic()
            status = await self._running[service.name].child.wait()
            self._deaths[service.name] += 1
            if time.monotonic() - began > STEADY_S:
                pause_s = 0.0
            again = f"again in {pause_s:g} s" if pause_s else "again at once"
            self._say(f"{service.name} ended with {reason(status)}: {again} ({self._log(service.name)})")
            await asyncio.sleep(pause_s)
            pause_s = min(max(pause_s * 2, BACKOFF_S[0]), BACKOFF_S[1])
            told = self._running[service.name].told  # not as it was: whoever waited may have gone on without it
            awaited = told is not None and not told.is_ready
            self._running[service.name] = self._begun(service, awaited=awaited)
            self._changed(service.name, self._running[service.name].child.pid)

    async def ready(self, services: Sequence[Service], *, timeout_s: float = READY_S) -> None:
        """Return when each is ready. Raises UpError when one is not in time, or dies again and again.

        One that has begun then, and is not as it should be, is better than none: what it lacks is said.
        """
        deadline = time.monotonic() + timeout_s
        for service in services:
            while not await (process := self._running[service.name]).is_ready():
                if self._deaths[service.name] >= DEATHS:
                    raise self._not_ready(service, f"it has ended {DEATHS} times")
                if time.monotonic() > deadline:
                    error = self._not_ready(service, f"after {timeout_s:g} s {process.lacks}")
                    if not process.has_begun:
                        raise error
                    self._say(f"caudal: {error}; it takes work all the same")
                    self._running[service.name] = process.unawaited()
                    break
                await asyncio.sleep(_LOOK_S)

    def _not_ready(self, service: Service, why: str) -> UpError:
        return UpError(f"{service.name} does not become ready: {why} ({self._log(service.name)})")

    async def replace(self, service: Service, *, timeout_s: float = READY_S, patience_s: float = PATIENCE_S) -> None:
        """Start another process of a service, wait until it is ready, and only then end the one that was there.

        Raises UpError, and ends the new one, when it dies before or is not ready in time. The one that was there is
        kept running all the while.
        """
        successor = self._begun(service, awaited=True)
        self._beside[service.name] = successor
        try:
            deadline = time.monotonic() + timeout_s
            while not await successor.is_ready():
                if successor.child.status is not None:
                    raise self._not_ready(service, successor.lacks)
                if time.monotonic() > deadline:
                    raise self._not_ready(service, f"after {timeout_s:g} s {successor.lacks}")
                await asyncio.sleep(_LOOK_S)
            await self._let_go([service.name])
            self._beside[service.name] = self._running[service.name]
            self._run(service, successor)
            self._changed(service.name, successor.child.pid)
        finally:
            await self._beside[service.name].end(patience_s)
            del self._beside[service.name]

    async def _let_go(self, names: Sequence[str]) -> None:
        """Nobody restarts these any more."""
        keepers = [self._keepers.pop(name) for name in names if name in self._keepers]
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)

    async def stop(self, *names: str, patience_s: float = PATIENCE_S) -> None:
        """End these services together: SIGTERM, their time, SIGKILL. None is restarted after this is called."""
        await self._let_go(names)
        ending = [self._running.pop(name) for name in names if name in self._running]
        ending += [self._beside[name] for name in names if name in self._beside]
        await asyncio.gather(*(process.end(patience_s) for process in ending))


async def answers(url: str) -> bool:
    """Whether a GET of this address is answered with 200 within two seconds."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(2.0):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
            try:
                writer.write(f"GET {parts.path or '/'} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode())
                return (await reader.readline()).split()[1:2] == [b"200"]
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
