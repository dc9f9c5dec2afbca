"""A flow's second commit is never refused: what has happened goes through when the queue is full to its limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import psycopg
import pytest

from caudal import connectors
from caudal.kernel.context import Context
from caudal.merchants import first_merchant
from tests.conftest import settings_of
from tests.payins.books import assert_in_order
from tests.payins.cast import LIVE_SECRET, SECRET, Merchant, key_of
from tests.payins.desk import Desk

LIMIT = 3


@pytest.fixture
async def context(database_url: str) -> AsyncIterator[Context]:
    secrets = {"provider_secret_test": SECRET, "provider_secret_live": LIVE_SECRET}
    settings = settings_of(database_url, queue_limit=LIMIT, merchant_share=1.0, **secrets)
    async with Context(settings, name="test") as opened:
        yield opened


async def until(context: Context, waiting: int) -> None:
    async with asyncio.timeout(30):
        while len(context.shard(0).lanes) < waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


async def test_answers_callbacks_sweeps_and_releases_go_through_while_first_commands_are_refused(
    ana: Merchant, desk: Desk, context: Context, database_url: str
) -> None:
    pix, spei = await ana.pix(), await ana.payin()
    desk.says["submit"] = ["lost"]
    lost = await ana.pix()
    assert lost["status"] == "submitting"
    asked, answers = asyncio.Event(), asyncio.Event()

    async def hesitate() -> None:
        asked.set()
        await answers.wait()

    desk.says["submit"] = [hesitate]
    card = asyncio.create_task(ana.card())
    await asked.wait()
    caro = Merchant(context, *await first_merchant(context, "Caro", "MX"), ana.olga)
    assert (await caro.create()).status == 201  # their keys are known now
    async with await psycopg.AsyncConnection.connect(database_url) as holder:
        await holder.execute("select 1 from shard where id = 0 for update")
        first = [asyncio.create_task(ana.create()) for _ in range(1)]
        await asyncio.sleep(0.05)  # it is the batch that waits for the shard
        first += [asyncio.create_task(ana.create()) for _ in range(LIMIT)]
        await until(context, LIMIT)
        for one in (await ana.create(), await caro.create(), await ana.ask("pix"), await ana.cancel(spei)):
            assert (one.status, one.code) == (503, "overloaded") and "retry-after" in one.headers
        answers.set()
        desk.pay(key_of(pix))
        recorded = [
            asyncio.create_task(ana.deposit(spei["next_action"]["clabe"], spei["amount"])),
            asyncio.create_task(ana.told("pix", "payment", desk.told(key_of(pix)))),
        ]
        swept = asyncio.create_task(ana.work("payin.submit"))
        await until(context, LIMIT + 3)
        assert (await ana.create()).code == "overloaded"
        await holder.rollback()
    assert [(await one).status for one in first] == [201] * (LIMIT + 1)
    assert [(await one).status for one in recorded] == [200, 200]
    assert (await card)["status"] == "paid" and await swept >= 1
    assert [(await ana.seen(one))["status"] for one in (pix, spei)] == ["paid", "paid"]
    assert (await ana.seen(lost))["status"] == "pending"
    await assert_in_order(context)


async def test_a_crowd_before_a_provider_keeps_new_operations_from_it_and_writes_nothing(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    payin, spei = await ana.card(capture="manual"), await ana.payin()
    door = connectors.door(context, "sandbox", "test")
    door.inside = 1_000_000
    before = await context.rows("select count(*) from key")
    for one in (await ana.capture(payin), await ana.cancel(payin), await ana.ask("card")):
        assert (one.status, one.code) == (503, "overloaded") and "retry-after" in one.headers
    assert await context.rows("select count(*) from key") == before and desk.count("capture") == 0
    assert (await ana.cancel(spei)).status == 200, "no provider is asked"
    door.inside = 0
    assert (await ana.capture(payin)).status == 201
    assert door.inside == 0, "who went in has come out"
