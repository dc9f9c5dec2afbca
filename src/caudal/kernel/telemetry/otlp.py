"""What was seen leaves by OTLP, over HTTP or gRPC, where an endpoint is set (`collector.py`).

OpenTelemetry's SDK is imported here and nowhere else, and only where there is an endpoint. Its forms are filled and
its exporters called in a thread: neither a request nor a batch waits for a collector. What does not fit into the queue
is dropped and counted.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from contextvars import ContextVar
from importlib import import_module
from time import time_ns
from typing import Any, Final, cast

from caudal.kernel.telemetry.catalogue import NUMBERS
from caudal.kernel.telemetry.collector import PACKAGES, Endpoint, Leaving
from caudal.kernel.telemetry.counts import Histogram, Meter, Reading, Readings
from caudal.kernel.telemetry.traces import Span

log = logging.getLogger(__name__)

SCOPE: Final = "caudal"
_LAST_S: Final = 3.0  # for what is left when a process ends
_EXPORTERS: Final = "opentelemetry.exporter"


# What the exporters have said of the sending that runs here. Traces and metrics are sent side by side, each in a thread
# with a context of its own, and by gRPC both speak through one logger.
_SAID: Final[ContextVar[list[str] | None]] = ContextVar("said", default=None)


class _Words(logging.Handler):
    """What the SDK's exporters say, kept instead of logged: they say it as an error, and at each sending."""

    def emit(self, record: logging.LogRecord) -> None:
        said = _SAID.get()
        if said is not None:
            said.append(record.getMessage())


class Exporter:
    """Sends what one process has seen. `async with` begins, and sends the rest at its end."""

    def __init__(self, endpoint: Endpoint, meter: Meter, target: Mapping[str, str | int]) -> None:
        """`target` says whose it is; OTEL_RESOURCE_ATTRIBUTES adds to it."""
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.util.instrumentation import InstrumentationScope

        self._endpoint, self._meter = endpoint, meter
        self._resource, self._scope = Resource.create(dict(target)), InstrumentationScope(SCOPE)
        self._spans: deque[Span] = deque()
        self._counts = Counter[str]()
        self._away = set[str]()  # what the collector did not take last time
        self._words = _Words()
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
        self._spans.append(span)

    def _readings(self) -> Iterator[Reading]:
        for outcome in ("sent", "failed", "dropped"):
            yield "caudal.trace.spans", (outcome,), self._counts[outcome]

    async def __aenter__(self) -> Exporter:
        self._hear(True)
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
        self._hear(False)

    def _hear(self, ours: bool) -> None:
        """From now on the exporters' words are ours, or go to the log again."""
        said = logging.getLogger(_EXPORTERS)
        said.propagate = not ours
        (said.addHandler if ours else said.removeHandler)(self._words)

    async def _keep_sending(self, send: Callable[[], Awaitable[None]], every_s: float) -> None:
        while True:
            await asyncio.sleep(max(every_s, 0.01))
            try:
                await send()
            except Exception:
                log.exception("telemetry could not be sent")

    async def _send_spans(self) -> None:
        """All that wait, so many at once, as long as the collector takes them."""
        took = True
        while self._spans and took:
            some = [self._spans.popleft() for _ in range(min(len(self._spans), self._endpoint.at_once))]
            took = await self._sent("traces", self._export_spans, some)
            self._counts["sent" if took else "failed"] += len(some)

    def _export_spans(self, spans: list[Span]) -> Any:
        return self._traces_to.export([_sdk_span(span, self._resource, self._scope) for span in spans])

    async def _send_metrics(self) -> None:
        await self._sent("metrics", self._export_metrics, self._meter.read())

    async def _sent(self, what: str, export: Callable[[Any], Any], told: object) -> bool:
        """Whether the collector has taken it. One that is away is told once, and once that it is back."""
        said: list[str] = []  # the first word is why it failed; later ones say that it was tried often enough

        def send() -> Any:
            _SAID.set(said)
            return export(told)

        try:
            result = await asyncio.to_thread(send)
            took, why = bool(result.name == "SUCCESS"), said[0] if said else result.name
        except Exception as error:
            took, why = False, type(error).__name__
        if took and what in self._away:
            self._away.remove(what)
            log.info("the collector takes %s again", what)
        elif not took and what not in self._away:
            self._away.add(what)
            log.warning("the collector does not take %s, and is tried again: %s", what, why)
        return took

    def _export_metrics(self, readings: Readings) -> Any:
        from opentelemetry.sdk.metrics import export as sdk

        since, now = self._began_ns, time_ns()
        metrics = [
            sdk.Metric(one.name, one.help, one.unit, _sdk_data(one.kind, one.attributes, samples, since, now))
            for one, samples in readings
        ]
        scope = sdk.ScopeMetrics(self._scope, metrics, "")
        return self._metrics_to.export(sdk.MetricsData([sdk.ResourceMetrics(self._resource, [scope], "")]))


def _made(leaving: Leaving | None, module: str, name: str) -> Any:
    """The SDK's exporter, which reads its address, headers and certificates from the environment."""
    if leaving is None:
        return None
    exporter = getattr(import_module(f"opentelemetry.exporter.otlp.proto.{PACKAGES[leaving.protocol]}.{module}"), name)
    made = exporter(timeout=leaving.timeout_s, compression=_compression(leaving))
    for kind in type(made).__mro__:
        if kind.__module__.startswith(_EXPORTERS):  # which drop a word like the one before it, the other signal's, too
            logging.getLogger(kind.__module__).filters.clear()
    return made


def _compression(leaving: Leaving) -> Any:
    if leaving.protocol == "grpc":
        import grpc

        return grpc.Compression.Gzip if leaving.compression == "gzip" else grpc.Compression.NoCompression
    from opentelemetry.exporter.otlp.proto.http import Compression

    return Compression(leaving.compression)


def _sdk_span(span: Span, resource: Any, scope: Any) -> Any:
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

    def at(trace: int, number: int, state: str = "") -> SpanContext:
        states = TraceState.from_header([state]) if state else None
        return SpanContext(
            trace, number, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED), trace_state=states
        )

    return ReadableSpan(
        name=span.name,
        context=at(*span.place, span.state),
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
            [_histogram_point(_attributes(names, values), one, since_ns, now_ns) for values, one in samples],
            sdk.AggregationTemporality.CUMULATIVE,
        )
    points = [sdk.NumberDataPoint(_attributes(names, values), since_ns, now_ns, float(one)) for values, one in samples]
    if kind in ("counter", "updowncounter"):
        return sdk.Sum(points, sdk.AggregationTemporality.CUMULATIVE, is_monotonic=kind == "counter")
    return sdk.Gauge(points)


def _attributes(names: tuple[str, ...], values: tuple[str, ...]) -> dict[str, str | int]:
    told = zip(names, values, strict=True)
    return {name: int(text) if name in NUMBERS else text for name, text in told if text}


def _histogram_point(attributes: dict[str, str | int], one: Histogram, since_ns: int, now_ns: int) -> Any:
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
