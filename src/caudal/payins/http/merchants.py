"""Merchants ask: create, get, list, cancel a payin."""

from __future__ import annotations

from datetime import datetime, timedelta
from time import monotonic
from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

from caudal import vault
from caudal.catalogue import COUNTRIES, METHODS
from caudal.connectors import CAPABILITIES, any_crowded, door, takers
from caudal.contracts.pages import Page, cursor_of, page_of
from caudal.contracts.problems import respond
from caudal.kernel import ids
from caudal.kernel.commit import Answer, Key
from caudal.kernel.context import Context, answered
from caudal.kernel.door import Door
from caudal.kernel.errors import FieldError, Invalid, Refused, Retry
from caudal.kernel.http import Known, Request, Response, Route, encode, ok, query_of
from caudal.kernel.idempotency import key_of
from caudal.kernel.money import CURRENCIES
from caudal.kernel.telemetry import about
from caudal.merchants import Caller, authenticate
from caudal.payins import calls, commands, store
from caudal.payins.asked import BRANDS_IN, CreatePayinBody, asked_of, has_price, no_price
from caudal.payins.http.answering import ProviderAsked, committed, id_of, is_known, place_of
from caudal.payins.http.transfers import new_payin, no_bank, not_available, transfer
from caudal.payins.model import (
    Attempt,
    Chosen,
    Detail,
    Payer,
    Payin,
    PayinBody,
    PayinWithPayer,
    body_of,
    body_with_payer,
)
from caudal.payins.states import FIRST_WITH_PROVIDER, Status
from caudal.routing import Facts

READ: Final = "payins:read"
WRITE: Final = "payins:write"


async def create(context: Context, request: Request) -> Response:
    """Take a payment."""
    caller = await authenticate(context, request, WRITE)
    key = key_of(request, caller.book, context.sealer.fingerprint_keys, "payin")
    asked, method = asked_of(request.body, caller)
    if not has_price(caller, method) and not await is_known(context, request, caller.shard, key):
        raise no_price()
    id = ids.uuid7(caller.slot)
    about(id, creates=True)
    if method.method in CAPABILITIES:
        payer = None if asked.payer is None else asked.payer.as_payer()
        sealed = None if payer is None else context.sealer.seal(encode(payer), id.bytes)
        expires_in = timedelta(minutes=method.expiry_minutes) if asked.expires_at is None else None
        detail = _detail(asked, caller.routing_profile)
        route, attempt = await _first_attempt(context, request, asked, id, caller, key, detail)
        payin = new_payin(id, caller, asked, FIRST_WITH_PROVIDER)
        with door(context, attempt.provider, "live" if caller.live else "test").entered(request.deadline):
            return await _through_provider(
                context, request, caller, key, payin, detail, payer, sealed, expires_in, route, attempt
            )
    why_not = no_bank(context, caller)
    if why_not is not None and not await is_known(context, request, caller.shard, key):
        raise why_not
    return await committed(
        context, caller.shard, transfer(context, caller, request.id, id, key, asked, method), request
    )


class _Way(msgspec.Struct, frozen=True):
    """As much of a body as says where the request goes."""

    method: str = ""
    country: str = ""


_way_in = msgspec.json.Decoder(_Way).decode


