"""A schedule of arrivals, kept by the kernel's own timer.

uvloop's timers count milliseconds, so that an arrival would be late by up to one, and the lateness would be the
generator's, not the server's. A `timerfd` (Linux; `man 2 timerfd_create`) is exact to some 50 µs. Python has it from
3.13 on; until then it is two calls of the C library.
"""

import asyncio
import contextlib
import ctypes
import os
from collections.abc import Callable, Iterator
from time import perf_counter_ns

_CLOCK_MONOTONIC = 1
_TFD_NONBLOCK_CLOEXEC = 0o4000 | 0o2000000
_TFD_TIMER_ABSTIME = 1
_SHORTEST_TICK_NS = 250_000
"""Arrivals that are closer to each other than this come together: waking up for each would cost more than it tells."""


class _Once(ctypes.Structure):
    """`struct itimerspec`: the period, which is none, then the moment."""

    _fields_ = (
        ("period_s", ctypes.c_long),
        ("period_ns", ctypes.c_long),
        ("at_s", ctypes.c_long),
        ("at_ns", ctypes.c_long),
    )


class Arrivals:
    """Calls `arrive` with the scheduled time (of `perf_counter_ns`) of every arrival, and when it noticed it.

    `schedule` are the moments from `began_ns` on, in order. It ends with the schedule, or when it is stopped.
    """

    def __init__(self, schedule: Iterator[int], arrive: Callable[[int, int], None], began_ns: int) -> None:
        self._schedule = schedule
        self._arrive = arrive
        self._began_ns = began_ns
        self._next_ns: int | None = began_ns + next(schedule, 0)
        self._library = ctypes.CDLL(None, use_errno=True)
        self._once = _Once()
        self._timer = self._made()
        asyncio.get_running_loop().add_reader(self._timer, self._tick)
        self._catch_up()

    def stop(self) -> None:
        """Let nothing more arrive; a second call does nothing."""
        if self._timer >= 0:
            asyncio.get_running_loop().remove_reader(self._timer)
            os.close(self._timer)
            self._timer = -1

    def _tick(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._timer, 8)
        self._catch_up()

    def _catch_up(self) -> None:
        """Let everything arrive that is due by now, each at its own time, and wait for the next."""
        now_ns, next_ns = perf_counter_ns(), self._next_ns
        while next_ns is not None and next_ns <= now_ns:
            self._arrive(next_ns, now_ns)
            offset_ns = next(self._schedule, None)
            next_ns = None if offset_ns is None else self._began_ns + offset_ns
        self._next_ns = next_ns
        if self._timer < 0:
            return
        if next_ns is None:
            self.stop()
        else:
            self._wait_until(max(next_ns, now_ns + _SHORTEST_TICK_NS))

    def _made(self) -> int:
        """A timer that is a file. Raises OSError."""
        timer: int = self._library.timerfd_create(_CLOCK_MONOTONIC, _TFD_NONBLOCK_CLOEXEC)
        if timer < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        return timer

    def _wait_until(self, at_ns: int) -> None:
        """Become readable then: `perf_counter_ns` is CLOCK_MONOTONIC on Linux. Raises OSError."""
        self._once.at_s, self._once.at_ns = divmod(at_ns, 1_000_000_000)
        if self._library.timerfd_settime(self._timer, _TFD_TIMER_ABSTIME, ctypes.byref(self._once), None) < 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")
