"""A provider that does not answer holds up its own payments, and nobody else's: shown by the order of what ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from caudal.connectors import health, links
from caudal.kernel.context import Context
from caudal.merchants import first_merchant
from tests.conftest import settings_of
from tests.connectors.provider import Provider
from tests.payins.cast import Merchant, key_of

FILE = """
[[provider]]
name = "norte"
url = "{norte}"
secret = "quiet river"
methods = ["card"]
concurrency = 4

[[provider]]
name = "sur"
url = "{sur}"
secret = "quiet river"
methods = ["pix"]
concurrency = 4
"""
HELD = 12


@pytest.fixture
async def norte() -> AsyncIterator[Provider]:
    async with Provider() as running:
        running.open = asyncio.Event()
        yield running


@pytest.fixture
async def sur() -> AsyncIterator[Provider]:
    async with Provider() as running:
        yield running


@pytest.fixture
async def context(database_url: str, tmp_path: Path, norte: Provider, sur: Provider) -> AsyncIterator[Context]:
    (tmp_path / "providers.toml").write_text(FILE.format(norte=norte.url, sur=sur.url))
    async with Context(settings_of(database_url, providers=str(tmp_path / "providers.toml")), name="test") as opened:
        yield opened


async def test_while_one_provider_is_silent_the_payments_of_another_and_transfers_go_on(
    context: Context, olga: str, norte: Provider, sur: Provider
) -> None:
    ana = Merchant(context, *await first_merchant(context, "Ana", "MX"), olga)
    card = {"instrument": {"id": await ana.instrument(security_code=None)}}
    held = [asyncio.ensure_future(ana.asked("card", **card)) for _ in range(HELD)]
    while len(norte.asked) < 4:  # noqa: ASYNC110 (its slots are taken then, and the others wait for one)
        await asyncio.sleep(0)
    for _ in range(2 * HELD):
        assert key_of(await ana.pix()) in sur.payments
        assert (await ana.payin())["status"] == "pending"
    assert not any(task.done() for task in held), "everything above was answered while these waited"
    assert len(norte.asked) == 4, "its slots are its own"
    assert len(context.shard(0).lanes) == 0, "no command waits with them"
    silent, well, _ = health(context)  # and the live bank
    assert (silent.in_flight, well.in_flight, well.calls) == (4, 0, 2 * HELD)
    assert (well.failed, well.turned_away, well.repeated, well.breaker) == (0, 0, 0, "closed")
    assert all(link.around.welcomes() for link in links(context))
    events = [event["type"] for event in await ana.events(types="payin.pending,payin.paid")]
    assert events.count("payin.pending") == 2 * HELD and "payin.paid" not in events
    assert norte.open is not None
    norte.open.set()
    assert [(await task)["status"] for task in held] == ["paid"] * HELD
    assert len(norte.payments) == HELD
