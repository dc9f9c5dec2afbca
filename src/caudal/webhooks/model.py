"""The nouns: endpoints, deliveries, attempts; and how they are shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec
from msgspec import Meta

from caudal.contracts.envelope import event_id
from caudal.contracts.payins import Instant, Mode
from caudal.contracts.webhooks import DisabledReason, EndpointStatus, WebhookEndpointData
from caudal.kernel.clock import rfc3339
from caudal.kernel.ids import public

ENDPOINT: Final = "endpoint"
DELIVERY: Final = "delivery"
RANGE: Final = "range"
ANSWER_MAX_BYTES: Final = 2048
# When the n-th attempt follows the one before it, seconds: the schedule of the Standard Webhooks specification.
SCHEDULE_S: Final = (0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400)
ATTEMPTS_MAX: Final = len(SCHEDULE_S)
# Attempts after which later events of the same subject wait no longer.
FAST_ATTEMPTS: Final = 3

Cause = Literal["event", "test", "redelivery"]
DeliveryStatus = Literal["pending", "delivered", "failed", "cancelled"]


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a merchant wants to hear of its events. The secrets are sealed for its id, and gone once it is deleted."""

    id: UUID
    book: int
    version: int
    url: str
    types: tuple[str, ...]
    description: str | None
    status: EndpointStatus
    reason: DisabledReason | None
    sealed: bytes | None
    former_sealed: bytes | None
    former_until: datetime | None
    created_at: datetime
    disabled_at: datetime | None
    deleted_at: datetime | None = None

    @property
    def live(self) -> bool:
        """Whether it hears of live money."""
        return bool(self.book & 1)


class Delivery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One event on its way to one endpoint."""

    id: UUID
    created_at: datetime
    book: int
    endpoint: UUID
    event_seq: int
    event_at: datetime
    type: str
    subject: UUID
    cause: Cause
    status: DeliveryStatus = "pending"
    attempts: int = 0
    due_at: datetime | None = None

    @property
    def event(self) -> str:
        """The public id of the event."""
        return event_id(self.event_at, self.book >> 1, self.event_seq)


class Attempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What was sent and what came back: a status and the beginning of the body, or what went wrong."""

    number: int
    at: datetime
    url: str
    signature: str
    duration_us: int
    status: int | None
    error: str | None
    answer: bytes | None

    @property
    def accepted(self) -> bool:
        """Whether the endpoint has taken the event."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """Whether it wants no more events."""
        return self.status == 410


class RangeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Events of a time that an endpoint gets again."""

    id: UUID
    book: int
    endpoint: UUID
    since: datetime
    until: datetime
    types: tuple[str, ...]
    only_failed: bool
    created_at: datetime


# As the API shows them


class EndpointBody(WebhookEndpointData, frozen=True, kw_only=True):
    """A webhook endpoint. `secret` is there in the answer that made it, and not even when that is replayed."""

    former_secret_until: Annotated[Instant | None, Meta(description="until then the former secret signs too")]
    failing_since: Annotated[Instant | None, Meta(description="since when nothing else than failures came of it")]
    secret: Annotated[str | None, Meta(description="`whsec_…`, this once")] = None


class DeliveryBody(msgspec.Struct, frozen=True, kw_only=True):
    """One event on its way to one endpoint."""

    id: str
    object: Literal["webhook_delivery"] = "webhook_delivery"
    mode: Mode
    endpoint: str
    event: Annotated[str, Meta(description="the event's id, and the message's `webhook-id`")]
    type: str
    cause: Annotated[Cause, Meta(description="why it was made")]
    status: DeliveryStatus
    attempts: Annotated[int, Meta(description=f"made so far, of {ATTEMPTS_MAX}")]
    next_attempt_at: Annotated[Instant | None, Meta(description="when it is tried next, while it is pending")]
    event_at: Instant
    created_at: Instant


class RequestBody(msgspec.Struct, frozen=True, kw_only=True):
    """What was sent."""

    url: str
    headers: dict[str, str]
    body: Annotated[str | None, Meta(description="the event; null when it is kept no longer")]


class AnswerBody(msgspec.Struct, frozen=True, kw_only=True):
    """What came back."""

    status: int
    body: Annotated[str, Meta(description=f"at most {ANSWER_MAX_BYTES} bytes of it")]


