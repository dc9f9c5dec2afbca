"""Merchants ask for captures, cancellations and refunds, and look refunds and captures up."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from datetime import datetime, timedelta
from time import monotonic
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec

from caudal.catalogue import BankAccount, bank_account_errors
from caudal.connectors import CAPABILITIES, Destination, door, spei
from caudal.contracts.pages import Page, cursor_of, page_of
from caudal.contracts.problems import respond
from caudal.kernel import ids
from caudal.kernel.context import Context, answered
from caudal.kernel.errors import FieldError, Invalid, Refused
from caudal.kernel.http import Request, Response, Route, encode, no_body, ok, query_of
from caudal.kernel.idempotency import key_of
from caudal.kernel.parse import parser
from caudal.kernel.telemetry import about
from caudal.merchants import Caller, authenticate
from caudal.payins import calls, commands, decide, store
from caudal.payins.asked import metadata_errors
from caudal.payins.http.answering import IDS, ProviderAsked, committed, id_of, is_known
from caudal.payins.http.merchants import READ, WRITE
from caudal.payins.model import (
    CaptureBody,
    Kind,
    Operation,
    Payin,
    PayinBody,
    RefundBody,
    Waiting,
    capture_body,
    refund_body,
)

REFUND: Final = "refunds:write"

AmountMinor = Annotated[int, msgspec.Meta(ge=1, description="minor units; absent: all that is left")]


class CaptureAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Take what is authorized. `final` gives the rest back to the payer."""

    amount: AmountMinor | None = None
    final: bool = False


class DestinationAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The payer's bank account; ask the payer. In Mexico `account` is a CLABE; in Brazil branch/account."""

    account: str
    holder_name: str
    bank: str | None = None
    kind: Literal["checking", "savings"] | None = None
    holder_document: str | None = None


class RefundAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Give money back. `destination` where it cannot go back the way it came: transfers and vouchers."""

    amount: AmountMinor | None = None
    note: Annotated[str, msgspec.Meta(min_length=1, max_length=500)] | None = None
    destination: DestinationAsked | None = None
    metadata: dict[str, str] = {}


_parse_capture, _parse_refund = parser(CaptureAsked), parser(RefundAsked)


async def capture(context: Context, request: Request) -> Response:
    """Take what is authorized, or a part of it."""
    caller = await authenticate(context, request, WRITE)
    asked = _parse_capture(request.body or b"{}")
    return await _carried_out(
        context, request, caller, "capture", ids.uuid7(caller.slot), amount_minor=asked.amount, final=asked.final
    )


async def cancel(context: Context, request: Request) -> Response:
    """Give a payin up: while it is pending, or what of its authorization is not captured."""
    caller = await authenticate(context, request, WRITE)
    no_body(request)
    id = id_of("payin", request.parameters[0])
    payin = await answered(store.payin_row(context, caller.shard, id), request.deadline)
    if payin is not None and payin.book == caller.book:
        about(id)
    if payin is not None and payin.book == caller.book and _has_void(payin):
        return await _carried_out(context, request, caller, "void", ids.uuid7(caller.slot), payin=payin)
    command = commands.CancelPayin(
        id=id,
        book=caller.book,
        key_digest=caller.key_digest,
        key=key_of(request, caller.book, context.sealer.fingerprint_keys),
        request_id=request.id,
    )
    return await committed(context, caller.shard, command, request)


def _has_void(payin: Payin) -> bool:
    return payin.method in CAPABILITIES and CAPABILITIES[payin.method].void


async def refund(context: Context, request: Request) -> Response:
    """Give money back to the payer."""
    caller = await authenticate(context, request, REFUND)
    asked = _parse_refund(request.body or b"{}")
    errors = tuple(metadata_errors(asked.metadata))
    if errors:
        raise Invalid("invalid_request", "the request has errors", errors=errors)
    payin, id = await _payin_of(context, request, caller), ids.uuid7(caller.slot)
    await _refuse_without_bank(context, request, caller, payin)
    sealed = sealed_destination(context, payin, asked.destination, id)
    return await _carried_out(
        context,
        request,
        caller,
        "refund",
        id,
        payin=payin,
        amount_minor=asked.amount,
        note=asked.note,
        metadata=asked.metadata,
        sealed=sealed,
    )


async def _refuse_without_bank(context: Context, request: Request, caller: Caller, payin: Payin) -> None:
    """Raises Refused for live money that nobody could send. A repetition finds the answer of its first request."""
    if not payin.live or payin.method in CAPABILITIES or spei.bank_of(context.settings, live=True) is not None:
        return
    key = key_of(request, caller.book, context.sealer.fingerprint_keys, "refund")
    if not await is_known(context, request, caller.shard, key):
        raise Refused("not_refundable", "no live bank is connected: nobody could send the money")


def sealed_destination(context: Context, payin: Payin, asked: DestinationAsked | None, id: UUID) -> bytes | None:
    """The payer's account, sealed for what has this id. Raises Invalid where it is missing, wrong, or not asked for."""
    by_account = payin.method not in CAPABILITIES or CAPABILITIES[payin.method].refund == "bank_account"
    if asked is None:
        if by_account:
            raise _invalid([("/destination", "missing", f"{payin.method} refunds go to a bank account of the payer's")])
        return None
    if not by_account:
        raise _invalid([("/destination", "not_supported", f"{payin.method} refunds go back the way the money came")])
    fields = msgspec.structs.asdict(asked)
    errors = bank_account_errors(BankAccount(country=payin.country, **fields))
    if errors:
        raise _invalid([(f"/destination/{field}", "invalid_value", detail) for field, detail in errors.items()])
    return context.sealer.seal(encode(Destination(country=payin.country, **fields)), id.bytes)


