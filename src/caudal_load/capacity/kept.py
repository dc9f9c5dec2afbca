"""Steps as they are kept: small, one file a run, enough to fit everything again."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from caudal_load.histogram import Histogram, middle_ns
from caudal_load.places import said, written
from caudal_load.step import Step

_KEPT_UP, _ERRORS = 0.97, 0.01
Growth = Mapping[str, float]
"""Bytes of the database per payment: `rows`, `indexes`, and of both together what is `in` a table that is dropped by
weeks."""


class BadSteps(ValueError):
    """A file does not hold the steps of a run."""


class KeptStep(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One step. Without an offered rate it was a closed loop."""

    connections: int | None = None
    offered: float | None = None
    """Arrivals per second that were asked for."""
    rate: float
    """Acknowledged per second."""
    seconds: float
    mean_ms: float
    p50_ms: float
    p99_ms: float
    p999_ms: float
    error_share: float
    late_share: float | None = None
    batch: int | None = None
    """A median size of batches, of steps that were kept before the two figures that follow were."""
    commands_per_batch: float | None = None
    """Commands ÷ batches of the step."""
    batches_per_s: float | None = None
    cores: dict[str, float]
    """By kind of process."""
    memory_mb: dict[str, float]
    wal_bytes: float | None = None
    """Per payment, as what follows."""
    disk_bytes: float | None = None
    growth: dict[str, float] = {}
    safe: bool = True
    """Whether everything that was acknowledged is there, once."""

    @property
    def batch_size(self) -> float | None:
        """Commands of a batch: the mean, or the median of a step that has no mean; None where nobody looked."""
        return self.batch if self.commands_per_batch is None else self.commands_per_batch

    @property
    def is_median(self) -> bool:
        """Whether the size of a batch is the median, which says nothing exact of how many batches there were."""
        return self.commands_per_batch is None and self.batch is not None

    @property
    def keeps_up(self) -> bool:
        """Whether an open loop was answered as fast as it came."""
        return self.offered is not None and self.rate >= self.offered * _KEPT_UP and self.error_share <= _ERRORS

    def within(self, slo_ms: float) -> bool:
        """Whether it kept up and 99 of 100 were answered in this time."""
        return self.keeps_up and self.p99_ms <= slo_ms

    @property
    def level(self) -> float:
        """Of an open loop the rate that was offered, of a closed one the connections."""
        return self.offered if self.offered is not None else float(self.connections or 0)


class Disk(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the disk under the data does alone."""

    mb_per_s: float
    """Written in one piece and flushed."""
    flush_ms: float
    """The median of one block written and flushed."""


class Kept(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A run of steps, and what it was run on."""

    scenario: str
    began: str
    commit: str
    machine: dict[str, str | int]
    web_processes: int
    shards: int
    generators: int
    disk: Disk | None = None
    steps: list[KeptStep]

    @property
    def medians(self) -> int:
        """How many of the steps that are fitted know no mean of their batches."""
        return sum(step.is_median for step in self.steps if step.keeps_up)

    @property
    def closed(self) -> list[KeptStep]:
        """The steps of a closed loop, by their connections."""
        return sorted((step for step in self.steps if step.offered is None), key=lambda step: step.level)

    @property
    def open(self) -> list[KeptStep]:
        """The steps of an open loop, by their rate."""
        return sorted((step for step in self.steps if step.offered is not None), key=lambda step: step.level)


def load(path: Path) -> Kept:
    """Read a run. Raises BadSteps and names what is wrong with it."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Kept)
    except OSError as error:
        raise BadSteps(f"{path} cannot be read: {said(error)}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadSteps(f"{path} holds no steps of a run: {error}") from error


def together(runs: list[Kept]) -> Kept:
    """Several runs of the same as one. Raises BadSteps where they are not of the same."""
    first = runs[0]
    for other in runs[1:]:
        for name in ("scenario", "web_processes", "shards"):
            if getattr(other, name) != getattr(first, name):
                raise BadSteps(f"runs that are fitted together have the same {name}")
        if other.machine.get("cores") != first.machine.get("cores"):
            raise BadSteps("runs that are fitted together are of machines with as many cores")
    return msgspec.structs.replace(first, steps=[step for run in runs for step in run.steps])


def save(kept: Kept, path: Path) -> None:
    """Write a run, a step a line. Raises Exit(1)."""
    run = msgspec.to_builtins(kept)
    steps = ",\n  ".join(json.dumps(step) for step in run.pop("steps"))
    written(path, f'{json.dumps(run)[:-1]},\n "steps": [\n  {steps}\n]}}\n')


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """What a step is asked for: connections, or arrivals per second."""

    connections: int | None = None
    rate: float | None = None

    def __str__(self) -> str:
        return f"{self.connections} connections" if self.rate is None else f"{self.rate:,.0f} offered/s"


def kept_step(level: Level, step: Step, growth: Growth) -> KeptStep:
    """A step as it is kept."""
    figures = step.figures

    def ms(value: float | None) -> float:
        return 0.0 if value is None else value

    return KeptStep(
        connections=level.connections,
        offered=level.rate,
        rate=step.achieved_per_s,
        seconds=round(step.seconds, 3),
        mean_ms=round(_mean_ms(step.latencies), 3),
        p50_ms=ms(figures.p50_ms),
        p99_ms=ms(figures.p99_ms),
        p999_ms=ms(figures.p999_ms),
        error_share=figures.error_share,
        late_share=figures.late_share,
        commands_per_batch=figures.commands_per_batch,
        batches_per_s=figures.batches_per_s,
        cores={kind: round(used_s / step.seconds, 4) for kind, used_s in step.cpu_s.items()},
        memory_mb=dict(step.memory_mb),
        wal_bytes=step.wal_bytes_per_payment,
        disk_bytes=step.disk_bytes_per_payment,
        growth=dict(growth),
        safe=figures.passed,
    )


def _mean_ms(latencies: Histogram) -> float:
    pairs = latencies.pairs()
    return sum(middle_ns(bucket) * count for bucket, count in pairs) / 1e6 / max(1, sum(count for _, count in pairs))
