"""A thousand endpoints, a tenth of them dead: those that live do not notice."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from time import time
from typing import Any
from uuid import UUID

import pytest
from aiohttp import web

from caudal.kernel import ids
from caudal.kernel.commit import Head
from caudal.kernel.context import Context
from caudal.webhooks import signing
from caudal.webhooks.model import Endpoint
from caudal.webhooks.rows import ENDPOINTS
from tests.conftest import settings_of
from tests.webhooks.cast import Ana, delivering, told
from tests.webhooks.receiver import Message, Receiver

LIVING, HANGING, REFUSED, FAILING = 900, 50, 25, 25
TIMEOUT_S = 30.0
ROUNDS = 4
_AT = datetime.now(UTC)


@pytest.fixture
async def context(database_url: str) -> Any:
    settings = settings_of(database_url, webhook_loopback=True, webhook_timeout_s=TIMEOUT_S)
    async with Context(settings, name="test") as opened:
        yield opened


async def endpoints(context: Context, book: int, urls: list[str]) -> None:
    """So many endpoints of one book, all in one go."""
    records = [_endpoint(context, ids.uuid7(book >> 1), book, url) for url in urls]
    head = Head(shard=0, event_seq=0, posting_seq=0, chain=b"", at=_AT, clock=_AT)
    async with context.pool.connection() as connection, connection.transaction():
        for statement, parameters in ENDPOINTS.inserting(head, records):
            await connection.execute(statement, parameters)


def _endpoint(context: Context, id: UUID, book: int, url: str) -> Endpoint:
    return Endpoint(
        id=id,
        book=book,
        version=1,
        url=url,
        types=("payin.created",),
        description=None,
        status="enabled",
        reason=None,
        sealed=context.sealer.seal(signing.new_secret().encode(), id.bytes),
        former_sealed=None,
        former_until=None,
        created_at=_AT,
        disabled_at=None,
    )


@pytest.mark.alone
async def test_a_tenth_that_is_dead_delays_nobody(context: Context, ana: Ana, server: Receiver) -> None:
    [(book,)] = await context.rows("select book from book where book %% 2 = 0 order by book desc limit 1")
    never, enough, lags = asyncio.Event(), asyncio.Event(), list[float]()
    happened, wanted = 0.0, 0

    async def answer(message: Message) -> web.Response:
        if message.path.startswith("/hang"):
            await never.wait()
        if message.path.startswith("/living"):
            lags.append(time() - happened)
            if len(lags) == wanted:
                enough.set()
        return web.Response(status=500 if message.path.startswith("/failing") else 200)

    server.answer = answer

    async def p99() -> float:
        """What is slow among the living, of a few events that everybody hears of."""
        nonlocal happened, wanted, enough
        lags.clear()
        for number in range(1, ROUNDS + 1):
            happened, wanted, enough = time(), number * LIVING, asyncio.Event()
            await ana.payin()
            await told(context)
            async with asyncio.timeout(TIMEOUT_S - 5):
                await enough.wait()
        return sorted(lags)[-len(lags) // 100]

    await endpoints(context, book, [f"{server.url}/living/{number}" for number in range(LIVING)])
    async with delivering(context):
        alone = await p99()
        dead = [f"{server.url}/hang/{number}" for number in range(HANGING)]
        dead += [f"http://127.0.0.1:{1024 + number}/" for number in range(REFUSED)]
        dead += [f"{server.url}/failing/{number}" for number in range(FAILING)]
        await endpoints(context, book, dead)
        among_the_dead = await p99()
        hung = [message for message in server.messages if message.path.startswith("/hang")]
        assert len(hung) == HANGING, "each holds one place"
        never.set()
    print(f"p99 of {LIVING} living endpoints: {alone:.2f} s alone, {among_the_dead:.2f} s with {len(dead)} dead ones")
    assert among_the_dead < 2 * alone + 1
