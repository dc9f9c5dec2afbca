"""Objectives and alerts → Prometheus' rules, by one template with a scale of time.

Burn rates and windows are those of Google's SRE Workbook, chapter 5 (table 5-8): 14.4 times the budget's even use for
an hour spends 2 % of a month's, and so on; a short window beside each long one lets an alert end with its cause.
"""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

from caudal_ops.alerts import ALERTS, Alert
from caudal_ops.slos import SLOS, Slo

RUNBOOKS: Final = "docs/runbooks/"
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_BAD_NOW: Final = "caudal:bad_now"
_PLACE: Final = re.compile(r"\{(\d+):(age|window)\}")
Rule = dict[str, Any]


class Burn(NamedTuple):
    """How fast a budget is spent, over two windows in seconds."""

    rate: float
    long_s: int
    short_s: int
    severity: str


BURNS: Final = (
    Burn(14.4, _HOUR, 5 * _MINUTE, "page"),
    Burn(6, 6 * _HOUR, 30 * _MINUTE, "page"),
    Burn(3, _DAY, 2 * _HOUR, "ticket"),
    Burn(1, 3 * _DAY, 6 * _HOUR, "ticket"),
)
WINDOWS: Final = tuple(sorted({window for burn in BURNS for window in (burn.long_s, burn.short_s)}))


class Scale(NamedTuple):
    """How much faster time passes than in production: 1 there, 60 in tests."""

    factor: int = 1

    def time(self, seconds: float) -> str:
        """A length of time as Prometheus writes it."""
        scaled_ms = round(seconds * 1000 / self.factor)
        if scaled_ms % 1000:
            return f"{scaled_ms}ms"
        whole = scaled_ms // 1000
        for unit, name in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "m")):
            if whole and whole % unit == 0:
                return f"{whole // unit}{name}"
        return f"{whole}s"

    def filled(self, expr: str) -> str:
        """An alert's expression with its times."""
        return _PLACE.sub(lambda of: self._place(int(of[1]), of[2]), expr)

    def _place(self, seconds: int, kind: str) -> str:
        return self.time(seconds) if kind == "window" else f"{seconds / self.factor:g}"


def groups(scale: Scale, runbooks_url: str | None = None) -> list[Rule]:
    """What stands under `groups:`; alerts link to runbooks where somebody says at which address they are found."""
    found: list[Rule] = [
        {
            "name": "caudal-slo",
            "interval": scale.time(30),
            "rules": [rule for slo in SLOS for rule in _recorded(slo, scale)],
        },
        {
            "name": "caudal-burn",
            "interval": scale.time(30),
            "rules": [_burning(slo, severity) for slo, severity in _pairs()],
        },
        {"name": "caudal-causes", "interval": scale.time(15), "rules": [_cause(alert, scale) for alert in ALERTS]},
    ]
    if runbooks_url is not None:
        for rule in (rule for group in found for rule in group["rules"] if "alert" in rule):
            rule["annotations"]["runbook_url"] = f"{runbooks_url.rstrip('/')}/{rule['alert']}.md"
    return found


def _pairs() -> list[tuple[Slo, str]]:
    return [(slo, severity) for slo in SLOS for severity in ("page", "ticket") if slo.pages or severity == "ticket"]


def recorded_name(window_s: int) -> str:
    """The name of the share that was bad, by its window in production's time."""
    return f"caudal:bad_share:{Scale().time(window_s)}"


def _recorded(slo: Slo, scale: Scale) -> list[Rule]:
    labels = {"slo": slo.name}
    if not slo.of_time:
        return [
            {"record": recorded_name(window), "expr": slo.bad.replace("{window}", scale.time(window)), "labels": labels}
            for window in WINDOWS
        ]
    # Kept as it is now, so that days of it are read and not worked out again each time.
    means = f'avg_over_time({_BAD_NOW}{{slo="{slo.name}"}}[{{window}}])'
    return [
        {"record": _BAD_NOW, "expr": scale.filled(slo.bad), "labels": labels},
        *(
            {"record": recorded_name(window), "expr": means.replace("{window}", scale.time(window)), "labels": labels}
            for window in WINDOWS
        ),
    ]


def burn_name(slo: Slo, severity: str) -> str:
    """`CaudalAvailabilityBurn`, and `…Slow` for what waits until morning."""
    return f"Caudal{slo.name.capitalize()}Burn{'' if severity == 'page' else 'Slow'}"


def _burning(slo: Slo, severity: str) -> Rule:
    budget = 1 - slo.target
    parts = [
        f'({recorded_name(burn.long_s)}{{slo="{slo.name}"}} > {burn.rate * budget:.6g}'
        f' and {recorded_name(burn.short_s)}{{slo="{slo.name}"}} > {burn.rate * budget:.6g})'
        for burn in BURNS
        if burn.severity == severity
    ]
    name = burn_name(slo, severity)
    return {
        "alert": name,
        "expr": "\nor ".join(parts),
        "labels": {"severity": severity, "slo": slo.name},
        "annotations": {
            "summary": f"{slo.title}: {{{{ $value | humanizePercentage }}}} do not",
            "description": f"{slo.promise} Its budget for 30 days is being spent too fast.",
            "runbook": f"{RUNBOOKS}{name}.md",
        },
    }


def _cause(alert: Alert, scale: Scale) -> Rule:
    return {
        "alert": alert.name,
        "expr": scale.filled(alert.expr),
        **({"for": scale.time(alert.after_s)} if alert.after_s else {}),
        "labels": {"severity": alert.severity},
        "annotations": {
            "summary": alert.summary,
            "description": alert.means,
            "runbook": f"{RUNBOOKS}{alert.name}.md",
        },
    }


def names() -> list[str]:
    """Every alert."""
    return [*(burn_name(slo, severity) for slo, severity in _pairs()), *(alert.name for alert in ALERTS)]
