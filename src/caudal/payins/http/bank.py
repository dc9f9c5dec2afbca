"""The bank calls back: a deposit has arrived."""

from __future__ import annotations

from datetime import timedelta
from typing import Final, Literal
from uuid import UUID

import msgspec

from caudal.catalogue import METHODS
from caudal.connectors import DepositReport, spei
from caudal.kernel import ids
from caudal.kernel.clock import wall_clock
from caudal.kernel.context import Context
from caudal.kernel.errors import Refused
from caudal.kernel.http import Request, Response, Route, encode, ok
from caudal.kernel.telemetry import about
from caudal.merchants import HOUSE_SHARD, claimed
from caudal.payins import commands, store
from caudal.payins.http.refusals import counted
from caudal.settlement import available_on

_FAMILY: Final = METHODS["MX", "spei"].family


class CallbackAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """The report is booked, now or before."""

    deposit: str
    status: Literal["accepted"] = "accepted"


async def spei_callback(context: Context, request: Request) -> Response:
    """A bank reports a deposit. Answered when it is booked; a repetition gets the same answer."""
    live, report = _received(context, request)
    shard, payin, book, plan, day = HOUSE_SHARD, None, int(live), 0, None
    place = spei.place_of(context.settings.spei_prefix, report.account)
    if place is not None and await _is_there(context, place[0]):
        shard, number = place
        found = await store.payin_of_number(context, shard, number, _FAMILY)
        if found is not None and found.book & 1 == live:
            payin, book, plan, days, offset_s = found
            day = available_on(wall_clock() + timedelta(seconds=offset_s), days)
    if payin is not None:
        about(payin)
    id = deposit_id(report, live=live)
    first = await _first_shard(context, id, shard)
    if first != shard:  # another account was named for it before: what is booked there decides
        shard, payin, book, plan, day = first, None, int(live), 0, None
    sealed = context.sealer.seal(encode({"name": report.payer_name, "bank": report.payer_bank}), id.bytes)
    command = commands.RecordDeposit(
        id=id,
        book=book,
        payin=payin,
        fee_plan=plan,
        report=report,
        sealed=sealed,
        day=day,
    )
    result = await context.commit(shard, command, request.deadline)
    if isinstance(result.outcome, Refused):
        await _contradicts(context, request, shard, id, report)
        raise result.outcome
    return ok(CallbackAccepted(deposit=ids.public("dep", id)))


def _received(context: Context, request: Request) -> tuple[bool, DepositReport]:
    """Whether it is live, and what is reported. Raises NotGenuine, Invalid."""
    with counted(context, request, "spei"):
        return spei.receive(request, context.settings, context.now_s())


async def _is_there(context: Context, shard: int) -> bool:
    """Whether there is such a shard; one that is new may have given a number out already."""
    return shard in await context.every_shard() or shard in await context.every_shard(fresh=True)


async def _first_shard(context: Context, id: UUID, shard: int) -> int:
    """Where a report of this tracking key was taken first: one key is one deposit, whichever accounts are named."""
    shards = await context.every_shard()
    if len(shards) == 1:
        return shard
    for other in shards:  # from before there were several
        if await store.deposit(context, other, id) is not None:
            return other
    return await claimed(context, "deposit", id.bytes, shard)


async def _contradicts(context: Context, request: Request, shard: int, id: UUID, report: DepositReport) -> None:
    """Writes down what was reported under a known key: it may be other money, of another bank or another day."""
    known = await store.deposit(context, shard, id)
    assert known is not None, "a report contradicts what there is"
    odd = commands.NoteOdd(
        book=known.book,
        provider=report.provider,
        kind="other_amount" if report.account == known.account else "other_account",
        payin=known.payin,
        deposit=known.id,
        said=report,
    )
    await context.commit(shard, odd, request.deadline)


def deposit_id(report: DepositReport, *, live: bool) -> UUID:
    """A UUIDv8 made of provider, mode and tracking key."""
    text = f"{report.provider}\n{'live' if live else 'test'}\n{report.tracking_key}"
    return ids.uuid8(text.encode(), "caudal deposit")


ROUTES: Final = (
    Route(
        method="POST",
        path="/v1/callbacks/spei",
        handler=spei_callback,
        summary="A bank reports a deposit",
        who="provider",
        body=spei.SpeiCallback,
        answer=CallbackAccepted,
        codes=("contradiction",),
        verify=_received,
    ),
)
