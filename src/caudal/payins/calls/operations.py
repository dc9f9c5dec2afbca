"""A capture, a void, a refund, and money that goes back for a payin that had ended."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from time import monotonic
from typing import NamedTuple
from uuid import UUID

import msgspec

from caudal import connectors
from caudal.connectors import (
    BANK,
    CAPABILITIES,
    Capabilities,
    CaptureOrder,
    Declined,
    Destination,
    NotFound,
    OperationQuery,
    OperationState,
    PaymentOut,
    RefundOrder,
    ReturnOrder,
    Unresolved,
    VoidOrder,
    spei,
)
from caudal.kernel.commit import Due, Key, Result
from caudal.kernel.context import Context
from caudal.kernel.errors import Retry
from caudal.payins import commands, decide, store
from caudal.payins.calls.otherwise import note_otherwise
from caudal.payins.calls.payments import MARGIN_S, RESERVE_S, account_of, facts_of, mode_of
from caudal.payins.commands import Facts
from caudal.payins.model import Deposit, Operation, Payin, RefusedOperation, ReturnEnd

Found = OperationState | NotFound | Unresolved


async def carry_out(
    context: Context, shard: int, begun: decide.Begun, facts: Facts, *, key: Key, until: float
) -> Result:
    """Asks the provider and records what it says; the result's outcome is a `Noted`."""
    operation, payin = begun.operation, begun.payin
    said = await _ask(context, operation, payin, until - RESERVE_S)
    await _note(context, shard, operation, payin, said)
    if isinstance(said, Unresolved):
        return await context.commit(shard, commands.LeaveOperation(id=operation.id, facts=facts, asked=key))
    settled = commands.SettleOperation(id=operation.id, facts=facts, said=said, asked=key, due=begun.due)
    return await context.commit(shard, settled)


async def sweep_operation(context: Context, shard: int, due: Due) -> None:
    """Finds out what became of an operation, or carries it out. Raises Retry while there is no outcome."""
    operation = await store.operation(context, shard, due.subject)
    assert operation is not None, "due work names what there is"
    payin = await store.payin_row(context, shard, operation.payin)
    assert payin is not None, "an operation is of a payin"
    waiting = operation.details().waiting
    facts = msgspec.structs.replace(facts_of(payin), waiting=None if waiting is None else waiting.key)
    asked_at = await _asked_at(context, payin.method, operation.details().sent_until)
    found = await state_of(context, operation, payin)
    said = await _order(context, shard, operation, payin, asked_at) if isinstance(found, NotFound) else found
    await _note(context, shard, operation, payin, said)
    pending = isinstance(said, OperationState) and said.status == "pending"
    if isinstance(said, Unresolved) or pending:
        await context.commit(shard, commands.LeaveOperation(id=operation.id, facts=facts))
        why = said.detail if isinstance(said, Unresolved) else "pending at the provider"
        raise Retry("try_again", f"no outcome of this {operation.kind} yet: {why}")
    await context.commit(shard, commands.SettleOperation(id=operation.id, facts=facts, said=said, due=due))


async def _note(
    context: Context, shard: int, operation: Operation, payin: Payin, said: OperationState | Declined | Unresolved
) -> None:
    """An answer with another amount than ours becomes a case."""
    provider, _ = payin.asked(operation.details().attempt)
    await note_otherwise(context, shard, payin, provider, said, operation=operation.id)


def _ordered_once(method: str) -> Capabilities | None:
    """What a provider can that would not know the same order again; None for the others, and a bank."""
    abilities = CAPABILITIES.get(method)
    return None if abilities is None or abilities.deduplicates else abilities


async def _asked_at(context: Context, method: str, sent: datetime | None) -> datetime | None:
    """The time before a question whose "not found" may be an outcome: whoever stands still behind it has an old answer,
    not a late one. None where it is none, and no clock is asked."""
    return None if sent is None or _ordered_once(method) is None else await store.now(context)


async def _order(
    context: Context, shard: int, operation: Operation, payin: Payin, asked_at: datetime | None
) -> OperationState | Declined | Unresolved:
    """Orders what the provider does not know: again, where it knows the same key again; else once and never more."""
    abilities = _ordered_once(payin.method)
    if abilities is None:
        return await _ask(context, operation, payin, None)

    def send(within: timedelta) -> commands.SendOperation:
        return commands.SendOperation(id=operation.id, book=operation.book, within=within)

    def ask(until: float) -> Awaitable[OperationState | Declined | Unresolved]:
        return _ask(context, operation, payin, until)

    said = await _once(context, shard, abilities, operation.details().sent_until, asked_at, send, ask)
    lost = Declined(reason="processing_error", detail="the provider has never heard of it")
    return lost if isinstance(said, NotFound) else said