class AttemptBody(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt: what was sent, what came back or went wrong, and how long it took."""

    number: int
    at: Instant
    duration_ms: float
    request: RequestBody
    response: AnswerBody | None
    error: str | None


class DeliveryDetail(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery with every attempt."""

    delivery: DeliveryBody
    attempts: tuple[AttemptBody, ...]


class RangeBody(msgspec.Struct, frozen=True, kw_only=True):
    """Events of a time that are on their way to an endpoint again; its deliveries are in the endpoint's list."""

    id: str
    object: Literal["webhook_redelivery"] = "webhook_redelivery"
    endpoint: str
    since: Instant
    until: Instant
    types: tuple[str, ...]
    only_failed: bool
    created_at: Instant


def mode_of(book: int) -> Mode:
    """What a set of books is."""
    return "live" if book & 1 else "test"


def _text(at: datetime | None) -> str | None:
    return None if at is None else rfc3339(at)


def data_of(endpoint: Endpoint, kind: type[WebhookEndpointData] = WebhookEndpointData) -> WebhookEndpointData:
    """An endpoint as its events tell of it."""
    return kind(**_fields(endpoint))


def endpoint_body(endpoint: Endpoint, failing_since: datetime | None = None) -> EndpointBody:
    """An endpoint as it is shown, without its secrets."""
    return EndpointBody(
        **_fields(endpoint), former_secret_until=_text(endpoint.former_until), failing_since=_text(failing_since)
    )


def _fields(endpoint: Endpoint) -> dict[str, Any]:
    return {
        "id": public(ENDPOINT, endpoint.id),
        "mode": mode_of(endpoint.book),
        "url": endpoint.url,
        "types": endpoint.types,
        "description": endpoint.description,
        "status": endpoint.status,
        "status_reason": endpoint.reason,
        "created_at": rfc3339(endpoint.created_at),
        "disabled_at": _text(endpoint.disabled_at),
        "deleted_at": _text(endpoint.deleted_at),
    }


def delivery_body(delivery: Delivery) -> DeliveryBody:
    """A delivery as it is shown."""
    return DeliveryBody(
        id=public(DELIVERY, delivery.id),
        mode=mode_of(delivery.book),
        endpoint=public(ENDPOINT, delivery.endpoint),
        event=delivery.event,
        type=delivery.type,
        cause=delivery.cause,
        status=delivery.status,
        attempts=delivery.attempts,
        next_attempt_at=_text(delivery.due_at),
        event_at=rfc3339(delivery.event_at),
        created_at=rfc3339(delivery.created_at),
    )


def headers_of(event: str, time_s: int, signature: str, traceparent: str = "") -> dict[str, str]:
    """The headers of a message, in the names of the Standard Webhooks specification, and its trace."""
    return {
        "content-type": "application/json",
        "user-agent": "caudal-webhooks/1",
        "webhook-id": event,
        "webhook-timestamp": str(time_s),
        "webhook-signature": signature,
        **({"traceparent": traceparent} if traceparent else {}),
    }


def attempt_body(attempt: Attempt, event: str, sent: bytes | None) -> AttemptBody:
    """An attempt as it is shown; `sent` is the event's body, while it is kept."""
    response = None
    if attempt.status is not None:
        response = AnswerBody(status=attempt.status, body=(attempt.answer or b"").decode("utf-8", "replace"))
    return AttemptBody(
        number=attempt.number,
        at=rfc3339(attempt.at),
        duration_ms=attempt.duration_us / 1000,
        request=RequestBody(
            url=attempt.url,
            headers=headers_of(event, int(attempt.at.timestamp()), attempt.signature),
            body=None if sent is None else sent.decode(),
        ),
        response=response,
        error=attempt.error,
    )


def range_body(range_: RangeRecord) -> RangeBody:
    """A range as it is shown."""
    return RangeBody(
        id=public(RANGE, range_.id),
        endpoint=public(ENDPOINT, range_.endpoint),
        since=rfc3339(range_.since),
        until=rfc3339(range_.until),
        types=range_.types,
        only_failed=range_.only_failed,
        created_at=rfc3339(range_.created_at),
    )
