"""An event loop on virtual time: no sockets, no threads, no waiting. With nothing ready, time goes to the next timer.

Callbacks run in the order in which they became ready. Each belongs to the process in whose context it was made; those
of a process that has been killed are dropped, as its memory was.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context, ContextVar, copy_context
from heapq import heappop, heappush
from typing import Any, Final, TypeVar, cast

from caudal_simulation.nature import Clock

T = TypeVar("T")

STEPS_MAX: Final = 60_000  # of one history; usual are some thousands


class Endless(Exception):
    """A history goes on for ever."""


class Process:
    """A program of the simulated world, as long as it lives. `tasks` keeps what it did from being collected midway."""

    def __init__(self, name: str) -> None:
        self.name, self.alive = name, True
        self.tasks: list[Any] = []
        self.leaving: list[Callable[[], None]] = []  # what the world notices when it dies


OF: Final[ContextVar[Process | None]] = ContextVar("process", default=None)


class Timer:
    """A callback that waits; what asyncio calls a handle."""

    __slots__ = ("arguments", "callback", "context", "gone", "process", "when_s")

    def __init__(self, callback: Callable[..., object], arguments: tuple[Any, ...], context: Context) -> None:
        self.callback, self.arguments, self.context = callback, arguments, context
        self.process = context.get(OF)
        self.gone, self.when_s = False, 0.0

    def cancel(self) -> None:
        """It is not called any more."""
        self.gone = True

    def cancelled(self) -> bool:
        """Whether it was cancelled."""
        return self.gone

    def when(self) -> float:
        """When it is due."""
        return self.when_s


class Loop:
    """One history's loop: what of asyncio's own is used here."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ready: deque[Timer] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._made = 0
        self.ran = 0
        self.broken: list[dict[str, Any]] = []
        self.connecting: Callable[[Callable[[], asyncio.Protocol], str, int], Coroutine[Any, Any, Any]] | None = None

    # What asyncio needs

    def time(self) -> float:
        return self._clock.monotonic()

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        timer = Timer(callback, args, context if context is not None else copy_context())
        self._ready.append(timer)
        return timer

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        return self.call_soon(callback, *args, context=context)

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        return self.call_at(self._clock.monotonic() + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        timer = Timer(callback, args, context if context is not None else copy_context())
        timer.when_s = when
        self._made += 1
        heappush(self._timers, (when, self._made, timer))
        return timer

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=cast(Any, self))

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=cast(Any, self), name=name, context=context)
        process = OF.get() if context is None else context.get(OF)
        if process is not None:
            process.tasks.append(task)
        return task

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        assert self.connecting is not None, "this world has no network"
        return await self.connecting(protocol_factory, host, port)

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        self.broken.append(context)

    async def shutdown_asyncgens(self) -> None:
        """There are none."""

    # Going on

    def run_until_complete(self, future: Any) -> Any:
        task = future if isinstance(future, asyncio.Future) else self.create_task(future)
        before = events._get_running_loop()
        events._set_running_loop(cast(Any, self))
        try:
            while not task.done():
                self._step()
        finally:
            events._set_running_loop(before)
        return task.result()

    def _step(self) -> None:
        ready, timers = self._ready, self._timers
        if not ready:
            if not timers:
                raise RuntimeError("nothing is left to do, and something still waits")
            self._clock.now_s = max(self._clock.now_s, timers[0][0] - self._clock.monotonic() + self._clock.now_s)
        now = self._clock.monotonic()
        while timers and timers[0][0] <= now:
            ready.append(heappop(timers)[2])
        for _ in range(len(ready)):
            timer = ready.popleft()
            if timer.gone or (timer.process is not None and not timer.process.alive):
                continue
            self.ran += 1
            if self.ran > STEPS_MAX:
                raise Endless
            timer.context.run(timer.callback, *timer.arguments)
