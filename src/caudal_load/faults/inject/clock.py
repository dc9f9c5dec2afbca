"""The wall clock of one process jumps: it reads a file that says how far (libfaketime), at most a second late."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from caudal_load.faults.inject.processes import FOUND_S
from caudal_load.faults.inject.seen import EVIDENCE_S, Seen, until
from caudal_load.faults.model import BadFaults, Fault

if TYPE_CHECKING:
    from caudal_load.faults.world import Whole


@contextlib.asynccontextmanager
async def jumped(world: "Whole", fault: Fault, seen: Seen) -> AsyncIterator[None]:
    """Set it forward or back, and right again at the end."""
    kept = [each for each in world.kept.values() if each.kind == fault.target]
    chosen = kept[int(fault.parameters.get("which", 0)) % len(kept)]
    if not await until(lambda: chosen.pid is not None, FOUND_S):
        raise BadFaults(f"{chosen.name} does not run, so its clock cannot jump: see {world.logs}")
    clock, jump_s = world.clock_of(chosen.name), int(fault.parameters["jump_s"])
    if not clock.exists():
        raise BadFaults(f"{chosen.name} has no clock of its own: there was no libfaketime when it was started")
    clock.write_text(f"{jump_s:+d}s\n")
    try:
        yield
        was_read = await until(lambda: _was_read(clock), EVIDENCE_S)
    finally:
        clock.write_text("+0s\n")
    await until(lambda: _was_read(clock), EVIDENCE_S)  # right again, before it is called over
    if was_read:
        seen.text = f"{chosen.name} read a clock that is wrong by {jump_s:+d} s"


def _was_read(clock: Path) -> bool:
    """Whether somebody has read it since it was written: relatime notes the first reading after a change."""
    status = clock.stat()
    return status.st_atime_ns > status.st_mtime_ns
