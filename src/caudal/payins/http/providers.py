"""Operators ask: how calls to providers go; force a breaker; drain a provider."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from caudal.connectors import ProviderHealth, health, provider_of
from caudal.kernel import idempotency, ids
from caudal.kernel.context import Context
from caudal.kernel.errors import Refused
from caudal.kernel.http import Request, Response, Route, ok
from caudal.kernel.parse import parser
from caudal.merchants import HOUSE_SHARD, Operator, authenticate_operator, operator_key
from caudal.payins import calls, commands, decide
from caudal.payins.http.answering import committed
from caudal.payins.http.refusals import Refusals, RefusedCallbacks
from caudal.payins.model import OverrideBody

Reason = Annotated[str, Meta(min_length=3, max_length=1000, description="why, for whoever reads the trail")]
Mode = Annotated[Literal["test", "live"], Meta(description="which of the provider's two worlds")]


class ProviderList(msgspec.Struct, frozen=True, kw_only=True):
    """How calls to each provider go, and which callbacks were refused, in the process that answers."""

    data: list[ProviderHealth]
    callbacks_refused: list[RefusedCallbacks]


class ForceAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Force a breaker: `open` asks nobody, `closed` everybody, `automatic` lets it decide by itself again."""

    breaker: Annotated[Literal["open", "closed", "automatic"], Meta(description="what it is forced to")]
    reason: Reason
    mode: Mode = "test"
    until: Annotated[
        Annotated[datetime, Meta(tz=True)] | None, Meta(description="RFC 3339; left out: until it is changed")
    ] = None


class DrainAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Send no new payments to a provider, or send them again. Everything else goes on."""

    drained: Annotated[bool, Meta(description="false: new payments are welcome again")]
    reason: Reason
    mode: Mode = "test"


_parse_force = parser(ForceAsked)
_parse_drain = parser(DrainAsked)


async def providers(context: Context, request: Request) -> Response:
    """The figures of every provider: calls, failures, latency, the breaker; and the callbacks that nobody believed."""
    await authenticate_operator(context, request)
    return ok(ProviderList(data=health(context), callbacks_refused=context.once(Refusals).shown()))


async def force(context: Context, request: Request) -> Response:
    """Force a provider's breaker open or closed, or let it decide again."""
    operator = await authenticate_operator(context, request)
    asked = _parse_force(request.body)
    said = decide.Forcing(breaker=asked.breaker, reason=asked.reason, until=asked.until)
    return await _override(context, request, operator, asked.mode, said)


async def drain(context: Context, request: Request) -> Response:
    """Let no new payments go to a provider, or let them go there again."""
    operator = await authenticate_operator(context, request)
    asked = _parse_drain(request.body)
    said = decide.Draining(drained=asked.drained, reason=asked.reason)
    return await _override(context, request, operator, asked.mode, said)


async def _override(
    context: Context, request: Request, operator: Operator, mode: Mode, said: decide.Forcing | decide.Draining
) -> Response:
    key, name = operator_key(context, request, operator), request.parameters[0]
    shard = HOUSE_SHARD
    if provider_of(context, name, mode) is None and not await idempotency.is_known(context, shard, key):
        raise Refused("not_found", f"there is no {mode} provider of this name")
    command = commands.OverrideProvider(
        provider=name,
        mode=mode,
        said=said,
        actor=ids.public("operator", operator.id),
        digest=operator.digest,
        entry=ids.uuid7(),
        key=key,
        request_id=request.id,
    )
    answered = await committed(context, shard, command, request)
    await calls.refresh(context)
    return answered


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/operator/providers",
        handler=providers,
        summary="How calls to providers go",
        who="operator",
        answer=ProviderList,
    ),
    Route(
        method="POST",
        path="/v1/operator/providers/{provider}/forcings",
        handler=force,
        summary="Force a provider's breaker",
        who="operator",
        body=ForceAsked,
        answer=OverrideBody,
        answers=201,
        keyed="required",
        codes=("not_found",),
    ),
    Route(
        method="POST",
        path="/v1/operator/providers/{provider}/drains",
        handler=drain,
        summary="Drain a provider",
        who="operator",
        body=DrainAsked,
        answer=OverrideBody,
        answers=201,
        keyed="required",
        codes=("not_found",),
    ),
)
