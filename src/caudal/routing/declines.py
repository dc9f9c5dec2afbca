"""After which declines another provider is asked, from the table beside this file.

A reason that is not in the table is final: what nobody has judged is not repeated.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Final

import msgspec


class DeclineRule(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a reason is soft, why, and whose rule that is."""

    reason: str
    next_provider: str
    why: str
    source: str


def _table() -> dict[str, DeclineRule]:
    with Path(__file__).with_name("declines.csv").open(encoding="utf-8", newline="") as file:
        return {row["reason"]: msgspec.convert(row, DeclineRule) for row in csv.DictReader(file)}


DECLINES: Final[dict[str, DeclineRule]] = _table()
_SOFT: Final = frozenset(reason for reason, rule in DECLINES.items() if rule.next_provider == "yes")


def is_soft(reason: str | None) -> bool:
    """Whether another provider may be asked after this decline."""
    return reason in _SOFT
