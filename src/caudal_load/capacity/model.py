"""All laws fitted to the steps of a run, with error bars, and what saturates first.

Error bars are a bootstrap over steps: as many steps as there were are drawn with replacement, closed and open loops
each for themselves, and everything is fitted again. The middle 95 % of what comes out are the interval.
"""

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from random import Random

from caudal_load.capacity.kept import Kept, KeptStep
from caudal_load.capacity.laws import Batches, Delay, Line, Scalability, batches, delay, line, scalability
from caudal_load.capacity.solve import Unsolvable

DRAWS = 200
_TRIES = 20
_TAIL = 0.025
PERCENTILES = ("p50", "p99")
KINDS = ("web", "worker", "postgres", "sandbox", "generator", "conductor")


@dataclass(frozen=True, kw_only=True, slots=True)
class Fit:
    """What was fitted to some steps."""

    scalability: Scalability
    delay: Delay
    cores: Mapping[str, Line]
    """By kind of process."""
    bytes: Mapping[str, float]
    """Per payment: `wal`, `disk`, and what the database grows by; what is known."""
    memory_mb: Mapping[str, float]
    """By kind, the most."""

    @property
    def machine(self) -> Line:
        """Cores of everything."""
        return sum(self.cores.values(), Line(base=0.0, each=0.0))

    def within(self, slo_ms: float, at_most: float) -> float:
        """The highest rate with 99 of 100 within the SLO, but not above what was seen."""
        return min(at_most, self.delay.rate_at("p99", slo_ms))


def fit(steps: Sequence[KeptStep]) -> Fit:
    """Fit everything. Raises Unsolvable, with what there is too little of."""
    closed = [step for step in steps if step.offered is None]
    kept_up = quieter([step for step in steps if step.keeps_up])
    rates = [step.rate for step in kept_up]
    missed = [step.offered for step in steps if step.offered is not None and not step.keeps_up]
    beyond = [rate for rate in missed if rate > max(rates, default=0.0)]
    latencies = {"p50": [step.p50_ms for step in kept_up], "p99": [step.p99_ms for step in kept_up]}
    kinds = [kind for kind in KINDS if any(step.cores.get(kind) for step in kept_up)]
    waiting = delay(rates, latencies, min(beyond, default=None))
    law = batches_of(kept_up, waiting)
    return Fit(
        scalability=scalability([step.level for step in closed], [step.rate for step in closed]),
        delay=waiting,
        cores={kind: line(rates, [step.cores.get(kind, 0.0) for step in kept_up], law) for kind in kinds},
        bytes=_bytes(kept_up),
        memory_mb={kind: max(step.memory_mb.get(kind, 0.0) for step in steps) for kind in kinds},
    )


def quieter(steps: Sequence[KeptStep]) -> list[KeptStep]:
    """Of steps at the same level the one with the least p99: the other had a stall that is not the load's."""
    best: dict[float, KeptStep] = {}
    for step in steps:
        if step.level not in best or step.p99_ms < best[step.level].p99_ms:
            best[step.level] = step
    return list(best.values())


def batches_of(steps: Sequence[KeptStep], law: Delay) -> Batches | None:
    """How batches grow, where it is known."""
    sized = [(step.rate, size) for step in steps if (size := step.batch_size)]
    if not sized:
        return None
    return batches([rate for rate, _ in sized], [size for _, size in sized], law.limit, _commands(steps))


def _commands(steps: Sequence[KeptStep]) -> float:
    """Of a payment, the mean over payments; one where it is not known."""
    counted = [
        (step.seconds * step.batches_per_s * step.commands_per_batch, step.seconds * step.rate)
        for step in steps
        if step.batches_per_s and step.commands_per_batch and step.rate
    ]
    return sum(commands for commands, _ in counted) / sum(payments for _, payments in counted) if counted else 1.0


def _bytes(steps: Sequence[KeptStep]) -> dict[str, float]:
    """Means over payments."""
    sums, payments = defaultdict[str, float](float), defaultdict[str, float](float)
    for step in steps:
        known = {"wal": step.wal_bytes, "disk": step.disk_bytes, **step.growth}
        for name, value in known.items():
            if value is not None:
                sums[name] += value * step.rate * step.seconds
                payments[name] += step.rate * step.seconds
    return {name: round(total / payments[name], 1) for name, total in sums.items() if payments[name]}


