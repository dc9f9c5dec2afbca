"""How this process is seen: its logs, and the catalogue of what is measured (ARCHITECTURE.md §10)."""

from caudal.kernel.telemetry.catalogue import INSTRUMENTS, Instrument
from caudal.kernel.telemetry.counts import Histogram, Meter, Reading, Readings, histogram
from caudal.kernel.telemetry.logs import configure, logged
from caudal.kernel.telemetry.traces import (
    CURRENT,
    Attributes,
    Outgoing,
    Sampling,
    Span,
    Trace,
    Tracer,
    about,
    apart,
    failed,
    parent_of,
)

__all__ = [
    "CURRENT",
    "INSTRUMENTS",
    "Attributes",
    "Histogram",
    "Instrument",
    "Meter",
    "Outgoing",
    "Reading",
    "Readings",
    "Sampling",
    "Span",
    "Trace",
    "Tracer",
    "about",
    "apart",
    "configure",
    "failed",
    "histogram",
    "logged",
    "parent_of",
]