def _door(context: Context, authorization: bytes, body: bytes) -> Door | None:
    """Where a payin that is asked for waits least; None where that is not clear, or nowhere."""
    if not any_crowded(context):
        return None
    try:
        way = _way_in(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None  # what is wrong with it, `create` says
    if way.method not in CAPABILITIES:
        return None
    mode: Literal["test", "live"] = "live" if b" sk_live_" in authorization else "test"
    doors = [door(context, taker.name, mode) for taker in takers(context, way.method, way.country, mode)]
    return min(doors, key=lambda one: one.wait_s, default=None)


async def _through_provider(
    context: Context,
    request: Request,
    caller: Caller,
    key: Key,
    payin: Payin,
    detail: Detail,
    payer: Payer | None,
    sealed: bytes | None,
    expires_in: timedelta | None,
    route: calls.Route,
    attempt: Attempt,
) -> Response:
    """Intent, call, outcome: whatever happens by the deadline, the key has an answer."""
    within_s = max(request.deadline - monotonic(), 0.0)
    start = commands.StartPayin(
        payin=payin,
        detail=detail,
        expires_in=expires_in,
        brands=BRANDS_IN.get(payin.country, frozenset()),
        sealed=sealed,
        key_digest=caller.key_digest,
        key=key,
        request_id=request.id,
        attempt=attempt,
        within=timedelta(seconds=within_s),
        sweep_in=timedelta(seconds=within_s + calls.MARGIN_S),
    )
    begun = await context.commit(caller.shard, start, request.deadline)
    if begun.answer is not None:
        return respond(begun.answer)
    started = begun.outcome
    with ProviderAsked(request):
        card = None if started.instrument is None else vault.open_card(context, started.instrument)
        done = await calls.submit(
            context,
            caller.shard,
            started.payin,
            card,
            payer,
            route,
            days=calls.days_of(caller, started.payin),
            key=key,
            until=request.deadline,
            due=started.due,
        )
    noted: commands.Noted = done.outcome
    return respond(noted.stored or done.answer or Answer(201, noted.body))


async def _first_attempt(
    context: Context,
    request: Request,
    asked: CreatePayinBody,
    id: UUID,
    caller: Caller,
    key: Key,
    detail: Detail,
) -> tuple[calls.Route, Attempt]:
    """Whom to ask first of those that answer and have room, by the merchant's rules, and how to choose the next.

    Refuses at the door what nobody could carry out: Invalid where there is no such provider, Retry where none answers.
    A repetition finds the answer of its first request.
    """
    facts = Facts(
        payin=id,
        country=asked.country,
        method=asked.method,
        currency=asked.currency,
        amount_minor=asked.amount,
        metadata=asked.metadata,
        risk_score=asked.risk_score,
    )
    instrument = None if detail.chosen is None else detail.chosen.instrument
    asking = calls.route(
        context, caller.shard, facts, live=caller.live, profile=caller.routing_profile, instrument=instrument
    )
    # Without a profile nothing is read.
    route = await (asking if caller.routing_profile is None else answered(asking, request.deadline))
    # Where nobody has room, the first one's door says so.
    first = calls.next_attempt(context, route, until=request.deadline) or calls.next_attempt(context, route)
    if first is not None:
        return route, first
    mode: Literal["test", "live"] = "live" if caller.live else "test"
    found = takers(context, asked.method, asked.country, mode)
    if not found:
        raise not_available(f"no {mode} provider of {asked.method} is connected")
    if not await is_known(context, request, caller.shard, key):
        raise Retry("provider_unavailable", f"no provider of {asked.method} takes payments at the moment", after_s=5.0)
    return route, Attempt(provider=found[0].name, begun_at=store.LONG_AGO)


def _detail(asked: CreatePayinBody, routing: UUID | None) -> Detail:
    given = asked.instrument
    chosen = None
    if given is not None:
        instrument = None if given.id is None else ids.parse("instr", given.id)
        chosen = Chosen(instrument=instrument, brand=given.brand, bank=given.bank)
    return Detail(
        description=asked.description,
        metadata=asked.metadata,
        risk_score=asked.risk_score,
        capture=asked.capture,
        three_ds=asked.three_ds == "demanded",
        return_url=asked.return_url,
        chosen=chosen,
        routing=routing,
    )


async def get(context: Context, request: Request) -> Response:
    """One payin with its payer."""
    caller = await authenticate(context, request, READ)
    found = await store.payin(context, caller.shard, id_of("payin", request.parameters[0]), caller.book)
    if found is None:
        raise Refused("not_found", "there is no such payin")
    payin, payer = found
    return ok(body_with_payer(payin, payer, context.settings.sandbox_url))


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


_KNOWN: Final = {
    "method": Known(values={name for _, name in METHODS}, code="unknown_method"),
    "country": Known(values=COUNTRIES, code="unknown_country"),
    "currency": Known(values=CURRENCIES, code="unknown_currency"),
}


class PayinList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of payins, newest first.

    With filters a page may hold fewer than `limit`, or none, though `has_more`: so much was looked at.
    """

    data: list[PayinBody]
    has_more: bool
    next: str | None
    previous: str | None


async def list_(context: Context, request: Request) -> Response:
    """A merchant's payins, newest first."""
    caller = await authenticate(context, request, READ)
    asked = query_of(request, PayinQuery, _KNOWN)
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
    if asked.before is not None:
        after = cursor_of(asked.before, "before") or (store.LONG_AGO, store.FIRST)
        if terms:
            newer = await store.payins_found_after(context, caller.shard, caller.book, terms, after[1], narrow, limit)
        else:
            newer = await store.payins_after(context, caller.shard, caller.book, after, narrow, limit)
        return page_of(newer.rows, asked.limit, place_of, backwards=True, looked=newer.looked)
    before = cursor_of(asked.after) or (store.FAR_OFF, store.LAST)
    if terms:
        found = await store.payins_found(context, caller.shard, caller.book, terms, before[1], narrow, limit)
    else:
        found = await store.payins_before(context, caller.shard, caller.book, before, narrow, limit)
    return page_of(found.rows, asked.limit, place_of, first=asked.after is None, looked=found.looked)


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/payins",
        handler=create,
        door=_door,
        summary="Create a payin",
        who="merchant",
        scope=WRITE,
        body=CreatePayinBody,
        answer=PayinBody,
        answers=201,
        keyed="required",
        codes=("provider_unavailable",),
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
)
