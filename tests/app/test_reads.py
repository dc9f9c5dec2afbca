"""Reads are held up by nobody else's: not by a merchant's long lists, and not beyond their own deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import psycopg
import pytest

from caudal.kernel import context as kernel_context
from caudal.kernel.context import Context
from tests.api import Api


@pytest.fixture
async def ana(context: Context) -> Api:
    api = Api(context)
    await api.ana()
    assert (await api.create()).status == 201
    return api


@pytest.fixture
async def caro(context: Context) -> Api:
    api = Api(context)
    await api.ana("Caro")
    return api


@asynccontextmanager
async def locked(database_url: str) -> AsyncIterator[None]:
    """Nobody reads a payin meanwhile."""
    async with await psycopg.AsyncConnection.connect(database_url) as other:
        await other.execute("lock table payin in access exclusive mode")
        yield
        await other.rollback()


async def test_who_calls_is_known_whatever_is_read(context: Context, ana: Api) -> None:
    async with AsyncExitStack() as held:
        for _ in range(4):
            await held.enter_async_context(context.pool.connection())
        answered = await ana.get("/v1/payins", headers={"request-timeout-ms": "300"})
        assert (answered.status, answered.code) == (503, "database_unavailable")
        assert (await ana.create()).status == 201, "a payin needs no connection to read with"
        assert (await ana.get("/v1/payins", key="sk_test_wrong")).status == 401


DEADLINE = "the database did not answer by the request's deadline"


async def end_at_their_deadline(api: Api) -> None:
    """Whoever gave up for another reason, the server's `lock_timeout` for one, says so in other words."""
    asked = [api.get("/v1/payins", headers={"request-timeout-ms": "300"}) for _ in range(3)]
    for answered in await asyncio.gather(*asked):
        assert (answered.status, answered.code, answered.json["detail"]) == (503, "database_unavailable", DEADLINE)


async def test_a_read_ends_at_its_deadline_and_leaves_its_connection(
    database_url: str, context: Context, ana: Api
) -> None:
    async with locked(database_url), AsyncExitStack() as held:
        await end_at_their_deadline(ana)
        for _ in range(4):
            await held.enter_async_context(context.pool.connection())
    assert (await ana.get("/v1/payins")).status == 200


async def test_a_read_ends_at_its_deadline_where_the_server_cannot_be_asked_to_cancel(
    database_url: str, context: Context, ana: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unheard(*_: object, **__: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(kernel_context, "_READ_S", 3600.0)
    monkeypatch.setattr(psycopg.AsyncConnection, "cancel_safe", unheard)
    async with locked(database_url), asyncio.timeout(60):
        await end_at_their_deadline(ana)
    assert (await ana.get("/v1/payins")).status == 200


async def test_one_merchants_reads_leave_room_for_anothers(
    database_url: str, context: Context, ana: Api, caro: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_context, "_OF_ONE_MAX", 5)
    async with locked(database_url):
        long = [asyncio.create_task(ana.get("/v1/payins")) for _ in range(7)]
        await asyncio.sleep(0.2)
        assert (await caro.get("/v1/events")).status == 200
        turned_away = await ana.get("/v1/payins")
        assert (turned_away.status, turned_away.code) == (429, "too_many_requests")
    assert [answered.status for answered in await asyncio.gather(*long)] == [200] * 7
    assert (await ana.get("/v1/payins")).status == 200
