"""What no single service owns: events, health, and the reference of the API."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec

from caudal.app.events import TYPES
from caudal.app.telemetry import Health, health_of, target_of
from caudal.contracts.envelope import Envelope, envelope_of, event_id, seq_of_event
from caudal.kernel import sqlfile
from caudal.kernel.context import Context
from caudal.kernel.errors import FieldError, Invalid, Refused
from caudal.kernel.http import Known, Request, Response, Route, ok, query_of
from caudal.kernel.telemetry import prometheus
from caudal.merchants import authenticate, authenticate_operator

HTML: Final = b"text/html; charset=utf-8"
SQL: Final = sqlfile.queries(Path(__file__).with_name("queries.sql"))
_LOOKED_AT: Final = 5_000  # so many events a request for some types looks at


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Events in the order in which they happened, behind `after`; `types` are names separated by commas."""

    after: Annotated[str | None, msgspec.Meta(description="the id of the last event that you have seen")] = None
    types: str | None = None
    since: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20


_KNOWN: Final = {
    "types": Known(
        values=[kind.name for kind in TYPES.values() if kind.reader == "merchant"], code="unknown_type", separated=True
    )
}


class EventList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of events, oldest first. Ask again with `after` = `next` for what comes later.

    With `types` a page may hold fewer than `limit` events, or none, though `has_more`: so much was looked at.
    """

    data: list[Envelope]
    has_more: bool
    next: str | None


async def events(context: Context, request: Request) -> Response:
    """The merchant's events, in the order in which they were committed."""
    caller = await authenticate(context, request, "events:read")
    asked = query_of(request, EventQuery, _KNOWN)
    after = 0
    if asked.after is not None:
        found = seq_of_event(asked.after)
        if found is None:
            error = FieldError(field="?after", code="invalid_cursor", detail="the id of an event: evt_…")
            raise Invalid("invalid_request", "the query has errors", errors=(error,))
        after = found
    if asked.since is not None:
        parameters: dict[str, Any] = {"shard": caller.shard, "since": asked.since}
        [(before,)] = await context.named_rows(SQL["last_event_before"], parameters)
        after = max(after, before)
    parameters = {"shard": caller.shard, "book": caller.book, "after": after, "limit": asked.limit + 1}
    if asked.types is None:
        rows = await context.named_rows(SQL["events_after"], parameters)
        return ok(_page_of_events(caller.slot, rows, asked, last=None))
    parameters |= {"types": [name.strip() for name in asked.types.split(",")], "looked_at": _LOOKED_AT}
    rows = await context.named_rows(SQL["events_of_types"], parameters)
    last = rows.pop() if rows and rows[-1][2] is None else None
    return ok(_page_of_events(caller.slot, rows, asked, last))


async def event(context: Context, request: Request) -> Response:
    """One event, as lists and webhooks carry it, as long as it is kept."""
    caller = await authenticate(context, request, "events:read")
    [text] = request.parameters
    rows = list[tuple[Any, ...]]()
    if (seq := seq_of_event(text)) is not None:
        parameters: dict[str, Any] = {"shard": caller.shard, "book": caller.book, "seq": seq}
        rows = await context.named_rows(SQL["event_by_seq"], parameters)
    found = [envelope_of(caller.slot, row) for row in rows]
    if not found or found[0].id != text:
        raise Refused("not_found", "there is no such event, or it is kept no longer")
    return ok(found[0])


def _page_of_events(
    slot: int, rows: list[tuple[Any, ...]], asked: EventQuery, last: tuple[Any, ...] | None
) -> EventList:
    """The page; `last` is the last event that was looked at when there may be more behind it."""
    shown = [envelope_of(slot, row) for row in rows[: asked.limit]]
    if last is not None and len(rows) <= asked.limit:
        seq, at, *_ = last
        return EventList(data=shown, has_more=True, next=event_id(at, slot, seq))
    return EventList(data=shown, has_more=len(rows) > asked.limit, next=shown[-1].id if shown else asked.after)


async def live(context: Context, request: Request) -> Response:
    """The process runs."""
    return ok(Health(status="ok"))


async def ready(context: Context, request: Request) -> Response:
    """The process can take requests, or why not; what else is wrong is told, and no reason to stop."""
    health = await health_of(context)
    return ok(health, 200 if health.status == "ok" else 503)


async def metrics(context: Context, request: Request) -> Response:
    """The figures of the process that answers, for Prometheus."""
    await authenticate_operator(context, request)
    page = prometheus.page(context.meter.read(), target_of(context))
    return Response(body=page.encode(), content_type=prometheus.CONTENT_TYPE)


async def openapi(context: Context, request: Request) -> Response:
    """The OpenAPI document."""
    from caudal.app.openapi import document  # the document is made of all routes, of which this is one

    return Response(body=document())


async def reference(context: Context, request: Request) -> Response:
    """The reference, for reading."""
    from caudal.app.reference import origin_of, page

    return Response(body=page(origin_of(request)), content_type=HTML)


async def errors(context: Context, request: Request) -> Response:
    """Every problem: where the `type` of one leads."""
    from caudal.app.reference import errors_page

    return Response(body=errors_page(), content_type=HTML)


async def banks(context: Context, request: Request) -> Response:
    """Every bank by its code."""
    from caudal.app.reference import banks_page

    return Response(body=banks_page(), content_type=HTML)


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/events",
        handler=events,
        summary="List events",
        who="merchant",
        scope="events:read",
        query=EventQuery,
        answer=EventList,
    ),
    Route(
        method="GET",
        path="/v1/events/{id}",
        handler=event,
        summary="Get an event",
        who="merchant",
        scope="events:read",
        answer=Envelope,
        codes=("not_found",),
    ),
    Route(method="GET", path="/livez", handler=live, summary="Is the process alive", who="anybody", answer=Health),
    Route(method="GET", path="/readyz", handler=ready, summary="Can it work", who="anybody", answer=Health),
    Route(method="GET", path="/v1/operator/metrics", handler=metrics, summary="Metrics", who="operator", hidden=True),
    Route(method="GET", path="/openapi.json", handler=openapi, summary="OpenAPI", who="anybody", hidden=True),
    Route(method="GET", path="/docs", handler=reference, summary="Reference", who="anybody", hidden=True),
    Route(method="GET", path="/docs/errors", handler=errors, summary="Errors", who="anybody", hidden=True),
    Route(method="GET", path="/docs/banks", handler=banks, summary="Banks", who="anybody", hidden=True),
)
