"""Operators ask: deposits with unapplied money, and their return."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

from caudal.contracts.pages import cursor_of, page_of
from caudal.kernel import ids
from caudal.kernel.context import Context
from caudal.kernel.errors import FieldError, Invalid, Refused
from caudal.kernel.http import Request, Response, Route, ok, query_of
from caudal.merchants import authenticate_operator, operator_key
from caudal.merchants import place_of as place_of_merchant
from caudal.payins import commands, store
from caudal.payins.http.answering import committed, id_of, no_body, place_of
from caudal.payins.model import DepositBody, deposit_body


class DepositQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Deposits with unapplied money, of all merchants and modes, or one merchant's deposits in one mode.

    `merchant` is `mer_…`, or `house` for deposits to accounts of nobody.
    """

    merchant: str | None = None
    mode: Literal["test", "live"] = "test"
    unapplied: bool = True
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    after: str | None = None


class DepositList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of deposits, newest first."""

    data: list[DepositBody]
    has_more: bool
    next: str | None


async def deposits(context: Context, request: Request) -> Response:
    """Deposits of a book, newest first; those with unapplied money unless asked otherwise."""
    await authenticate_operator(context, request)
    asked = query_of(request, DepositQuery)
    before = cursor_of(asked.after) or (store.FAR_OFF, UUID(int=2**128 - 1))
    book = None
    if asked.merchant is not None:
        book = await _book(context, asked.merchant, live=asked.mode == "live")
    elif not asked.unapplied:
        error = FieldError(field="?merchant", code="missing", detail="needed where `unapplied` is false")
        raise Invalid("invalid_request", "the query has errors", errors=(error,))
    rows = await store.deposits_before(
        context, context.settings.shard, book, before, unapplied=asked.unapplied, limit=asked.limit + 1
    )
    page = page_of(rows, asked.limit, place_of)
    return ok(DepositList(data=[deposit_body(row) for row in page.rows], has_more=page.has_more, next=page.next))


async def _book(context: Context, merchant: str, *, live: bool) -> int:
    if merchant == "house":
        return int(live)
    place = await place_of_merchant(context, id_of("mer", merchant))
    if place is None:
        raise Refused("not_found", "there is no such merchant")
    return place.slot * 2 + live


async def return_deposit(context: Context, request: Request) -> Response:
    """Send what is unapplied of a deposit back to whoever paid it."""
    operator = await authenticate_operator(context, request)
    key = operator_key(context, request, operator)
    no_body(request)
    id = id_of("dep", request.parameters[0])
    shard = context.settings.shard
    deposit = await store.deposit(context, shard, id)
    if deposit is None:
        raise Refused("not_found", "there is no such deposit")
    command = commands.RequestReturn(
        id=id,
        book=deposit.book,
        payin=deposit.payin,
        currency=deposit.currency,
        operator=operator,
        entry=ids.uuid7(),
        key=key,
        request_id=request.id,
    )
    return await committed(context, shard, command, request)


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/operator/deposits",
        handler=deposits,
        summary="List deposits",
        who="operator",
        query=DepositQuery,
        answer=DepositList,
        codes=("not_found",),
    ),
    Route(
        method="POST",
        path="/v1/operator/deposits/{id}/returns",
        handler=return_deposit,
        summary="Return unapplied money",
        who="operator",
        answer=DepositBody,
        answers=201,
        keyed="required",
        codes=("not_found", "forbidden_transition", "insufficient_funds"),
    ),
)
