"""Time passed: holds whose timeout is over. `JOBS` is the flat list that the worker runs."""

from __future__ import annotations

from typing import Final

from caudal.kernel.commit import Due
from caudal.kernel.context import Context
from caudal.kernel.due import Job
from caudal.ledger.commands import ExpireHold
from caudal.ledger.rows import EXPIRE


async def expire(context: Context, shard: int, due: Due) -> None:
    """A hold's time is over."""
    await context.commit(shard, ExpireHold(due=due))


JOBS: Final[dict[str, Job]] = {EXPIRE: expire}
