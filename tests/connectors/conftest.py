"""Providers for the connectors' tests: one that a test commands, and one sandbox for the whole run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from caudal.connectors import health, of
from tests.connectors import orders
from tests.connectors.bench import Bench, Called, Sandbox
from tests.connectors.provider import Provider


@pytest.fixture(scope="session")
def called() -> Iterator[Called]:
    """What the sandbox calls back."""
    with Called() as running:
        yield running


@pytest.fixture(scope="session")
def sandbox(called: Called, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    running = Sandbox(tmp_path_factory.mktemp("sandbox"), called.url)
    yield running
    running.end()


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider() as running:
        yield running


@pytest.fixture(params=["here", pytest.param("sandbox", marks=pytest.mark.server)])
def behaving(request: pytest.FixtureRequest, provider: Provider) -> str:
    """The address of a provider that behaves."""
    return provider.url if request.param == "here" else str(request.getfixturevalue("sandbox").url)


@pytest.fixture(params=orders.METHODS)
async def bench(request: pytest.FixtureRequest, behaving: str) -> AsyncIterator[Bench]:
    """A connector of every method with either provider."""
    method, url = request.param, behaving
    context = orders.context(url, provider_timeout_ms=4000)
    yield Bench(method=method, connector=of(context, "sandbox", method), url=url, health=lambda: health(context))
    for close in context.closing:
        await close()


@pytest.fixture(params=orders.METHODS)
async def commanded(request: pytest.FixtureRequest, provider: Provider) -> AsyncIterator[Bench]:
    """A connector whose provider does as the fixture `provider` is told."""
    context = orders.context(provider.url, provider_timeout_ms=5000)
    yield Bench(method=request.param, connector=of(context, "sandbox", request.param), url=provider.url)
    for close in context.closing:
        await close()
