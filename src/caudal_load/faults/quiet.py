"""Waiting for quiet: when every fault has ended, everything that was begun comes to its end by itself.

What has not done so in time is *stuck*; each piece is named.
"""

import asyncio
from collections.abc import Callable
from typing import Any, LiteralString

import aiohttp
import psycopg

from caudal_load.faults.evidence import Stuck
from caudal_load.faults.model import PROVIDERS

Say = Callable[[str], None]
_LOOK_EVERY_S = 0.25
_SAY_EVERY_S = 5.0
_SHOWN = 20
_OPEN: dict[str, LiteralString] = {
    "a key in progress": "select encode(digest, 'hex') from key where status is null",
    "a payin that is submitting": "select id::text from payin where status = 'submitting'",
    "an operation that is pending": "select kind || ' ' || id from payin_operation where status = 'pending'",
    "money on its way back": "select id::text from deposit where returning_minor > 0",
    "work that is due": (
        "select kind || ' ' || subject || ' since ' || at from due"
        " where at < clock_timestamp() - interval '0.5 s'"
        # What these two try again later is pending or submitting, which is looked for above; or a callback was first.
        " or (attempt > 0 and kind <> all('{payin.operate,payin.submit}'))"
    ),
    "an event that nobody has sent on": (
        "select c.name || ' at ' || c.seq || ' of ' || s.event_seq from consumer c join shard s on s.id = c.shard"
        " where c.seq < s.event_seq"
    ),
    "a delivery to a live endpoint": (
        "select d.type || ' ' || d.event_seq || ', attempt ' || d.attempts || ', due ' || d.due_at"
        " from webhook_delivery d join webhook_endpoint w on w.shard = d.shard and w.id = d.endpoint"
        " where d.status = 'pending' and w.status = 'enabled'"
    ),
}


async def wait(database_url: str, sandbox_url: str, within_s: float, say: Say) -> list[Stuck]:
    """Wait until nothing is open on either side, at most so long; what is open then. Raises psycopg.Error."""
    clock = asyncio.get_running_loop().time
    end_s, say_s = clock() + within_s, clock() + _SAY_EVERY_S
    async with (
        aiohttp.ClientSession(sandbox_url) as session,
        await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection,
    ):
        quiet = 0
        while True:
            stuck = [*await _ours(connection), *await _theirs(session)]
            quiet = 0 if stuck else quiet + 1
            if quiet == 2:  # twice: what one look saw go may have begun something the look had passed
                return []
            if clock() >= end_s:
                return stuck
            if clock() >= say_s:
                say_s += _SAY_EVERY_S
                say("not at rest: " + "; ".join(f"{one.what} ({one.which})" for one in stuck[:3]))
            await asyncio.sleep(_LOOK_EVERY_S)


async def _ours(connection: psycopg.AsyncConnection[tuple[Any, ...]]) -> list[Stuck]:
    found = []
    for what, query in _OPEN.items():
        cursor = await connection.execute(query + f" limit {_SHOWN}")
        found += [Stuck(what=what, which=which) for (which,) in await cursor.fetchall()]
    return found


async def _theirs(session: aiohttp.ClientSession) -> list[Stuck]:
    """Callbacks and reports that the sandbox has not got through."""
    async with session.get("/v1/bank/books", raise_for_status=True) as answer:
        bank = (await answer.json())["deliveries"]["waiting"]
    waiting = {"reports of the bank": bank}
    for name, place in PROVIDERS.items():
        async with session.get(f"{place}/v1/provider/callbacks", raise_for_status=True) as answer:
            waiting[f"callbacks of the provider {name}"] = (await answer.json())["waiting"]
    return [Stuck(what=what, which=f"{number} wait") for what, number in waiting.items() if number]
