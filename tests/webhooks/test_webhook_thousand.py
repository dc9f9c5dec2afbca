"""A thousand endpoints, a tenth of them dead, some slow: those that live do not notice."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from time import time
from typing import Any
from uuid import UUID

import psycopg
import pytest
from aiohttp import web

from caudal.kernel import ids
from caudal.kernel.commit import Head
from caudal.kernel.context import Context
from caudal.merchants import first_merchant
from caudal.webhooks import signing
from caudal.webhooks.model import Endpoint
from caudal.webhooks.rows import ENDPOINTS
from caudal.webhooks.turns import PLACES
from tests.conftest import settings_of
from tests.webhooks.cast import Ana, delivering, told
from tests.webhooks.receiver import Message, Receiver

LIVING, SLOW, HANGING, REFUSED, FAILING = 850, 50, 50, 25, 25
TIMEOUT_S, SLOW_S = 30.0, 2.5
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
    book = await newest_book(context)
    never, enough, lags = asyncio.Event(), asyncio.Event(), list[float]()
    happened, wanted = 0.0, 0

    async def answer(message: Message) -> web.Response:
        if message.path.startswith("/hang"):
            await never.wait()
        if message.path.startswith("/slow"):
            await asyncio.sleep(SLOW_S)
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
            await spread(context)
            async with asyncio.timeout(TIMEOUT_S - 5):
                await enough.wait()
        return sorted(lags)[-len(lags) // 100]

    await endpoints(context, book, [f"{server.url}/living/{number}" for number in range(LIVING)])
    async with delivering(context):
        alone = await p99()
        dead = [f"{server.url}/hang/{number}" for number in range(HANGING)]
        dead += [f"http://127.0.0.1:{1024 + number}/" for number in range(REFUSED)]
        dead += [f"{server.url}/failing/{number}" for number in range(FAILING)]
        dead += [f"{server.url}/slow/{number}" for number in range(SLOW)]
        await endpoints(context, book, dead)
        among_the_dead = await p99()
        hung = [message for message in server.messages if message.path.startswith("/hang")]
        assert len(hung) == HANGING, "each holds one place"
        never.set()
    print(f"p99 of {LIVING} living endpoints: {alone:.2f} s alone, {among_the_dead:.2f} s with {len(dead)} others")
    assert among_the_dead < 2 * alone + 1


OTHERS = [(name, "hang", 40) for name in ("Beto", "Caro", "Dora")] + [(name, "slow", 15) for name in ("Eva", "Fabio")]


# At a tenth of the places: more that hang than places for them, and more slow ones than there are places at all.


@pytest.mark.alone
async def test_other_merchants_that_hang_or_take_their_time_delay_not_even_who_is_new(
    context: Context, ana: Ana, server: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caudal.webhooks.deliverer.PLACES", {pace: most // 10 for pace, most in PLACES.items()})
    mine, never, slow, lags = await newest_book(context), asyncio.Event(), 0, list[float]()
    happened = 0.0

    async def answer(message: Message) -> web.Response:
        nonlocal slow
        if message.path.startswith("/hang"):
            await never.wait()
        elif message.path.startswith("/slow"):
            slow += 1
            await asyncio.sleep(SLOW_S)
        else:
            lags.append(time() - happened)
        return web.Response()

    async def worst(living: int) -> float:
        """The longest that anybody living waits for one of a few events."""
        nonlocal happened
        lags.clear()
        for number in range(1, ROUNDS + 1):
            happened = time()
            await ana.payin()
            await spread(context)
            await until(lambda: len(lags), number * living)
        return max(lags)

    server.answer = answer
    await endpoints(context, mine, [f"{server.url}/living/{number}" for number in range(60)])
    async with delivering(context):
        alone = await worst(60)
        for name, kind, count in OTHERS:
            other = Ana(context, *await first_merchant(context, name, "MX"), ana.olga)
            urls = [f"{server.url}/{kind}/{name}/{number}" for number in range(count)]
            await endpoints(context, await newest_book(context), urls)
            for _ in range(20):
                await other.payin()
        await spread(context)
        await until(lambda: slow, 60)
        await endpoints(context, mine, [f"{server.url}/living/new/{number}" for number in range(20)])
        among = await worst(80)
        never.set()
    print(f"the slowest of 60 living endpoints: {alone:.2f} s alone, of 80 {among:.2f} s beside 120 that hang, 30 slow")
    assert among < 2 * alone + 1


async def spread(context: Context) -> None:
    """Every event has its deliveries. As in a worker, a connection that was lost on a busy machine is made again."""
    for _ in range(10):
        try:
            await told(context)
            return
        except psycopg.OperationalError:
            await asyncio.sleep(0.1)
    raise AssertionError("the database does not stay")


async def until(counted: Callable[[], int], wanted: int) -> None:
    """Waits for so many, much shorter than an endpoint that hangs is waited for."""
    for _ in range(round(TIMEOUT_S / 2 / 0.01)):
        if counted() >= wanted:
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"{counted()} came, and not {wanted}")


async def newest_book(context: Context) -> int:
    """The test book of the merchant that came last."""
    [(book,)] = await context.rows("select book from book where book %% 2 = 0 order by book desc limit 1")
    return int(book)
