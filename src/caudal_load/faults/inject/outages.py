"""The first of the two providers is down, or declines for no reason: what may go on to the second one does."""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from caudal_load.faults.inject.seen import EVIDENCE_S, Seen, until
from caudal_load.faults.model import PROVIDERS, BadFaults, Fault

if TYPE_CHECKING:
    from caudal_load.faults.world import Whole

TOLD_S = READ_S = 20.0
_LOCKED_S = 1.0
_BOOKS = "provider-norte.sqlite3"
_LATER = "select count(*) from payment where key like '%-%'"
"""A later attempt's key is its payin's with a number behind it."""


@contextlib.asynccontextmanager
async def away(world: "Whole", fault: Fault, seen: Seen) -> AsyncIterator[None]:
    """Say so to the sandbox, and take it back at the end.

    Raises BadFaults where the sandbox does not take it, or its books cannot be read.
    """
    conditions = {"down": True} if fault.target == "down" else {"decline_share": fault.parameters["share"]}
    before = await _later(world)  # first: a provider that is down is not left so because this failed

    async def has_come() -> bool:
        return await _later(world) > before

    await _fares(world, conditions)
    try:
        yield
        await until(has_come, EVIDENCE_S, every_s=0.1)
    finally:
        await _fares(world, {})
    if number := await _later(world) - before:
        seen.text = f"{number} payments of a later attempt came to the second provider"


async def _fares(world: "Whole", conditions: dict[str, Any]) -> None:
    """Tell the sandbox; one that is being started is waited for."""
    url = f"{world.sandbox_url}{PROVIDERS['sandbox']}/v1/provider/conditions"

    async def is_told() -> bool:
        try:
            async with aiohttp.ClientSession() as session, session.post(url, json=conditions, raise_for_status=True):
                return True
        except aiohttp.ClientError:
            return False

    if not await until(is_told, TOLD_S, every_s=0.1):
        raise BadFaults(f"the sandbox's provider cannot be told how it fares: see {world.logs}")


async def _later(world: "Whole") -> int:
    """How many payments of later attempts the second provider has had.

    A sandbox that was killed has its books locked while it recovers them: that is waited for, beside the load, whose
    loop this is. Raises BadFaults when it does not end.
    """
    path, counts, lacks = world.directory / "sandbox" / _BOOKS, list[int](), ""

    async def is_read() -> bool:
        nonlocal lacks
        try:
            counts.append(await asyncio.to_thread(_count, path))
        except sqlite3.Error as error:
            lacks = str(error)
        return bool(counts)

    if not await until(is_read, READ_S, every_s=0.1):
        raise BadFaults(f"the second provider's books cannot be read: {lacks}")
    return counts[0]


def _count(path: Path) -> int:
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=_LOCKED_S)) as books:
        return int(books.execute(_LATER).fetchone()[0])
