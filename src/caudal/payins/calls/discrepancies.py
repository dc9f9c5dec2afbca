"""A discrepancy: the provider is asked how what it spoke of stands. Nothing is submitted or ordered here."""

from __future__ import annotations

from uuid import UUID

from caudal.connectors import NotFound, OperationState, PaymentState, Unresolved
from caudal.kernel.commit import Due
from caudal.kernel.context import Context
from caudal.kernel.errors import Retry
from caudal.payins import commands, decide, store
from caudal.payins.calls.operations import state_of, state_of_return
from caudal.payins.calls.payments import facts_of, nobody
from caudal.payins.calls.payments import state_of as payment_state
from caudal.payins.model import Deposit, Discrepancy, Payin


async def ask_about(context: Context, shard: int, due: Due) -> None:
    """Asks, books what the answer says, and keeps it with the discrepancy. Raises Retry while there is none."""
    found = await store.discrepancy(context, shard, due.subject)
    assert found is not None and found.payin is not None, "work to ask about it names what there is"
    payin = await store.payin_row(context, shard, found.payin)
    assert payin is not None, "a payin is never removed"
    version = 0 if await store.under_way(context, shard, payin.id) else payin.version
    answer = await _answer(context, shard, found, payin)
    if isinstance(answer, Unresolved) and answer.otherwise is not None:
        answer = answer.otherwise  # of another amount: booked nowhere, and kept with the discrepancy
    if isinstance(answer, Unresolved):
        raise Retry("try_again", f"the provider does not say how it stands: {answer.detail}")
    noted = commands.NoteAnswer(
        found=found,
        facts=facts_of(payin, settlement_days=0),
        answer=answer,
        version=version,
        refunded_minor=await _given_back(context, shard, payin, answer),
        sealed=nobody(context, payin.id),
        due=due,
    )
    await context.commit(shard, noted)


async def _given_back(
    context: Context, shard: int, payin: Payin, answer: PaymentState | OperationState | NotFound
) -> int | None:
    """All that the provider has given back of the payment, where it says that it has carried out a refund that we hold
    for failed: another word of it may have led to a correction already. Raises Retry while it does not say."""
    if not isinstance(answer, OperationState) or (answer.kind, answer.status) != ("refund", "succeeded"):
        return None
    operation = await store.operation(context, shard, UUID(hex=answer.key))
    if operation is None or operation.status != "failed":
        return None
    payment = await payment_state(context, payin)
    if not isinstance(payment, PaymentState):
        raise Retry("try_again", "the provider does not say how the payment stands")
    return payment.refunded_minor


async def _answer(
    context: Context, shard: int, found: Discrepancy, payin: Payin
) -> PaymentState | OperationState | NotFound | Unresolved:
    """About an operation or a return it is asked of that; where a void was told to have come to something, of the
    payment."""
    said = decide.said_of(found.detail)
    if said.operation is not None:
        operation = await store.operation(context, shard, UUID(hex=said.operation))
        if operation is not None:
            return await state_of(context, operation, payin)
        deposit = await _returning(context, shard, payin.method, said)
        if deposit is not None:
            return await state_of_return(context, deposit, payin.method, said.operation)
    return await payment_state(context, payin, said.attempt(payin))


async def _returning(context: Context, shard: int, method: str, said: decide.Said) -> Deposit | None:
    """The money that no payin takes and whose return it is that a provider has spoken of."""
    for made in (decide.late_deposit, decide.surplus_deposit):
        deposit = await store.deposit(context, shard, made(method, said.payment))
        if deposit is not None and decide.asked_by(deposit, said.key) is not None:
            return deposit
    return None
