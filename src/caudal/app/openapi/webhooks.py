"""What webhook endpoints are sent, as OpenAPI 3.1 describes it: one webhook for each type of event."""

from __future__ import annotations

from typing import Any, Final

from caudal.app import events
from caudal.contracts.webhooks import TEST
from caudal.webhooks import TYPES

Schema = dict[str, Any]

# Standard Webhooks 1.0.
_HEADERS: Final[dict[str, tuple[str, Schema]]] = {
    "webhook-id": (
        "The event's id, the same in every attempt: seen twice, it is one.",
        {"type": "string", "pattern": "^evt_[0-9a-f]{32}$"},
    ),
    "webhook-timestamp": (
        "When this attempt was made, Unix seconds. Refuse what is older than five minutes.",
        {"type": "string", "pattern": "^[0-9]+$"},
    ),
    "webhook-signature": (
        "`v1,` and the base64 HMAC-SHA256 of `id.timestamp.body` under the endpoint's secret; two of them, separated "
        "by a space, while a secret is rotated.",
        {"type": "string"},
    ),
}
_PARAMETERS: Final = [
    {"name": name, "in": "header", "required": True, "description": text, "schema": schema}
    for name, (text, schema) in _HEADERS.items()
]


def webhooks() -> dict[str, Schema]:
    """Every type that an endpoint may hear of, and the test's."""
    return {name: {"post": _operation(events.TYPES[name])} for name in (*TYPES, TEST)}


def _operation(kind: events.EventType) -> Schema:
    content = {
        "schema": {"$ref": f"#/components/schemas/{kind.schema_name}"},
        "examples": {"example": {"value": kind.example}},
    }
    return {
        "operationId": "on_" + kind.name.replace(".", "_"),
        "tags": ["Webhooks"],
        "summary": kind.name,
        "description": kind.when,
        "parameters": _PARAMETERS,
        "requestBody": {"required": True, "content": {"application/json": content}},
        "responses": {
            "2XX": {"description": "You have it, durably."},
            "default": {"description": "It is sent again, later and later, for some days."},
        },
    }
