"""Events of webhook endpoints. They stand in the merchant's own book, and other endpoints hear of them."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from caudal.contracts.payins import Instant, Mode

EndpointStatus = Literal["enabled", "disabled", "deleted"]
DisabledReason = Literal["requested", "failing", "gone"]


class WebhookEndpointData(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook endpoint right after the event, without its secrets."""

    id: Annotated[str, Meta(pattern="^endpoint_[0-9a-f]{32}$")]
    object: Annotated[Literal["webhook_endpoint"], Meta(description="what this is")] = "webhook_endpoint"
    mode: Mode
    url: Annotated[str, Meta(description="where events are sent to")]
    types: Annotated[tuple[str, ...], Meta(description="which events it gets; none named: all of them")]
    description: Annotated[str | None, Meta(description="the merchant's own")]
    status: Annotated[EndpointStatus, Meta(description="whether it gets events")]
    status_reason: Annotated[
        DisabledReason | None,
        Meta(
            description="why it is disabled: `requested` by the merchant, `failing` for days without one success, "
            "`gone`: it answered 410"
        ),
    ]
    created_at: Instant
    disabled_at: Annotated[Instant | None, Meta(description="since when it gets nothing")]
    deleted_at: Annotated[Instant | None, Meta(description="when it was given up for good and its secrets went")]


class WebhookEndpointDisabled(WebhookEndpointData, frozen=True, kw_only=True):
    """An endpoint gets no more events: it answered 410, has failed for days, or its merchant disabled it."""


class WebhookEndpointDeleted(WebhookEndpointData, frozen=True, kw_only=True):
    """The merchant gave an endpoint up for good: it is in no list any more, and its secrets are gone."""


class WebhookEndpointTested(WebhookEndpointData, frozen=True, kw_only=True):
    """A test was asked for; it is delivered to this endpoint alone."""


TEST: Final = "webhook_endpoint.tested"
DISABLED: Final = "webhook_endpoint.disabled"
DELETED: Final = "webhook_endpoint.deleted"
EVENTS: Final[dict[str, type[msgspec.Struct]]] = {
    DISABLED: WebhookEndpointDisabled,
    DELETED: WebhookEndpointDeleted,
    TEST: WebhookEndpointTested,
}
