"""Two payins in one request: one is made, the other is refused."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from caudal.app.examples.events import CREATE, REQUEST_ID
from caudal.contracts.problems import answer_of
from caudal.kernel.errors import FieldError, Invalid

_ERROR: Final = FieldError(
    field="/expires_at",
    code="in_the_past",
    detail="this time has passed",
)
_REFUSAL: Final = answer_of(Invalid("invalid_request", "the request has errors", errors=(_ERROR,)), REQUEST_ID)
BODY: Final[dict[str, Any]] = {
    "payins": [
        {"idempotency_key": "order-1001", "payin": CREATE},
        {"idempotency_key": "order-1002", "payin": {**CREATE, "expires_at": "2026-01-06T00:00:00Z"}},
    ]
}


def answer(created: dict[str, Any]) -> dict[str, Any]:
    """What they are answered with; `created` is the story's own payin."""
    same = {"idempotent_replayed": False, "retry_after": None}
    return {
        "data": [
            {"status": 201, **same, "payin": created, "problem": None},
            {"status": 422, **same, "payin": None, "problem": msgspec.json.decode(_REFUSAL.body)},
        ]
    }
