"""A schedule of arrivals at a constant rate, kept by the kernel's own timer.

uvloop's timers count milliseconds, so that an arrival would be late by up to one, and the lateness would be the
generator's, not the server's. A `timerfd` (Linux; `man 2 timerfd_create`) is exact to some 50 µs. Python has it from
3.13 on; until then it is two calls of the C library.
"""

import asyncio
import ctypes
import os
from collections.abc import Callable
from time import perf_counter_ns

_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK_CLOEXEC = 0o4000 | 0o2000000
_SHORTEST_TICK_NS = 500_000
"""Above 2,000 arrivals a second, those of half a millisecond arrive together."""


class _Interval(ctypes.Structure):
    """`struct itimerspec`: the period, then the first time."""

    _fields_ = (
        ("period_s", ctypes.c_long),
        ("period_ns", ctypes.c_long),
        ("first_s", ctypes.c_long),
        ("first_ns", ctypes.c_long),
    )


class Arrivals:
    """Calls `arrive` with the scheduled time (of `perf_counter_ns`) of every arrival, the first now, until stopped."""

    def __init__(self, rate: float, arrive: Callable[[int], None]) -> None:
        self._rate = rate
        self._arrive = arrive
        self._arrived = 0
        self._began_ns = perf_counter_ns()
        self._timer = _timer(max(_SHORTEST_TICK_NS, int(1e9 / rate)))
        asyncio.get_running_loop().add_reader(self._timer, self._tick)
        self._catch_up()

    def stop(self) -> None:
        """Let nothing more arrive; a second call does nothing."""
        if self._timer >= 0:
            asyncio.get_running_loop().remove_reader(self._timer)
            os.close(self._timer)
            self._timer = -1

    def _tick(self) -> None:
        os.read(self._timer, 8)
        self._catch_up()

    def _catch_up(self) -> None:
        """Let everything arrive that is due by now, each at its own time."""
        due = int((perf_counter_ns() - self._began_ns) * self._rate / 1e9) + 1
        for index in range(self._arrived, due):
            self._arrive(self._began_ns + int(index * 1e9 / self._rate))
        self._arrived = max(self._arrived, due)


def _timer(period_ns: int) -> int:
    """A file that becomes readable every `period_ns`. Raises OSError."""
    library = ctypes.CDLL(None, use_errno=True)
    timer: int = library.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK_CLOEXEC)
    if timer < 0:
        raise OSError(ctypes.get_errno(), "timerfd_create")
    seconds, rest_ns = divmod(period_ns, 1_000_000_000)
    interval = _Interval(seconds, rest_ns, seconds, rest_ns)
    if library.timerfd_settime(timer, 0, ctypes.byref(interval), None) < 0:
        os.close(timer)
        raise OSError(ctypes.get_errno(), "timerfd_settime")
    return timer
