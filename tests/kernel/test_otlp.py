"""Spans and metrics as a collector gets them, by both of OTLP's protocols."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from caudal.kernel.telemetry import Histogram, Meter, Span, histogram
from caudal.kernel.telemetry.otlp import Exporter, endpoint_of
from caudal_load.collector import Collector

OWN = Span(
    name="POST /v1/payins",
    kind="server",
    place=(0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7),
    parent=0xB7AD6B7169203331,
    began_ns=1_000_000_000,
    ended_ns=1_002_500_000,
    attributes={"http.route": "/v1/payins", "http.response.status_code": 500},
    links=[(1, 2)],
    error="internal_error",
)


@pytest.fixture(params=["http/protobuf", "grpc"])
async def collector(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Collector]:
    found = Collector()
    server = None
    if request.param == "grpc":
        server, url = found.start_grpc()
    else:
        url = await found.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", url)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", request.param)
    yield found
    if server is None:
        await found.end()
    else:
        await asyncio.to_thread(server.stop(None).wait)


def sizes() -> Histogram:
    one = histogram("caudal.commit.batch.size")
    for size in (1, 2, 2, 5_000):
        one.record(size)
    return one


async def test_what_was_seen_comes_to_the_collector(collector: Collector) -> None:
    meter, endpoint, counted = Meter(), endpoint_of(), sizes()
    assert endpoint is not None
    meter.add(lambda: [("caudal.commit.batch.size", ("0",), counted), ("caudal.commit.commands", ("0",), 7)])
    meter.add(lambda: [("caudal.ready", ("database",), True)])
    async with Exporter(endpoint, meter, {"service.name": "tienda", "caudal.process": "web"}) as exporter:
        exporter.keep(OWN)
    [span] = collector.spans
    assert (span.trace, span.id, span.parent) == (f"{OWN.place[0]:032x}", f"{OWN.place[1]:016x}", "b7ad6b7169203331")
    assert (span.name, span.kind, span.process, span.took_ms, span.error) == (OWN.name, "server", "web", 2.5, True)
    assert span.attributes == OWN.attributes
    assert span.links == [(f"{1:032x}", f"{2:016x}")]
    [point] = collector.metrics["caudal.commit.batch.size"]
    assert list(point.bucket_counts) == counted.counts and list(point.explicit_bounds) == list(counted.bounds)
    assert (point.count, point.sum, point.HasField("min")) == (4, 5_005, False)
    assert collector.metrics["caudal.commit.commands"][0].as_double == 7
    assert collector.metrics["caudal.ready"][0].as_double == 1
    assert collector.metrics["caudal.trace.spans"][0].as_double == 1


async def test_a_collector_that_is_away_costs_its_spans_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "1")
    endpoint = endpoint_of()
    assert endpoint is not None
    async with asyncio.timeout(20):
        async with Exporter(endpoint, Meter(), {}) as exporter:
            exporter.keep(OWN)


def test_a_start_loads_no_sdk_no_second_http_client_and_no_terminal() -> None:
    """The first only where somebody collects, the others where something is asked or shown: a third of a start."""
    asked = "import sys; from caudal.app import cli; cli.whole(); import caudal.app.edge, caudal.app.worker;"
    asked += " print({m.partition('.')[0] for m in sys.modules} & {'opentelemetry', 'aiohttp', 'rich'})"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
