"""What a run had to keep, and whether it did."""

from dataclasses import dataclass

import msgspec

from caudal_load.figures import Figures
from caudal_load.scenarios import Slo


@dataclass(frozen=True, kw_only=True, slots=True)
class Objective:
    """One limit of an SLO, what was measured, and whether that is within it."""

    name: str
    limit: float
    value: float | None
    met: bool

    @property
    def said(self) -> str:
        """In words."""
        sign = "≥" if self.name in _AT_LEAST else "≤"
        return f"{'kept' if self.met else 'MISSED'}: {self.name} {_text(self.value)}, {sign} {_text(self.limit)}"


_AT_LEAST = ("rate",)


def _text(value: float | None) -> str:
    return "none" if value is None else f"{value:,.6g}"


def judged(slo: Slo, figures: Figures) -> tuple[Objective, ...]:
    """Every limit that the SLO has. What was not measured is not met."""
    found = []
    for name, limit in msgspec.structs.asdict(slo).items():
        if limit is None:
            continue
        value = _lag(figures) if name == "webhook_lag_ms" else getattr(figures, name)
        met = value is not None and (value >= limit if name in _AT_LEAST else value <= limit)
        found.append(Objective(name=name, limit=limit, value=value, met=met))
    return tuple(found)


def _lag(figures: Figures) -> float | None:
    return None if figures.webhooks is None else figures.webhooks.lag_p99_ms
