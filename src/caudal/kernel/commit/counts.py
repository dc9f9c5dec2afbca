"""What one shard's writer has counted: waits, sizes and times of batches, and what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from caudal.kernel.commit.lanes import Lanes, Waiting
from caudal.kernel.commit.model import Lane
from caudal.kernel.telemetry import Reading, histogram

_LANES = ("urgent", "normal", "bulk")
_AGAIN = "again"


class Counts:
    """Plain numbers of one process."""

    def __init__(self) -> None:
        self._waits = [histogram("caudal.commit.queue.wait") for _ in (*_LANES, _AGAIN)]
        self._sizes = histogram("caudal.commit.batch.size")
        self._durations = histogram("caudal.commit.batch.duration")
        self._outcomes = Counter[str]()
        self._commands = self._events = 0
        self.alarms = 0

    @property
    def batches(self) -> int:
        """Batches that committed."""
        return self._outcomes["committed"]

    @property
    def unknowns(self) -> int:
        """Commits whose outcome had to be looked for."""
        return self._outcomes["unknown"]

    @property
    def reruns(self) -> int:
        """Tries after which something ran again, or was given up."""
        return sum(self._outcomes.values()) - self.batches - self.unknowns

    def waited(self, batch: Sequence[Waiting], now: float) -> None:
        """A batch begins: how long each of its commands has waited."""
        for waiting in batch:
            lane = len(_LANES) if waiting.rereads else waiting.command.lane
            self._waits[lane].record(now - waiting.since)

    def committed(self, commands: int, events: int, seconds: float) -> None:
        """A batch has committed."""
        self._sizes.record(commands)
        self._durations.record(seconds)
        self._outcomes["committed"] += 1
        self._commands += commands
        self._events += events

    def failed(self, outcome: str) -> None:
        """A try has not, or nobody knows."""
        self._outcomes[outcome] += 1

    def readings(self, shard: int, lanes: Lanes) -> Iterator[Reading]:
        """For the meter."""
        of = (str(shard),)
        for name, waits, length in zip((*_LANES, _AGAIN), self._waits, lanes.lengths, strict=True):
            yield "caudal.commit.queue.length", (*of, name), length
            yield "caudal.commit.queue.wait", (*of, name), waits
        yield "caudal.commit.batch.size", of, self._sizes
        yield "caudal.commit.batch.duration", of, self._durations
        for outcome, batches in {"committed": 0, **self._outcomes}.items():
            yield "caudal.commit.batches", (*of, outcome), batches
        yield "caudal.commit.commands", of, self._commands
        yield "caudal.commit.events", of, self._events
        yield "caudal.commit.alarms", of, self.alarms
        yield "caudal.commit.drain_rate", of, lanes.drain_per_s


assert [lane.name.lower() for lane in Lane] == list(_LANES), "each lane has its name"
