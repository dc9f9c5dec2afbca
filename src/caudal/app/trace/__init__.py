"""One payment's way through everything: what was decided, booked, told and sent, in the order of time."""

from caudal.app.trace.http import ROUTES, trace_of
from caudal.app.trace.model import Trace, TraceStep

__all__ = ["ROUTES", "Trace", "TraceStep", "trace_of"]
