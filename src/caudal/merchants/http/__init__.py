"""Operators asked: parse, authorise, call a command. Every POST needs an Idempotency-Key, whose scope is the operator.

A key's `secret` is in the answer of the request that made it; it is not stored, so a replay has `null` there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, TypeVar
from uuid import UUID

import msgspec

from caudal.contracts.pages import Page, Place, cursor_of, page_of
from caudal.contracts.problems import respond
from caudal.kernel import ids
from caudal.kernel.commit import Result
from caudal.kernel.context import Context, answered
from caudal.kernel.errors import FieldError, Invalid, Refused
from caudal.kernel.http import Request, Response, Route, encode, no_body, ok, query_of
from caudal.merchants import commands, store
from caudal.merchants.commands import Asking, Made, authenticate_operator, operator_key
from caudal.merchants.http.asked import (
    AuditQuery,
    CreateKeyAsked,
    CreateMerchantAsked,
    FeePlanAsked,
    ListQuery,
    NameAsked,
    RotateKeyAsked,
    SettingsAsked,
    reader,
)
from caudal.merchants.model import (
    AuditBody,
    KeyBody,
    MerchantBody,
    Operator,
    audit_body,
    key_body,
)

T = TypeVar("T")

read_merchant = reader(CreateMerchantAsked)
read_fee_plan = reader(FeePlanAsked)
read_settings = reader(SettingsAsked)
read_key = reader(CreateKeyAsked)
read_rotation = reader(RotateKeyAsked)
read_name = reader(NameAsked)


class MerchantList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of merchants, newest first."""

    data: list[MerchantBody]
    has_more: bool
    next: str | None
    previous: str | None


class KeyList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of a merchant's keys of both modes, newest first."""

    data: list[KeyBody]
    has_more: bool
    next: str | None
    previous: str | None


class AuditList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of the audit trail, newest first."""

    data: list[AuditBody]
    has_more: bool
    next: str | None
    previous: str | None


# Merchants


async def create_merchant(context: Context, request: Request) -> Response:
    """Take a merchant in."""
    operator = await authenticate_operator(context, request)
    asking, asked = _asking(context, request, operator), read_merchant(request.body)
    return _answered(await make_merchant(context, asking, asked))


async def make_merchant(context: Context, asking: Asking, asked: CreateMerchantAsked) -> Result:
    """The merchant of a body; the command line asks with one too."""
    return await commands.create_merchant(
        context,
        asking,
        name=asked.name.strip(),
        country=asked.country,
        late_payments=asked.late_payments,
        refunds_beyond_balance=asked.refunds_beyond_balance,
        fee_plan=tuple(line.line() for line in asked.fee_plan),
        shard=asked.shard,
    )


async def list_merchants(context: Context, request: Request) -> Response:
    """All merchants."""
    await authenticate_operator(context, request)
    asked = query_of(request, ListQuery)
    rows = await answered(store.list_merchants(context, _window(asked)), request.deadline)
    page = _page(rows, asked, lambda row: (row.merchant.created_at, row.merchant.id))
    data = [row.body() for row in page.rows]
    return ok(MerchantList(data=data, has_more=page.has_more, next=page.next, previous=page.previous))


async def get_merchant(context: Context, request: Request) -> Response:
    """One merchant."""
    await authenticate_operator(context, request)
    id = _id_of("mer", request)
    found = await answered(store.list_merchants(context, store.Window(limit=1), id), request.deadline)
    if not found:
        raise Refused("not_found", "there is no such merchant")
    return ok(found[0].body())


async def change_fees(context: Context, request: Request) -> Response:
    """Price what a merchant is going to sell."""
    operator = await authenticate_operator(context, request)
    asking, asked = _asking(context, request, operator), read_fee_plan(request.body)
    return _answered(
        await commands.change_fees(
            context, asking, _id_of("mer", request), tuple(line.line() for line in asked.fee_plan)
        )
    )


async def change_settings(context: Context, request: Request) -> Response:
    """Say what becomes of a merchant's late payments, and of refunds that its balance does not cover."""
    operator = await authenticate_operator(context, request)
    asking, asked = _asking(context, request, operator), read_settings(request.body)
    settings = asked.changes()
    if not settings:
        error = FieldError(field="/late_payments", code="missing", detail="or refunds_beyond_balance; nothing changes")
        raise Invalid("invalid_request", "the request has errors", errors=(error,))
    return _answered(await commands.change_settings(context, asking, _id_of("mer", request), **settings))


# API keys


async def create_key(context: Context, request: Request) -> Response:
    """Give a merchant a key."""
    operator = await authenticate_operator(context, request)
    asking, asked = _asking(context, request, operator), read_key(request.body)
    return _made(await make_key(context, asking, _id_of("mer", request), asked))


async def make_key(context: Context, asking: Asking, merchant: UUID, asked: CreateKeyAsked) -> Made:
    """The key of a body; the command line asks with one too."""
    scopes = tuple(sorted(asked.scopes))
    return await commands.create_key(context, asking, merchant, mode=asked.mode, name=asked.name.strip(), scopes=scopes)


async def list_keys(context: Context, request: Request) -> Response:
    """A merchant's keys, ended ones too."""
    await authenticate_operator(context, request)
    asked, id = query_of(request, ListQuery), _id_of("mer", request)
    place = await answered(store.place_of(context, id), request.deadline)
    if place is None:
        raise Refused("not_found", "there is no such merchant")
    rows = await answered(store.list_keys(context, place, _window(asked)), request.deadline)
    page = _page(rows, asked, lambda row: (row.created_at, row.id))
    data = [key_body(row, id) for row in page.rows]
    return ok(KeyList(data=data, has_more=page.has_more, next=page.next, previous=page.previous))


