"""The doors of providers: one for each in each mode, so that a crowd before one keeps nobody from another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from caudal.connectors.model import Mode
from caudal.kernel.context import Context
from caudal.kernel.door import Door
from caudal.kernel.telemetry import Reading

_RESERVE_S: Final = 0.75  # of a request's deadline: the call ends before it, and its outcome is committed behind that


class _Doors:
    def __init__(self, context: Context) -> None:
        self.known = dict[tuple[str, Mode], Door]()
        context.meter.add(self._readings)

    def _readings(self) -> Iterator[Reading]:
        for of, door in self.known.items():
            yield "caudal.door.inside", of, door.inside
            yield "caudal.door.turned_away", of, door.turned_away


def door(context: Context, provider: str, mode: Mode) -> Door:
    """The door of a provider in this process: requests that wait for it are inside until they are answered."""
    known = context.once(_Doors).known
    found = known.get((provider, mode))
    if found is None:
        found = known[provider, mode] = Door(f"provider {provider}", reserve_s=_RESERVE_S)
    return found


def any_crowded(context: Context) -> bool:
    """Whether there is a crowd behind any door: without one nobody has to be asked where he is going."""
    return any(door.is_crowded for door in context.once(_Doors).known.values())
