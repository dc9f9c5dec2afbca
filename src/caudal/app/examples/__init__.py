"""One story, told wherever the API is described: a merchant, a key, a payin and what becomes of it."""

from caudal.app.examples.actions import PAYIN_ID
from caudal.app.examples.answers import ANSWERS, BODIES, OPERATIONS, SEVERAL_ANSWERS, SEVERAL_BODIES, UNAVAILABLE
from caudal.app.examples.events import (
    CALLBACK,
    CREATE,
    CREATE_INSTRUMENT,
    CREATE_MERCHANT,
    CREATED,
    EVENTS,
    PAID,
    REQUEST_ID,
    envelope,
)

__all__ = [
    "ANSWERS",
    "BODIES",
    "CALLBACK",
    "CREATE",
    "CREATED",
    "CREATE_INSTRUMENT",
    "CREATE_MERCHANT",
    "EVENTS",
    "OPERATIONS",
    "PAID",
    "PAYIN_ID",
    "REQUEST_ID",
    "SEVERAL_ANSWERS",
    "SEVERAL_BODIES",
    "UNAVAILABLE",
    "envelope",
]
