"""An answer that names another amount or currency than ours is never acted on, and never dropped: it becomes a case."""

from __future__ import annotations

from uuid import UUID

from caudal.connectors import Declined, NotFound, OperationState, PaymentState, Unresolved
from caudal.kernel.context import Context
from caudal.payins import commands
from caudal.payins.model import Payin


async def note_otherwise(
    context: Context,
    shard: int,
    payin: Payin,
    provider: str,
    said: PaymentState | OperationState | Declined | NotFound | Unresolved,
    *,
    operation: UUID | None = None,
    deposit: UUID | None = None,
) -> None:
    """Opens the case, once, if this is such an answer; `operation` or `deposit` is what was asked about, if not the
    payment."""
    if not isinstance(said, Unresolved) or said.otherwise is None:
        return
    odd = commands.NoteOdd(
        book=payin.book,
        provider=provider,
        said=said.otherwise,
        kind="other_amount",
        payin=payin.id,
        operation=operation,
        deposit=deposit,
        answer=said.otherwise,
    )
    await context.commit(shard, odd)
