"""Time passed: what is done when money becomes available. `JOBS` is the flat list that the worker runs."""

from __future__ import annotations

import asyncio
from typing import Final

from caudal.kernel.commit import Due
from caudal.kernel.context import Context
from caudal.kernel.due import Job
from caudal.settlement import commands, store
from caudal.settlement.model import RELEASE


async def release(context: Context, shard: int, due: Due) -> None:
    """A day has begun."""
    await context.commit(shard, commands.ReleaseFunds(due=due))


async def look_at_clock(context: Context, shard: int, book: int) -> int:
    """Lets every day of a book that waits look at its moved clock; how many of them have become available."""
    waiting = await store.waiting(context, shard, book)
    looks = [
        context.commit(shard, commands.ReleaseFunds(due=Due(at=at, kind=RELEASE, subject=id, book=book)))
        for id, at in waiting
    ]
    return sum(bool(result.outcome) for result in await asyncio.gather(*looks))


JOBS: Final[dict[str, Job]] = {RELEASE: release}
