"""The processes that `caudal up` runs: started, watched, restarted when they die, stopped in order."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL, SIGTERM
from typing import Final
from urllib.parse import urlsplit

from caudal.app.ports import listens
from caudal.app.state import UpError
from caudal.kernel.postgres import Child, reason

# Whoever dies for the first time is started again at once. Pauses before the second and later restarts: the shortest,
# doubled each time, and the longest.
BACKOFF_S: Final = (0.2, 5.0)
STEADY_S: Final = 10.0  # a process that lived this long has died for the first time
# From SIGTERM to SIGKILL: a process breaks off what it has not ended within 25 s itself (CAUDAL_STOP_S).
PATIENCE_S: Final = 30.0
READY_S: Final = 60.0  # until every process answers
DEATHS: Final = 5  # before it was ready once: it will not be


@dataclass(frozen=True, kw_only=True)
class Service:
    """One process to keep running.

    It is ready when it listens on the port of `health_url` itself, which others may share, and 200 is answered there;
    without one, running is enough.
    """

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    health_url: str | None = None


class Children:
    """Running services. `say` gets a line when one dies, `changed` its name and new process id when it is back."""

    def __init__(self, logs: Path, *, say: Callable[[str], None], changed: Callable[[str, int], None]) -> None:
        self._logs, self._say, self._changed = logs, say, changed
        self._running = dict[str, Child]()
        self._keepers = dict[str, asyncio.Task[None]]()
        self._deaths = Counter[str]()

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return {name: child.pid for name, child in self._running.items()}

    def start(self, service: Service) -> None:
        """Start a service and keep it running."""
        self._spawn(service)
        self._keepers[service.name] = asyncio.create_task(self._keep(service), name=f"keep {service.name}")

    def _spawn(self, service: Service) -> None:
        self._running[service.name] = Child(
            service.command,
            environment=service.environment,
            log=self._log(service.name),
            # It keeps nothing that a sudden end could spoil, and nobody is left to ask it politely.
            death_signal=SIGKILL,
        )

    def _log(self, name: str) -> Path:
        return self._logs / f"{name}.log"

    async def _keep(self, service: Service) -> None:
        pause_s = 0.0
        while True:
            began = time.monotonic()
            status = await self._running[service.name].wait()
            self._deaths[service.name] += 1
            if time.monotonic() - began > STEADY_S:
                pause_s = 0.0
            again = f"again in {pause_s:g} s" if pause_s else "again at once"
            self._say(f"{service.name} ended with {reason(status)}: {again} ({self._log(service.name)})")
            await asyncio.sleep(pause_s)
            pause_s = min(max(pause_s * 2, BACKOFF_S[0]), BACKOFF_S[1])
            self._spawn(service)
            self._changed(service.name, self._running[service.name].pid)

    async def ready(self, services: Sequence[Service], *, timeout_s: float = READY_S) -> None:
        """Return when each has answered. Raises UpError when one does not in time, or dies again and again."""
        deadline = time.monotonic() + timeout_s
        for service in services:
            while not await self._is_ready(service):
                if self._deaths[service.name] >= DEATHS or time.monotonic() > deadline:
                    raise UpError(f"{service.name} does not become ready: see {self._log(service.name)}")
                await asyncio.sleep(0.05)

    async def _is_ready(self, service: Service) -> bool:
        child = self._running[service.name]
        if child.status is not None:
            return False
        if service.health_url is None:
            return True
        port = urlsplit(service.health_url).port
        assert port is not None, "an address of our own names its port"
        return listens(child.pid, port) and await answers(service.health_url)

    async def replace(self, service: Service, *, patience_s: float = PATIENCE_S) -> None:
        """Start another process of a service, wait until it is ready, and only then end the one that was there.

        Raises UpError when it does not become ready; the one that was there goes on then.
        """
        await self._let_go([service.name])
        former = self._running[service.name]
        self._deaths[service.name] = 0
        self.start(service)
        try:
            await self.ready([service])
        except UpError:
            await self._let_go([service.name])
            await self._running[service.name].end((SIGTERM, patience_s))
            self._running[service.name] = former
            self._keepers[service.name] = asyncio.create_task(self._keep(service), name=f"keep {service.name}")
            raise
        self._changed(service.name, self._running[service.name].pid)
        await former.end((SIGTERM, patience_s))

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
        await asyncio.gather(*(child.end((SIGTERM, patience_s)) for child in ending))


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
