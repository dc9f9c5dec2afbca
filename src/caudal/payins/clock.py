"""The sandbox's clock: a test book's time runs ahead of real time by an offset that only grows."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

import msgspec

from caudal.kernel.commit import Answer, Due, Key
from caudal.kernel.context import Context
from caudal.kernel.errors import Refused
from caudal.kernel.http import Request, encode
from caudal.kernel.idempotency import following
from caudal.merchants import Caller
from caudal.payins import commands, store
from caudal.payins.decide import EXPIRE, EXPIRE_DISPUTE
from caudal.payins.model import ClockBody
from caudal.payins.states import Status
from caudal.settlement import look_at_clock

_PAGE: Final = 200


async def advance(context: Context, caller: Caller, seconds: int, key: Key | None, request: Request) -> Answer:
    """Moves the clock, once a key, then lets every open payin and dispute and every day that holds money look at it;
    what the merchant hears.

    The clock moves under the key, the answer is kept under the one that follows: who asks again after a crash between
    the two moves nothing, and goes on with the looks.
    """
    command = commands.AdvanceClock(
        book=caller.book, seconds=seconds, key_digest=caller.key_digest, key=key, request_id=request.id
    )
    result = await context.commit(caller.shard, command, request.deadline)
    if isinstance(result.outcome, Refused):
        raise result.outcome
    moved = result.outcome
    if result.answer is not None:
        moved = msgspec.json.decode(result.answer.body, type=ClockBody)
    expired, place = 0, (store.LONG_AGO, UUID(int=0))
    while page := await store.open_payins(context, caller.shard, caller.book, place, _PAGE):
        looks = [_look(context, caller, id, expires_at, moved.offset_seconds - seconds) for id, expires_at, _ in page]
        expired += sum(await asyncio.gather(*looks))
        place = page[-1][2], page[-1][0]
    await _look_at_disputes(context, caller, moved.offset_seconds - seconds)
    await look_at_clock(context, caller.shard, caller.book)
    clock = msgspec.structs.replace(moved, expired=expired)
    if key is None:
        return Answer(200, encode(clock))
    told = await context.commit(caller.shard, commands.AdvancedClock(clock=clock, key=following(key, "clock")))
    assert told.answer is not None, "a command with a key has an answer"
    return told.answer


async def _look(context: Context, caller: Caller, id: UUID, expires_at: datetime, offset_before_s: int) -> bool:
    """Whether a payin expired; one that did not is due at its new real time."""
    due = Due(at=expires_at - timedelta(seconds=offset_before_s), kind=EXPIRE, subject=id, book=caller.book)
    result = await context.commit(caller.shard, commands.ExpirePayin(due=due))
    created = result.outcome
    return getattr(created, "payin", created).status is Status.EXPIRED


async def _look_at_disputes(context: Context, caller: Caller, offset_before_s: int) -> None:
    """Those that nobody has answered expire when their time is over; the others are due at their new real time."""
    after = UUID(int=0)
    while page := await store.open_disputes(context, caller.shard, caller.book, after, _PAGE):
        before = timedelta(seconds=offset_before_s)
        looks = [
            commands.ExpireDispute(
                due=Due(at=respond_by - before, kind=EXPIRE_DISPUTE, subject=id, book=caller.book), currency=currency
            )
            for id, currency, respond_by in page
        ]
        await asyncio.gather(*(context.commit(caller.shard, look) for look in looks))
        after = page[-1][0]
