"""The first of the two providers is down, or declines for no reason: what may go on to the second one does."""

import contextlib
import sqlite3
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import aiohttp

from caudal_load.faults.inject.seen import EVIDENCE_S, Seen, until
from caudal_load.faults.model import PROVIDERS, BadFaults, Fault

if TYPE_CHECKING:
    from caudal_load.faults.world import Whole

TOLD_S = 20.0
_BOOKS = "provider-norte.sqlite3"
_LATER = "select count(*) from payment where key like '%-%'"
"""A later attempt's key is its payin's with a number behind it."""


@contextlib.asynccontextmanager
async def away(world: "Whole", fault: Fault, seen: Seen) -> AsyncIterator[None]:
    """Say so to the sandbox, and take it back at the end. Raises BadFaults where the sandbox does not take it."""
    conditions = {"down": True} if fault.target == "down" else {"decline_share": fault.parameters["share"]}
    await _fares(world, conditions)
    before = _later(world)
    try:
        yield
        await until(lambda: _later(world) > before, EVIDENCE_S, every_s=0.1)
    finally:
        await _fares(world, {})
    if number := _later(world) - before:
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


def _later(world: "Whole") -> int:
    """How many payments of later attempts the second provider has had."""
    path = world.directory / "sandbox" / _BOOKS
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as books:
        return int(books.execute(_LATER).fetchone()[0])
