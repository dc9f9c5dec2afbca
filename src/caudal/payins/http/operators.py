"""Operators ask: deposits with unapplied money, and their return."""

from __future__ import annotations

from typing import Annotated, Final, Literal
from uuid import UUID

import msgspec

from caudal.connectors import BANK, spei
from caudal.contracts.pages import cursor_of, page_of
from caudal.kernel import ids
from caudal.kernel.context import Context, answered
from caudal.kernel.errors import FieldError, Invalid, Refused
from caudal.kernel.http import Request, Response, Route, ok, query_of
from caudal.kernel.parse import parser
from caudal.merchants import authenticate_operator, operator_key, shard_of
from caudal.merchants import place_of as place_of_merchant
from caudal.payins import commands, decide, store
from caudal.payins.http.answering import IDS, committed, id_of, is_known, merged, on_any, place_of
from caudal.payins.http.operations import DestinationAsked, sealed_destination
from caudal.payins.model import Deposit, DepositBody, Payin, deposit_body


class DepositQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Deposits with unapplied money, of all merchants and modes, or of one merchant in one mode, or of one payin.

    `merchant` is `mer_…`, or `house` for deposits to accounts of nobody.
    """

    merchant: str | None = None
    mode: Literal["test", "live"] = "test"
    payin: str | None = None
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
    asked = query_of(request, DepositQuery, IDS)
    before = cursor_of(asked.after) or (store.FAR_OFF, UUID(int=2**128 - 1))
    of: int | Payin | None = None
    if asked.payin is not None:
        of = await _payin(context, asked, asked.payin)
        if of is None:
            return ok(DepositList(data=[], has_more=False, next=None))
    elif asked.merchant is not None:
        of = await _book(context, asked.merchant, live=asked.mode == "live")
    elif not asked.unapplied:
        error = FieldError(field="?merchant", code="missing", detail="or `payin`: needed where `unapplied` is false")
        raise Invalid("invalid_request", "the query has errors", errors=(error,))
    rows, looked = await merged(
        context,
        place_of,
        lambda shard: store.deposits_before(
            context, shard, of, before, unapplied=asked.unapplied, limit=asked.limit + 1
        ),
    )
    page = page_of(rows, asked.limit, place_of, looked=looked)
    return ok(DepositList(data=[deposit_body(row) for row in page.rows], has_more=page.has_more, next=page.next))


async def _payin(context: Context, asked: DepositQuery, payin: str) -> Payin | None:
    """The payin whose deposits are asked for, which is of one merchant and mode already; None where there is none."""
    if asked.merchant is not None:
        error = FieldError(field="?merchant", code="contradiction", detail="a payin has one merchant: name either")
        raise Invalid("invalid_request", "the query has errors", errors=(error,))
    id = id_of("payin", payin)
    return await store.payin_row(context, await shard_of(context, id), id)


async def _book(context: Context, merchant: str, *, live: bool) -> int:
    if merchant == "house":
        return int(live)
    place = await place_of_merchant(context, id_of("mer", merchant))
    if place is None:
        raise Refused("not_found", "there is no such merchant")
    return place.slot * 2 + live


class ReturnAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Send money back. `destination` where it cannot go back the way it came: what vouchers and bank redirects brought.

    A transfer goes back to the account that it came from.
    """

    destination: DestinationAsked | None = None


_parse_return = parser(ReturnAsked)


async def return_deposit(context: Context, request: Request) -> Response:
    """Send what is unapplied of a deposit back to whoever paid it."""
    operator = await authenticate_operator(context, request)
    key = operator_key(context, request, operator)
    asked = _parse_return(request.body or b"{}")
    id = id_of("dep", request.parameters[0])
    found = await answered(on_any(context, lambda shard: store.deposit(context, shard, id)), request.deadline)
    if found is None:
        raise Refused("not_found", "there is no such deposit")
    shard, deposit = found
    nobody = deposit.book & 1 and deposit.provider == BANK and not spei.bank_of(context.settings, live=True)
    if nobody and not await is_known(context, request, shard, key):
        raise Refused("forbidden_transition", "no live bank is connected: nobody could send the money back")
    command = commands.RequestReturn(
        id=id,
        book=deposit.book,
        payin=deposit.payin,
        currency=deposit.currency,
        operator=operator.on(shard),
        entry=ids.uuid7(),
        destination=await _destination(context, shard, deposit, asked.destination),
        key=key,
        request_id=request.id,
    )
    return await committed(context, shard, command, request)


class ConfirmAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How it is known that the money is back with whoever paid it."""

    reason: Annotated[str, msgspec.Meta(min_length=3, max_length=1000)]


_parse_confirm = parser(ConfirmAsked)


async def confirm_return(context: Context, request: Request) -> Response:
    """Books a return that has failed here and was carried out after all; nobody is asked for anything."""
    operator = await authenticate_operator(context, request)
    key = operator_key(context, request, operator)
    asked, id = _parse_confirm(request.body), id_of("dep", request.parameters[0])
    found = await answered(on_any(context, lambda shard: store.deposit(context, shard, id)), request.deadline)
    if found is None:
        raise Refused("not_found", "there is no such deposit")
    shard, deposit = found
    command = commands.ConfirmReturn(
        id=id,
        book=deposit.book,
        currency=deposit.currency,
        by=decide.ByHand(
            operator=operator.on(shard),
            subject=request.parameters[0],
            happened=True,
            reason=asked.reason,
            entry=ids.uuid7(),
        ),
        key=key,
        request_id=request.id,
    )
    return await committed(context, shard, command, request)


async def _destination(context: Context, shard: int, deposit: Deposit, asked: DestinationAsked | None) -> bytes | None:
    """The payer's account, sealed. Raises Invalid where it is missing, wrong, or not asked for."""
    if deposit.provider == BANK:
        if asked is not None:
            detail = "a transfer goes back to the account that it came from"
            error = FieldError(field="/destination", code="not_supported", detail=detail)
            raise Invalid("invalid_request", "the request has errors", errors=(error,))
        return None
    assert deposit.payin is not None, "what a provider took was for a payin"
    payin = await store.payin_row(context, shard, deposit.payin)
    assert payin is not None, "a payin is never removed"
    return sealed_destination(context, payin, asked, deposit.id)


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
        body=ReturnAsked,
        answer=DepositBody,
        answers=201,
        keyed="required",
        codes=("not_found", "forbidden_transition", "insufficient_funds"),
    ),
    Route(
        method="POST",
        path="/v1/operator/deposits/{id}/confirmations",
        handler=confirm_return,
        summary="Confirm a return that had failed",
        who="operator",
        body=ConfirmAsked,
        answer=DepositBody,
        answers=201,
        keyed="required",
        codes=("not_found", "forbidden_transition"),
    ),
)
