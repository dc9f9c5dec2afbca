"""Real processes send what they see to a collector: one payment's whole trace, and errors whatever is sampled."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from caudal_load.collector import Collector, Span
from tests.whole import Whole

pytestmark = pytest.mark.server

NUMBERS = itertools.count(1)
SECRET = "T0k3nOfTheShop"  # as chat services have in an address
CALLER = "4bf92f3577b34da6a3ce929d0e0e4736"  # a merchant's trace whose last digits lie above half of all


class Seen:
    """A whole caudal whose telemetry comes here, and a merchant's server that hears of its events."""

    def __init__(self, whole: Whole, collector: Collector) -> None:
        self.whole, self.collector = whole, collector
        self.heard: list[dict[str, str]] = []

    async def post(self, path: str, body: dict[str, Any], **headers: str) -> tuple[int, dict[str, Any]]:
        sent = {"Authorization": f"Bearer {self.whole.key}", "Idempotency-Key": f"traces-{next(NUMBERS)}", **headers}
        async with aiohttp.ClientSession() as session:
            async with session.post(f"{self.whole.api_url}{path}", json=body, headers=sent) as answer:
                return answer.status, await answer.json()

    async def pix(self, *, sampled: bool, **headers: str) -> dict[str, Any]:
        """A payin that is sampled, or not: half of them are, by the last digits of their ids."""
        asked = {"amount": 10_000, "currency": "BRL", "country": "BR", "method": "pix"}
        while True:
            status, payin = await self.post("/v1/payins", asked, **headers)
            assert status == 201, payin
            if (int(payin["id"][-10:], 16) < 1 << 39) == sampled:
                return payin

    async def until(self, found: Callable[[list[Span]], Any]) -> Any:
        async with asyncio.timeout(30):
            while not (one := found(list(self.collector.spans))):  # noqa: ASYNC110 (they come by themselves)
                await asyncio.sleep(0.05)
        return one

    @asynccontextmanager
    async def endpoint(self) -> AsyncIterator[None]:
        """A merchant's server; it answers 500 to the first message about each payin."""

        async def hears(request: web.Request) -> web.Response:
            about = request.headers["traceparent"][3:35]
            known = about in {headers["traceparent"][3:35] for headers in self.heard}
            self.heard.append({name.lower(): value for name, value in request.headers.items()})
            return web.Response(status=204 if known else 500)

        app = web.Application()
        app.router.add_post("/{path:.*}", hears)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/{SECRET}?key={SECRET}"
        status, made = await self.post("/v1/webhook_endpoints", {"url": url})
        assert status == 201
        yield
        await self.post(f"/v1/webhook_endpoints/{made['id']}/deletions", {})  # or later payins' messages go there, too
        await runner.cleanup()


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    collector, loop = Collector(), asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    url = asyncio.run_coroutine_threadsafe(collector.start(), loop).result()
    home = Path("/dev/shm") if Path("/dev/shm").is_dir() else tmp_path_factory.getbasetemp()
    whole = Whole(
        home / f"traces-{tmp_path_factory.getbasetemp().name}-{id(collector)}",
        CAUDAL_WEBHOOK_LOOPBACK="1",
        CAUDAL_WEBHOOK_RETRY_FACTOR="0.01",
        CAUDAL_TRACE_SLOW_MS="60000",
        OTEL_EXPORTER_OTLP_ENDPOINT=url,
        OTEL_TRACES_SAMPLER="traceidratio",
        OTEL_TRACES_SAMPLER_ARG="0.5",
        OTEL_BSP_SCHEDULE_DELAY="50",
        OTEL_METRIC_EXPORT_INTERVAL="200",
        OTEL_SERVICE_NAME="tienda-payments",
    )
    whole.start()
    yield Seen(whole, collector)
    whole.stop()
    shutil.rmtree(whole.home, ignore_errors=True)
    asyncio.run_coroutine_threadsafe(collector.end(), loop).result()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()


