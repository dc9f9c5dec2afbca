"""The plan: every fault of the chosen kinds so many times, in an order and at moments that a seed decides.

Faults that take the rate down (processes, database, providers) follow each other on one lane, each with time to recover
in; what happens to callbacks and webhooks, and what is ordered of the provider by amounts, happens beside them on lanes
of its own.
"""

import random
from collections.abc import Sequence

from caudal_load.faults.kinds import Kind, chosen
from caudal_load.faults.model import BadFaults, Fault, Plan

HEAD_S = 3.0
"""Nothing happens before it: what the rate is then is the rate to recover to."""
_ASIDE = ("callback", "webhook")


def plan_of(seed: int, seconds: float, kinds: Sequence[str] = (), each: int = 1) -> Plan:
    """Every fault of these kinds `each` times within so many seconds; no kinds means all. Deterministic.

    Raises BadFaults where a kind is unknown, or where the seconds are not enough.
    """
    chance = random.Random(seed)
    lanes: dict[str, list[tuple[Fault, float]]] = {}
    for kind, target in chosen(kinds):
        for _ in range(each):
            lanes.setdefault(_lane(kind, target), []).append((_drawn(kind, target, chance), kind.rest_s))
    faults = [fault for name in sorted(lanes) for fault in _laid(lanes[name], seconds, chance)]
    return Plan(seed=seed, seconds=seconds, faults=sorted(faults, key=lambda fault: (fault.at_s, fault.name)))


def _lane(kind: Kind, target: str) -> str:
    if kind.name == "provider":
        return "orders"
    return target if target in _ASIDE else "main"


def _drawn(kind: Kind, target: str, chance: random.Random) -> Fault:
    parameters = {
        name: chance.choice(values) for name, values in (kind.choices | kind.of_target.get(target, {})).items()
    }
    return Fault(
        at_s=0.0, kind=kind.name, target=target, for_s=round(chance.uniform(*kind.for_s), 2), parameters=parameters
    )


def _laid(lane: list[tuple[Fault, float]], seconds: float, chance: random.Random) -> list[Fault]:
    """These faults one after the other; the time that is left over is given to the pauses between them at random."""
    chance.shuffle(lane)
    needed_s = HEAD_S + sum(fault.for_s + rest_s for fault, rest_s in lane)
    if needed_s > seconds:
        raise BadFaults(f"{len(lane)} faults one after the other need {needed_s:.0f} s, and there are {seconds:g}")
    begins = sorted(chance.uniform(0, seconds - needed_s) for _ in lane)
    laid, taken_s = [], HEAD_S
    for (fault, rest_s), spare_s in zip(lane, begins, strict=True):
        at_s = round(taken_s + spare_s, 3)
        laid.append(
            Fault(at_s=at_s, kind=fault.kind, target=fault.target, for_s=fault.for_s, parameters=fault.parameters)
        )
        taken_s += fault.for_s + rest_s
    return laid
