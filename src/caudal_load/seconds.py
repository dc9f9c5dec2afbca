"""What happened in each second of the window, so that a run can be drawn, and its seconds be drawn lots from.

In an open loop a latency belongs to the second of the scheduled arrival, in a closed one to that of the answer.
Whatever else is counted belongs to the second in which it happened.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from caudal_load.histogram import Histogram

SECOND_NS = 1_000_000_000


class Second:
    """One second; the last one of a window may be shorter."""

    __slots__ = ("acknowledged", "answered", "errors", "lasts_s", "late", "latencies", "offered", "sent")

    def __init__(self) -> None:
        self.lasts_s = 1.0
        self.offered = 0
        """Arrivals of the schedule."""
        self.late = 0
        """Those of them that the generator noticed too late."""
        self.sent = 0
        self.answered = 0
        self.acknowledged = 0
        """Of the answers those that `rate` counts."""
        self.errors: Counter[str] = Counter()
        """Refusals by status and code, and requests without an answer."""
        self.latencies = Histogram()
        """Of what was acknowledged, and of what never got an answer, from the scheduled arrival on."""

    def add(self, other: "Second") -> None:
        """Count the same second of another process too."""
        self.lasts_s = max(self.lasts_s, other.lasts_s)
        self.offered += other.offered
        self.late += other.late
        self.sent += other.sent
        self.answered += other.answered
        self.acknowledged += other.acknowledged
        self.errors.update(other.errors)
        self.latencies.merge(other.latencies)

    def as_json(self) -> dict[str, Any]:
        """One object; the histogram as pairs of a bucket and its count, which `of` reads again."""
        return {
            "lasts_s": self.lasts_s,
            "offered": self.offered,
            "late": self.late,
            "sent": self.sent,
            "answered": self.answered,
            "acknowledged": self.acknowledged,
            "errors": dict(sorted(self.errors.items())),
            **{name: milliseconds(self.latencies.percentile_ns(percent)) for name, percent in _SHOWN},
            "buckets": self.latencies.pairs(),
        }

    @classmethod
    def of(cls, said: dict[str, Any]) -> "Second":
        """What `as_json` said. Raises KeyError, TypeError, ValueError for anything else."""
        second = cls()
        second.lasts_s = float(said["lasts_s"])
        for name in ("offered", "late", "sent", "answered", "acknowledged"):
            setattr(second, name, int(said[name]))
        second.errors.update({str(kind): int(count) for kind, count in said["errors"].items()})
        second.latencies.add_pairs(said["buckets"])
        return second


_SHOWN = (("p50_ms", 50), ("p99_ms", 99), ("max_ms", 100))


def milliseconds(value_ns: int | None) -> float | None:
    """Nanoseconds as they are printed; None stays."""
    return None if value_ns is None else round(value_ns / 1e6, 3)


def merged(parts: Iterable[Sequence[Second]]) -> list[Second]:
    """The seconds of several processes, the first ones of all together, and so on."""
    whole: list[Second] = []
    for part in parts:
        for index, second in enumerate(part):
            if index == len(whole):
                whole.append(Second())
                whole[-1].lasts_s = 0.0
            whole[index].add(second)
    return whole
