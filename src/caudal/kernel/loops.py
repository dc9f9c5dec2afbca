"""Whether the loops of a process turn: each says when it begins a turn, how that ended, and when the next one is due.

A loop is late by the time since its last good turn should have been followed by another one. So one that hangs is
noticed, and one whose every turn fails, and one that rests for an hour is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from caudal.kernel.context import Context

_SHORT_S: Final = 60.0  # a loop that may take longer beyond its time is not waited for at the start


class Loop:
    """One loop. Each of its turns is a `with` block; `rests` says how long it means to pause behind one."""

    __slots__ = ("_due_at", "_is_short", "_limit_s", "_trouble", "_turns", "has_turned", "name")

    def __init__(self, name: str, limit_s: float, *, is_short: bool = True) -> None:
        self.name, self._limit_s, self._is_short = name, limit_s, is_short
        self._due_at, self._turns, self._trouble = monotonic(), False, ""
        self.has_turned = False  # well, once at least

    def __enter__(self) -> Loop:
        self._turns = True
        return self

    def __exit__(self, _: type[BaseException] | None, error: BaseException | None, __: TracebackType | None) -> None:
        self._turns = False
        if error is None:
            self._due_at, self._trouble, self.has_turned = monotonic(), "", True
        else:
            self._trouble = f"its turns end with {type(error).__name__}"

    def rests(self, pause_s: float) -> None:
        """After a good turn: the next one is not due before."""
        if not self._trouble:
            self._due_at = monotonic() + pause_s

    @property
    def unturned(self) -> str | None:
        """Why it has not turned once, where its turns are short."""
        if self.has_turned or not self._is_short:
            return None
        return f"{self.name} has not turned yet" + (f": {self._trouble}" if self._trouble else "")

    @property
    def late(self) -> str | None:
        """For how long it has not turned, and why, where that is too long."""
        late_s = monotonic() - self._due_at
        if late_s <= self._limit_s:
            return None
        why = self._trouble or ("a turn of it does not end" if self._turns else "nothing turns it")
        return f"{self.name} has not turned for {late_s:.0f} s: {why}"


class Loops:
    """All loops of a process. One is late after the time that the settings say, and what it may take beyond that."""

    def __init__(self, context: Context) -> None:
        self._loops = list[Loop]()
        self._late_s = context.settings.loop_late_s

    def add(self, name: str, *, beyond_s: float = 0.0) -> Loop:
        """Another one, whose first turn is due."""
        self._loops.append(Loop(name, self._late_s + beyond_s, is_short=beyond_s <= _SHORT_S))
        return self._loops[-1]

    def __bool__(self) -> bool:
        return bool(self._loops)

    def late(self) -> Iterator[str]:
        """What is to be said of each that is late."""
        return (said for loop in self._loops if (said := loop.late) is not None)

    def unturned(self) -> Iterator[str]:
        """What is to be said of each that has not turned once."""
        return (said for loop in self._loops if (said := loop.unturned) is not None)
