"""What a process of the crew is given, and what it says: pickled records, each behind its length."""

import asyncio
import pickle
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from caudal_load.deeds import Deed
from caudal_load.drive import ClosedLoop, OpenLoop
from caudal_load.histogram import Histogram
from caudal_load.scenario import Requests, Scenario, Target
from caudal_load.seconds import Second
from caudal_load.shapes import Phase, arrivals, constant
from caudal_load.tally import Tally

_LENGTH = struct.Struct("!I")
_LEAST_WARM_UP = 0.1


@dataclass(frozen=True, kw_only=True, slots=True)
class Job:
    """The part of one process in a run; it is process `first` of `step`."""

    scenario: Scenario
    target: Target
    keys: list[str]
    instruments: Sequence[Sequence[str]]
    run: str
    first: int = 0
    step: int = 1
    phases: tuple[Phase, ...] = ()
    """Without them a closed loop."""
    seed: int = 0
    sandbox: Target | None = None
    """Where the payers of its payins pay."""

    def requests(self) -> Requests:
        """Its requests."""
        return Requests(
            self.scenario,
            self.target,
            self.keys,
            self.run,
            self.instruments,
            first=self.first,
            step=self.step,
        )

    def schedule(self, lead_s: float) -> Iterator[int]:
        """Its arrivals, those of the unmeasured seconds before them included."""
        rate = max(self.phases[0].pieces[0].first, self.phases[0].peak * _LEAST_WARM_UP)
        lead = (constant("warm-up", lead_s, rate, self.phases[0].poisson),) if lead_s else ()
        return islice(arrivals((*lead, *self.phases), self.seed), self.first, None, self.step)

    def loop(self, requests: Requests) -> ClosedLoop | OpenLoop:
        """Its loop."""
        if not self.phases:
            return ClosedLoop(self.target, requests)
        return OpenLoop(self.target, requests, self.phases[0].peak, schedule=self.schedule)


@dataclass(frozen=True, kw_only=True, slots=True)
class Seat:
    """A connection of a process that has ended: its port here, its latencies, its acknowledgements in the window."""

    port: int | None
    histogram: Histogram
    acknowledged: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Progress:
    """How far a process is."""

    acknowledged: int
    window_acknowledged: int
    errors: int
    last: Second | None = None
    """The last whole second of the window, with its number."""
    number: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Result:
    """All that a process has counted."""

    tally: Tally
    seats: list[Seat]
    deeds: dict[Deed, Histogram] = field(default_factory=dict)
    instead: dict[str, int] = field(default_factory=dict)


def frame(said: object) -> bytes:
    """A record on the wire."""
    packed = pickle.dumps(said, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(packed)) + packed


async def read_frame(reader: asyncio.StreamReader) -> Any:
    """The next record. Raises IncompleteReadError when the other side is gone."""
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    return pickle.loads(await reader.readexactly(length))  # from our own child or parent, over our own pipe
