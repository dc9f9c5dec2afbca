"""What a process says of itself: CPU, memory, files, how late its event loop is, how long it looked for garbage."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from time import monotonic
from typing import Any, Final

from caudal.kernel.context import Context
from caudal.kernel.telemetry import Reading, Tracer, histogram, logged
from caudal.kernel.telemetry.collector import endpoint_of, resource_of
from caudal.kernel.telemetry.otlp import Exporter

_LOOK_S: Final = 0.1
_PAGE_BYTES: Final = resource.getpagesize()
_GENERATIONS: Final = 3


def target_of(context: Context) -> dict[str, str | int]:
    """Whose figures these are: attributes of the resource, in the words of the standard.

    The environment may name the service and its version; which process it is, it cannot know. Raises SettingError.
    """
    given = resource_of()
    return {
        "service.name": given.get("service.name", "caudal"),
        "service.version": given.get("service.version") or version("caudal"),
        "service.instance.id": f"{socket.gethostname()}:{os.getpid()}",
        "process.pid": os.getpid(),
        "caudal.process": context.name,
    }


class _Inside:
    def __init__(self) -> None:
        self._began = monotonic()
        self._delays = histogram("caudal.loop.delay")
        self._pauses = [histogram("caudal.gc.pause") for _ in range(_GENERATIONS)]
        self._looking_since = 0.0

    def collects(self, phase: str, told: dict[str, Any]) -> None:
        """Python's word that a look for garbage begins, or has ended."""
        if phase == "start":
            self._looking_since = monotonic()
        else:
            self._pauses[told["generation"]].record(monotonic() - self._looking_since)

    async def watch(self) -> None:
        """Looks how late the event loop calls."""
        loop = asyncio.get_running_loop()
        while True:
            expected = loop.time() + _LOOK_S
            await asyncio.sleep(_LOOK_S)
            self._delays.record(max(0.0, loop.time() - expected))

    def readings(self) -> Iterator[Reading]:
        used = resource.getrusage(resource.RUSAGE_SELF)
        yield "process.cpu.time", ("user",), used.ru_utime
        yield "process.cpu.time", ("system",), used.ru_stime
        yield "process.memory.usage", (), int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
        yield "process.unix.file_descriptor.count", (), sum(1 for _ in Path("/proc/self/fd").iterdir())
        yield "process.uptime", (), monotonic() - self._began
        yield "caudal.loop.delay", (), self._delays
        for generation, pauses in enumerate(self._pauses):
            yield "caudal.gc.pause", (str(generation),), pauses
        for level, records in logged().items():
            yield "caudal.log.records", (level,), records


@asynccontextmanager
async def exported(context: Context) -> AsyncIterator[None]:
    """What is seen leaves until the end of the block, where the environment names a collector."""
    endpoint = endpoint_of()
    if endpoint is None:
        yield
        return
    async with Exporter(endpoint, context.meter, target_of(context)) as exporter:
        slow_s = context.settings.trace_slow_ms / 1000
        context.tracer = Tracer(endpoint.sampling, exporter.keep, slow_s=slow_s) if endpoint.traces else None
        yield


@asynccontextmanager
async def inside(context: Context) -> AsyncIterator[None]:
    """Measured until the end of the block."""
    own = _Inside()
    context.meter.add(own.readings)
    gc.callbacks.append(own.collects)
    watching = asyncio.create_task(own.watch(), name="event loop delay")
    try:
        yield
    finally:
        watching.cancel()
        gc.callbacks.remove(own.collects)