def _invalid(found: list[tuple[str, str, str]]) -> Invalid:
    errors = tuple(FieldError(field=field, code=code, detail=detail) for field, code, detail in found)
    return Invalid("invalid_request", "the request has errors", errors=errors)


async def _payin_of(context: Context, request: Request, caller: Caller) -> Payin:
    """The caller's payin in the path. Raises Refused("not_found")."""
    id = id_of("payin", request.parameters[0])
    payin = await answered(store.payin_row(context, caller.shard, id), request.deadline)
    if payin is None or payin.book != caller.book:
        raise Refused("not_found", "there is no such payin")
    about(payin.id)
    return payin


async def _carried_out(
    context: Context,
    request: Request,
    caller: Caller,
    kind: Kind,
    id: UUID,
    *,
    payin: Payin | None = None,
    **asked: Any,
) -> Response:
    """Intent, call, outcome: whatever happens by the deadline, the key has an answer."""
    payin = payin or await _payin_of(context, request, caller)
    key = key_of(request, caller.book, context.sealer.fingerprint_keys, "payin" if kind == "void" else kind)
    within_s = max(request.deadline - monotonic(), 0.0)
    waiting = Waiting(key=key.digest, request_id=request.id)
    facts = msgspec.structs.replace(
        calls.facts_of(payin, settlement_days=calls.days_of(caller, payin)), waiting=key.digest
    )
    intent = decide.Intent(
        id=id,
        payin=payin.id,
        book=caller.book,
        key_digest=caller.key_digest,
        waiting=waiting,
        within=timedelta(seconds=within_s),
        sweep_in=timedelta(seconds=within_s + calls.MARGIN_S),
    )
    begin = commands.BeginOperation(kind=kind, asked=intent, facts=facts, key=key, request_id=request.id, **asked)
    with _inside(context, payin, request.deadline):
        begun = await context.commit(caller.shard, begin, request.deadline)
        if begun.answer is not None:
            return respond(begun.answer)
        with ProviderAsked(request):
            done = await calls.carry_out(context, caller.shard, begun.outcome, facts, key=key, until=request.deadline)
    noted: commands.Noted = done.outcome
    return respond(noted.stored or done.answer or commands.answer_to(noted.outcome))


def _inside(context: Context, payin: Payin, deadline: float) -> AbstractContextManager[None]:
    """Behind the door of the payin's provider, where it has one. Raises Overloaded for a crowd before it."""
    if payin.method not in CAPABILITIES:
        return nullcontext()
    return door(context, payin.carrier, calls.mode_of(payin)).entered(deadline)


class OperationQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of the list."""

    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    after: Annotated[str | None, msgspec.Meta(description="cursor: the next page, older ones")] = None
    payin: str | None = None
    status: Literal["pending", "succeeded", "failed"] | None = None
    created_from: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    created_to: Annotated[datetime, msgspec.Meta(tz=True)] | None = None


class RefundList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of refunds, newest first. It may hold fewer than `limit`, or none, though `has_more`."""

    data: list[RefundBody]
    has_more: bool
    next: str | None


