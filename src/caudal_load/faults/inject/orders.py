"""Misbehaviour of the provider to order: clients make payments whose amounts say what is to go wrong."""

import asyncio
import contextlib
import sqlite3
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from caudal_load.faults.inject.seen import Seen, until
from caudal_load.faults.kinds import ORDERS
from caudal_load.faults.model import Fault

if TYPE_CHECKING:
    from caudal_load.faults.world import Whole

_PAYMENTS = "select count(*) from payment where amount_minor % 10000 = ? and created_ms >= ?"
_OPERATIONS = "select count(*) from operation where amount_minor % 10000 = ? and updated_ms >= ?"
ORDERED_S = 20.0
"""So long an order stands beyond its end, until somebody has followed it: other faults may be in the way."""
_LOOK_EVERY_S = 0.5


@contextlib.asynccontextmanager
async def ordered(world: "Whole", fault: Fault, seen: Seen) -> AsyncIterator[None]:
    """Let clients order it as long as it lasts; the sandbox's books tell whether it was."""
    value, began_ms = ORDERS[fault.target], time.time_ns() // 1_000_000
    world.orders.append(value)
    try:
        yield
        books = [*world.directory.joinpath("sandbox").rglob("*.sqlite3")]

        async def is_followed() -> bool:
            return await asyncio.to_thread(_in, books, int(value), began_ms) > 0

        await until(is_followed, ORDERED_S, every_s=_LOOK_EVERY_S)
    finally:
        world.orders.remove(value)
    if number := await asyncio.to_thread(_in, books, int(value), began_ms):
        seen.text = f"{number} payments and operations of an amount that ends in {value}"


def _in(books: list[Path], value: int, since_ms: int) -> int:
    """How many are in the sandbox's own books, which may be those of several providers, or of a bank."""
    number = 0
    for path in books:
        with contextlib.suppress(sqlite3.OperationalError):  # not a provider's, or being written
            with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=0.05)) as asking:
                for query in (_PAYMENTS, _OPERATIONS):
                    number += asking.execute(query, (value, since_ms)).fetchone()[0]
    return number
