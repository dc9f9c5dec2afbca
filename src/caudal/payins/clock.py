"""The sandbox's clock: a test book's time runs ahead of real time by an offset that only grows."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from caudal.kernel.commit import Due
from caudal.kernel.context import Context
from caudal.kernel.errors import Refused
from caudal.merchants import Caller
from caudal.payins import commands, store
from caudal.payins.decide import EXPIRE
from caudal.payins.states import Status

_PAGE: Final = 200


async def advance(context: Context, caller: Caller, seconds: int, deadline: float) -> tuple[datetime, int, int]:
    """Moves the clock, then lets every open payin look at it. The time, the offset, and how many expired."""
    command = commands.AdvanceClock(book=caller.book, seconds=seconds, key_digest=caller.key_digest)
    outcome = (await context.commit(caller.shard, command, deadline)).outcome
    if isinstance(outcome, Refused):
        raise outcome
    book, now = outcome
    expired, place = 0, (store.LONG_AGO, UUID(int=0))
    while page := await store.open_payins(context, caller.shard, caller.book, place, _PAGE):
        looks = [_look(context, caller, id, expires_at, book.clock_offset_s - seconds) for id, expires_at, _ in page]
        expired += sum(await asyncio.gather(*looks))
        place = page[-1][2], page[-1][0]
    return now, book.clock_offset_s, expired


async def _look(context: Context, caller: Caller, id: UUID, expires_at: datetime, offset_before_s: int) -> bool:
    """Whether a payin expired; one that did not is due at its new real time."""
    due = Due(at=expires_at - timedelta(seconds=offset_before_s), kind=EXPIRE, subject=id, book=caller.book)
    result = await context.commit(caller.shard, commands.ExpirePayin(due=due))
    created = result.outcome
    return getattr(created, "payin", created).status is Status.EXPIRED