async def _once(
    context: Context,
    shard: int,
    abilities: Capabilities,
    sent: datetime | None,
    asked_at: datetime | None,
    send: Callable[[timedelta], commands.SendOperation | commands.SendReturn],
    ask: Callable[[float], Awaitable[OperationState | Declined | Unresolved]],
) -> OperationState | Declined | NotFound | Unresolved:
    """Orders what the provider does not know, and would not know again: until when it may be on its way is durable
    before. NotFound where it was ordered before, until `sent` at most, and could reach the provider no more at
    `asked_at`, when that was asked.
    """
    if sent is None or asked_at is None:
        within_s = context.settings.request_timeout_ms / 1000
        until = monotonic() + within_s
        if (await context.commit(shard, send(timedelta(seconds=within_s)))).outcome:
            return await ask(until)
        return Unresolved(kind="unknown", detail="somebody else orders it")
    if asked_at <= sent + timedelta(seconds=abilities.late_until_s + MARGIN_S):
        return Unresolved(kind="unknown", detail="the provider may still come to know it")
    return NotFound()


async def state_of(context: Context, operation: Operation, payin: Payin) -> Found:
    """How it stands with the provider."""
    if payin.method not in connectors.CONNECTORS:
        return NotFound()  # a bank is asked by ordering again, with the same key
    provider, payment_key = payin.asked(operation.details().attempt)
    query = OperationQuery(
        key=operation.id.hex,
        payment_key=payment_key,
        mode=mode_of(payin),
        kind=operation.kind,
        amount_minor=None if operation.kind == "void" else operation.amount_minor,
        currency=operation.currency,
    )
    return await connectors.of(context, provider, payin.method).operation(query)


async def _ask(
    context: Context, operation: Operation, payin: Payin, deadline: float | None
) -> OperationState | Declined | Unresolved:
    """Orders the operation by its key; safe to repeat."""
    if payin.method not in connectors.CONNECTORS:
        return await _pay_out(context, operation, payin, deadline)
    provider, payment_key = payin.asked(operation.details().attempt)
    key, mode, connector = operation.id.hex, mode_of(payin), connectors.of(context, provider, payin.method)
    match operation.kind:
        case "capture":
            capture = CaptureOrder(
                key=key,
                payment_key=payment_key,
                mode=mode,
                amount_minor=operation.amount_minor,
                currency=operation.currency,
                final=operation.details().final,
            )
            return await connector.capture(capture, deadline)
        case "void":
            return await connector.void(VoidOrder(key=key, payment_key=payment_key, mode=mode), deadline)
        case "refund":
            refund = RefundOrder(
                key=key,
                payment_key=payment_key,
                mode=mode,
                amount_minor=operation.amount_minor,
                currency=operation.currency,
                destination=destination_of(context, operation),
            )
            return await connector.refund(refund, deadline)


async def _pay_out(
    context: Context, operation: Operation, payin: Payin, deadline: float | None
) -> OperationState | Declined | Unresolved:
    """A refund of a transfer: the bank sends money to the account that the payer named."""
    to = destination_of(context, operation)
    assert to is not None, "the edge has asked for it"
    order = PaymentOut(
        payment_key=operation.id.hex,
        clabe=to.account,
        amount_minor=operation.amount_minor,
        currency=operation.currency,
        beneficiary_name=to.holder_name,
    )
    bank = context.once(spei.SpeiClient)
    outcome = await bank.pay_out(order, live=payin.live, about=payin.id, deadline=deadline)
    match outcome.status:
        case "done":
            return OperationState(
                key=operation.id.hex,
                payment_key=payin.id.hex,
                account=account_of(payin),
                kind="refund",
                status="succeeded",
                reference=operation.id.hex,
                amount_minor=operation.amount_minor,
                currency=operation.currency,
                reason=None,
            )
        case "permanent":
            return Declined(reason="invalid_account", detail=outcome.detail)
        case "retry" | "unknown" as kind:
            return Unresolved(kind=kind, detail=outcome.detail)


def destination_of(context: Context, operation: Operation) -> Destination | None:
    """The bank account that a refund goes to, if the payer was asked for one."""
    return _opened(context, operation.sealed, operation.id)


def _opened(context: Context, sealed: bytes | None, id: UUID) -> Destination | None:
    return None if sealed is None else msgspec.json.decode(context.sealer.open(sealed, id.bytes), type=Destination)


