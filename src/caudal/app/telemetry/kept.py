"""What is kept of a shard's round of laws, so that whoever watches next goes on there: one row, once a minute.

A round over many millions of payins takes about a day at its share of the time, and workers are restarted more often
than that. What the row has may be a minute old: those ranges are looked at twice. Nothing but the watch reads it.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import msgspec
import psycopg

from caudal.app.check import RoundPlace
from caudal.kernel.http import encode

log = logging.getLogger(__name__)

KEEP_EVERY_S: Final = 60.0

Sums = list[tuple[bool, str, int]]  # whether live, currency, minor units


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """Where the round is (None: between two), what it has found, and what the last look at each law in full has found.

    `checked` is when that ended, in Unix time; `summed` what is authorized as far as the round has come, `authorized`
    what the last whole one found.
    """

    place: RoundPlace | None
    finding: dict[str, int]
    checked: dict[str, float]
    wrong: dict[str, int]
    summed: Sums
    authorized: Sums


async def load(connection: psycopg.AsyncConnection[Any], query: Any, shard: int, laws: bytes) -> Kept | None:
    """What was kept of a shard for these laws; None for what is not there or cannot be read."""
    row = await (await connection.execute(query, (shard, laws))).fetchone()
    try:
        return None if row is None else msgspec.json.decode(row[0], type=Kept)
    except msgspec.DecodeError as error:
        log.warning("the laws of the books are looked at from the beginning: their place cannot be read: %s", error)
        return None


async def keep(connection: psycopg.AsyncConnection[Any], query: Any, shard: int, laws: bytes, kept: Kept) -> None:
    """Keeps it."""
    await connection.execute(query, (shard, laws, encode(kept)))
