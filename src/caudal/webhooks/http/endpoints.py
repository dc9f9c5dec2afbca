"""Merchants say where they want to hear of events."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from caudal.kernel import ids
from caudal.kernel.context import Context
from caudal.kernel.http import Request, Response, Route, encode, no_body, ok, query_of
from caudal.kernel.parse import parser
from caudal.merchants import authenticate
from caudal.webhooks import commands, signing, store
from caudal.webhooks.asked import (
    ChangeEndpointBody,
    CreateEndpointBody,
    RedeliverRangeBody,
    RotateSecretBody,
    check_endpoint,
    check_range,
)
from caudal.webhooks.decide import Changes
from caudal.webhooks.http.answering import READ, WRITE, answered, asking, committed, endpoint_of, id_of, page
from caudal.webhooks.model import (
    ENDPOINT,
    DeliveryBody,
    Endpoint,
    EndpointBody,
    RangeBody,
    RangeRecord,
    endpoint_body,
)

_parse_create = parser(CreateEndpointBody)
_parse_change = parser(ChangeEndpointBody)
_parse_rotation = parser(RotateSecretBody)
_parse_range = parser(RedeliverRangeBody)


class EndpointQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A page of endpoints, newest first."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    after: Annotated[str | None, msgspec.Meta(description="cursor: the next page, older endpoints")] = None
    before: Annotated[str | None, msgspec.Meta(description="cursor: the page before, newer endpoints")] = None


class EndpointList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of endpoints, newest first."""

    data: list[EndpointBody]
    has_more: bool
    next: str | None
    previous: str | None


async def create(context: Context, request: Request) -> Response:
    """Hear of events: each is sent to the URL, signed with the secret that stands in this answer alone."""
    asks = await asking(context, request)
    caller, asked = asks.caller, _parse_create(request.body)
    check_endpoint(asked, live=caller.live, loopback=context.settings.webhook_loopback)
    id, secret = ids.uuid7(caller.slot), signing.new_secret()
    endpoint = Endpoint(
        id=id,
        book=caller.book,
        version=1,
        url=asked.url,
        types=asked.types,
        description=asked.description or None,
        status="enabled",
        reason=None,
        sealed=context.sealer.seal(secret.encode(), id.bytes),
        former_sealed=None,
        former_until=None,
        created_at=store.LONG_AGO,
        disabled_at=None,
    )
    result = await committed(context, caller, commands.CreateEndpoint(endpoint=endpoint, **asks.command), request)
    if result.answer is not None and not result.answer.replayed and isinstance(result.outcome, Endpoint):
        return _with_secret(result.outcome, secret)
    return answered(result)


def _with_secret(endpoint: Endpoint, secret: str) -> Response:
    body = msgspec.structs.replace(endpoint_body(endpoint), secret=secret)
    return Response(status=201, body=encode(body))


async def list_(context: Context, request: Request) -> Response:
    """A merchant's endpoints, newest first."""
    caller = await authenticate(context, request, READ)
    asked = query_of(request, EndpointQuery)
    found = await page(
        asked.limit,
        asked.after,
        asked.before,
        lambda seen: (seen[0].created_at, seen[0].id),
        lambda place, limit: store.endpoints_before(context, caller.shard, caller.book, place, limit),
        lambda place, limit: store.endpoints_after(context, caller.shard, caller.book, place, limit),
    )
    data = [endpoint_body(*seen) for seen in found.rows]
    return ok(EndpointList(data=data, has_more=found.has_more, next=found.next, previous=found.previous))


async def get(context: Context, request: Request) -> Response:
    """One endpoint."""
    caller = await authenticate(context, request, READ)
    return ok(endpoint_body(*await endpoint_of(context, caller, request)))


async def change(context: Context, request: Request) -> Response:
    """Change an endpoint's URL, types or description; enable or disable it."""
    asks = await asking(context, request)
    asked = _parse_change(request.body)
    check_endpoint(asked, live=asks.caller.live, loopback=context.settings.webhook_loopback)
    changes = Changes(url=asked.url, types=asked.types, description=asked.description, status=asked.status)
    command = commands.ChangeEndpoint(id=id_of(ENDPOINT, request), changes=changes, **asks.command)
    return answered(await committed(context, asks.caller, command, request))