async def test_one_payments_whole_trace(seen: Seen) -> None:
    async with seen.endpoint():
        payin = await seen.pix(sampled=True, traceparent=f"00-{CALLER}-00f067aa0ba902b7-01", tracestate="rojo=1, b=2")
        id = payin["id"].removeprefix("payin_")
        status, _ = await seen.post(f"/v1/sandbox/payins/{payin['id']}/pay", {})
        assert status == 200

        def delivered(spans: list[Span]) -> list[Span]:
            found = [one for one in spans if one.trace == id and one.name == "webhook"]
            known = {one.name for one in spans if id in (one.trace, one.attributes.get("caudal.object.id"))}
            whole = {"POST /v1/payins", "payin", "POST /v1/callbacks/{provider}/pix"} <= known
            return found if whole and [one for one in found if not one.error] else []

        webhooks = await seen.until(delivered)
    spans = list(seen.collector.spans)

    [asked] = [one for one in spans if one.name == "POST /v1/payins" and one.attributes.get("caudal.object.id") == id]
    assert (asked.trace, asked.parent, asked.kind, asked.process) == (CALLER, "00f067aa0ba902b7", "server", "web")
    assert asked.attributes["http.response.status_code"] == 201
    assert asked.links == [(id, id[16:])], "the caller's trace leads to the payin's"

    [root] = [one for one in spans if (one.trace, one.id) == (id, id[16:])]
    assert root.links == [(CALLER, asked.id)], "and the payin's leads back"

    commits = [one for one in spans if one.name == "commit" and one.parent == asked.id]
    batches = {one.trace: one for one in spans if one.name == "batch"}
    assert len(commits) == 2, "the intent and the outcome"
    for commit in commits:
        [(batch, _)] = commit.links
        assert batches[batch].attributes["caudal.outcome"] == "committed"
        assert (CALLER, asked.id) in batches[batch].links
        assert batch == commit.attributes["caudal.batch.id"]

    [call] = [one for one in spans if one.name == "submit sandbox" and one.parent == asked.id]
    assert (call.trace, call.kind, call.attributes["caudal.outcome"]) == (CALLER, "client", "answered")
    sandbox = f"http://{call.attributes['server.address']}:{call.attributes['server.port']}"
    assert call.attributes["url.full"] == f"{sandbox}/v1/provider/pix/payments"
    assert (call.attributes["http.request.method"], call.attributes["http.response.status_code"]) == ("POST", 201)

    assert {one.state for one in (asked, call, *commits)} == {"rojo=1,b=2"}
    assert {one.state for one in spans if one.trace == id} == {""}, "the payin's trace is another"
    [told] = [one for one in spans if one.name == "POST /v1/callbacks/{provider}/pix" and one.trace == id]
    assert (told.parent, told.process) == (id[16:], "web")
    assert {one.parent for one in webhooks} == {id[16:]} and {one.process for one in webhooks} == {"worker"}
    assert {one.error for one in webhooks if says_its_host_alone(one)} == {True, False}
    assert not [one for one in spans if SECRET in str(one)]
    sent = {headers["traceparent"] for headers in seen.heard}
    assert {f"00-{id}-{one.id}-01" for one in webhooks} <= sent
    assert not [headers for headers in seen.heard if "tracestate" in headers]
    assert len({one.id for one in spans}) == len(spans)


def says_its_host_alone(sending: Span) -> bool:
    of = sending.attributes
    assert of["url.full"] == f"http://127.0.0.1:{of['server.port']}" and of["server.address"] == "127.0.0.1"
    assert (of["http.request.method"], of["http.response.status_code"]) == ("POST", 500 if sending.error else 204)
    assert of.get("error.type") == ("500" if sending.error else None)
    return True


async def test_of_what_is_not_sampled_the_errors_are_kept_and_nothing_else(seen: Seen) -> None:
    async with seen.endpoint():
        id = (await seen.pix(sampled=False))["id"].removeprefix("payin_")
        status, _ = await seen.post(f"/v1/sandbox/payins/payin_{id}/pay", {})
        assert status == 200

        def about(spans: Iterable[Span]) -> list[Span]:
            return [one for one in spans if id in (one.trace, one.attributes.get("caudal.object.id"))]

        await seen.until(about)
        marker = (await seen.pix(sampled=True))["id"].removeprefix("payin_")
        await seen.until(lambda spans: [one for one in spans if one.trace == marker])
    found = about(seen.collector.spans)
    assert {(one.name, one.error) for one in found} == {("webhook", True)}


async def test_without_a_callers_trace_the_request_is_the_payins(seen: Seen) -> None:
    id = (await seen.pix(sampled=True))["id"].removeprefix("payin_")
    [root] = await seen.until(lambda spans: [one for one in spans if (one.trace, one.id) == (id, id[16:])])
    assert (root.name, root.parent, root.links) == ("POST /v1/payins", "", [])


async def test_metrics_come_too_under_their_own_names(seen: Seen) -> None:
    async with asyncio.timeout(30):
        while not {"http.server.request.duration", "caudal.due.oldest_age"} <= seen.collector.metrics.keys():  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    points = seen.collector.metrics["http.server.request.duration"]
    assert all(sum(point.bucket_counts) == point.count for point in points)
    assert not any(point.HasField("min") for point in points)
