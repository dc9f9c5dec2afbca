"""The story's webhooks: an endpoint, what was delivered to it, and what was sent again."""

from __future__ import annotations

from typing import Any, Final, TypeVar

import msgspec

from caudal.contracts import webhooks
from caudal.contracts.envelope import Envelope
from caudal.kernel.http import encode

Endpoint = TypeVar("Endpoint", bound=webhooks.WebhookEndpointData)

AT: Final = "2026-11-23T09:37:02.118930Z"
FAILED: Final = "2026-11-28T10:09:31.400215Z"
_ENDPOINT_ID: Final = "endpoint_01a207c3f06072e2a0000168d1be5f94"
_DELIVERY_ID: Final = "delivery_01a207dd6e0e7a11a00001c2f5b09d37"
_RANGE_ID: Final = "range_01a20c55a2b07f0e800001d7c0a4e6b1"
_URL: Final = "https://shop.example.com/caudal"


def _endpoint(kind: type[Endpoint], **more: Any) -> Endpoint:
    fields: dict[str, Any] = {
        "status": "enabled",
        "status_reason": None,
        "disabled_at": None,
        "deleted_at": None,
        **more,
    }
    return kind(
        id=_ENDPOINT_ID,
        mode="test",
        url=_URL,
        types=("payin.paid",),
        description=None,
        created_at="2026-11-23T09:36:21.600000Z",
        **fields,
    )


DISABLED: Final = _endpoint(
    webhooks.WebhookEndpointDisabled, status="disabled", status_reason="failing", disabled_at=FAILED
)
DELETED_AT: Final = "2026-11-30T08:00:12.500000Z"
DELETED: Final = _endpoint(webhooks.WebhookEndpointDeleted, status="deleted", deleted_at=DELETED_AT)
TESTED: Final = _endpoint(webhooks.WebhookEndpointTested)
BODIES: Final[dict[str, Any]] = {
    "CreateEndpointBody": {"url": _URL, "types": ["payin.paid"]},
    "ChangeEndpointBody": {"types": ["payin.paid", "payin.expired"], "status": "enabled"},
    "RotateSecretBody": {"overlap_s": 86_400},
    "RedeliverRangeBody": {"from": "2026-11-23T00:00:00Z", "to": "2026-11-24T00:00:00Z", "only_failed": True},
}
_ENDPOINT: Final[dict[str, Any]] = {
    **msgspec.to_builtins(_endpoint(webhooks.WebhookEndpointData)),
    "former_secret_until": None,
    "failing_since": None,
    "secret": None,
}
_RANGE: Final[dict[str, Any]] = {
    "id": _RANGE_ID,
    "object": "webhook_redelivery",
    "endpoint": _ENDPOINT_ID,
    "since": "2026-11-23T00:00:00.000000Z",
    "until": "2026-11-24T00:00:00.000000Z",
    "types": ["payin.paid"],
    "only_failed": True,
    "created_at": "2026-11-24T08:00:00.000000Z",
}


def _delivered(event: Envelope) -> dict[str, Any]:
    return {
        "id": _DELIVERY_ID,
        "object": "webhook_delivery",
        "mode": "test",
        "endpoint": _ENDPOINT_ID,
        "event": event.id,
        "type": event.type,
        "cause": "event",
        "status": "delivered",
        "attempts": 1,
        "next_attempt_at": None,
        "event_at": event.time,
        "created_at": "2026-11-23T10:04:31.310022Z",
    }


def _pending(event: Envelope) -> dict[str, Any]:
    now = "2026-11-23T10:20:00.000000Z"
    fields = {"cause": "redelivery", "status": "pending", "attempts": 0, "next_attempt_at": now, "created_at": now}
    return {**_delivered(event), **fields}


def _attempt(event: Envelope) -> dict[str, Any]:
    return {
        "number": 1,
        "at": "2026-11-23T10:04:31.331907Z",
        "duration_ms": 41.7,
        "request": {
            "url": _URL,
            "headers": {
                "content-type": "application/json",
                "user-agent": "caudal-webhooks/1",
                "webhook-id": event.id,
                "webhook-timestamp": "1795428271",
                "webhook-signature": "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=",
            },
            "body": encode(event).decode(),
        },
        "response": {"status": 200, "body": "thanks"},
        "error": None,
    }


def _page(*rows: Any) -> dict[str, Any]:
    return {"data": list(rows), "has_more": False, "next": None, "previous": None}


def answers(event: Envelope) -> dict[str, Any]:
    """Answers by the name of their record; `event` is what was delivered."""
    return {
        "EndpointBody": _ENDPOINT,
        "EndpointList": _page(_ENDPOINT),
        "DeliveryBody": _pending(event),
        "DeliveryList": _page(_delivered(event)),
        "DeliveryDetail": {"delivery": _delivered(event), "attempts": [_attempt(event)]},
        "Redelivered": {"data": [_pending(event)]},
        "RangeBody": _RANGE,
    }


def operations(event: Envelope) -> dict[str, Any]:
    """Where an operation's answer is not the one that its record usually has."""
    rotated = {**_ENDPOINT, "former_secret_until": "2026-11-24T09:40:00.000000Z", "secret": "whsec_…"}
    return {
        "create_webhook_endpoint": {**_ENDPOINT, "secret": "whsec_…"},
        "create_webhook_endpoint_secret_rotation": rotated,
        "create_webhook_endpoint_deletion": {**_ENDPOINT, "status": "deleted", "deleted_at": DELETED_AT},
        "create_webhook_endpoint_test": {**_pending(event), "cause": "test", "type": webhooks.TEST},
    }
