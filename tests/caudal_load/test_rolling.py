"""Processes are restarted under load behind a plain TCP balancer, and nobody notices."""

import asyncio
import json
import subprocess
import sys

import aiohttp
import pytest

from caudal_load.balancer import Balancer
from caudal_load.caudal_up import free_ports
from caudal_load.rolling import RollingReport
from caudal_load.scenario import Target
from tests.caudal_load.fake_caudal import FakeCaudal, running

BODY = '{"reference":"r"}'


async def test_connections_go_round_and_a_refused_one_goes_to_the_next() -> None:
    async with running(FakeCaudal()) as one, running(FakeCaudal()) as other:
        nobody = Target(host="127.0.0.1", port=free_ports(1)[0])
        balancer = Balancer([Target.of(one.url), nobody, Target.of(other.url)])
        front = await balancer.start()
        for _ in range(6):
            async with aiohttp.ClientSession(front.url) as session, session.post("/v1/payins", data=BODY) as answer:
                assert answer.status == 201
        assert [len(fake.asked) for fake in (one, other)] == [3, 3] and balancer.refused >= 3
        assert balancer.given_up == 0
        await balancer.end()


async def test_who_finds_nobody_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caudal_load.balancer._PATIENCE_S", 0.1)
    balancer = Balancer([Target(host="127.0.0.1", port=free_ports(1)[0])])
    front = await balancer.start()
    reader, writer = await asyncio.open_connection(front.host, front.port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    async with asyncio.timeout(30):
        assert await reader.read() == b""
    assert balancer.given_up == 1
    writer.close()
    await balancer.end()


async def test_what_a_server_ends_is_ended_for_its_caller_with_all_that_was_said() -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.readline() * 10_000)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    balancer = Balancer([Target(host="127.0.0.1", port=server.sockets[0].getsockname()[1])])
    front = await balancer.start()
    reader, writer = await asyncio.open_connection(front.host, front.port)
    writer.write(b"hello\n")
    async with asyncio.timeout(30):
        assert await reader.read() == b"hello\n" * 10_000
    writer.close()
    server.close()
    await balancer.end()


@pytest.mark.parametrize(
    ("changed", "passed"),
    [
        ({}, True),
        ({"failed": 1}, False),
        ({"lost": 1}, False),
        ({"doubled": 1}, False),
        ({"undelivered": 1}, False),
        ({"given_up_connections": 1}, False),
        ({"exits": {"0": 3, "1": 1}}, False),
        ({"restarted": {}}, False),
        ({"acknowledged": 0}, False),
    ],
)
def test_a_report_passes_when_all_were_restarted_and_nobody_noticed(changed: dict[str, object], passed: bool) -> None:
    figures: dict[str, object] = {
        "scenario": "mixed",
        "restarts": 4,
        "restarted": {"web-1": 2, "worker-1": 2},
        "exits": {"0": 4},
        "acknowledged": 100,
        "failed": 0,
        "refused_by_status": {},
        "unknown": 0,
        "refused_connections": 9,
        "given_up_connections": 0,
        "rate": 100.0,
        "p50_ms": 1.0,
        "p99_ms": 1.0,
        "max_ms": 1.0,
        "webhook_lag_max_ms": None,
        "undelivered": None,
        "lost": 0,
        "doubled": 0,
        "seconds": 1.0,
        "machine": {},
    }
    report = RollingReport(**(figures | changed))  # type: ignore[arg-type]
    assert report.passed == passed == json.loads(json.dumps(report.as_json()))["passed"]


@pytest.mark.server
def test_two_api_processes_and_two_workers_are_restarted_and_no_request_fails() -> None:
    command = (sys.executable, "-m", "caudal_load", "rolling", "spei-create", "--connections", "4", "--json")
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    report = json.loads(done.stdout)
    assert (done.returncode, report["failed"], report["exits"]) == (0, 0, {"0": 4}), done.stderr
    assert report["restarted"] == dict.fromkeys(("web-1", "web-2", "worker-1", "worker-2"), 1)
    assert report["acknowledged"] > 0 and (report["lost"], report["doubled"]) == (0, 0)
