"""The answer: all that the steps of a run say, as one JSON object."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import msgspec

from caudal_load.capacity.check import Check, checked
from caudal_load.capacity.kept import Kept
from caudal_load.capacity.laws import Line
from caudal_load.capacity.model import DRAWS, Estimate, Fit, Model, Saturation, modelled, told
from caudal_load.capacity.sizing import Wanted, days, needs, one_postgresql
from caudal_load.capacity.solve import Unsolvable

_NONE = Line(base=0.0, each=0.0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sized:
    """What one wanted rate needs; nothing where no number of caudals is enough."""

    wanted: Wanted
    needs: Mapping[str, Estimate]


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """All that a run of steps says."""

    model: Model
    figures: Mapping[str, Estimate]
    """What was fitted, by name with its unit."""
    check: Check
    saturations: Sequence[Saturation]
    sized: Sequence[Sized]
    ends: Mapping[str, Estimate]
    """The rates at which one PostgreSQL ends, by what ends it."""

    @property
    def remarks(self) -> list[str]:
        """What is to be known beside the figures, as sentences."""
        found, most = [], self.model.fit.scalability.most
        seen = max(self.model.kept.closed, key=lambda step: step.rate)
        if most is not None and seen.rate > most:
            found.append(
                f"the most by the law of scalability, {told(most)}/s, is below the {told(seen.rate)}/s that "
                f"{seen.level:g} connections had: least squares go through the middle of the steps, not over them"
            )
        if medians := self.model.kept.medians:
            found.append(
                f"of {medians} fitted steps a median of their batches is known, not commands ÷ batches: what a batch "
                "costs, and how many there are, is off by as much as the two differ"
            )
        if any(one.needs for one in self.sized):
            cached = days(self.sized[0].wanted.prices)
            found.append(
                "memory of the processes is what they had here, PostgreSQL's with a small database; the cache beside "
                f"it is the growth of {cached}: a rule, not measured (cached_days of --prices)"
            )
        return found

    @property
    def safe(self) -> bool:
        """Whether everything that was acknowledged in any step is there, once."""
        return all(step.safe for step in self.model.kept.steps)

    def as_json(self) -> dict[str, Any]:
        """One object; what is without end is null."""
        kept = self.model.kept
        good, bad = self.model.bracket
        return {
            **{name: getattr(kept, name) for name in ("scenario", "began", "commit", "machine")},
            **{name: getattr(kept, name) for name in ("web_processes", "shards", "generators")},
            "disk": msgspec.to_builtins(kept.disk),
            "slo_p99_ms": self.model.slo_ms,
            "within_slo_measured_per_s": good,
            "beyond_slo_measured_per_s": bad,
            "figures": {name: _plain(one) for name, one in self.figures.items()},
            "saturates": [
                {"resource": one.resource, "capacity": one.capacity, "rate": _plain(one.rate)}
                for one in self.saturations
            ],
            "check": {
                "passed": self.check.passed,
                "predictions": [asdict(one) | {"deviation": round(one.deviation, 4)} for one in self.check.predictions],
            },
            "needs": [
                {
                    "rate": one.wanted.rate,
                    "utilisation": one.wanted.utilisation,
                    "mean": one.wanted.mean,
                    "currency": one.wanted.prices.currency,
                    **{name: _plain(value) for name, value in one.needs.items()},
                }
                for one in self.sized
            ],
            "one_postgresql_ends_at": {name: _plain(one) for name, one in self.ends.items()},
            "remarks": self.remarks,
            "safe": self.safe,
            "steps": msgspec.to_builtins(kept.steps),
        }


def _plain(estimate: Estimate) -> dict[str, float | None]:
    return {name: value if math.isfinite(value) else None for name, value in asdict(estimate).items()}


def answered(kept: Kept, slo_ms: float, wanted: Sequence[Wanted], draws: int = DRAWS) -> Answer:
    """Fit the steps and answer. Raises Unsolvable where they are too few."""
    model = modelled(kept, slo_ms, draws)
    sized = []
    for one in wanted:
        try:
            sized.append(Sized(wanted=one, needs=needs(model, one)))
        except Unsolvable:
            sized.append(Sized(wanted=one, needs={}))
    return Answer(
        model=model,
        figures=_figures(model),
        check=checked(kept),
        saturations=model.saturations(),
        sized=sized,
        ends=one_postgresql(model, wanted[0]) if wanted else {},
    )


def _figures(model: Model) -> dict[str, Estimate]:
    def within(fit: Fit) -> float:
        return model.within_slo(fit)

    found = {
        "within_slo_per_s": model.estimate(within),
        "utilisation_within_slo": model.estimate(lambda fit: within(fit) / fit.delay.limit),
        "limit_per_s": model.estimate(lambda fit: fit.delay.limit),
        "service_us": model.estimate(lambda fit: 1e6 / fit.delay.limit),
        **{
            f"{percentile}_{name}_ms": model.estimate(partial(_part, percentile, place))
            for percentile in model.fit.delay.parts
            for place, name in enumerate(("base", "wait"))
        },
        "lambda_per_s": model.estimate(lambda fit: fit.scalability.lambda_),
        "sigma": model.estimate(lambda fit: fit.scalability.sigma),
        "kappa": model.estimate(lambda fit: fit.scalability.kappa),
        "most_per_s": model.estimate(lambda fit: fit.scalability.most),
        "most_at_connections": model.estimate(lambda fit: fit.scalability.peak[0] if fit.scalability.peak else None),
        **{f"{kind}_cpu_us": model.estimate(partial(_cpu_us, kind)) for kind in model.fit.cores},
        **{f"{kind}_batch_cpu_us": model.estimate(partial(_batch_us, kind)) for kind in model.fit.cores},
        **{f"{kind}_within_slo_cpu_us": model.estimate(partial(_within_us, kind, model)) for kind in model.fit.cores},
        **{f"{kind}_base_cores": model.estimate(partial(_base, kind)) for kind in model.fit.cores},
        **{f"{kind}_memory_mb": model.estimate(partial(_memory, kind)) for kind in model.fit.memory_mb},
        **{f"{name.replace(' ', '_')}_bytes": model.estimate(partial(_bytes, name)) for name in model.fit.bytes},
    }
    return {name: one for name, one in found.items() if one is not None}


def _part(percentile: str, place: int, fit: Fit) -> float:
    return fit.delay.parts[percentile][place]


def _cpu_us(kind: str, fit: Fit) -> float:
    return fit.cores.get(kind, _NONE).each * 1e6


def _batch_us(kind: str, fit: Fit) -> float:
    return fit.cores.get(kind, _NONE).batch * 1e6


def _within_us(kind: str, model: Model, fit: Fit) -> float | None:
    """CPU of a payment at the highest rate within the SLO, all of it."""
    rate = model.within_slo(fit)
    return fit.cores.get(kind, _NONE).at(rate) * 1e6 / rate if rate > 0 else None


def _base(kind: str, fit: Fit) -> float:
    return fit.cores.get(kind, _NONE).base


def _memory(kind: str, fit: Fit) -> float:
    return fit.memory_mb.get(kind, 0.0)


def _bytes(name: str, fit: Fit) -> float | None:
    return fit.bytes.get(name)
