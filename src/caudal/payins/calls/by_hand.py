"""What an operator says became of something, as the command that its provider's answer would have been."""

from __future__ import annotations

import msgspec

from caudal.connectors import Declined
from caudal.kernel.commit import Due
from caudal.kernel.context import Context
from caudal.payins import commands, decide
from caudal.payins.calls.payments import facts_of, nobody
from caudal.payins.model import Operation, Payin

_LOST = Declined(reason="processing_error", detail="settled by hand: it did not happen")


def payment_answer(
    context: Context, payin: Payin, due: Due, *, happened: bool
) -> commands.NotePayment | commands.RefusePayment | commands.ExpirePayin:
    """A payment was made, or never will be; one that waited for its payer has expired then."""
    facts = facts_of(payin, settlement_days=0)
    if happened:
        return commands.NotePayment(
            facts=facts,
            live=payin.live,
            provider=payin.carrier,
            state=decide.payment_by_hand(payin),
            sealed=nobody(context, payin.id),
            confirmed=True,
            due=due,
        )
    if due.kind == decide.EXPIRE:
        return commands.ExpirePayin(due=due)
    return commands.RefusePayment(facts=facts, attempt=payin.attempt, declined=_LOST, failed=True, due=due)


def operation_answer(operation: Operation, payin: Payin, due: Due, *, happened: bool) -> commands.SettleOperation:
    """A capture, void or refund was carried out, or never will be."""
    waiting = operation.details().waiting
    facts = msgspec.structs.replace(
        facts_of(payin, settlement_days=0), waiting=None if waiting is None else waiting.key
    )
    said = decide.operation_by_hand(operation, payin) if happened else _LOST
    return commands.SettleOperation(id=operation.id, facts=facts, said=said, due=due)
