"""Providers call back: how a payment, an operation or a dispute stands.

Which shard it is on follows from our own id in it. What we do not know, or what contradicts our books, is written down
for a person and accepted: the provider has done its part.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from time import monotonic
from typing import Final, Literal
from uuid import UUID

import msgspec

from caudal import connectors
from caudal.connectors import (
    DisputeState,
    Notice,
    OperationState,
    PaymentState,
    Unresolved,
    callback_of,
    links,
    receive,
)
from caudal.kernel.clock import wall_clock
from caudal.kernel.context import Context
from caudal.kernel.errors import FieldError, Invalid, Retry
from caudal.kernel.http import Request, Response, Route, ok
from caudal.kernel.telemetry import about
from caudal.merchants import HOUSE_SHARD, shard_of
from caudal.payins import calls, commands, decide, store
from caudal.payins.http.refusals import counted
from caudal.payins.model import DiscrepancyKind, NothingHeard, Operation, Payin, attempt_of
from caudal.payins.states import Happening, Status, after

# How long a callback waits while its provider is asked whether it is so; after that the worker asks.
_CONFIRMED_WITHIN_S: Final = 2.0
RESPOND_WITHIN_MAX: Final = timedelta(days=731)

Sender = tuple[str, str]  # a provider, and the method that its callback is about


class NoticeAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """What was told is recorded, now or before."""

    status: Literal["accepted"] = "accepted"


async def provider_callback(context: Context, request: Request) -> Response:
    """A provider tells how something stands. Answered when it is recorded; a repetition gets the same answer."""
    (provider, method), notice = _sender_of(request), _received(context, request)
    match notice.about:
        case PaymentState():
            await _payment(context, request, (provider, method), notice, notice.about)
        case OperationState():
            await _operation(context, request, (provider, method), notice, notice.about)
        case DisputeState():
            await _dispute(context, request, (provider, method), notice, notice.about)
    return ok(NoticeAccepted())


def _sender_of(request: Request) -> Sender:
    return request.parameters[0], request.path.rstrip("/").rpartition("/")[2]


def _received(context: Context, request: Request) -> Notice:
    """What is told. Raises NotGenuine, Invalid; Refused where nobody is called so."""
    provider, method = _sender_of(request)
    with counted(context, request, provider):
        return receive(links(context), provider, method, request, context.now_s())


async def _payment(context: Context, request: Request, sender: Sender, notice: Notice, state: PaymentState) -> None:
    (provider, method), id, shard = sender, _id_of(state.key), await _shard_of(context, state.key)
    payin = None if id is None else await store.payin_row(context, shard, id)
    if payin is None:
        await _unknown(context, request, provider, notice)
        return
    about(payin.id)
    if payin.method != method:
        await _of_other(context, request, shard, provider, payin, state)
        return
    doubtful = _is_of(payin, sender, notice, state.key, state.account) and decide.contradicts_end(payin, state)
    if doubtful and await _is_decided(context, request, shard, provider, payin, state):
        return
    noted = commands.NotePayment(
        facts=calls.facts_of(payin, settlement_days=0),
        live=notice.mode == "live",
        provider=provider,
        state=state,
        sealed=calls.nobody(context, payin.id),
        confirmed=False,
    )
    await calls.note(context, shard, noted, request.deadline)


async def _is_decided(
    context: Context, request: Request, shard: int, provider: str, payin: Payin, told: PaymentState
) -> bool:
    """A success of a payin that has ended: whether the provider, asked back, has said what it is. What it does not
    confirm is written down as it was told."""
    until = min(request.deadline, monotonic() + _CONFIRMED_WITHIN_S)
    found = await calls.confirm(context, shard, payin, until, told.key)
    if isinstance(found, Unresolved):
        return False
    if not isinstance(found, PaymentState) or not decide.contradicts_end(payin, found):
        kind: DiscrepancyKind = "contradicts_final_state"
        answer = found if isinstance(found, PaymentState) else NothingHeard()
        odd = commands.NoteOdd(book=payin.book, provider=provider, kind=kind, payin=payin.id, said=told, answer=answer)
        await context.commit(shard, odd, request.deadline)
    return True


def _is_of(payin: Payin, sender: Sender, notice: Notice, key: str, account: str) -> bool:
    """Whether a callback is about this payin: its provider's, of its mode and its merchant."""
    provider, method = sender
    same = (method, account, notice.mode) == (payin.method, calls.account_of(payin), calls.mode_of(payin))
    return same and payin.is_with(provider, key)


async def _operation(context: Context, request: Request, sender: Sender, notice: Notice, state: OperationState) -> None:
    (provider, _), id, shard = sender, _id_of(state.key), await _shard_of(context, state.payment_key)
    operation = None if id is None else await store.operation(context, shard, id)
    payin = None if operation is None else await store.payin_row(context, shard, operation.payin)
    if operation is None or payin is None:
        if not await _is_return(context, request, shard, sender, notice):
            await _unknown(context, request, provider, notice)
        return
    about(payin.id)
    kind = _misfit(operation, payin, sender, notice, state)
    if kind is not None:
        odd = commands.NoteOdd(
            book=payin.book, provider=provider, kind=kind, payin=payin.id, operation=operation.id, said=state
        )
        await context.commit(shard, odd, request.deadline)
        return
    waiting = operation.details().waiting
    facts = msgspec.structs.replace(
        calls.facts_of(payin, settlement_days=0), waiting=None if waiting is None else waiting.key
    )
    settled = commands.SettleOperation(id=operation.id, facts=facts, said=state)
    await context.commit(shard, settled, request.deadline)