async def rotate_key(context: Context, request: Request) -> Response:
    """Let another key follow this one."""
    operator = await authenticate_operator(context, request)
    asking, asked = _asking(context, request, operator), read_rotation(request.body)
    return _made(await commands.rotate_key(context, asking, _id_of("key", request), asked.overlap_s))


async def revoke_key(context: Context, request: Request) -> Response:
    """End a key at once."""
    operator = await authenticate_operator(context, request)
    asking = _asking(context, request, operator)
    no_body(request)
    return _answered(await commands.revoke_key(context, asking, _id_of("key", request)))


# The audit trail


async def list_audit(context: Context, request: Request) -> Response:
    """Who changed what."""
    await authenticate_operator(context, request)
    asked = query_of(request, AuditQuery)
    chosen = store.AuditFilter(actor=asked.actor, action=asked.action, subject=asked.subject, since=asked.since)
    rows, looked = await answered(store.list_audit(context, chosen, _window(asked)), request.deadline)
    page = _page(rows, asked, lambda row: (row.at, row.id), looked)
    data = [audit_body(row) for row in page.rows]
    return ok(AuditList(data=data, has_more=page.has_more, next=page.next, previous=page.previous))


# What they share


def _asking(context: Context, request: Request, operator: Operator) -> Asking:
    """Who asks, under which key. Raises Invalid without one."""
    return Asking(
        operator=operator,
        key=operator_key(context, request, operator),
        request_id=request.id,
        deadline=request.deadline,
    )


def _id_of(prefix: str, request: Request) -> UUID:
    id = ids.parse(prefix, request.parameters[0])
    if id is None:
        raise Refused("not_found", "there is no object with this id")
    return id


def _answered(result: Result) -> Response:
    if isinstance(result.outcome, Invalid):
        raise result.outcome
    assert result.answer is not None, "a command with a key has an answer"
    return respond(result.answer)


def _made(made: Made) -> Response:
    """The answer with the secret in it, this once."""
    outcome = made.result.outcome
    if made.secret is None or not isinstance(outcome, KeyBody):
        return _answered(made.result)
    return Response(status=201, body=encode(msgspec.structs.replace(outcome, secret=made.secret)))


def _window(asked: ListQuery) -> store.Window:
    if asked.after is not None and asked.before is not None:
        error = FieldError(field="?before", code="contradiction", detail="after and before exclude each other")
        raise Invalid("invalid_request", "the query has errors", errors=(error,))
    after, before = cursor_of(asked.after), cursor_of(asked.before, "before")
    return store.Window(
        limit=asked.limit, after=None if after is None else after[1], before=None if before is None else before[1]
    )


def _page(rows: Sequence[T], asked: ListQuery, place: Callable[[T], Place], looked: Place | None = None) -> Page[T]:
    first = asked.after is None and asked.before is None
    return page_of(rows, asked.limit, place, first=first, backwards=asked.before is not None, looked=looked)


_MERCHANT: Final = "/v1/operator/merchants/{id}"
_KEY: Final = "/v1/operator/keys/{id}"

ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/operator/merchants",
        handler=create_merchant,
        summary="Create a merchant",
        who="operator",
        body=CreateMerchantAsked,
        answer=MerchantBody,
        answers=201,
        keyed="required",
    ),
    Route(
        method="GET",
        path="/v1/operator/merchants",
        handler=list_merchants,
        summary="List merchants",
        who="operator",
        query=ListQuery,
        answer=MerchantList,
    ),
    Route(
        method="GET",
        path=_MERCHANT,
        handler=get_merchant,
        summary="Get a merchant",
        who="operator",
        answer=MerchantBody,
        codes=("not_found",),
    ),
    Route(
        method="POST",
        path=_MERCHANT + "/fee_plans",
        handler=change_fees,
        summary="Change a merchant's fee plan",
        who="operator",
        body=FeePlanAsked,
        answer=MerchantBody,
        answers=201,
        keyed="required",
        codes=("not_found",),
    ),
    Route(
        method="POST",
        path=_MERCHANT + "/settings",
        handler=change_settings,
        summary="Change a merchant's settings",
        who="operator",
        body=SettingsAsked,
        answer=MerchantBody,
        keyed="required",
        codes=("not_found",),
    ),
    Route(
        method="POST",
        path=_MERCHANT + "/keys",
        handler=create_key,
        summary="Create an API key",
        who="operator",
        body=CreateKeyAsked,
        answer=KeyBody,
        answers=201,
        keyed="required",
        codes=("not_found",),
    ),
    Route(
        method="GET",
        path=_MERCHANT + "/keys",
        handler=list_keys,
        summary="List a merchant's API keys",
        who="operator",
        query=ListQuery,
        answer=KeyList,
        codes=("not_found",),
    ),
    Route(
        method="POST",
        path=_KEY + "/rotations",
        handler=rotate_key,
        summary="Rotate an API key",
        who="operator",
        body=RotateKeyAsked,
        answer=KeyBody,
        answers=201,
        keyed="required",
        codes=("not_found", "forbidden_transition"),
    ),
    Route(
        method="POST",
        path=_KEY + "/revocations",
        handler=revoke_key,
        summary="Revoke an API key",
        who="operator",
        answer=KeyBody,
        keyed="required",
        codes=("not_found",),
    ),
    Route(
        method="GET",
        path="/v1/operator/audit",
        handler=list_audit,
        summary="List the audit trail",
        who="operator",
        query=AuditQuery,
        answer=AuditList,
    ),
)