class CaptureList(msgspec.Struct, frozen=True, kw_only=True):
    """A page of captures, newest first. It may hold fewer than `limit`, or none, though `has_more`."""

    data: list[CaptureBody]
    has_more: bool
    next: str | None


async def refunds(context: Context, request: Request) -> Response:
    """The merchant's refunds, newest first."""
    page = await _page(context, request, "refund")
    return ok(RefundList(data=[refund_body(row) for row in page.rows], has_more=page.has_more, next=page.next))


async def captures(context: Context, request: Request) -> Response:
    """The merchant's captures, newest first."""
    page = await _page(context, request, "capture")
    return ok(CaptureList(data=[capture_body(row) for row in page.rows], has_more=page.has_more, next=page.next))


async def _page(context: Context, request: Request, kind: Kind) -> Page[Operation]:
    caller = await authenticate(context, request, READ)
    asked = query_of(request, OperationQuery, IDS)
    until = asked.created_to or store.FAR_OFF
    before = min(cursor_of(asked.after) or (store.FAR_OFF, store.LAST), (until, store.FIRST))
    found = await store.operations_before(
        context,
        caller.shard,
        caller.book,
        kind,
        before,
        since=asked.created_from or store.LONG_AGO,
        payin=None if asked.payin is None else id_of("payin", asked.payin),
        status=asked.status,
        limit=asked.limit + 1,
    )
    return page_of(found.rows, asked.limit, store.place_of_operation, looked=found.looked)


async def get_refund(context: Context, request: Request) -> Response:
    """One refund."""
    return ok(refund_body(await _one(context, request, "refund")))


async def get_capture(context: Context, request: Request) -> Response:
    """One capture."""
    return ok(capture_body(await _one(context, request, "capture")))


async def _one(context: Context, request: Request, kind: Literal["refund", "capture"]) -> Operation:
    caller = await authenticate(context, request, READ)
    found = await store.operation(context, caller.shard, id_of(kind, request.parameters[0]))
    if found is None or found.book != caller.book or found.kind != kind:
        raise Refused("not_found", f"there is no such {kind}")
    return found


_OPERATION_CODES: Final = ("not_found", "forbidden_transition", "amount_too_large")

ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/payins/{id}/captures",
        handler=capture,
        summary="Capture what is authorized",
        who="merchant",
        scope=WRITE,
        body=CaptureAsked,
        answer=CaptureBody,
        answers=201,
        keyed="required",
        codes=_OPERATION_CODES,
    ),
    Route(
        method="POST",
        path="/v1/payins/{id}/cancellations",
        handler=cancel,
        summary="Cancel a payin, or the rest of what it has authorized",
        who="merchant",
        scope=WRITE,
        answer=PayinBody,
        keyed="required",
        codes=("not_found", "forbidden_transition"),
    ),
    Route(
        method="POST",
        path="/v1/payins/{id}/refunds",
        handler=refund,
        summary="Refund a payin, or a part of it",
        who="merchant",
        scope=REFUND,
        body=RefundAsked,
        answer=RefundBody,
        answers=201,
        keyed="required",
        codes=(*_OPERATION_CODES, "insufficient_funds", "not_refundable"),
    ),
    Route(
        method="GET",
        path="/v1/refunds",
        handler=refunds,
        summary="List refunds",
        who="merchant",
        scope=READ,
        query=OperationQuery,
        answer=RefundList,
    ),
    Route(
        method="GET",
        path="/v1/refunds/{id}",
        handler=get_refund,
        summary="Get a refund",
        who="merchant",
        scope=READ,
        answer=RefundBody,
        codes=("not_found",),
    ),
    Route(
        method="GET",
        path="/v1/captures",
        handler=captures,
        summary="List captures",
        who="merchant",
        scope=READ,
        query=OperationQuery,
        answer=CaptureList,
    ),
    Route(
        method="GET",
        path="/v1/captures/{id}",
        handler=get_capture,
        summary="Get a capture",
        who="merchant",
        scope=READ,
        answer=CaptureBody,
        codes=("not_found",),
    ),
)
