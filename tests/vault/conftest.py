"""Who is there in every test: Ana and Caro are merchants, each with a test key."""

from __future__ import annotations

import pytest

from caudal.kernel.context import Context
from tests.vault.cast import Keeper


@pytest.fixture
async def ana(context: Context) -> Keeper:
    return await Keeper(context).named("Ana")


@pytest.fixture
async def caro(context: Context) -> Keeper:
    return await Keeper(context).named("Caro")
