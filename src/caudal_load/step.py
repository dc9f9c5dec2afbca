"""One step of a measurement: so much load on one caudal for so long, and all that it came to, as a value.

For whoever asks many such questions of one caudal: merchants are made once and may serve every step.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace

from caudal_load.caudal_up import Running
from caudal_load.figures import Figures, figures
from caudal_load.histogram import Histogram
from caudal_load.meters import Interval
from caudal_load.plan import Plan
from caudal_load.seed import Say
from caudal_load.side import Cast, Side, side, started


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """What one step came to. Everything but `figures.acknowledged` is of the measured window."""

    offered_per_s: float | None
    """Arrivals of an open loop; None for a closed one."""
    achieved_per_s: float
    seconds: float
    acknowledged: int
    latencies: Histogram
    """From the scheduled arrival on, nanoseconds."""
    sent_latencies: Histogram
    """From the sending on; empty for a closed loop, where there is no difference."""
    errors: Mapping[str, int]
    """By status and code, and what never got an answer."""
    cpu_s: Mapping[str, float]
    """By kind: `web`, `worker`, `postgres`, `sandbox`, `generator`, `conductor`."""
    wal_bytes_per_payment: float | None
    disk_bytes_per_payment: float | None
    memory_mb: Mapping[str, float]
    """By kind, the highest of the step."""
    intervals: tuple[Interval, ...]
    figures: Figures
    """All figures of a run, what was lost and doubled too."""


async def step(plan: Plan, say: Say, running: Running | None = None, cast: Cast | None = None) -> Step:
    """Carry one step out, on `running` or, without it, on the caudal that the plan names or wants to be started.

    `plan` says the scenario, the rate (or connections, or phases), the seconds and the generator's processes; `cast`
    are merchants of `merchants_of`, for a plan of the same scenario. Raises as `run` does.
    """
    plan.checked()
    if running is not None:
        return await _on(plan, running, cast)
    async with started(plan, say) as own:
        return await _on(plan, own, cast)


async def _on(plan: Plan, running: Running, cast: Cast | None) -> Step:
    if cast is not None:
        plan = replace(plan, merchants=len(cast[0]))
    loaded = await side(plan, running, crew=True, cast=cast)
    try:
        await loaded.connect()
        await loaded.load(plan.warm_up_s, plan.seconds)
        await loaded.loop.end()
    finally:
        await loaded.leave()
    await loaded.settle()
    return _step(loaded, await figures(loaded, await loaded.verify()))


def _step(loaded: Side, found: Figures) -> Step:
    tally, latencies, errors = loaded.loop.tally, Histogram(), Counter[str]()
    for second in tally.seconds:
        latencies.merge(second.latencies)
        errors.update(second.errors)
    cpu_s, memory_mb = defaultdict[str, float](float), defaultdict[str, float](float)
    for name, used_s in loaded.cpu_s.items():
        cpu_s[_kind(name)] += used_s
    for interval in loaded.intervals:
        now = defaultdict[str, float](float)
        for name, mb in interval.memory_mb.items():
            now[_kind(name)] += mb
        memory_mb |= {kind: max(mb, memory_mb[kind]) for kind, mb in now.items()}
    offered = sum(second.offered for second in tally.seconds)
    return Step(
        offered_per_s=tally.per_s(offered) if loaded.plan.shape else None,
        achieved_per_s=tally.rate,
        seconds=tally.window_ns / 1e9,
        acknowledged=tally.window_acknowledged,
        latencies=latencies,
        sent_latencies=tally.service,
        errors=dict(errors),
        cpu_s=dict(cpu_s),
        wal_bytes_per_payment=found.wal_bytes_per_request,
        disk_bytes_per_payment=found.disk_bytes_per_request,
        memory_mb=dict(memory_mb),
        intervals=tuple(loaded.intervals),
        figures=found,
    )


def _kind(name: str) -> str:
    """`web` of `web-2`."""
    return name.partition("-")[0]
