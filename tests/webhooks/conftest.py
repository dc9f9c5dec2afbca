"""Who is there in every test: Ana with a test key, her server, and a process that may send to this machine."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from caudal.kernel.context import Context
from caudal.merchants import first_merchant, first_operator
from tests.conftest import settings_of
from tests.webhooks.cast import Ana
from tests.webhooks.receiver import Receiver


@pytest.fixture
async def context(database_url: str) -> AsyncIterator[Context]:
    settings = settings_of(database_url, webhook_loopback=True, worker_poll_s=0.02, webhook_timeout_s=2.0)
    async with Context(settings, name="test") as opened:
        yield opened


@pytest.fixture
async def ana(context: Context) -> Ana:
    return Ana(context, *await first_merchant(context, "Ana", "MX"), await first_operator(context))


@pytest.fixture
async def caro(context: Context, ana: Ana) -> Ana:
    return Ana(context, *await first_merchant(context, "Caro", "MX"), ana.olga)


@pytest.fixture
async def server() -> AsyncIterator[Receiver]:
    receiver = Receiver()
    await receiver.start()
    yield receiver
    await receiver.stop()
