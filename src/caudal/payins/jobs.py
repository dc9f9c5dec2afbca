"""Time passed: what is done when payins' work becomes due. `JOBS` is the flat list that the worker runs."""

from __future__ import annotations

from itertools import count
from typing import Final

from caudal.connectors import OperationState
from caudal.kernel.commit import Due
from caudal.kernel.context import Context
from caudal.kernel.due import Job
from caudal.kernel.errors import Retry
from caudal.payins import calls, commands, decide, store
from caudal.payins.decide import ASK, EXPIRE, EXPIRE_DISPUTE, OPERATE, RETURN, SEND_EVIDENCE, SUBMIT
from caudal.payins.model import Deposit, RefusedOperation, ReturnEnd


async def expire(context: Context, shard: int, due: Due) -> None:
    """A payin's time is over. Its provider may have told nobody that it is paid: it is asked once more."""
    await calls.ask_once_more(context, shard, due)
    await context.commit(shard, commands.ExpirePayin(due=due))


async def send_back(context: Context, shard: int, due: Due) -> None:
    """Asks the bank to return money, between two commits; raises Retry where it has to be asked again, and while it is
    open whether an earlier return was carried out after all."""
    deposit = await store.deposit(context, shard, due.subject)
    assert deposit is not None, "due work names what there is"
    end: ReturnEnd = "returned"
    said: OperationState | RefusedOperation | None = None
    if deposit.returning_minor:  # else it was settled by hand, and nobody is asked
        if await _may_have_gone_back(context, shard, deposit):
            raise Retry("try_again", "its payer may have it already: its discrepancy comes first")
        end, said = await calls.give_back(context, shard, deposit)
    settle = commands.SettleReturn(
        due=due, version=deposit.returning_version, end=end, currency=deposit.currency, said=said
    )
    await context.commit(shard, settle)


async def _may_have_gone_back(context: Context, shard: int, deposit: Deposit) -> bool:
    """As a decision sees it, outside of a batch."""
    keys = decide.gone_back_keys(deposit)
    for block in count():
        cases = await store.discrepancies_of(context, shard, decide.gone_back_ids(keys, block))
        if any(case.resolved_at is None for case in cases):
            return True
        if not cases:
            return False
    raise AssertionError("numbers do not end")


async def submit(context: Context, shard: int, due: Due) -> None:
    """Nobody has come back with what became of a payment; raises Retry where it is not known yet."""
    await calls.sweep(context, shard, due)


async def operate(context: Context, shard: int, due: Due) -> None:
    """Nobody has come back with what became of a capture, void or refund, or nobody has asked for it yet; likewise."""
    await calls.sweep_operation(context, shard, due)


async def expire_dispute(context: Context, shard: int, due: Due) -> None:
    """Nobody has answered a dispute in time."""
    dispute = await store.dispute(context, shard, due.subject)
    assert dispute is not None, "due work names what there is"
    await context.commit(shard, commands.ExpireDispute(due=due, currency=dispute.currency))


async def send_evidence(context: Context, shard: int, due: Due) -> None:
    """A file goes to the provider; raises Retry where it has to be sent again."""
    await calls.send_evidence(context, shard, due)


async def ask(context: Context, shard: int, due: Due) -> None:
    """A discrepancy is asked about; raises Retry where the provider does not answer."""
    await calls.ask_about(context, shard, due)


JOBS: Final[dict[str, Job]] = {
    ASK: ask,
    EXPIRE: expire,
    RETURN: send_back,
    SUBMIT: submit,
    OPERATE: operate,
    EXPIRE_DISPUTE: expire_dispute,
    SEND_EVIDENCE: send_evidence,
}
