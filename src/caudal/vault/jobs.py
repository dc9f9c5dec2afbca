"""Time passed: what is done when the vault's work becomes due. `JOBS` is the flat list that the worker runs."""

from __future__ import annotations

from typing import Final

from caudal.kernel.commit import Due
from caudal.kernel.context import Context
from caudal.kernel.due import Job
from caudal.vault.commands import ForgetCode
from caudal.vault.decide import FORGET


async def forget_code(context: Context, shard: int, due: Due) -> None:
    """A security code has waited for an hour."""
    await context.commit(shard, ForgetCode(due=due))


JOBS: Final[dict[str, Job]] = {FORGET: forget_code}
