"""What no single service owns: balances, events, health, and the reference of the API."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec

from caudal import ledger
from caudal.contracts.envelope import Envelope, event_id, seq_of_event
from caudal.kernel import ids, sqlfile
from caudal.kernel.clock import rfc3339
from caudal.kernel.context import Context
from caudal.kernel.errors import FieldError, Invalid
from caudal.kernel.http import Request, Response, Route, encode, ok, query_of
from caudal.merchants import authenticate

HTML: Final = b"text/html; charset=utf-8"
SQL: Final = sqlfile.queries(Path(__file__).with_name("queries.sql"))
_PREFIXES: Final = {
    "payin": "payin",
    "deposit": "dep",
    "merchant": "mer",
    "fee_plan": "mer",
    "api_key": "key",
    "operator": "op",
}
_SHOWN: Final = {
    ledger.Purpose.PENDING: "pending",
    ledger.Purpose.AVAILABLE: "available",
    ledger.Purpose.RESERVED: "reserved",
    ledger.Purpose.DISPUTED: "disputed",
    ledger.Purpose.UNAPPLIED: "unapplied",
}


class Balance(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant's money in one currency, minor units. `pending` is earned, `unapplied` belongs to payers."""

    currency: str
    pending: int = 0
    available: int = 0
    reserved: int = 0
    disputed: int = 0
    unapplied: int = 0


class BalanceList(msgspec.Struct, frozen=True, kw_only=True):
    """Balances by currency."""

    mode: Literal["test", "live"]
    data: list[Balance]


async def balances(context: Context, request: Request) -> Response:
    """The merchant's balances."""
    caller = await authenticate(context, request, "balances:read")
    first, last = caller.book << 16, (caller.book + 1) << 16
    by_currency: dict[str, dict[str, int]] = {}
    for id, credit_balance in await context.rows(SQL["balances"], (caller.shard, first, last)):
        name = ledger.account_name(id)
        if name.purpose in _SHOWN:
            by_currency.setdefault(name.currency, {})[_SHOWN[name.purpose]] = credit_balance
    data = [Balance(currency=currency, **amounts) for currency, amounts in sorted(by_currency.items())]
    return ok(BalanceList(mode="live" if caller.live else "test", data=data))


class EventQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Events in the order in which they happened, behind `after`; `types` are names separated by commas."""

    after: Annotated[str | None, msgspec.Meta(description="the id of the last event that you have seen")] = None
    types: str | None = None
    since: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20


class EventList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of events, oldest first. Ask again with `after` = `next` for what comes later."""

    data: list[Envelope]
    has_more: bool
    next: str | None


async def events(context: Context, request: Request) -> Response:
    """The merchant's events, in the order in which they were committed."""
    caller = await authenticate(context, request, "events:read")
    asked = query_of(request, EventQuery)
    after = 0
    if asked.after is not None:
        found = seq_of_event(asked.after)
        if found is None:
            error = FieldError(field="?after", code="invalid_cursor", detail="the id of an event: evt_…")
            raise Invalid("invalid_request", "the query has errors", errors=(error,))
        after = found
    parameters = {
        "shard": caller.shard,
        "book": caller.book,
        "after": after,
        "types": None if asked.types is None else [name.strip() for name in asked.types.split(",")],
        "since": asked.since,
        "limit": asked.limit + 1,
    }
    rows = await context.named_rows(SQL["events_after"], parameters)
    shown = [envelope_of(caller.slot, row) for row in rows[: asked.limit]]
    following = shown[-1].id if shown else asked.after
    return ok(EventList(data=shown, has_more=len(rows) > asked.limit, next=following))


def envelope_of(slot: int, row: tuple[Any, ...]) -> Envelope:
    """A row of `event` as CloudEvents has it."""
    seq, at, type, subject, data = row
    return Envelope(
        id=event_id(at, slot, seq),
        source="/caudal",
        type=type,
        time=rfc3339(at),
        subject=_subject(type, subject),
        sequence=str(seq),
        data=msgspec.Raw(data),
    )


def _subject(type: str, subject: UUID) -> str:
    return ids.public(_PREFIXES[type.partition(".")[0]], subject)


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the process can do its work, and why not."""

    status: Literal["ok", "unavailable"]
    reasons: list[str] = []


async def live(context: Context, request: Request) -> Response:
    """The process runs."""
    return ok(Health(status="ok"))


async def ready(context: Context, request: Request) -> Response:
    """The process can take requests: its database answers."""
    try:
        await context.row("select 1")
    except Exception as error:
        reasons = [f"the database does not answer: {type(error).__name__}"]
        return Response(status=503, body=encode(Health(status="unavailable", reasons=reasons)))
    return ok(Health(status="ok"))


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


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/balances",
        handler=balances,
        summary="Get balances",
        who="merchant",
        scope="balances:read",
        answer=BalanceList,
    ),
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
    Route(method="GET", path="/livez", handler=live, summary="Is the process alive", who="anybody", answer=Health),
    Route(method="GET", path="/readyz", handler=ready, summary="Can it work", who="anybody", answer=Health),
    Route(method="GET", path="/openapi.json", handler=openapi, summary="OpenAPI", who="anybody", hidden=True),
    Route(method="GET", path="/docs", handler=reference, summary="Reference", who="anybody", hidden=True),
    Route(method="GET", path="/docs/errors", handler=errors, summary="Errors", who="anybody", hidden=True),
)
