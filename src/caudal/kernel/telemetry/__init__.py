"""How this process is seen: its logs, and the catalogue of what is measured (ARCHITECTURE.md §10)."""

from caudal.kernel.telemetry.catalogue import INSTRUMENTS, Instrument
from caudal.kernel.telemetry.logs import configure

__all__ = ["INSTRUMENTS", "Instrument", "configure"]
