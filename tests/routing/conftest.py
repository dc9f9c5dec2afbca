"""Who is there: Ana with a test key, Caro who is another merchant, and Olga who operates."""

from __future__ import annotations

import pytest

from caudal.kernel.context import Context
from caudal.merchants import first_merchant, first_operator
from tests.payins.cast import Merchant


@pytest.fixture
async def olga(context: Context) -> str:
    return await first_operator(context)


@pytest.fixture
async def ana(context: Context, olga: str) -> Merchant:
    return Merchant(context, *await first_merchant(context, "Ana", "MX"), olga)


@pytest.fixture
async def caro(context: Context, olga: str) -> Merchant:
    return Merchant(context, *await first_merchant(context, "Caro", "MX"), olga)
