"""The sandbox: its clock, and the payer played by a program."""

from __future__ import annotations

from typing import Annotated, Final, Literal, cast

import msgspec

from caudal.connectors import CONNECTORS, Outcome, payer, provider_of
from caudal.contracts.problems import respond
from caudal.kernel import ids
from caudal.kernel.context import Context, answered
from caudal.kernel.errors import Refused, Retry
from caudal.kernel.http import Request, Response, Route, no_body, ok
from caudal.kernel.idempotency import optional_key_of
from caudal.kernel.parse import parser
from caudal.merchants import authenticate
from caudal.payins import clock, store
from caudal.payins.http.answering import id_of
from caudal.payins.http.merchants import WRITE
from caudal.payins.model import ClockBody, Payin


class AdvanceBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far the test clock moves forward, seconds; at most 90 days at once."""

    seconds: Annotated[int, msgspec.Meta(ge=1, le=90 * 86_400)]


_parse_advance = parser(AdvanceBody)


async def advance_clock(context: Context, request: Request) -> Response:
    """Move the sandbox's clock of this merchant: what it passes expires before the answer comes."""
    caller = await authenticate(context, request, WRITE)
    if caller.live:
        raise Refused("not_found", "live money has no sandbox")
    asked = _parse_advance(request.body)
    key = optional_key_of(request, caller.book, context.sealer.fingerprint_keys)
    return respond(await clock.advance(context, caller, asked.seconds, key, request))


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """The sandbox has done it; the payin changes when its callback comes, a moment later."""

    payin: str
    status: Literal["played"] = "played"


async def play(context: Context, request: Request) -> Response:
    """Play the payer of a test payin: the sandbox does what a person would do on the payer's page."""
    caller = await authenticate(context, request, WRITE)
    if caller.live:
        raise Refused("not_found", "live money has no sandbox")
    no_body(request)
    id = id_of("payin", request.parameters[0])
    payin = await answered(store.payin_row(context, caller.shard, id), request.deadline)
    verb = request.path.rstrip("/").rpartition("/")[2]
    if payin is None or payin.book != caller.book:
        raise Refused("not_found", "there is no such payin")
    outcome = await _act(context, payin, cast("payer.Act", verb))
    if outcome.status == "permanent":
        raise Refused("forbidden_transition", f"the sandbox refuses: {outcome.detail}")
    if outcome.status != "done":
        raise Retry("provider_unavailable", "the sandbox does not answer at the moment")
    return ok(Played(payin=ids.public("payin", payin.id)))


async def _act(context: Context, payin: Payin, verb: payer.Act) -> Outcome:
    if payin.method in CONNECTORS:
        provider = provider_of(context, payin.carrier, "test")
        if provider is None or provider.url is None:
            return Outcome(status="unknown", detail=f"no provider {payin.carrier} is configured")
        return await payer.act(provider.url, payin.key, verb)
    clabe, left = payin.details().clabe, payin.amount_minor - payin.received_minor
    if verb != "pay" or clabe is None or left <= 0:
        return Outcome(status="permanent", detail=f"nobody can {verb} this transfer now")
    return await payer.transfer(context.settings, clabe, left, "Sandbox payer")


ROUTES: Final = (
    *(
        Route(
            method="POST",
            path=f"/v1/sandbox/payins/{{id}}/{verb}",
            handler=play,
            summary=summary,
            who="merchant",
            scope=WRITE,
            answer=Played,
            codes=("not_found", "forbidden_transition", "provider_unavailable"),
        )
        for verb, summary in (
            ("pay", "Play the payer: pay"),
            ("decline", "Play the payer: decline"),
            ("expire", "Play the payer: let it expire"),
            ("dispute", "Play the payer: dispute a payment"),
        )
    ),
    Route(
        method="POST",
        path="/v1/sandbox/clock/advances",
        handler=advance_clock,
        summary="Move the sandbox's clock forward",
        who="merchant",
        scope=WRITE,
        body=AdvanceBody,
        answer=ClockBody,
        keyed="optional",
        codes=("not_found",),
    ),
)
