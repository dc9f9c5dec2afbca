"""Spans and metrics as a collector gets them, by both of OTLP's protocols."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace

import pytest
from opentelemetry.proto.metrics.v1.metrics_pb2 import AggregationTemporality

from caudal.kernel.telemetry import Histogram, Meter, Span, histogram
from caudal.kernel.telemetry.collector import endpoint_of
from caudal.kernel.telemetry.otlp import Exporter
from caudal_load.collector import Collector
from tests.app.test_operator_port import free_port

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
    state="rojo=00f067aa0ba902b7,tenant@congo=t61 rcWkgMzE",
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
    assert span.links == [(f"{1:032x}", f"{2:016x}")] and span.state == OWN.state
    [point] = collector.metrics["caudal.commit.batch.size"]
    assert list(point.bucket_counts) == counted.counts and list(point.explicit_bounds) == list(counted.bounds)
    assert (point.count, point.sum, point.HasField("min")) == (4, 5_005, False)
    assert collector.metrics["caudal.commit.commands"][0].as_double == 7
    assert collector.metrics["caudal.ready"][0].as_double == 1
    assert collector.metrics["caudal.trace.spans"][0].as_double == 1


async def test_what_adds_up_is_a_sum_and_all_is_of_all_time(collector: Collector) -> None:
    meter, endpoint, counted = Meter(), endpoint_of(), sizes()
    assert endpoint is not None
    of = ("GET", "http")
    meter.add(lambda: [("caudal.commit.batch.size", ("0",), counted), ("caudal.commit.commands", ("0",), 7)])
    meter.add(lambda: [("http.server.active_requests", of, 3), ("caudal.commit.drain_rate", ("0",), 2.5)])
    meter.add(lambda: [("http.server.request.duration", ("GET", "", "404", "http", ""), sizes())])
    async with Exporter(endpoint, meter, {"process.pid": 77}):
        pass
    data, cumulative = collector.data, AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    up_down = data["http.server.active_requests"]
    assert (type(up_down).__name__, up_down.is_monotonic) == ("Sum", False)
    assert data["caudal.commit.commands"].is_monotonic
    assert type(data["caudal.commit.drain_rate"]).__name__ == "Gauge"
    summed = ("http.server.active_requests", "caudal.commit.commands", "caudal.commit.batch.size")
    assert [data[name].aggregation_temporality for name in summed] == [cumulative] * 3
    [point] = data["caudal.commit.commands"].data_points
    assert 0 < point.start_time_unix_nano < point.time_unix_nano, "since the process began"
    [request] = collector.metrics["http.server.request.duration"]
    told = {one.key: one.value for one in request.attributes}
    assert told.keys() == {"http.request.method", "http.response.status_code", "url.scheme"}
    assert (told["http.response.status_code"].int_value, told["url.scheme"].string_value) == (404, "http")
    assert collector.resource["process.pid"] == 77


async def test_a_collector_that_is_away_costs_its_spans_and_one_warning(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
    for name, text in {"EXPORTER_OTLP_TIMEOUT": "200", "BSP_SCHEDULE_DELAY": "1", "METRICS_EXPORTER": "none"}.items():
        monkeypatch.setenv(f"OTEL_{name}", text)
    meter, endpoint, back = Meter(), endpoint_of(), Collector()
    assert endpoint is not None
    async with asyncio.timeout(60):
        async with Exporter(endpoint, meter, {}) as exporter:
            exporter.keep(OWN)
            await until(lambda: outcomes(meter)["failed"] == 1)
            exporter.keep(OWN)
            await until(lambda: outcomes(meter)["failed"] == 2)
            assert outcomes(meter) == {"sent": 0, "failed": 2, "dropped": 0}
            told = [(one.levelname, one.name) for one in caplog.records]
            assert told == [("WARNING", "caudal.kernel.telemetry.otlp")], "once, and in our words"
            assert "does not take traces" in caplog.text and "Failed to export" in caplog.text
            await back.start(port)
            with caplog.at_level(logging.INFO):
                exporter.keep(OWN)
                await until(lambda: len(back.spans) == 1)
                await until(lambda: outcomes(meter)["sent"] == 1)
    assert caplog.records[-1].getMessage() == "the collector takes traces again"
    await back.end()


async def test_why_a_collector_refuses_is_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refusing = Collector()
    url = await refusing.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{url}/elsewhere")
    meter, endpoint = Meter(), endpoint_of()
    assert endpoint is not None and endpoint.metrics is None
    async with Exporter(endpoint, meter, {}) as exporter:
        exporter.keep(OWN)
    await refusing.end()
    assert outcomes(meter)["failed"] == 1
    assert [(one.levelname, "404" in one.getMessage()) for one in caplog.records] == [("WARNING", True)]


async def test_an_exporter_that_breaks_is_told_and_what_waits_has_its_chance(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "2")
    monkeypatch.setenv("OTEL_METRICS_EXPORTER", "none")
    meter, endpoint = Meter(), endpoint_of()
    assert endpoint is not None
    async with Exporter(endpoint, meter, {}) as exporter:

        def broken(_: object) -> None:
            raise OSError("no memory")

        monkeypatch.setattr(exporter._traces_to, "export", broken)
        for _ in range(5):
            exporter.keep(OWN)
        await exporter._send_spans()
        assert (outcomes(meter)["failed"], len(exporter._spans)) == (2, 3)
        assert "OSError" in caplog.text


async def test_of_what_is_sent_side_by_side_each_is_told_with_its_own_reason(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")  # both speak through one logger
    meter, endpoint, both = Meter(), endpoint_of(), threading.Barrier(2, timeout=60)
    assert endpoint is not None
    said = logging.getLogger("opentelemetry.exporter.otlp.proto.grpc.exporter")

    def failing(what: str, *, first: bool) -> Callable[[object], SimpleNamespace]:
        def export(_: object) -> SimpleNamespace:
            for turn in (True, False):  # one speaks, then the other, and only then they end
                if turn == first:
                    said.error("no room for %s", what)
                both.wait()
            return SimpleNamespace(name="FAILURE")

        return export

    async with Exporter(endpoint, meter, {}) as exporter:
        with monkeypatch.context() as then:
            then.setattr(exporter._traces_to, "export", failing("spans", first=True))
            then.setattr(exporter._metrics_to, "export", failing("figures", first=False))
            exporter.keep(OWN)
            await asyncio.gather(exporter._send_spans(), exporter._send_metrics())
        again, told = "and is tried again: no room for", sorted(one.partition(" take ")[2] for one in caplog.messages)
        assert told == [f"metrics, {again} figures", f"traces, {again} spans"]
        caplog.clear()
        exporter._away.clear()
        monkeypatch.setattr(exporter._metrics_to, "export", lambda _: SimpleNamespace(name="FAILURE"))
        await exporter._send_metrics()
        assert caplog.messages == ["the collector does not take metrics, and is tried again: FAILURE"], "at least that"


def outcomes(meter: Meter) -> dict[str, object]:
    return {values[0]: value for one, samples in meter.read() for values, value in samples}


async def until(seen: Callable[[], bool]) -> None:
    while not seen():  # noqa: ASYNC110 (nobody says when a thread has sent)
        await asyncio.sleep(0.005)


def test_a_start_loads_no_sdk_no_second_http_client_and_no_terminal() -> None:
    """The first only where somebody collects, the others where something is asked or shown: a third of a start."""
    asked = "import sys; from caudal.app import cli; cli.whole(); import caudal.app.edge, caudal.app.worker;"
    asked += " print({m.partition('.')[0] for m in sys.modules} & {'opentelemetry', 'aiohttp', 'rich'})"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
