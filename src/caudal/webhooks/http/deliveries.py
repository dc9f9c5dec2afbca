"""Merchants look at what was delivered, and have it delivered again."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final
from uuid import UUID

import msgspec

from caudal.contracts.envelope import event_id, seq_of_event
from caudal.contracts.webhooks import TEST
from caudal.kernel import ids
from caudal.kernel.context import Context
from caudal.kernel.errors import FieldError, Invalid, Refused
from caudal.kernel.http import Known, Request, Response, Route, no_body, ok, query_of
from caudal.merchants import Caller, authenticate
from caudal.webhooks import commands, store
from caudal.webhooks.asked import TYPES
from caudal.webhooks.http.answering import READ, WRITE, Asking, answered, asking, committed, endpoint_of, id_of, page
from caudal.webhooks.model import (
    DELIVERY,
    Delivery,
    DeliveryBody,
    DeliveryDetail,
    DeliveryStatus,
    attempt_body,
    delivery_body,
)


class DeliveryQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of the list. Times are those of the events."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    after: Annotated[str | None, msgspec.Meta(description="cursor: the next page, older events")] = None
    before: Annotated[str | None, msgspec.Meta(description="cursor: the page before, newer events")] = None
    status: DeliveryStatus | None = None
    type: str | None = None
    event: Annotated[str | None, msgspec.Meta(description="an event's id")] = None
    created_from: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    created_to: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


_KNOWN: Final = {"type": Known(values=(*TYPES, TEST), code="unknown_type")}


class DeliveryList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of deliveries, newest event first."""

    data: list[DeliveryBody]
    has_more: bool
    next: str | None
    previous: str | None


class Redelivered(msgspec.Struct, frozen=True, kw_only=True):
    """The deliveries that were made, one for each endpoint that hears of the event."""

    data: list[DeliveryBody]


async def list_(context: Context, request: Request) -> Response:
    """What was and is delivered to an endpoint, newest event first."""
    caller = await authenticate(context, request, READ)
    asked = query_of(request, DeliveryQuery, _KNOWN)
    endpoint, _ = await endpoint_of(context, caller, request)
    narrow = store.Filter(
        status=asked.status,
        type=asked.type,
        seq=_seq_of(asked.event),
        since=asked.created_from or store.LONG_AGO,
        until=asked.created_to or store.FAR_OFF,
    )
    found = await page(
        asked.limit,
        asked.after,
        asked.before,
        lambda delivery: (delivery.event_at, delivery.id),
        lambda place, limit: store.deliveries_before(context, caller.shard, endpoint, place, narrow, limit),
        lambda place, limit: store.deliveries_after(context, caller.shard, endpoint, place, narrow, limit),
    )
    data = [delivery_body(delivery) for delivery in found.rows]
    return ok(DeliveryList(data=data, has_more=found.has_more, next=found.next, previous=found.previous))


def _seq_of(event: str | None) -> int | None:
    seq = None if event is None else seq_of_event(event)
    if event is not None and seq is None:
        error = FieldError(field="?event", code="invalid_value", detail="the id of an event: evt_…")
        raise Invalid("invalid_request", "the query has errors", errors=(error,))
    return seq


async def get(context: Context, request: Request) -> Response:
    """One delivery with every attempt: what was sent, what came back, and how long it took."""
    caller = await authenticate(context, request, READ)
    delivery = await _delivery(context, caller, request)
    made = await store.attempts(context, caller.shard, delivery.id)
    happened = await store.event(context, caller.shard, caller.book, delivery.event_seq)
    sent = None if happened is None else happened[1]
    attempts = tuple(attempt_body(attempt, delivery.event, sent) for attempt in made)
    return ok(DeliveryDetail(delivery=delivery_body(delivery), attempts=attempts))


async def _delivery(context: Context, caller: Caller, request: Request) -> Delivery:
    found = await store.delivery(context, caller.shard, id_of(DELIVERY, request), caller.book)
    if found is None:
        raise Refused("not_found", "there is no such delivery")
    return found


async def redeliver(context: Context, request: Request) -> Response:
    """Send what was delivered, or was not, once more to the same endpoint."""
    asks = await asking(context, request)
    no_body(request)
    former = await _delivery(context, asks.caller, request)
    happened = await store.event(context, asks.caller.shard, asks.caller.book, former.event_seq)
    if happened is None:
        raise Refused("not_found", "the event is kept no longer")
    command = _again(asks, happened[0], [former.endpoint], listed=False)
    return answered(await committed(context, asks.caller, command, request))


async def redeliver_event(context: Context, request: Request) -> Response:
    """Send an event to every enabled endpoint that hears of its type."""
    asks = await asking(context, request)
    no_body(request)
    caller, text = asks.caller, request.parameters[0]
    seq = seq_of_event(text)
    happened = None if seq is None else await store.event(context, caller.shard, caller.book, seq)
    if happened is None or event_id(happened[0].at, caller.slot, happened[0].seq) != text:
        raise Refused("not_found", "there is no such event, or it is kept no longer")
    endpoints = await store.endpoints_for(context, caller.shard, caller.book, happened[0].type)
    command = _again(asks, happened[0], endpoints, listed=True)
    return answered(await committed(context, caller, command, request))


def _again(asks: Asking, event: store.Happened, endpoints: list[UUID], *, listed: bool) -> commands.Redeliver:
    deliveries = tuple(
        Delivery(
            id=ids.uuid7(asks.caller.slot),
            created_at=event.at,
            book=asks.caller.book,
            endpoint=endpoint,
            event_seq=event.seq,
            event_at=event.at,
            type=event.type,
            subject=event.subject,
            cause="redelivery",
        )
        for endpoint in endpoints
    )
    return commands.Redeliver(deliveries=deliveries, listed=listed, **asks.command)


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/webhook_endpoints/{id}/deliveries",
        handler=list_,
        summary="List deliveries to an endpoint",
        who="merchant",
        scope=READ,
        query=DeliveryQuery,
        answer=DeliveryList,
        codes=("not_found",),
    ),
    Route(
        method="GET",
        path="/v1/webhook_deliveries/{id}",
        handler=get,
        summary="Get a delivery",
        who="merchant",
        scope=READ,
        answer=DeliveryDetail,
        codes=("not_found",),
    ),
    Route(
        method="POST",
        path="/v1/webhook_deliveries/{id}/redeliveries",
        handler=redeliver,
        summary="Deliver once more",
        who="merchant",
        scope=WRITE,
        answer=DeliveryBody,
        answers=201,
        keyed="required",
        codes=("not_found", "forbidden_transition"),
    ),
    Route(
        method="POST",
        path="/v1/events/{id}/redeliver",
        handler=redeliver_event,
        summary="Deliver an event once more",
        who="merchant",
        scope=WRITE,
        answer=Redelivered,
        answers=201,
        keyed="required",
        codes=("not_found", "forbidden_transition"),
    ),
)
