"""Payins that no provider is asked about: the payer makes a transfer to a number that is this payin's alone."""

from __future__ import annotations

from datetime import timedelta
from uuid import UUID

from caudal.catalogue import Method
from caudal.connectors import BANK, links, spei
from caudal.kernel.commit import Key, Lane
from caudal.kernel.context import Context
from caudal.kernel.errors import CaudalError, FieldError, Invalid, Retry
from caudal.kernel.http import encode
from caudal.merchants import Caller
from caudal.payins import commands, store
from caudal.payins.asked import CreatePayinBody
from caudal.payins.model import Detail, Payin
from caudal.payins.states import FIRST, Status


def no_bank(context: Context, caller: Caller) -> CaudalError | None:
    """Why no bank takes new transfers of the caller's mode now, or None.

    It takes them while its breaker is open: nobody has to be asked for a transfer to arrive.
    """
    bank = links(context).of(BANK, "live" if caller.live else "test")
    if bank is None:
        return not_available("no live bank is connected") if caller.live else None
    if bank.around.drained:
        return Retry("provider_unavailable", "the bank takes nothing new at the moment", after_s=5.0)
    return None


def not_available(detail: str) -> Invalid:
    """The method cannot be had as things are configured."""
    error = FieldError(field="/method", code="not_available", detail=detail)
    return Invalid("invalid_request", "the request has errors", errors=(error,))


def transfer(
    context: Context,
    caller: Caller,
    request_id: str,
    id: UUID,
    key: Key,
    asked: CreatePayinBody,
    method: Method,
    lane: Lane = Lane.NORMAL,
) -> commands.CreatePayin:
    """The command of a payin that no provider is asked about: the payer makes a transfer."""
    sealed = None if asked.payer is None else context.sealer.seal(encode(asked.payer.as_payer()), id.bytes)
    return commands.CreatePayin(
        payin=new_payin(id, caller, asked, FIRST),
        detail=Detail(
            description=asked.description,
            metadata=asked.metadata,
            risk_score=asked.risk_score,
            return_url=asked.return_url,
        ),
        expires_in=timedelta(minutes=method.expiry_minutes) if asked.expires_at is None else None,
        clabe_prefix=spei.prefix_of(context.settings.spei_prefix, caller.shard),
        sealed=sealed,
        key_digest=caller.key_digest,
        key=key,
        request_id=request_id,
        payer_page=context.settings.sandbox_url,
        lane=lane,
    )


def new_payin(id: UUID, caller: Caller, asked: CreatePayinBody, status: Status) -> Payin:
    """What is asked for, as a payin; the decision sets number and times."""
    return Payin(
        id=id,
        book=caller.book,
        version=1,
        status=status,
        reason=None,
        method=asked.method,
        country=asked.country,
        currency=asked.currency,
        amount_minor=asked.amount,
        received_minor=0,
        fee_minor=0,
        fee_plan=caller.fee_plan,
        deposit_number=None,
        reference=asked.reference,
        detail=None,
        created_at=store.LONG_AGO,
        expires_at=asked.expires_at or store.LONG_AGO,
        paid_at=None,
    )
