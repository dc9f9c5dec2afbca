"""The sandbox's clock."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec

from caudal.kernel.clock import rfc3339
from caudal.kernel.context import Context
from caudal.kernel.errors import Refused
from caudal.kernel.http import Request, Response, Route, ok
from caudal.kernel.parse import parser
from caudal.merchants import authenticate
from caudal.payins import clock
from caudal.payins.http.merchants import WRITE


class AdvanceBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far the test clock moves forward, seconds; at most 90 days at once."""

    seconds: Annotated[int, msgspec.Meta(ge=1, le=90 * 86_400)]


class ClockBody(msgspec.Struct, frozen=True, kw_only=True):
    """The test clock after it moved, and how many payins expired by it."""

    now: str
    offset_seconds: int
    expired: int


_parse_advance = parser(AdvanceBody)


async def advance_clock(context: Context, request: Request) -> Response:
    """Move the sandbox's clock of this merchant: what it passes expires before the answer comes."""
    caller = await authenticate(context, request, WRITE)
    if caller.live:
        raise Refused("not_found", "live money has no sandbox")
    asked = _parse_advance(request.body)
    now, offset_s, expired = await clock.advance(context, caller, asked.seconds, request.deadline)
    return ok(ClockBody(now=rfc3339(now), offset_seconds=offset_s, expired=expired))


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/sandbox/clock/advances",
        handler=advance_clock,
        summary="Move the sandbox's clock forward",
        who="merchant",
        scope=WRITE,
        body=AdvanceBody,
        answer=ClockBody,
        codes=("not_found",),
    ),
)