async def delete(context: Context, request: Request) -> Response:
    """Give an endpoint up for good. Its deliveries can still be looked at; what waits is cancelled."""
    asks = await asking(context, request)
    command = commands.DeleteEndpoint(id=id_of(ENDPOINT, request), **asks.command)
    no_body(request)
    return answered(await committed(context, asks.caller, command, request))


async def rotate(context: Context, request: Request) -> Response:
    """Let another secret follow: for the overlap messages are signed with both."""
    asks = await asking(context, request)
    asked, id, secret = _parse_rotation(request.body), id_of(ENDPOINT, request), signing.new_secret()
    sealed = context.sealer.seal(secret.encode(), id.bytes)
    command = commands.RotateSecret(id=id, sealed=sealed, overlap_s=asked.overlap_s, **asks.command)
    result = await committed(context, asks.caller, command, request)
    if result.answer is not None and not result.answer.replayed and isinstance(result.outcome, Endpoint):
        return _with_secret(result.outcome, secret)
    return answered(result)


async def test(context: Context, request: Request) -> Response:
    """Send the endpoint an event of its own, `webhook_endpoint.tested`, whatever types it hears of."""
    asks = await asking(context, request)
    command = commands.TestEndpoint(id=id_of(ENDPOINT, request), delivery=ids.uuid7(asks.caller.slot), **asks.command)
    no_body(request)
    return answered(await committed(context, asks.caller, command, request))


async def redeliver_range(context: Context, request: Request) -> Response:
    """Send the events of a time once more, in their order; what was missed while it was disabled is among them."""
    asks = await asking(context, request)
    asked, id = _parse_range(request.body), id_of(ENDPOINT, request)
    check_range(asked)
    range_ = RangeRecord(
        id=ids.uuid7(asks.caller.slot),
        book=asks.caller.book,
        endpoint=id,
        since=asked.since,
        until=asked.until,
        types=(),
        only_failed=asked.only_failed,
        created_at=store.LONG_AGO,
    )
    command = commands.RedeliverRange(id=id, range_=range_, types=asked.types, **asks.command)
    return answered(await committed(context, asks.caller, command, request))


_ONE: Final = "/v1/webhook_endpoints/{id}"

ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/webhook_endpoints",
        handler=create,
        summary="Create a webhook endpoint",
        who="merchant",
        scope=WRITE,
        body=CreateEndpointBody,
        answer=EndpointBody,
        answers=201,
        keyed="required",
    ),
    Route(
        method="GET",
        path="/v1/webhook_endpoints",
        handler=list_,
        summary="List webhook endpoints",
        who="merchant",
        scope=READ,
        query=EndpointQuery,
        answer=EndpointList,
    ),
    Route(
        method="GET",
        path=_ONE,
        handler=get,
        summary="Get a webhook endpoint",
        who="merchant",
        scope=READ,
        answer=EndpointBody,
        codes=("not_found",),
    ),
    Route(
        method="POST",
        path=_ONE,
        handler=change,
        summary="Change a webhook endpoint",
        who="merchant",
        scope=WRITE,
        body=ChangeEndpointBody,
        answer=EndpointBody,
        keyed="required",
        codes=("not_found", "forbidden_transition"),
    ),
    Route(
        method="POST",
        path=_ONE + "/secret_rotations",
        handler=rotate,
        summary="Rotate an endpoint's secret",
        who="merchant",
        scope=WRITE,
        body=RotateSecretBody,
        answer=EndpointBody,
        answers=201,
        keyed="required",
        codes=("not_found", "forbidden_transition"),
    ),
    Route(
        method="POST",
        path=_ONE + "/tests",
        handler=test,
        summary="Test a webhook endpoint",
        who="merchant",
        scope=WRITE,
        answer=DeliveryBody,
        answers=201,
        keyed="required",
        codes=("not_found", "forbidden_transition"),
    ),
    Route(
        method="POST",
        path=_ONE + "/redeliveries",
        handler=redeliver_range,
        summary="Send events of a time again",
        who="merchant",
        scope=WRITE,
        body=RedeliverRangeBody,
        answer=RangeBody,
        answers=201,
        keyed="required",
        codes=("not_found", "forbidden_transition"),
    ),
)

# Behind everything that is done with one: the reference's examples are tried in this order.
LAST: Final = (
    Route(
        method="POST",
        path=_ONE + "/deletions",
        handler=delete,
        summary="Delete a webhook endpoint",
        who="merchant",
        scope=WRITE,
        answer=EndpointBody,
        keyed="required",
        codes=("not_found", "forbidden_transition"),
    ),
)
