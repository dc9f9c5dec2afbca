"""How this process is seen: its logs, and the catalogue of what is measured (ARCHITECTURE.md §10)."""

from caudal.kernel.telemetry.catalogue import INSTRUMENTS, Instrument
from caudal.kernel.telemetry.counts import Histogram, Meter, Reading, Readings, histogram
from caudal.kernel.telemetry.logs import configure, logged

__all__ = [
    "INSTRUMENTS",
    "Histogram",
    "Instrument",
    "Meter",
    "Reading",
    "Readings",
    "configure",
    "histogram",
    "logged",
]
