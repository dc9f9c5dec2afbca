"""What a span of a call to a provider tells, in the standard's words: where it went, and what came back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from time import monotonic
from uuid import uuid4

import pytest

from caudal.connectors import Connector, Evidence, of
from caudal.connectors.links import Link
from caudal.kernel.context import Context
from caudal.kernel.telemetry import CURRENT, Sampling, Span, Tracer
from tests.connectors import orders
from tests.connectors.provider import Provider

CALLER = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


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
    trace = Tracer(Sampling(share=1.0), traced.kept.append, slow_s=9.0).begin({}, monotonic())
    await traced.connector.send_evidence(evidence)
    trace.end("evidence", "consumer", {}, error=None, ended=monotonic())
    _, span = traced.kept
    assert str(span.attributes["url.full"]).endswith("/v1/provider/card/disputes/…/evidence")


@pytest.mark.parametrize(("given", "goes_on"), [(b"rojo=1, congo=2", "rojo=1,congo=2"), (b"no state", None)])
async def test_a_call_of_a_request_in_its_callers_trace_takes_its_tracestate_along(
    traced: Traced, provider: Provider, given: bytes, goes_on: str | None
) -> None:
    order, headers = orders.order("card"), {b"traceparent": CALLER, b"tracestate": given}
    trace = Tracer(Sampling(share=1.0), traced.kept.append, slow_s=9.0).begin(headers, monotonic())
    await traced.connector.submit(order)
    trace.end("POST", "server", {}, error=None, ended=monotonic())
    _, call = traced.kept
    [asked] = provider.asked
    assert asked.headers["traceparent"] == f"00-{CALLER[3:35].decode()}-{call.place[1]:016x}-01"
    assert (asked.headers.get("tracestate"), call.state) == (goes_on, goes_on or "")


async def test_a_call_in_an_objects_trace_has_no_tracestate(traced: Traced, provider: Provider) -> None:
    CURRENT.set(None)
    await traced.connector.submit(orders.order("card"))
    [asked] = provider.asked
    assert "traceparent" in asked.headers and "tracestate" not in asked.headers


async def test_nothing_is_described_of_calls_of_a_request_that_is_not_kept(
    traced: Traced, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Link, "told", lambda *_: pytest.fail("nobody keeps it"))
    tracer = Tracer(Sampling(share=0.0), traced.kept.append, slow_s=9.0)
    trace = tracer.begin({}, monotonic())
    await traced.connector.submit(orders.order("card"))
    trace.end("POST", "server", {}, error=None, ended=monotonic())
    assert traced.kept == []