@dataclass(frozen=True, kw_only=True, slots=True)
class Estimate:
    """A figure with the ends of its 95 % interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{told(self.value)} ({told(self.low)} to {told(self.high)})"


def told(value: float) -> str:
    """Three digits, or what is without end as a word."""
    if math.isinf(value):
        return "∞"
    rounded = f"{value:.3g}"
    return f"{float(rounded):,.0f}" if abs(float(rounded)) >= 1000 else rounded


@dataclass(frozen=True, kw_only=True, slots=True)
class Saturation:
    """At which rate a resource would be used up."""

    resource: str
    capacity: str
    rate: Estimate


@dataclass(frozen=True, kw_only=True, slots=True)
class Model:
    """The fit of a run, and the fits of what was drawn from it."""

    kept: Kept
    slo_ms: float
    fit: Fit
    draws: Sequence[Fit]

    @property
    def seen(self) -> float:
        """The highest rate that was kept up with."""
        return max(step.rate for step in self.kept.open if step.keeps_up)

    @property
    def bracket(self) -> tuple[float | None, float | None]:
        """As measured: the highest rate within the SLO, and the lowest that was offered above it."""
        good = max((step.level for step in self.kept.open if step.within(self.slo_ms)), default=None)
        bad = min((step.level for step in self.kept.open if step.level > (good or 0.0)), default=None)
        return good, bad

    def estimate(self, of: Callable[[Fit], float | None]) -> Estimate | None:
        """A figure of the fit, with error bars from the draws; None where the fit has none."""
        value = of(self.fit)
        if value is None:
            return None
        values = sorted(drawn for one in self.draws if (drawn := of(one)) is not None) or [value]
        tail = int(len(values) * _TAIL)
        return Estimate(value=value, low=min(value, values[tail]), high=max(value, values[-tail - 1]))

    def surely(self, of: Callable[[Fit], float]) -> Estimate:
        """The same of a figure that every fit has."""
        found = self.estimate(of)
        assert found is not None
        return found

    def within_slo(self, fit: Fit) -> float:
        """The highest rate within the SLO."""
        return fit.within(self.slo_ms, self.seen)

    def saturations(self) -> list[Saturation]:
        """The first to saturate first. The machine is everything on it, the load too."""
        kept, cores = self.kept, int(self.kept.machine["cores"])
        limits = {"web": kept.web_processes, "generator": kept.generators, "postgres": cores}
        found = [
            Saturation(
                resource=kind,
                capacity=_cores(limits.get(kind, 1)),
                rate=self.surely(partial(_used_up, kind, limits.get(kind, 1))),
            )
            for kind in self.fit.cores
        ]
        machine = self.surely(lambda one: one.machine.reaches(cores))
        chain = self.surely(lambda one: one.delay.limit)
        found += [
            Saturation(resource="machine", capacity=_cores(cores), rate=machine),
            Saturation(resource="chain", capacity=f"batches of {_count(kept.shards, 'shard')}", rate=chain),
        ]
        if kept.disk is not None and "disk" in self.fit.bytes:
            per_s = kept.disk.mb_per_s * 1e6
            rate = self.surely(lambda one: per_s / one.bytes.get("disk", self.fit.bytes["disk"]))
            found.append(Saturation(resource="disk", capacity=f"{told(kept.disk.mb_per_s)} MB/s", rate=rate))
        return sorted(found, key=lambda one: one.rate.value)


def _used_up(kind: str, cores: float, fit: Fit) -> float:
    return fit.cores.get(kind, Line(base=0.0, each=0.0)).reaches(cores)


def _cores(count: int) -> str:
    return _count(count, "core")


def _count(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def modelled(kept: Kept, slo_ms: float, draws: int = DRAWS, seed: int = 0) -> Model:
    """Fit a run, and what is drawn from it; the same for the same run. Raises Unsolvable."""
    random = Random(seed)
    whole = fit(kept.steps)
    drawn = [one for _ in range(draws) if (one := _drawn(kept, random)) is not None]
    return Model(kept=kept, slo_ms=slo_ms, fit=whole, draws=drawn)


def _drawn(kept: Kept, random: Random) -> Fit | None:
    for _ in range(_TRIES):
        steps = random.choices(kept.closed, k=len(kept.closed)) + random.choices(kept.open, k=len(kept.open))
        try:
            return fit(steps)
        except Unsolvable:
            continue
    return None
