"""What was seen leaves by OTLP, over HTTP or gRPC, where an endpoint is set: the standard's environment variables rule.

OpenTelemetry's SDK is imported here and nowhere else, and only where there is an endpoint. Its forms are filled and
its exporters called in a thread: neither a request nor a batch waits for a collector. What does not fit into the queue
is dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from importlib import import_module
from time import time_ns
from typing import Any, Final, cast

import msgspec

from caudal.kernel.settings import SettingError
from caudal.kernel.telemetry.counts import Histogram, Meter, Reading, Readings
from caudal.kernel.telemetry.traces import Sampling, Span

log = logging.getLogger(__name__)

SCOPE: Final = "caudal"
_PACKAGES: Final = {"http/protobuf": "http", "grpc": "grpc"}
_LAST_S: Final = 3.0  # for what is left when a process ends
_SHARE: Final = 0.01  # of traces, where nobody says otherwise


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Whether traces and metrics leave, how, and how many."""

    traces: str | None
    metrics: str | None
    sampling: Sampling
    every_s: float
    delay_s: float
    queue_max: int
    at_once: int


def endpoint_of(environment: Mapping[str, str] | None = None) -> Endpoint | None:
    """What the standard's variables say; None where nobody collects. Raises SettingError naming the variable."""
    given = {name: text.strip() for name, text in (environment or os.environ).items() if name.startswith("OTEL_")}
    if given.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    traces, metrics = (_protocol(given, signal) for signal in ("TRACES", "METRICS"))
    if traces is None and metrics is None:
        return None
    return Endpoint(
        traces=traces,
        metrics=metrics,
        sampling=_sampling(given),
        every_s=_number(given, "OTEL_METRIC_EXPORT_INTERVAL", 60_000) / 1000,
        delay_s=_number(given, "OTEL_BSP_SCHEDULE_DELAY", 5_000) / 1000,
        queue_max=int(_number(given, "OTEL_BSP_MAX_QUEUE_SIZE", 8_192)),
        at_once=int(_number(given, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE", 512)),
    )


def _protocol(given: Mapping[str, str], signal: str) -> str | None:
    """How a signal leaves, if it does."""
    exporter = given.get(f"OTEL_{signal}_EXPORTER", "otlp")
    if exporter not in ("otlp", "none"):
        raise SettingError(f"OTEL_{signal}_EXPORTER={exporter}: otlp or none (Prometheus has CAUDAL_METRICS_PORT)")
    if exporter == "none":
        return None
    if not (given.get(f"OTEL_EXPORTER_OTLP_{signal}_ENDPOINT") or given.get("OTEL_EXPORTER_OTLP_ENDPOINT")):
        return None
    for name in (f"OTEL_EXPORTER_OTLP_{signal}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if given.get(name):
            if given[name] not in _PACKAGES:
                raise SettingError(f"{name}={given[name]}: {' or '.join(_PACKAGES)}")
            return given[name]
    return "http/protobuf"


def _sampling(given: Mapping[str, str]) -> Sampling:
    """Without a sampler 1 % of what is well, whatever callers say: they are strangers, and their flag costs us."""
    name = given.get("OTEL_TRACES_SAMPLER") or "traceidratio"
    by_parent, kind = name.startswith("parentbased_"), name.removeprefix("parentbased_")
    shares = {"always_on": 1.0, "always_off": 0.0}
    if kind in shares:
        return Sampling(share=shares[kind], by_parent=by_parent)
    if kind != "traceidratio":
        known = ("always_on", "always_off", "traceidratio")
        raise SettingError(f"OTEL_TRACES_SAMPLER={name}: {', '.join(known)}, or one of these behind parentbased_")
    share = _number(given, "OTEL_TRACES_SAMPLER_ARG", _SHARE)
    if not 0 <= share <= 1:
        raise SettingError(f"OTEL_TRACES_SAMPLER_ARG={share:g}: from 0 to 1")
    return Sampling(share=share, by_parent=by_parent)


def _number(given: Mapping[str, str], name: str, default: float) -> float:
    try:
        number = float(given.get(name) or default)
    except ValueError as error:
        raise SettingError(f"{name}={given[name]}: a number") from error
    if number < 0:
        raise SettingError(f"{name}={given[name]}: at least 0")
    return number


class Exporter:
    """Sends what one process has seen. `async with` begins, and sends the rest at its end."""

    def __init__(self, endpoint: Endpoint, meter: Meter, target: Mapping[str, str]) -> None:
        """`target` says whose it is; OTEL_RESOURCE_ATTRIBUTES adds to it."""
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._endpoint, self._meter = endpoint, meter
        self._resource, self._scope = Resource.create(dict(target)), InstrumentationScope(SCOPE)
        self._spans: deque[Span] = deque()
        self._counts = Counter[str]()
        self._began_ns = time_ns()
        self._tasks: list[asyncio.Task[None]] = []
        self._traces_to = _made(endpoint.traces, "trace_exporter", "OTLPSpanExporter")
        self._metrics_to = _made(endpoint.metrics, "metric_exporter", "OTLPMetricExporter")
        meter.add(self._readings)

    def keep(self, span: Span) -> None:
        """One span for the collector."""
        if len(self._spans) >= self._endpoint.queue_max:
            self._counts["dropped"] += 1
            return
        self._counts["kept"] += 1
        self._spans.append(span)

    def _readings(self) -> Iterator[Reading]:
        for outcome in ("kept", "dropped"):
            yield "caudal.trace.spans", (outcome,), self._counts[outcome]

    async def __aenter__(self) -> Exporter:
        if self._traces_to is not None:
            self._tasks.append(asyncio.create_task(self._keep_sending(self._send_spans, self._endpoint.delay_s)))
        if self._metrics_to is not None:
            self._tasks.append(asyncio.create_task(self._keep_sending(self._send_metrics, self._endpoint.every_s)))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        try:
            async with asyncio.timeout(_LAST_S):
                if self._traces_to is not None:
                    await self._send_spans()
                if self._metrics_to is not None:
                    await self._send_metrics()
        except Exception as error:
            log.warning("the last telemetry was not taken: %s", type(error).__name__)
        for exporter in (self._traces_to, self._metrics_to):
            if exporter is not None:
                exporter.shutdown()  # which is what its threads wait for before they try again

    async def _keep_sending(self, send: Any, every_s: float) -> None:
        while True:
            await asyncio.sleep(max(every_s, 0.01))
            try:
                await send()
            except Exception as error:
                log.warning("telemetry was not taken: %s", type(error).__name__)

    async def _send_spans(self) -> None:
        """All that wait, so many at once."""
        while self._spans:
            some = [self._spans.popleft() for _ in range(min(len(self._spans), self._endpoint.at_once))]
            await asyncio.to_thread(self._export_spans, some)

    def _export_spans(self, spans: list[Span]) -> None:
        self._traces_to.export([_sdk_span(span, self._resource, self._scope) for span in spans])

    async def _send_metrics(self) -> None:
        await asyncio.to_thread(self._export_metrics, self._meter.read())

    def _export_metrics(self, readings: Readings) -> None:
        from opentelemetry.sdk.metrics import export as sdk

        since, now = self._began_ns, time_ns()
        metrics = [
            sdk.Metric(one.name, one.help, one.unit, _sdk_data(one.kind, one.attributes, samples, since, now))
            for one, samples in readings
        ]
        scope = sdk.ScopeMetrics(self._scope, metrics, "")
        self._metrics_to.export(sdk.MetricsData([sdk.ResourceMetrics(self._resource, [scope], "")]))


def _made(protocol: str | None, module: str, name: str) -> Any:
    """The standard's exporter, which reads its address, headers and certificates from the environment."""
    if protocol is None:
        return None
    package = f"opentelemetry.exporter.otlp.proto.{_PACKAGES[protocol]}"
    return getattr(import_module(f"{package}.{module}"), name)()


def _sdk_span(span: Span, resource: Any, scope: Any) -> Any:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags

    def at(trace: int, number: int) -> SpanContext:
        return SpanContext(trace, number, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))

    return ReadableSpan(
        name=span.name,
        context=at(*span.place),
        parent=None if span.parent is None else at(span.place[0], span.parent),
        resource=resource,
        attributes=dict(span.attributes),
        links=[Link(at(*place)) for place in span.links],
        kind=SpanKind[span.kind.upper()],
        status=Status(StatusCode.UNSET) if span.error is None else Status(StatusCode.ERROR, span.error),
        start_time=span.began_ns,
        end_time=span.ended_ns,
        instrumentation_scope=scope,
    )


def _sdk_data(kind: str, names: tuple[str, ...], samples: Any, since_ns: int, now_ns: int) -> Any:
    """One metric's points: counters and histograms are of all time since the process began."""
    from opentelemetry.sdk.metrics import export as sdk

    if kind == "histogram":
        return sdk.Histogram(
            [_histogram_point(dict(zip(names, values, strict=True)), one, since_ns, now_ns) for values, one in samples],
            sdk.AggregationTemporality.CUMULATIVE,
        )
    points = [
        sdk.NumberDataPoint(dict(zip(names, values, strict=True)), since_ns, now_ns, float(one))
        for values, one in samples
    ]
    if kind == "counter":
        return sdk.Sum(points, sdk.AggregationTemporality.CUMULATIVE, is_monotonic=True)
    return sdk.Gauge(points)


def _histogram_point(attributes: dict[str, str], one: Histogram, since_ns: int, now_ns: int) -> Any:
    from opentelemetry.sdk.metrics import export as sdk

    counts = list(one.counts)
    return sdk.HistogramDataPoint(
        attributes=attributes,
        start_time_unix_nano=since_ns,
        time_unix_nano=now_ns,
        count=sum(counts),
        sum=one.total,
        bucket_counts=counts,
        explicit_bounds=list(one.bounds),
        min=cast(Any, None),  # nobody keeps them
        max=cast(Any, None),
    )