async def state_of_return(context: Context, deposit: Deposit, method: str, key: str) -> Found:
    """How the return that its provider knows by this key stands there; the one under way is of what is returning."""
    query = OperationQuery(
        key=key,
        payment_key=deposit.tracking_key,
        mode="live" if deposit.book & 1 else "test",
        kind="refund",
        amount_minor=deposit.returning_minor or None,
        currency=deposit.currency,
    )
    return await connectors.of(context, deposit.provider, method).operation(query)


class GivenBack(NamedTuple):
    """What became of a return, and the answer that says so."""

    end: ReturnEnd
    said: OperationState | RefusedOperation


async def give_back(context: Context, shard: int, deposit: Deposit) -> GivenBack:
    """Has the bank send back what came, or a provider what it took for a payin that had ended. Raises Retry while that
    has no outcome.

    The key follows from the deposit and the version that asked, so that one request is one return however often it is
    made, where the same key is known again; elsewhere it is ordered once and then only asked for.
    """
    key = decide.return_key(deposit, deposit.returning_version)
    if deposit.provider == BANK:
        return await _sent_back(context, deposit, key)
    order = RefundOrder(
        key=key,
        payment_key=deposit.tracking_key,
        mode="live" if deposit.book & 1 else "test",
        amount_minor=deposit.returning_minor,
        currency=deposit.currency,
        destination=_opened(context, deposit.destination, deposit.id),
    )
    payin = None if deposit.payin is None else await store.payin_row(context, shard, deposit.payin)
    assert payin is not None, "what a provider took was for a payin"
    said = await _returned(context, shard, deposit, payin.method, order)
    await note_otherwise(context, shard, payin, deposit.provider, said, deposit=deposit.id)
    if isinstance(said, NotFound):
        lost = Declined(reason="processing_error", detail="the provider has never heard of it")
        return GivenBack("lost", _no(deposit, key, lost))
    if isinstance(said, Declined):
        return GivenBack("refused", _no(deposit, key, said))
    if isinstance(said, Unresolved):
        raise Retry("try_again", f"the provider has not returned the money yet: {said.detail}")
    if said.status == "pending":
        raise Retry("try_again", "the provider has not returned the money yet: pending there")
    return GivenBack("returned" if said.status == "succeeded" else "refused", said)


async def _sent_back(context: Context, deposit: Deposit, key: str) -> GivenBack:
    """By the bank, which is asked by ordering it again."""
    order = ReturnOrder(
        return_key=key,
        tracking_key=deposit.tracking_key,
        amount_minor=deposit.returning_minor,
        currency=deposit.currency,
    )
    bank = context.once(spei.SpeiClient)
    outcome = await bank.send_back(order, live=bool(deposit.book & 1), about=deposit.id)
    match outcome.status:
        case "done":
            said = OperationState(
                key=key,
                payment_key=deposit.tracking_key,
                account=deposit.account,
                kind="refund",
                status="succeeded",
                reference=key,
                amount_minor=deposit.returning_minor,
                currency=deposit.currency,
                reason=None,
            )
            return GivenBack("returned", said)
        case "permanent":
            return GivenBack("refused", _no(deposit, key, Declined(reason="not_permitted", detail=outcome.detail)))
        case "retry" | "unknown":
            raise Retry("try_again", f"the bank has not returned the money yet: {outcome.detail}")


def _no(deposit: Deposit, key: str, said: Declined) -> RefusedOperation:
    """A refusal that says of what it is one."""
    return RefusedOperation(
        key=key, payment_key=deposit.tracking_key, kind="refund", reason=said.reason, detail=said.detail
    )


async def _returned(
    context: Context, shard: int, deposit: Deposit, method: str, order: RefundOrder
) -> OperationState | Declined | NotFound | Unresolved:
    """What the provider says of the order; NotFound where none reached it and none can any more."""
    connector, abilities = connectors.of(context, deposit.provider, method), _ordered_once(method)
    if abilities is None:
        return await connector.refund(order)
    sent = deposit.sent_until
    asked_at = await _asked_at(context, method, sent)
    found = await state_of_return(context, deposit, method, order.key)
    if not isinstance(found, NotFound):
        return found

    def send(within: timedelta) -> commands.SendReturn:
        return commands.SendReturn(id=deposit.id, book=deposit.book, version=deposit.version, within=within)

    return await _once(context, shard, abilities, sent, asked_at, send, lambda until: connector.refund(order, until))
