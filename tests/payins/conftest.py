"""Who is there in every test: Ana, and Olga's operator key; the providers where a test asks for them."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest

from caudal.connectors import CAPABILITIES, registry
from caudal.kernel.context import Context
from caudal.merchants import first_merchant, first_operator
from tests.conftest import settings_of
from tests.payins.cast import LIVE_SECRET, SECRET, Merchant, key_of
from tests.payins.desk import Desk
from tests.payins.test_late_success import deposits, ended


@pytest.fixture
async def context(database_url: str) -> AsyncIterator[Context]:
    settings = settings_of(database_url, provider_secret_test=SECRET, provider_secret_live=LIVE_SECRET)
    async with Context(settings, name="test") as opened:
        yield opened


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    """Every provider, without a socket."""
    opened = Desk()
    monkeypatch.setattr(registry, "_client", opened.counter)
    return opened


@pytest.fixture
async def olga(context: Context) -> str:
    return await first_operator(context)


@pytest.fixture
async def ana(context: Context, olga: str) -> Merchant:
    return Merchant(context, *await first_merchant(context, "Ana", "MX"), olga)


@pytest.fixture
async def caro(context: Context, olga: str) -> Merchant:
    return Merchant(context, *await first_merchant(context, "Caro", "MX"), olga)


@pytest.fixture
async def late(ana: Merchant, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> str:
    """A deposit on its way back to its payer, at a provider that does not know an order again."""
    changed = msgspec.structs.replace(CAPABILITIES["mpesa"], deduplicates=False)
    monkeypatch.setitem(CAPABILITIES, "mpesa", changed)
    payin = await ended(ana, desk, "declined")
    desk.pay(key_of(payin))
    await ana.told("mpesa", "payment", desk.told(key_of(payin)))
    return str((await deposits(ana))[0]["id"])
