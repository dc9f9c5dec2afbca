"""What makes a caudal ask one provider after the other: the first of three declines half of what comes, or is down.

Looked into at a kill: which payins were in a later attempt then, and how far that one was. A provider's books are read
from its disk, and the order of looks is such that nothing is counted that came to pass only after the kill.
"""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import aiohttp
import psycopg

from tests.faults.books import provider_rows, rows
from tests.faults.restless import Restless

DECLINES: Final[dict[str, Any]] = {"decline_share": 0.5}
DOWN: Final[dict[str, Any]] = {"down": True}
WELL: Final[dict[str, Any]] = {}
SLOW: Final[dict[str, Any]] = {"latency_ms": 150}  # of the second one: so long an attempt there is begun and not done
PLACES: Final = {"sandbox": "", "norte": "/providers/norte"}
CHARGED: Final = "select key from payment where status in ('paid', 'authorized')"
LATER: Final = """
    select p.id, p.status, (select count(*) + 1 from payin_change c
        where c.shard = p.shard and c.payin = p.id and c.event = 'next_attempt') from payin p
    where p.method = 'card' and exists (select from payin_change c
        where c.shard = p.shard and c.payin = p.id and c.event = 'next_attempt')"""


async def fares(whole: Restless, session: aiohttp.ClientSession, first: dict[str, Any], second: dict[str, Any]) -> None:
    """Says how the first and the second provider fare from now on; a sandbox that starts again has forgotten it."""
    for name, conditions in {"sandbox": first, "norte": second}.items():
        url = f"{whole.sandbox_url}{PLACES[name]}/v1/provider/conditions"
        async with session.post(url, json=conditions) as answer:
            assert answer.status == 200, await answer.text()


async def under_way(whole: Restless) -> set[str]:
    """The keys of later attempts that are begun and have no outcome."""
    return {key for key, status in (await later(whole)).items() if status == "submitting"}


async def later(whole: Restless) -> dict[str, str]:
    """Of every payin that went on to a later provider: the key of its last attempt, and how it stands."""
    async with await psycopg.AsyncConnection.connect(whole.database_url, autocommit=True) as connection:
        return {f"{id.hex}-{attempt}": status for id, status, attempt in await rows(connection, LATER)}


def charged(whole: Restless) -> set[str]:
    """The keys by which providers have taken or hold money."""
    return {key for (key,) in provider_rows(whole.var, CHARGED)}


async def caught(whole: Restless, begun_before: set[str], charged_before: set[str]) -> Counter[str]:
    """How far later attempts were at a kill, of which these are the looks before it."""
    return Counter(
        {
            "later attempt begun and not done": len(begun_before - charged(whole)),
            "later attempt done and not known": len(charged_before & await under_way(whole)),
        }
    )
