"""Operators look after what has no outcome: what was asked of a provider in vain, and what they know became of it."""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Any, Final, Literal
from uuid import UUID

import msgspec

from caudal.connectors import CAPABILITIES
from caudal.contracts.pages import LOOKED_AT
from caudal.kernel import idempotency, ids
from caudal.kernel.clock import rfc3339
from caudal.kernel.commit import Due, Key
from caudal.kernel.context import Context
from caudal.kernel.errors import FieldError, Invalid, Refused
from caudal.kernel.http import Request, Response, Route, no_body, ok, query_of
from caudal.kernel.parse import parser
from caudal.merchants import authenticate_operator, operator_key
from caudal.payins import calls, commands, decide, store
from caudal.payins.http.answering import committed, on_any
from caudal.payins.http.waiting import ASKING, Found, all_of, body_of, found_of, prefix_of
from caudal.payins.model import (
    Deposit,
    Evidence,
    Inquiry,
    Operation,
    Payin,
    PayinChange,
    Settlement,
    Unresolved,
    UnresolvedDetail,
    UnresolvedKind,
)

_PREFIXES: Final[dict[str, tuple[str, ...]]] = {
    "payin": (decide.SUBMIT, decide.EXPIRE),
    "capture": (decide.OPERATE,),
    "void": (decide.OPERATE,),
    "refund": (decide.OPERATE,),
    "dep": (decide.RETURN,),
    "evidence": (decide.SEND_EVIDENCE,),
    "disc": (decide.ASK,),
}


