"""What operators have decided about providers: told, and heard by every process within half a second."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import Final

from caudal.connectors import Mode, Override, links
from caudal.kernel.commit import is_away
from caudal.kernel.context import Context
from caudal.kernel.errors import CaudalError
from caudal.kernel.ids import uuid7
from caudal.merchants import HOUSE_SHARD, Asking, actor_of
from caudal.payins import commands, decide, store
from caudal.payins.model import OverrideBody, override_body

log = logging.getLogger(__name__)

_LOOK_S: Final = 0.5


async def refresh(context: Context) -> None:
    """Lets the decisions that stand in the database count in this process. Raises Retry where it does not answer."""
    found = {
        (row.provider, row.mode): Override(forced=row.forced, forced_until=row.forced_until, drained=row.drained)
        for row in await store.overrides(context, HOUSE_SHARD)
    }
    for link in links(context):
        link.around.direct(found.get((link.provider.name, link.provider.mode)))


async def watch(context: Context) -> None:
    """Begins to look for decisions, until the context ends; those that stand count when this returns.

    While the database is away those that were known go on counting.
    """
    await _looked(context)
    task = asyncio.create_task(_watching(context), name="overrides")

    async def end() -> None:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task

    context.closing.append(end)


async def _watching(context: Context) -> None:
    while True:
        await asyncio.sleep(_LOOK_S)
        await _looked(context)


async def _looked(context: Context) -> None:
    try:
        await refresh(context)
    except Exception as error:
        if isinstance(error, CaudalError) or is_away(error):
            log.debug("the database does not say what operators have decided: %s", error)
        else:
            log.exception("what operators have decided cannot be read")


async def override_provider(
    context: Context, asking: Asking, provider: str, mode: Mode, said: decide.Forcing | decide.Draining
) -> OverrideBody:
    """Says it for whoever may open the database. Raises what it is refused for."""
    actor = actor_of(asking)
    command = commands.OverrideProvider(
        provider=provider, mode=mode, said=said, actor=actor.name, digest=actor.digest, entry=uuid7()
    )
    outcome = (await context.commit(HOUSE_SHARD, command)).outcome
    if isinstance(outcome, CaudalError):
        raise outcome
    return override_body(outcome)


async def overrides(context: Context) -> list[OverrideBody]:
    """Every decision that there is a row of."""
    return [override_body(row) for row in await store.overrides(context, HOUSE_SHARD)]
