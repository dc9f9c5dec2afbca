"""What one process's deliveries came to: how long endpoints took, and how it ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from caudal.kernel.context import Context
from caudal.kernel.telemetry import Reading, histogram
from caudal.webhooks.model import Attempt
from caudal.webhooks.states import Status

_OUTCOMES = ("accepted", "refused", "failed")


class Counts:
    """Plain numbers of all shards of a process."""

    def __init__(self, context: Context) -> None:
        self._times = {outcome: histogram("caudal.webhook.attempt.duration") for outcome in _OUTCOMES}
        self._deliveries = Counter[str]()
        context.meter.add(self._readings)

    def landed(self, attempt: Attempt, status: str) -> None:
        """An attempt has come back, and left its delivery so."""
        outcome = "failed" if attempt.status is None else "accepted" if attempt.accepted else "refused"
        self._times[outcome].record(attempt.duration_us / 1_000_000)
        self.ended(status)

    def ended(self, status: str) -> None:
        """A delivery has come so far."""
        self._deliveries["again" if status == Status.PENDING else str(status)] += 1

    def _readings(self) -> Iterator[Reading]:
        for outcome, times in self._times.items():
            yield "caudal.webhook.attempt.duration", (outcome,), times
        for outcome, count in self._deliveries.items():
            yield "caudal.webhook.deliveries", (outcome,), count