class UnresolvedQuery(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider was asked in vain and nobody knows the outcome of, of all merchants."""

    kind: UnresolvedKind | None = None
    provider: Annotated[str, msgspec.Meta(max_length=64)] | None = None
    mode: Literal["test", "live"] | None = None
    older_than_s: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 60
    limit: Annotated[int, msgspec.Meta(ge=1, le=100)] = 20
    after: str | None = None


class UnresolvedList(msgspec.Struct, frozen=True, kw_only=True):
    """A page: payins, then captures, voids and refunds, returns, expiries, evidence, questions; each by its id."""

    data: list[Unresolved]
    has_more: bool
    next: str | None


class SettleAsked(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What became of it, and how that is known."""

    outcome: Literal["happened", "did_not_happen"]
    reason: Annotated[str, msgspec.Meta(min_length=3, max_length=1000)]


_parse_settle = parser(SettleAsked)


async def unresolved(context: Context, request: Request) -> Response:
    """What has no outcome for longer than a while, of every merchant: what was asked, how often, what was said."""
    await authenticate_operator(context, request)
    asked, now = query_of(request, UnresolvedQuery), await store.now(context)
    place, shown, looked = _place_of(asked.after), list[tuple[Due, Unresolved]](), 0
    last: Due | None = None  # where the page ends, if there may be more behind it
    async for due, body in all_of(context, place, now):
        looked += 1
        wanted = _is_wanted(asked, body)
        if wanted and len(shown) == asked.limit:
            last = shown[-1][0]
            break
        shown += [(due, body)] if wanted else []
        if looked == LOOKED_AT:
            last = due
            break
    data = [body for _, body in shown]
    return ok(UnresolvedList(data=data, has_more=last is not None, next=None if last is None else _cursor(last)))


def _is_wanted(asked: UnresolvedQuery, body: Unresolved) -> bool:
    same = asked.kind in (None, body.kind) and asked.provider in (None, body.provider)
    return same and asked.mode in (None, body.mode) and body.age_seconds >= asked.older_than_s


# One of them


async def one(context: Context, request: Request) -> Response:
    """One of them, with the history of its payin and what contradicts our books about it."""
    await authenticate_operator(context, request)
    found, now = await _one(context, request), await store.now(context)
    body, payin = body_of(found, now), found.payin
    changes, discrepancies = ([], []) if payin is None else await store.evidence_on(context, found.shard, payin.id)
    sent, counts = decide.sent_until(found.row), decide.counts_from(found.row, payin)
    # A payin keeps the reference of whoever carries it; of an attempt before the last there is none.
    carried = payin if payin is not None and found.provider == payin.carrier else None
    detail = UnresolvedDetail(
        **msgspec.structs.asdict(body),
        provider_reference=None if carried is None else carried.details().reference,
        submitted_until=None if sent is None else rfc3339(sent),
        not_found_counts_from=None if counts is None else rfc3339(counts),
        history=[
            PayinChange(event=event, status=status, status_reason=reason, at=rfc3339(at))
            for event, status, reason, at in changes
        ],
        discrepancies=[ids.public("disc", id) for id in discrepancies],
    )
    return ok(detail)


async def _one(context: Context, request: Request) -> Found:
    """The one in the path. Raises Refused("not_found") where it has an outcome, too."""
    text = request.parameters[0]
    prefix = text.rpartition("_")[0]
    id = ids.parse(prefix, text) if prefix in _PREFIXES else None
    work = None
    if id is not None:
        kinds = _PREFIXES[prefix]
        work = await on_any(context, lambda shard: store.work_in_vain_of(context, shard, kinds, id))
    found = [] if work is None else await found_of(context, work[0], [work[1]])
    if not found or prefix_of(found[0].row) != prefix:
        raise Refused("not_found", "nothing with this id waits for an outcome")
    return found[0]


async def ask_now(context: Context, request: Request) -> Response:
    """Has the provider asked now, not when it was to be asked next."""
    operator = await authenticate_operator(context, request)
    key = operator_key(context, request, operator)
    no_body(request)
    found = await _one_unless_answered(context, request, key)
    by = decide.ByHand(operator=operator, subject=request.parameters[0], happened=False, reason="", entry=ids.uuid7())
    command = _again(by, key, request)
    if isinstance(found, int):
        return await committed(context, found, command, request)
    by = msgspec.structs.replace(by, operator=operator.on(found.shard))
    command = msgspec.structs.replace(command, due=found.due, by=by)
    return await committed(context, found.shard, command, request)


async def _one_unless_answered(context: Context, request: Request, key: Key) -> Found | int:
    """The one in the path; where its key has an answer already, about what was there then, the shard of that."""
    try:
        return await _one(context, request)
    except Refused:
        for shard in await context.every_shard():
            if await idempotency.is_known(context, shard, key):
                return shard
        raise


def _again(by: decide.ByHand, key: Key, request: Request) -> commands.AskNow:
    """A command whose key is known is answered from it, whatever it is."""
    nothing = Due(at=store.LONG_AGO, kind=decide.ASK, subject=store.FIRST, book=0)
    return commands.AskNow(due=nothing, by=by, key=key, request_id=request.id)


async def settle(context: Context, request: Request) -> Response:
    """Says what became of it, as its provider's answer would have."""
    operator = await authenticate_operator(context, request)
    key = operator_key(context, request, operator)
    asked, found = _parse_settle(request.body), await _one_unless_answered(context, request, key)
    by = decide.ByHand(
        operator=operator,
        subject=request.parameters[0],
        happened=asked.outcome == "happened",
        reason=asked.reason,
        entry=ids.uuid7(),
    )
    if isinstance(found, int):
        return await committed(context, found, _again(by, key, request), request)
    if by.happened and isinstance(found.row, Payin) and found.row.method not in CAPABILITIES:
        raise Refused("forbidden_transition", "nobody is asked for a transfer: its bank reports it, and it is booked")
    answering = _answering(context, found, by.happened)
    if answering is None:
        raise Refused("forbidden_transition", "a question about a discrepancy has no outcome: resolve the discrepancy")
    command = commands.SettleByHand(
        due=found.due,
        by=msgspec.structs.replace(by, operator=operator.on(found.shard)),
        answering=answering,
        version=found.row.returning_version if isinstance(found.row, Deposit) else None,
        key=key,
        request_id=request.id,
    )
    return await committed(context, found.shard, command, request)


def _answering(context: Context, found: Found, happened: bool) -> Any:
    """The command that the provider's answer would be."""
    match found.row:
        case Payin() as payin:
            return calls.payment_answer(context, payin, found.due, happened=happened)
        case Operation() as operation:
            assert found.payin is not None, "an operation is of a payin"
            return calls.operation_answer(operation, found.payin, found.due, happened=happened)
        case Deposit() as deposit:
            return commands.SettleReturn(
                due=found.due,
                version=deposit.returning_version,
                end="returned" if happened else "refused",
                currency=deposit.currency,
            )
        case Evidence() as evidence:
            refused = None if happened else "settled by hand"
            return commands.SettleEvidence(due=found.due, dispute=evidence.dispute, refused=refused)
    return None


# Places in the list


def _cursor(due: Due) -> str:
    return base64.urlsafe_b64encode(bytes([ASKING.index(due.kind)]) + due.subject.bytes).decode()


def _place_of(text: str | None) -> tuple[int, UUID]:
    """The place that a cursor names. Raises Invalid for a text that is none of ours."""
    if text is None:
        return 0, store.FIRST
    try:
        raw = base64.urlsafe_b64decode(text.encode("ascii"))
    except (ValueError, binascii.Error):
        raw = b""
    if len(raw) != 17 or raw[0] >= len(ASKING):
        error = FieldError(field="?after", code="invalid_cursor", detail="take it from the list's answer")
        raise Invalid("invalid_request", "the cursor cannot be read", errors=(error,))
    return raw[0], UUID(bytes=raw[1:])


ROUTES: Final = (
    Route(
        method="GET",
        path="/v1/operator/unresolved",
        handler=unresolved,
        summary="List what has no outcome",
        who="operator",
        query=UnresolvedQuery,
        answer=UnresolvedList,
    ),
    Route(
        method="GET",
        path="/v1/operator/unresolved/{id}",
        handler=one,
        summary="Get what has no outcome",
        who="operator",
        answer=UnresolvedDetail,
        codes=("not_found",),
    ),
    Route(
        method="POST",
        path="/v1/operator/unresolved/{id}/inquiries",
        handler=ask_now,
        summary="Ask the provider now",
        who="operator",
        answer=Inquiry,
        answers=201,
        keyed="required",
        codes=("not_found",),
    ),
    Route(
        method="POST",
        path="/v1/operator/unresolved/{id}/settlements",
        handler=settle,
        summary="Settle an outcome by hand",
        who="operator",
        body=SettleAsked,
        answer=Settlement,
        answers=201,
        keyed="required",
        codes=("not_found", "forbidden_transition"),
    ),
)