def _misfit(
    operation: Operation, payin: Payin, sender: Sender, notice: Notice, state: OperationState
) -> DiscrepancyKind | None:
    """What it says otherwise than our operation; the amount of a void only the provider knows."""
    if (state.kind, state.payment_key) != (operation.kind, payin.asked(operation.details().attempt)[1]):
        return "unknown_payment"
    if not _is_of(payin, sender, notice, state.payment_key, state.account):
        return "other_account"
    same = operation.kind == "void" or state.amount_minor == operation.amount_minor
    return None if same and state.currency == operation.currency else "other_amount"


async def _is_return(context: Context, request: Request, shard: int, sender: Sender, notice: Notice) -> bool:
    """Whether it is a return of money that no payin takes; then it is noted."""
    (provider, method), state = sender, notice.about
    assert isinstance(state, OperationState), "a return is an operation"
    for made in (decide.late_deposit, decide.surplus_deposit):
        deposit = await store.deposit(context, shard, made(method, state.payment_key))
        if deposit is None or decide.asked_by(deposit, state.key) is None:
            continue
        live = notice.mode == "live"
        noted = commands.NoteReturn(
            id=deposit.id, book=deposit.book, payin=deposit.payin, live=live, provider=provider, said=state
        )
        await context.commit(shard, noted, request.deadline)
        return True
    return False


async def _dispute(context: Context, request: Request, sender: Sender, notice: Notice, state: DisputeState) -> None:
    """Raises Retry where the payment itself, or what is under way with it, has to be known first: it is told again."""
    (provider, method), id, shard = sender, _id_of(state.payment_key), await _shard_of(context, state.payment_key)
    respond_by = _moment_of(state.respond_by)
    payin = None if id is None else await store.payin_row(context, shard, id)
    if payin is None:
        await _unknown(context, request, provider, notice)
        return
    about(payin.id)
    if payin.method != method:
        await _of_other(context, request, shard, provider, payin, state)
        return
    if _is_of(payin, sender, notice, state.payment_key, state.account):
        payin = await calls.caught_up(context, shard, payin)
        await _refuse_early(context, shard, payin, provider, state)
    told = commands.NoteDispute(
        facts=calls.facts_of(payin, settlement_days=0),
        id=decide.dispute_id(provider, method, state.reference),
        live=notice.mode == "live",
        provider=provider,
        state=state,
        respond_by=respond_by,
    )
    await context.commit(shard, told, request.deadline)


async def _refuse_early(context: Context, shard: int, payin: Payin, provider: str, state: DisputeState) -> None:
    """What is more than was received may fit when what is under way has come to something."""
    left = payin.received_minor - payin.disputed_minor
    open = payin.status is Status.SUBMITTING or after(payin.status, Happening.TIME_PASSED) is not None
    if state.amount_minor > left and (open or await store.under_way(context, shard, payin.id)):
        known = await store.dispute(context, shard, decide.dispute_id(provider, payin.method, state.reference))
        if known is None:
            raise Retry("try_again", "what is under way with this payment is not settled yet", after_s=2.0)


def _moment_of(text: str) -> datetime:
    """The last moment for evidence, RFC 3339. Raises Invalid for a text that is none, or is years away."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None or at > wall_clock() + RESPOND_WITHIN_MAX:
        error = FieldError(field="/dispute/respond_by", code="invalid_value", detail="RFC 3339, within two years")
        raise Invalid("invalid_request", "the callback has errors", errors=(error,))
    return at


async def _of_other(
    context: Context, request: Request, shard: int, provider: str, payin: Payin, said: PaymentState | DisputeState
) -> None:
    """It is about a payin of another method: written down for a person."""
    odd = commands.NoteOdd(book=payin.book, provider=provider, kind="other_account", payin=payin.id, said=said)
    await context.commit(shard, odd, request.deadline)


async def _unknown(context: Context, request: Request, provider: str, notice: Notice) -> None:
    command = commands.NoteOdd(book=int(notice.mode == "live"), provider=provider, said=notice.about)
    await context.commit(HOUSE_SHARD, command, request.deadline)


async def _shard_of(context: Context, key: str) -> int:
    """The shard of the payin that a provider's key speaks of."""
    id = _id_of(key)
    return HOUSE_SHARD if id is None else await shard_of(context, id)


def _id_of(key: str) -> UUID | None:
    of = attempt_of(key)
    return None if of is None else of[0]


ROUTES: Final = tuple(
    Route(
        method="POST",
        path=f"/v1/callbacks/{{provider}}/{method}",
        handler=provider_callback,
        summary=f"A provider of {method} tells how a payment, an operation or a dispute stands",
        who="provider",
        body=callback_of(method),
        answer=NoticeAccepted,
        codes=("not_found",),
        verify=_received,
    )
    for method in connectors.CONNECTORS
)
