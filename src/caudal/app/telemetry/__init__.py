"""How a process is seen from outside: what it measures, its operator's port, its health (ARCHITECTURE.md §10)."""

from caudal.app.telemetry.health import Health, health_of
from caudal.app.telemetry.inside import exported, inside, target_of
from caudal.app.telemetry.port import OperatorPort
from caudal.app.telemetry.readiness import Readiness
from caudal.app.telemetry.requests import Refusals, Requests, traced
from caudal.app.telemetry.watch import Watch

__all__ = [
    "Health",
    "OperatorPort",
    "Readiness",
    "Refusals",
    "Requests",
    "Watch",
    "exported",
    "health_of",
    "inside",
    "target_of",
    "traced",
]
