"""What a span of a call to a provider tells, in the standard's words: where it went, and what came back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from time import monotonic
from uuid import uuid4

import pytest

from caudal.connectors import Connector, Evidence, of
from caudal.connectors.links import Link
from caudal.kernel.context import Context
from caudal.kernel.telemetry import Sampling, Span, Tracer
from tests.connectors import orders
from tests.connectors.provider import Provider


class Traced:
    """A card connector, and the spans of its calls."""

    def __init__(self, context: Context) -> None:
        self.kept = list[Span]()
        context.tracer = Tracer(Sampling(share=1.0), self.kept.append, slow_s=9.0)
        self.connector: Connector = of(context, "sandbox", "card")


@pytest.fixture
async def traced(provider: Provider) -> AsyncIterator[Traced]:
    context = orders.context(provider.url)
    yield Traced(context)
    for close in context.closing:
        await close()


async def test_a_call_says_where_it_went_and_what_came_back(traced: Traced, provider: Provider) -> None:
    order = orders.order("card")
    await traced.connector.submit(order)
    await traced.connector.payment(orders.query(order))
    submitted, asked = traced.kept
    port = int(provider.url.rpartition(":")[2])
    assert submitted.attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 201,
        "url.full": f"{provider.url}/v1/provider/card/payments",
        "server.address": "127.0.0.1",
        "server.port": port,
        "caudal.provider": "sandbox",
        "caudal.mode": "test",
        "caudal.operation": "submit",
        "caudal.outcome": "answered",
    }
    assert (asked.attributes["http.request.method"], asked.attributes["http.response.status_code"]) == ("GET", 200)
    assert asked.attributes["url.full"] == f"{provider.url}/v1/provider/card/payments/{order.key}"


@pytest.mark.parametrize(
    ("fault", "status", "error"),
    [("silence before", None, "unknown"), ("error", 500, "unknown"), ("busy", 503, "retry")],
)
async def test_a_call_that_failed_says_how(
    traced: Traced, provider: Provider, fault: str, status: int | None, error: str
) -> None:
    provider.faults.append(fault)
    await traced.connector.submit(orders.order("card"))
    [span] = traced.kept
    assert (span.error, span.attributes["error.type"]) == (error, error)
    assert span.attributes.get("http.response.status_code") == status


async def test_what_a_provider_calls_something_is_told_as_a_log_would_and_no_parameters(traced: Traced) -> None:
    evidence = Evidence(
        key=uuid4().hex, dispute_reference="4111111111111111", mode="test", content=b"x", content_type="application/pdf"
    )
    trace = Tracer(Sampling(share=1.0), traced.kept.append, slow_s=9.0).begin(None, monotonic())
    await traced.connector.send_evidence(evidence)
    trace.end("evidence", "consumer", {}, error=None, ended=monotonic())
    _, span = traced.kept
    assert str(span.attributes["url.full"]).endswith("/v1/provider/card/disputes/…/evidence")


async def test_nothing_is_described_of_calls_of_a_request_that_is_not_kept(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Link, "told", lambda *_: pytest.fail("nobody keeps it"))
    tracer = Tracer(Sampling(share=0.0), traced.kept.append, slow_s=9.0)
    trace = tracer.begin(None, monotonic())
    await traced.connector.submit(orders.order("card"))
    trace.end("POST", "server", {}, error=None, ended=monotonic())
    assert traced.kept == []
