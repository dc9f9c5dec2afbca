"""The operator's port: figures that are what happened, and health that names what is wrong."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from socket import create_server
from time import monotonic
from typing import Any

import pytest

from caudal.app.routes import ROUTES
from caudal.app.telemetry import OperatorPort, health, health_of, inside
from caudal.kernel.context import Context
from caudal.kernel.telemetry import INSTRUMENTS, Histogram, prometheus
from caudal.payins import overdue
from tests.api import Api
from tests.conftest import settings_of
from tests.kernel.test_redaction import configured
from tests.kernel.toy import Note

SAMPLE = re.compile(r'([a-z_]+)(?:\{((?:[a-z_]+="[^"]*",?)+)\})? (\S+)')


def free_port() -> int:
    with closing(create_server(("127.0.0.1", 0))) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.fixture
async def seen(database_url: str) -> AsyncIterator[Context]:
    settings = settings_of(database_url, metrics_port=free_port())
    async with Context(settings, name="web") as context, inside(context), OperatorPort(context).open():
        yield context


async def asked(context: Context, path: str, method: str = "GET") -> tuple[int, str, str]:
    """Status, content type and body."""
    for _ in range(200):
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", context.settings.metrics_port)
            break
        except ConnectionRefusedError:
            await asyncio.sleep(0.01)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    kind = next(line for line in head.split("\r\n") if line.startswith("Content-Type: "))
    return int(head.split()[1]), kind.removeprefix("Content-Type: "), body


def samples_of(page: str) -> dict[str, float]:
    """Every line is a sample or a comment, and each sample is there once."""
    lines = [line for line in page.splitlines() if not line.startswith("# ")]
    assert all(SAMPLE.fullmatch(line) for line in lines)
    found = {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}
    assert len(found) == len(lines)
    return found


async def test_the_figures_are_what_happened(seen: Context) -> None:
    ana = Api(seen)
    await ana.ana()
    for amount in (10_000, 10_000, -1):
        await ana.create(amount=amount)
    await ana.get("/v1/nowhere")
    status, kind, page = await asked(seen, "/metrics")
    assert (status, kind) == (200, "text/plain; version=0.0.4; charset=utf-8")
    found = samples_of(page)
    http, scheme = 'http_request_method="POST",http_route="/v1/payins",http_response_status_code=', 'url_scheme="http"'
    assert found[f'http_server_request_duration_seconds_count{{{http}"201",{scheme}}}'] == 2
    assert found[f'http_server_request_duration_seconds_count{{{http}"422",{scheme}}}'] == 1
    nowhere = f'http_request_method="GET",http_response_status_code="404",{scheme}'
    assert found[f"http_server_request_duration_seconds_count{{{nowhere}}}"] == 1, "no route, no attribute"
    assert found[f'http_server_active_requests{{http_request_method="POST",{scheme}}}'] == 0
    assert "# TYPE http_server_active_requests gauge" in page
    assert found['caudal_http_problems_total{error_type="invalid_request"}'] == 1
    assert found['caudal_http_problems_total{error_type="no_such_route"}'] == 1
    shard = 'caudal_shard="0"'
    assert found[f"caudal_commit_commands_total{{{shard}}}"] >= 3
    assert found[f"caudal_commit_events_total{{{shard}}}"] >= 3
    batches = found[f'caudal_commit_batches_total{{{shard},caudal_outcome="committed"}}']
    assert found[f"caudal_commit_batch_duration_seconds_count{{{shard}}}"] == batches > 0
    waits = sum(value for name, value in found.items() if name.startswith("caudal_commit_queue_wait_seconds_count"))
    assert waits >= found[f"caudal_commit_commands_total{{{shard}}}"]
    assert found["process_memory_usage_bytes"] > 10_000_000
    assert found['process_cpu_time_seconds_total{cpu_mode="user"}'] > 0
    assert found['caudal_ready{caudal_check="database"}'] == 1


async def test_requests_under_way_are_counted_by_method(seen: Context) -> None:
    ana = Api(seen)
    shown = await ana.call("GET", "/v1/operator/metrics", key=await ana.operator())
    scheme = 'url_scheme="http"'
    for page, reads in ((shown.body.decode(), 1), ((await asked(seen, "/metrics"))[2], 0)):
        found = samples_of(page)
        assert found[f'http_server_active_requests{{http_request_method="GET",{scheme}}}'] == reads
        assert found[f'http_server_active_requests{{http_request_method="POST",{scheme}}}'] == 0
    assert {route.method for route in ROUTES} == {"GET", "POST"}, "each has its number"


async def test_what_the_process_does_beside_requests_is_counted(seen: Context) -> None:
    look, line = 'cpython_gc_generation="2"', 'caudal_level="warning"'

    async def now() -> tuple[float, float, float]:
        found = samples_of((await asked(seen, "/metrics"))[2])
        pauses = [found[f"caudal_gc_pause_seconds_{what}{{{look}}}"] for what in ("count", "sum")]
        return pauses[0], pauses[1], found[f"caudal_log_records_total{{{line}}}"]

    before, log = await now(), logging.getLogger("caudal.test")
    gc.collect()
    for _ in configured(as_json=True):
        for _ in range(3):
            log.warning("x")
        log.info("y")
    after = await now()
    assert (after[0] - before[0], after[2] - before[2]) == (1, 3)
    assert 0 < after[1] - before[1] < 60


async def test_a_histogram_is_cumulative_and_ends_with_everything() -> None:
    one = next(one for one in INSTRUMENTS if one.name == "caudal.commit.batch.size")
    sizes = Histogram(one.bounds)
    for size in (1, 2, 2, 5_000):
        sizes.record(size)
    page = prometheus.page([(one, [(("0",), sizes)])], {"service.name": 'a "name"\\'})
    assert page.splitlines()[2] == r'target_info{service_name="a \"name\"\\"} 1'
    found = samples_of("\n".join(page.splitlines()[3:]))
    counts = {name.partition('le="')[2][:-2]: value for name, value in found.items() if "_bucket" in name}
    assert (counts["1.0"], counts["2.0"], counts["1024.0"], counts["+Inf"]) == (1, 3, 3, 4)
    assert found['caudal_commit_batch_size_sum{caudal_shard="0"}'] == 5_005


async def test_health_names_every_check(seen: Context) -> None:
    assert await asked(seen, "/livez") == (200, "application/json", '{"status":"ok","reasons":[],"checks":{}}')
    status, _, body = await asked(seen, "/readyz")
    assert (status, json.loads(body)["checks"]) == (
        200,
        dict.fromkeys(("running", "shard", "queue", "database", "migrations"), "ok"),
    )


async def test_what_is_wrong_is_named(seen: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    await seen.rows("delete from migration where number = 2 returning 1")
    health = await health_of(seen)
    assert health.status == "unavailable"
    assert health.checks["migrations"] == "not migrated: 0002_provider_payins (`caudal migrate`)"
    await seen.rows("insert into migration (number, name) values (2, 'provider_payins') returning 1")
    assert (await health_of(seen)).status == "ok"

    shard = seen.shard(0)
    shard.lanes.admitted = seen.settings.queue_limit
    health = await health_of(seen)
    assert (health.status, health.reasons) == ("ok", ["shard 0: the queue is full, 0 commands wait"])
    shard.lanes.admitted = 0

    async def silent(*_: object) -> Any:
        raise OSError

    monkeypatch.setattr(seen, "rows", silent)
    status, _, body = await asked(seen, "/readyz")
    assert (status, json.loads(body)["checks"]["database"]) == (503, "the database does not answer: OSError")
    assert samples_of((await asked(seen, "/metrics"))[2])['caudal_ready{caudal_check="database"}'] == 0


async def test_a_database_that_hangs_is_told_however_seldom_somebody_looks(
    seen: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def database() -> float:
        return samples_of((await asked(seen, "/metrics"))[2])['caudal_ready{caudal_check="database"}']

    async def silent(*_: object) -> Any:
        await asyncio.Event().wait()

    assert await database() == 1
    monkeypatch.setattr("caudal.app.telemetry.health._ANSWER_S", 0.3)  # a look has ended long before the next one
    rows = seen.rows
    monkeypatch.setattr(seen, "rows", silent)
    await database()
    for _ in range(3):
        await asyncio.sleep(0.3)
        assert await database() == 0
    monkeypatch.setattr(seen, "rows", rows)
    async with asyncio.timeout(30):
        while await database() == 0:
            pass


async def test_all_who_ask_share_a_look(seen: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    rows, ana, reads, answering = seen.rows, Api(seen), Counter[str](), asyncio.Event()

    async def late(query: Any, *parameters: Any) -> Any:
        reads[query] += 1
        await answering.wait()
        return await rows(query, *parameters)

    async def noted(context: Context) -> Any:
        reads["overdue"] += 1
        return await overdue(context)

    monkeypatch.setattr(seen, "rows", late)
    monkeypatch.setattr("caudal.app.telemetry.health.overdue", noted)
    goes = asyncio.ensure_future(ana.get("/readyz"))
    waiting = [asyncio.ensure_future(ana.get("/readyz")) for _ in range(60)]
    beside = [asyncio.ensure_future(asked(seen, "/readyz")) for _ in range(10)]
    await asyncio.sleep(0.1)
    assert dict(reads) == {health.SQL["shards_ahead"]: 1}
    goes.cancel()  # who began the look and goes ends it for nobody
    await asyncio.sleep(0)
    answering.set()
    statuses = [one.status for one in await asyncio.gather(*waiting)]
    assert {*statuses, *(status for status, *_ in await asyncio.gather(*beside))} == {200}
    assert reads["overdue"] == 1


async def test_a_backlog_that_takes_long_to_count_makes_no_process_unready(
    seen: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(_: Context) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("caudal.app.telemetry.health.overdue", never)
    monkeypatch.setattr("caudal.app.telemetry.health._UNKNOWN_S", 0.01)
    health = await health_of(seen)
    assert (health.status, health.lacks) == ("ok", "")
    assert health.reasons == ["how many outcomes are unknown could not be found out: TimeoutError"]


async def test_a_shard_that_stands_still_is_told(seen: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    async with held_shard(seen):
        waiting = asyncio.ensure_future(seen.commit(0, Note(text="waits")))
        await asyncio.sleep(0.05)
        monkeypatch.setattr("caudal.app.telemetry.health._STUCK_S", 0.01)
        health = await health_of(seen)
        assert health.status == "ok"
        assert re.fullmatch(r"shard 0: a command has waited for \d s", health.checks["shard"])
    await waiting
    assert (await health_of(seen)).checks["shard"] == "ok"
    seen.shard(0)._failed = ("DiskFull no space", monotonic())
    assert (await health_of(seen)).checks["shard"] == "shard 0: its last batch was not written: DiskFull no space"


@asynccontextmanager
async def held_shard(context: Context) -> AsyncIterator[None]:
    """Somebody else has the shard's row."""
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(context.connection())
        await stack.enter_async_context(connection.transaction())
        await connection.execute("select from shard where id = 0 for update")
        yield


async def test_who_stops_says_so(seen: Context) -> None:
    seen.stopping = True
    status, _, body = await asked(seen, "/readyz")
    assert (status, json.loads(body)["reasons"]) == (503, ["this process is stopping"])
    assert (await asked(seen, "/livez"))[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/v1/payins", 404), ("POST", "/metrics", 405), ("HEAD", "/metrics", 200)],
)
async def test_nothing_else_is_there(seen: Context, method: str, path: str, status: int) -> None:
    answered, _, body = await asked(seen, path, method)
    assert answered == status
    assert (body == "") == (method == "HEAD")


async def test_a_port_that_another_one_has_is_taken_when_it_is_free(database_url: str) -> None:
    port = free_port()
    taken = create_server(("127.0.0.1", port))
    async with Context(settings_of(database_url, metrics_port=port), name="web") as context:
        async with OperatorPort(context).open():
            await asyncio.sleep(0.05)
            taken.close()
            async with asyncio.timeout(60):
                assert (await asked(context, "/livez"))[0] == 200
