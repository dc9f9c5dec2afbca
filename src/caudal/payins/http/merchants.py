"""Merchants ask: create, get, list, cancel a payin."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Annotated, Final
from uuid import UUID

import msgspec

from caudal.contracts.pages import Page, cursor_of, page_of
from caudal.kernel import ids
from caudal.kernel.context import Context
from caudal.kernel.errors import FieldError, Invalid, Refused
from caudal.kernel.http import Request, Response, Route, encode, ok, query_of
from caudal.kernel.idempotency import key_of
from caudal.kernel.parse import parser
from caudal.merchants import Caller, authenticate
from caudal.payins import commands, store
from caudal.payins.asked import CreatePayinBody, method_of
from caudal.payins.http.answering import committed, id_of, no_body, place_of
from caudal.payins.model import Detail, Payin, PayinBody, PayinWithPayer, body_of, body_with_payer
from caudal.payins.states import FIRST, Status

READ: Final = "payins:read"
WRITE: Final = "payins:write"

_parse_create = parser(CreatePayinBody)


async def create(context: Context, request: Request) -> Response:
    """Take a payment."""
    caller = await authenticate(context, request, WRITE)
    key = key_of(request, caller.book, context.sealer.fingerprint_key)
    asked = _parse_create(request.body)
    method = method_of(asked, caller)
    id = ids.uuid7(caller.slot)
    sealed = None
    if asked.payer is not None:
        sealed = context.sealer.seal(encode(asked.payer.as_payer()), id.bytes)
    command = commands.CreatePayin(
        payin=_new(id, caller, asked),
        detail=Detail(description=asked.description, metadata=asked.metadata),
        expires_in=timedelta(minutes=method.expiry_minutes) if asked.expires_at is None else None,
        clabe_prefix=context.settings.spei_prefix,
        sealed=sealed,
        key_digest=caller.key_digest,
        key=key,
        request_id=request.id,
        payer_page=context.settings.sandbox_url,
    )
    return await committed(context, caller.shard, command, request)


def _new(id: UUID, caller: Caller, asked: CreatePayinBody) -> Payin:
    """What is asked for, as a payin; the decision sets number and times."""
    return Payin(
        id=id,
        book=caller.book,
        version=1,
        status=FIRST,
        reason=None,
        method=asked.method,
        country=asked.country,
        currency=asked.currency,
        amount_minor=asked.amount,
        received_minor=0,
        fee_minor=0,
        fee_plan=caller.fee_plan,
        deposit_number=None,
        reference=asked.reference,
        detail=None,
        created_at=store.LONG_AGO,
        expires_at=asked.expires_at or store.LONG_AGO,
        paid_at=None,
    )


async def get(context: Context, request: Request) -> Response:
    """One payin with its payer."""
    caller = await authenticate(context, request, READ)
    found = await store.payin(context, caller.shard, id_of("payin", request.parameters[0]), caller.book)
    if found is None:
        raise Refused("not_found", "there is no such payin")
    payin, payer = found
    return ok(body_with_payer(payin, payer, context.settings.sandbox_url))


async def cancel(context: Context, request: Request) -> Response:
    """Give a pending payin up."""
    caller = await authenticate(context, request, WRITE)
    command = commands.CancelPayin(
        id=id_of("payin", request.parameters[0]),
        book=caller.book,
        key_digest=caller.key_digest,
        key=key_of(request, caller.book, context.sealer.fingerprint_key),
        request_id=request.id,
    )
    no_body(request)
    return await committed(context, caller.shard, command, request)


class PayinQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of the list. `reference`, `email` and `document` search; new payins are found within seconds."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    after: Annotated[str | None, msgspec.Meta(description="cursor: the next page, older payins")] = None
    before: Annotated[str | None, msgspec.Meta(description="cursor: the page before, newer payins")] = None
    status: Status | None = None
    method: str | None = None
    country: str | None = None
    currency: str | None = None
    created_from: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    created_to: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    reference: str | None = None
    email: str | None = None
    document: str | None = None


class PayinList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of payins, newest first."""

    data: list[PayinBody]
    has_more: bool
    next: str | None
    previous: str | None


async def list_(context: Context, request: Request) -> Response:
    """A merchant's payins, newest first."""
    caller = await authenticate(context, request, READ)
    asked = query_of(request, PayinQuery)
    if asked.after is not None and asked.before is not None:
        error = FieldError(field="?before", code="contradiction", detail="after and before exclude each other")
        raise Invalid("invalid_request", "the query has errors", errors=(error,))
    narrow = store.Filter(
        status=asked.status,
        method=asked.method,
        country=asked.country,
        currency=asked.currency,
        since=asked.created_from or store.LONG_AGO,
        until=asked.created_to or store.FAR_OFF,
    )
    page = await _page(context, caller, asked, narrow)
    bodies = [body_of(payin, context.settings.sandbox_url) for payin in page.rows]
    return ok(PayinList(data=bodies, has_more=page.has_more, next=page.next, previous=page.previous))


async def _page(context: Context, caller: Caller, asked: PayinQuery, narrow: store.Filter) -> Page[Payin]:
    limit = asked.limit + 1
    terms = [
        context.sealer.search_term(caller.book, field, value.strip().lower())
        for field, value in (("reference", asked.reference), ("email", asked.email), ("document", asked.document))
        if value is not None
    ]
    if terms and asked.before is not None:
        after = cursor_of(asked.before) or (store.LONG_AGO, UUID(int=0))
        rows = await store.payins_found_after(context, caller.shard, caller.book, terms, after[1], narrow, limit)
        return page_of(rows, asked.limit, place_of, backwards=True)
    if terms:
        before = cursor_of(asked.after) or (store.FAR_OFF, UUID(int=2**128 - 1))
        rows = await store.payins_found(context, caller.shard, caller.book, terms, before[1], narrow, limit)
    elif asked.before is not None:
        after = cursor_of(asked.before) or (store.LONG_AGO, UUID(int=0))
        rows = await store.payins_after(context, caller.shard, caller.book, after, narrow, limit)
        return page_of(rows, asked.limit, place_of, backwards=True)
    else:
        before = cursor_of(asked.after) or (store.FAR_OFF, UUID(int=2**128 - 1))
        rows = await store.payins_before(context, caller.shard, caller.book, before, narrow, limit)
    return page_of(rows, asked.limit, place_of, first=asked.after is None)


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/payins",
        handler=create,
        summary="Create a payin",
        who="merchant",
        scope=WRITE,
        body=CreatePayinBody,
        answer=PayinBody,
        answers=201,
        keyed="required",
    ),
    Route(
        method="GET",
        path="/v1/payins",
        handler=list_,
        summary="List and search payins",
        who="merchant",
        scope=READ,
        query=PayinQuery,
        answer=PayinList,
    ),
    Route(
        method="GET",
        path="/v1/payins/{id}",
        handler=get,
        summary="Get a payin",
        who="merchant",
        scope=READ,
        answer=PayinWithPayer,
        codes=("not_found",),
    ),
    Route(
        method="POST",
        path="/v1/payins/{id}/cancellations",
        handler=cancel,
        summary="Cancel a pending payin",
        who="merchant",
        scope=WRITE,
        answer=PayinBody,
        keyed="required",
        codes=("not_found", "forbidden_transition"),
    ),
)
