"""What is kept of a shard's round of laws, so that whoever watches next goes on there: one row, once a minute and
whenever there is news: rows that break a law, or a law that has been held against everything.

A round over many millions of payins takes about a day at its share of the time, and workers are restarted more often
than that. Where the row may be a minute old, those ranges are looked at twice. Nothing but the watch reads it.
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


async def load(connection: psycopg.AsyncConnection[Any], query: Any, laws: bytes) -> dict[int, Kept]:
    """What was kept, by shard, without what cannot be read; for other laws than these no more than what broke them."""
    found = dict[int, Kept]()
    for shard, of_these, place in await (await connection.execute(query, (laws,))).fetchall():
        try:
            was = msgspec.json.decode(place, type=Kept)
        except msgspec.DecodeError as error:
            log.warning("the laws of shard %d are looked at from the beginning: no place: %s", shard, error)
            continue
        found[shard] = was if of_these else _broken(was)
    return found


def _broken(was: Kept) -> Kept:
    """What is still told by the names of laws until those of now have been held against everything."""
    wrong = {law: max(was.wrong.get(law, 0), was.finding.get(law, 0)) for law in {**was.wrong, **was.finding}}
    return Kept(place=None, finding={}, checked={}, wrong=wrong, summed=[], authorized=[])


async def keep(connection: psycopg.AsyncConnection[Any], query: Any, shard: int, laws: bytes, kept: Kept) -> None:
    """Keeps it."""
    await connection.execute(query, (shard, laws, encode(kept)))
