"""What is refused by its head has a span: the crowd's a few in a second, the others as they are sampled."""

from __future__ import annotations

import pytest

from caudal.app.telemetry import Refusals
from caudal.contracts.problems import response_of
from caudal.kernel.context import Context
from caudal.kernel.errors import CaudalError, Overloaded, Refused
from caudal.kernel.http import Request
from caudal.kernel.telemetry import CURRENT, Sampling, Span, Tracer
from tests.api import Api
from tests.app.edge import BODY, Edge, creating

CALLER = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Clock:
    now = 1.0

    def __call__(self) -> float:
        return self.now


def refused(refusals: Refusals, tracer: Tracer, error: CaudalError, times: int = 1, **headers: bytes) -> None:
    sent = {name.encode(): value for name, value in headers.items()}
    request = Request(method="POST", path="/v1/payins", query=b"", headers=sent, body=b"", id="req_1", deadline=0.0)
    for _ in range(times):
        refusals.traced(tracer, 0.0, request, "/v1/payins", response_of(error, request.id))


def traced(share: float) -> tuple[Tracer, list[Span]]:
    kept: list[Span] = []
    return Tracer(Sampling(share=share), kept.append, slow_s=1e9), kept


def test_of_a_crowd_ten_a_second_have_a_span() -> None:
    clock, (tracer, kept) = Clock(), traced(share=0.0)
    refusals = Refusals(clock)
    refused(refusals, tracer, Overloaded("overloaded", "later"), times=500)
    assert len(kept) == 10
    clock.now += 1
    refused(refusals, tracer, Overloaded("overloaded", "later"), times=500, traceparent=CALLER)
    assert len(kept) == 20
    first, last = kept[0], kept[-1]
    assert (first.name, first.error) == ("POST /v1/payins", "overloaded")
    assert first.attributes["http.response.status_code"] == 503
    assert (last.place[0], last.parent) == (0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7)
    assert CURRENT.get() is None, "nothing runs in its name"


@pytest.mark.parametrize(("share", "kept"), [(0.0, 0), (1.0, 30)])
def test_what_is_refused_for_itself_is_sampled(share: float, kept: int) -> None:
    tracer, spans = traced(share)
    refused(Refusals(Clock()), tracer, Refused("not_found", "no such path"), times=30)
    assert len(spans) == kept


@pytest.mark.parametrize(
    ("method", "path", "headers", "told"),
    [
        ("GET", "/v1/instruments/4111111111111111", {}, "/v1/instruments/…"),
        ("GET", "/v1/payins/zoe@quux.example", {}, "…"),
        ("GET", "/v1/zoe@quux.example", {}, "…"),
        ("GET", "/v1/zoe%40quux.example", {}, "…"),
        ("GET", f"/v1/payins/sk_test_{'Zq' * 21}x", {}, "/v1/payins/…"),
        ("GET", "/v1/nowhere", {"Request-Id": "4111111111111111"}, "/v1/nowhere"),
        ("GET", "/v1/nowhere", {"Request-Id": "DE89370400440532013000"}, "/v1/nowhere"),
    ],
)
async def test_what_a_caller_writes_into_a_path_or_an_id_is_in_no_span(
    context: Context, method: str, path: str, headers: dict[str, str], told: str
) -> None:
    ana = Api(context)
    await ana.ana()
    context.tracer, kept = traced(share=1.0)
    assert (await ana.call(method, path, headers=headers)).status == 404
    context.tracer = None
    [span] = [one for one in kept if one.kind == "server"]
    written = {*path.split("/"), *headers.values()} - {"", "v1", "payins", "instruments", "nowhere"}
    assert not [one for one in written if one in f"{span.name} {span.error} {dict(span.attributes)}"]
    assert span.attributes["url.path"] == told
    assert (span.attributes["http.request.method"], span.attributes["url.scheme"]) == ("GET", "http")
    assert ("http.route" in span.attributes) == ("{id}" in span.name), "left out where there is none"


@pytest.mark.parametrize("given", ["req_0192", "0192a4b5-1c2d-7e3f-8a4b-5c6d7e8f9a0b", "order/77:3"])
async def test_an_id_of_a_request_that_is_nobodys_stays(context: Context, given: str) -> None:
    ana = Api(context)
    context.tracer, kept = traced(share=1.0)
    await ana.call("BREW", f"/v1/payins/payin_{'0192' * 8}", headers={"Request-Id": given})
    context.tracer = None
    [span] = kept
    assert (span.name, span.attributes["http.request.method"]) == ("HTTP", "_OTHER")
    assert (span.attributes["caudal.request.id"], span.attributes["url.path"]) == (
        given,
        f"/v1/payins/payin_{'0192' * 8}",
    )


async def test_a_request_that_a_full_queue_refuses_is_in_its_callers_trace(edge: Edge, context: Context) -> None:
    ana = Api(context)
    await ana.ana()
    context.tracer, kept = traced(share=0.0)
    context.shard(0).lanes.admitted = context.settings.queue_limit
    caller = await edge.call(creating(ana, b"traceparent: " + CALLER) + BODY)
    assert (await caller.answer()).status == 503
    [span] = kept
    assert (span.name, span.error, span.parent) == ("POST /v1/payins", "overloaded", 0x00F067AA0BA902B7)
    context.shard(0).lanes.admitted = 0
