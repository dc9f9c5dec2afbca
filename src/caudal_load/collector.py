"""A collector of our own: takes traces and metrics by OTLP over HTTP and gRPC, keeps what came, and can be asked.

What a measurement with telemetry on needs at the other end, and what a test asks for one payment's whole trace. It
keeps the newest spans, and of each metric the last points.
"""

import asyncio
import gzip
import threading
from collections import deque
from typing import Any, Final, NamedTuple

from aiohttp import web
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

KEPT_MAX: Final = 100_000
_PROTOBUF: Final = "application/x-protobuf"


class Span(NamedTuple):
    """One span, ids as hexadecimal digits. `process` is `web` or `worker`."""

    name: str
    kind: str
    trace: str
    id: str
    parent: str
    process: str
    attributes: dict[str, Any]
    links: list[tuple[str, str]]
    error: bool
    took_ms: float
    state: str


class Collector:
    """What came so far."""

    def __init__(self) -> None:
        self.spans: deque[Span] = deque(maxlen=KEPT_MAX)
        self.metrics: dict[str, list[Any]] = {}
        self.data: dict[str, Any] = {}  # the same with what kind of sum or histogram it is
        self.resource: dict[str, Any] = {}  # whose spans and metrics came last
        self.requests = self.bytes = 0
        self._lock = threading.Lock()  # gRPC's threads come, too

    def take_traces(self, raw: bytes) -> None:
        """One export of spans."""
        told = ExportTraceServiceRequest.FromString(raw)
        with self._lock:
            self._count(raw)
            for resource in told.resource_spans:
                self.resource = _attributes(resource.resource.attributes)
                process = self.resource.get("caudal.process", "")
                for scope in resource.scope_spans:
                    self.spans.extend(_span(span, process) for span in scope.spans)

    def take_metrics(self, raw: bytes) -> None:
        """One export of metrics; what came before of the same process is over."""
        told = ExportMetricsServiceRequest.FromString(raw)
        with self._lock:
            self._count(raw)
            for resource in told.resource_metrics:
                self.resource = _attributes(resource.resource.attributes)
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        data = getattr(metric, metric.WhichOneof("data"))
                        self.metrics[metric.name], self.data[metric.name] = list(data.data_points), data

    def _count(self, raw: bytes) -> None:
        self.requests += 1
        self.bytes += len(raw)

    async def start(self, port: int = 0) -> str:
        """Listens for OTLP over HTTP on this machine; the address."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.add_routes([web.post("/v1/traces", self._traces), web.post("/v1/metrics", self._metrics)])
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", port).start()
        return f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def end(self) -> None:
        """Listens no more."""
        await self._runner.cleanup()

    async def _traces(self, request: web.Request) -> web.Response:
        self.take_traces(await _body(request))
        return web.Response(body=ExportTraceServiceResponse().SerializeToString(), content_type=_PROTOBUF)

    async def _metrics(self, request: web.Request) -> web.Response:
        self.take_metrics(await _body(request))
        return web.Response(body=ExportMetricsServiceResponse().SerializeToString(), content_type=_PROTOBUF)

    def start_grpc(self) -> tuple[Any, str]:
        """Listens for OTLP over gRPC; the server, which has `stop`, and its address."""
        from concurrent.futures import ThreadPoolExecutor

        import grpc

        def taking(take: Any, answer: Any) -> Any:
            def taken(raw: bytes, _: Any) -> bytes:
                take(raw)
                return bytes(answer().SerializeToString())

            return grpc.unary_unary_rpc_method_handler(taken)

        server = grpc.server(ThreadPoolExecutor(2))
        services = {
            "opentelemetry.proto.collector.trace.v1.TraceService": (self.take_traces, ExportTraceServiceResponse),
            "opentelemetry.proto.collector.metrics.v1.MetricsService": (
                self.take_metrics,
                ExportMetricsServiceResponse,
            ),
        }
        for name, (take, answer) in services.items():
            handler = grpc.method_handlers_generic_handler(name, {"Export": taking(take, answer)})
            server.add_generic_rpc_handlers((handler,))
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        return server, f"http://127.0.0.1:{port}"


async def _body(request: web.Request) -> bytes:
    raw = await request.read()
    if request.headers.get("Content-Encoding") == "gzip" and raw[:2] == b"\x1f\x8b":
        return await asyncio.to_thread(gzip.decompress, raw)
    return raw


def _attributes(found: Any) -> dict[str, Any]:
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in found}


def _span(span: ProtoSpan, process: str) -> Span:
    return Span(
        name=span.name,
        kind=ProtoSpan.SpanKind.Name(span.kind).removeprefix("SPAN_KIND_").lower(),
        trace=span.trace_id.hex(),
        id=span.span_id.hex(),
        parent=span.parent_span_id.hex(),
        process=process,
        attributes=_attributes(span.attributes),
        links=[(link.trace_id.hex(), link.span_id.hex()) for link in span.links],
        error=span.status.code == 2,
        took_ms=(span.end_time_unix_nano - span.start_time_unix_nano) / 1e6,
        state=span.trace_state,
    )
