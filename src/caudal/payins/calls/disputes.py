"""A dispute: whether its payment is known already, and the evidence that goes to the provider."""

from __future__ import annotations

from caudal import connectors
from caudal.connectors import (
    Declined,
    Evidence,
    PaymentState,
    Unresolved,
)
from caudal.kernel.commit import Due
from caudal.kernel.context import Context
from caudal.kernel.errors import Retry
from caudal.payins import commands, store
from caudal.payins.calls.payments import facts_of, record, state_of
from caudal.payins.model import Payin
from caudal.payins.states import Happening, Status, after


async def caught_up(context: Context, shard: int, payin: Payin) -> Payin:
    """The payin as its provider has it: a dispute can be told before the payment itself."""
    open = payin.status is Status.SUBMITTING or after(payin.status, Happening.TIME_PASSED) is not None
    if not open or payin.method not in connectors.CONNECTORS:
        return payin
    state = await state_of(context, payin)
    if isinstance(state, PaymentState):
        await record(context, shard, payin, facts_of(payin, settlement_days=0), state)
    return await store.payin_row(context, shard, payin.id) or payin


async def send_evidence(context: Context, shard: int, due: Due) -> None:
    """Sends a file to the provider, by its key; safe to repeat. Raises Retry while there is no outcome."""
    evidence, sealed = await store.evidence(context, shard, due.subject), await store.file(context, shard, due.subject)
    assert evidence is not None and sealed is not None, "due work names what there is"
    dispute = await store.dispute(context, shard, evidence.dispute)
    assert dispute is not None, "evidence is of a dispute"
    file = Evidence(
        key=evidence.id.hex,
        dispute_reference=dispute.reference,
        mode="live" if dispute.book & 1 else "test",
        content_type=evidence.content_type,
        content=context.sealer.open(sealed, evidence.id.bytes),
    )
    payin = await store.payin_row(context, shard, dispute.payin)
    assert payin is not None, "a dispute is of a payin"
    said = await connectors.of(context, dispute.provider, payin.method).send_evidence(file)
    if isinstance(said, Unresolved):
        raise Retry("try_again", f"the provider has not taken the file yet: {said.detail}")
    refused = said.detail if isinstance(said, Declined) else None
    settled = commands.SettleEvidence(due=due, dispute=dispute.id, refused=refused)
    await context.commit(shard, settled)
