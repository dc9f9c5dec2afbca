"""What tests of the edge and of the application share: the API on a socket of its own, and a merchant."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from caudal.kernel.context import Context
from tests.api import Api
from tests.app.edge import Edge, listening


@pytest.fixture
async def edge(context: Context) -> AsyncIterator[Edge]:
    async with listening(context) as edge:
        yield edge


@pytest.fixture
async def ana(context: Context) -> Api:
    api = Api(context)
    await api.ana()
    return api
