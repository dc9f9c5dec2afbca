"""Every planted fault in a process of its own: caught on its seed, and not noticed there by any other check."""

from __future__ import annotations

import os
import re
import sys

from caudal_simulation.plants import DIRECTORY, Plant, all_plants, prepare

SEEDS_MAX = 5_000
_CAUGHT, _SURVIVED, _BROKEN, _MOVED = 0, 1, 2, 3
WORDS = {_CAUGHT: "caught", _MOVED: "new seed", _SURVIVED: "NOT CAUGHT", _BROKEN: "BROKEN"}


def try_all(*, find: bool) -> int:
    """Tries each, and prints what became of it; 0 where all are caught by their checks and by no other."""
    import psycopg  # noqa: F401 (what every child needs and is not caudal's)

    worst = 0
    for plant in all_plants():
        sys.stdout.flush()
        child = os.fork()
        if not child:
            os._exit(_try(plant, find=find))
        came = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(f"{WORDS.get(came, 'DIED'):12} {plant.name:40} {', '.join(plant.caught_by)}")
        worst = max(worst, came not in (_CAUGHT, _MOVED))
    return worst


def table() -> str:
    """Every planted fault as docs/simulation.md has it: what it does, the seed on which it is caught, and by what."""
    lines = ["| planted fault | what it does | caught by | on seed |", "|---|---|---|---|"]
    for plant in all_plants():
        checks = ", ".join(f"`{check}`" for check in plant.caught_by)
        lines.append(f"| {plant.name.replace('_', ' ')} | {plant.why} | {checks} | {plant.seed} |")
    return "\n".join(lines)


def _try(plant: Plant, *, find: bool) -> int:
    try:
        prepare(plant)
        if _caught(plant, plant.seed):
            return _CAUGHT
        # Whatever changes what histories ask chance for moves the seed, mostly not far.
        for seed in (*range(plant.seed, SEEDS_MAX + 1), *range(plant.seed)) if find else ():
            if _caught(plant, seed):
                path = DIRECTORY / f"{plant.name}.plant"
                path.write_text(re.sub(r"seed: \d+", f"seed: {seed}", path.read_text("utf-8")), "utf-8")
                return _MOVED
    except Exception as error:  # the plant is no longer what it was meant to be
        print(f"{plant.name}: {error!r}"[:500], flush=True)
        return _BROKEN
    return _SURVIVED


def _caught(plant: Plant, seed: int) -> bool:
    """Whether its checks catch it on this seed, each of them, and nothing is seen when they are switched off."""
    from caudal_simulation.history import play

    seen = {check for check, _ in play(seed).violations}
    return seen == set(plant.caught_by) and not play(seed, off=frozenset(plant.caught_by)).violations
