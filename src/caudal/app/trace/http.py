"""`GET /v1/operator/traces/{id}`: one payment's whole story."""

from __future__ import annotations

from typing import Final

from caudal.app.trace.gather import payin_of, readings_of, story_of
from caudal.app.trace.model import Trace
from caudal.app.trace.tell import told
from caudal.kernel import ids
from caudal.kernel.context import Context
from caudal.kernel.errors import Refused
from caudal.kernel.http import Request, Response, Route, ok
from caudal.merchants import authenticate_operator, shard_of


async def trace_of(context: Context, text: str) -> Trace:
    """The story of the payin that an id is about. Raises Refused("not_found")."""
    for name in readings_of(text):
        event = ids.parse("evt", name)  # numbers of events are a shard's own
        for shard in await context.every_shard() if event is None else (await shard_of(context, event),):
            id = await payin_of(context, shard, name)
            story = None if id is None else await story_of(context, shard, id)
            if story is not None:
                return told(story)
    detail = (
        "there is no payin with this id, and no capture, void, refund, deposit, dispute, evidence, discrepancy, event "
        "or delivery of one"
    )
    raise Refused("not_found", detail)


async def trace(context: Context, request: Request) -> Response:
    """Everything that happened to a payment: states, attempts, operations, money, batches, postings, events, webhooks.

    By the id of a payin, or of a capture, void, refund, deposit, dispute, evidence, discrepancy, event or delivery of
    one, with its prefix, or without it as logs and traces have it. Who pays is not in it.
    """
    await authenticate_operator(context, request)
    return ok(await trace_of(context, request.parameters[0]))


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/operator/traces/{id}",
        handler=trace,
        summary="Get the trace of a payment",
        who="operator",
        answer=Trace,
        codes=("not_found",),
    ),
)
