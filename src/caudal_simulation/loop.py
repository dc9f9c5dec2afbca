"""An event loop on virtual time: no sockets, no threads, no waiting. With nothing ready, time goes to the next timer.

Callbacks run in the order in which they became ready. Each belongs to the process in whose context it runs; those of a
process that has been killed are dropped, as its memory was. A history has a thousand steps and more: they are short.
"""

from __future__ import annotations

import asyncio
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, ContextVar, copy_context
from functools import partial
from heapq import heappop, heappush
from itertools import count
from types import coroutine
from typing import Any, Final, TypeVar, cast

import msgspec

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


class Timer(msgspec.Struct, eq=False):
    """A callback that waits; what asyncio calls a handle."""

    callback: Callable[..., object]
    arguments: tuple[Any, ...]
    context: Context
    when_s: float = 0.0
    gone: bool = False

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

    get_debug = bool  # asked for each future and task: the shortest way to say no

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ready: deque[Timer] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._number = count().__next__
        self._moment_s: float | None = None
        self.create_future: Callable[[], asyncio.Future[Any]] = partial(asyncio.Future, loop=cast(Any, self))
        self.broken: list[dict[str, Any]] = []
        self.connecting: Callable[[Callable[[], asyncio.Protocol], str, int], Coroutine[Any, Any, Any]] | None = None

    # What asyncio needs

    def time(self) -> float:
        return self._clock.at_s

    def call_soon(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        timer = Timer(callback, args, context if context is not None else copy_context())
        if self._moment_s is None:
            self._ready.append(timer)
        else:
            when_s, self._moment_s = self._clock.at_s + self._moment_s, None
            heappush(self._timers, (when_s, self._number(), timer))
        return timer

    def call_soon_threadsafe(self, callback: Any, *args: Any, context: Context | None = None) -> Any:
        return self.call_soon(callback, *args, context=context)

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        return self.call_at(self._clock.at_s + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        timer = Timer(callback, args, context if context is not None else copy_context(), when)
        heappush(self._timers, (when, self._number(), timer))
        return timer

    @coroutine
    def moment(self, seconds: float) -> Generator[None, None, None]:
        """A short sleep of the task that awaits it, which is not woken before its end, whoever cancels it.

        It takes no future, no callback and no second step: the task gives way, and its next step is put off.
        """
        self._moment_s = seconds
        yield

    def create_task(self, coro: Any, *, name: str | None = None, context: Context | None = None) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=cast(Any, self), name=name, context=context)
        process = OF.get() if context is None else context.get(OF)
        if process is not None:
            process.tasks.append(task)
        return task

    async def create_connection(self, protocol_factory: Any, host: Any = None, port: Any = None, **_: Any) -> Any:
        assert self.connecting is not None, "this world has no network"
        return await self.connecting(protocol_factory, host, port)

    def run_in_executor(self, executor: Any, function: Any, *args: Any) -> Any:
        """There are no threads: what would run in one runs here, and is done at once."""
        done = self.create_future()
        done.set_result(function(*args))
        return done

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
        asked, before = events.get_running_loop, events._get_running_loop()
        running = cast(Any, self)
        events._set_running_loop(running)
        events.get_running_loop = asyncio.get_running_loop = lambda: (
            running
        )  # asyncio's asks the system each time whose process it is
        try:
            self._go_on(task)
        finally:
            events.get_running_loop = asyncio.get_running_loop = asked
            events._set_running_loop(before)
        return task.result()

    def _go_on(self, until: asyncio.Future[Any]) -> None:
        ready, timers, clock, done = self._ready, self._timers, self._clock, until.done
        steps = STEPS_MAX
        while not done():
            if ready:
                timer = ready.popleft()
            elif timers:
                when_s, _, timer = heappop(timers)
                if when_s > clock.at_s:
                    clock.at_s = when_s
            else:
                raise RuntimeError("nothing is left to do, and something still waits")
            process = timer.context.get(OF)
            if timer.gone or (process is not None and not process.alive):
                continue
            steps -= 1
            if not steps:
                raise Endless
            timer.context.run(timer.callback, *timer.arguments)
