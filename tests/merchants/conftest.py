"""Who is there in every test: Olga with her operator's key, and Ana with her merchant."""

from __future__ import annotations

import pytest

from caudal.kernel.context import Context
from caudal.merchants import first_operator
from tests.merchants.cast import Cast, Desk, cast


@pytest.fixture
async def olga_key(context: Context) -> str:
    return await first_operator(context)


@pytest.fixture
def olga(context: Context, olga_key: str) -> Desk:
    return Desk(context, olga_key)


@pytest.fixture
async def ana(context: Context) -> Cast:
    return await cast(context, "Ana")
