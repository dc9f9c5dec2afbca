"""A rolling restart under load: two API processes behind a plain TCP balancer and two workers, each restarted in turn.

A process is asked to end (SIGTERM), waited for, and started again; the others do its work meanwhile. Nobody may
notice: every request that is not acknowledged, refused or without an answer, is a failed one. PostgreSQL, the sandbox,
and an API process that the sandbox calls back, are those of a `caudal up`, and go on.
"""

import asyncio
import base64
import contextlib
import os
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import aiohttp

from caudal_load.balancer import Balancer
from caudal_load.caudal_up import CaudalFailed, Running, caudal_up, free_ports
from caudal_load.histogram import Histogram
from caudal_load.plan import Plan
from caudal_load.processes import machine
from caudal_load.scenario import Target
from caudal_load.seed import Say
from caudal_load.side import Side, side

_READY_S = 30.0
_ENDED_S = 60.0
_LOOK_S = 0.05
_NOTICE_S = "0"  # the balancer does not ask for health: it goes by who takes connections
_WORKER_BEGINS_S = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RollingReport:
    """What the restarts did to the requests. Latencies are milliseconds."""

    scenario: str
    restarts: int
    restarted: Mapping[str, int]
    """How often each process."""
    exits: Mapping[str, int]
    """With which status they ended, and how many."""
    acknowledged: int
    failed: int
    """Refused, without an answer, or not readable."""
    refused_by_status: Mapping[str, int]
    unknown: int
    refused_connections: int
    """That the balancer took to the other process."""
    given_up_connections: int
    rate: float
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    webhook_lag_max_ms: float | None
    """From an event to its arrival: work and endpoints of a worker that ends are with the other one at once."""
    undelivered: int | None
    lost: int
    doubled: int
    seconds: float
    machine: Mapping[str, str | int]

    @property
    def passed(self) -> bool:
        """Whether every process was restarted and nobody noticed."""
        wrong = (self.failed, self.lost, self.doubled, self.undelivered, self.given_up_connections)
        ended = set(self.exits) == {"0"} and min(self.restarted.values(), default=0) > 0
        return ended and self.acknowledged > 0 and not any(wrong)

    def as_json(self) -> dict[str, Any]:
        """One flat object."""
        return asdict(self) | {"passed": self.passed}


class Processes:
    """API processes and workers of our own on a caudal's database."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.restarted, self.exits = dict[str, int](), dict[str, int]()
        self._environment = environment
        self._ports = dict[str, int]()
        self._running = dict[str, asyncio.subprocess.Process]()

    async def start(self, name: str, port: int | None = None) -> None:
        """Start one and wait until it is ready. Raises CaudalFailed."""
        if port is not None:
            self._ports[name] = port
        port = self._ports.get(name)
        self._running[name] = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "caudal", "worker" if port is None else "web"),
            env={**self._environment, "CAUDAL_PORT": str(port or 0)},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        if port is None:
            await asyncio.sleep(_WORKER_BEGINS_S)
            return
        async with aiohttp.ClientSession() as session:
            for _ in range(int(_READY_S / _LOOK_S)):
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.get(f"http://127.0.0.1:{port}/readyz") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(_LOOK_S)
        raise CaudalFailed(f"{name} is not ready after {_READY_S:.0f} s")

    async def restart(self, name: str) -> None:
        """End it in order, and start it again. Raises CaudalFailed."""
        status = str(await self._end(name))
        self.exits[status] = self.exits.get(status, 0) + 1
        await self.start(name)
        self.restarted[name] = self.restarted.get(name, 0) + 1

    async def end(self) -> None:
        """End all."""
        for name in list(self._running):
            with contextlib.suppress(CaudalFailed):
                await self._end(name)

    async def _end(self, name: str) -> int:
        process = self._running.pop(name)
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.wait_for(process.wait(), _ENDED_S)
        except TimeoutError:
            process.kill()
            raise CaudalFailed(f"{name} did not end within {_ENDED_S:.0f} s of SIGTERM") from None


@contextlib.asynccontextmanager
async def _world(say: Say) -> AsyncIterator[tuple[Running, Processes, list[Target]]]:
    """A `caudal up` without a worker, and two processes of each kind beside it."""
    shared = {
        "CAUDAL_KEK": base64.b64encode(secrets.token_bytes(32)).decode(),
        "CAUDAL_SPEI_SECRET_TEST": secrets.token_hex(16),
        "CAUDAL_PROVIDER_SECRET_TEST": secrets.token_hex(16),
        "CAUDAL_WEBHOOK_LOOPBACK": "1",
    }
    say("starting caudal …")
    async with caudal_up(shared | {"CAUDAL_WORKER_PROCESSES": "0"}) as running:
        assert running.database_url is not None and running.sandbox_url is not None
        outside = {name: value for name, value in os.environ.items() if not name.startswith("CAUDAL_")}
        own = {"CAUDAL_DATABASE_URL": running.database_url, "CAUDAL_SANDBOX_URL": running.sandbox_url}
        processes = Processes(outside | shared | own | {"CAUDAL_STOP_NOTICE_S": _NOTICE_S})
        ports = free_ports(2)
        try:
            starts = [(f"web-{number}", port) for number, port in enumerate(ports, 1)]
            workers: list[tuple[str, int | None]] = [("worker-1", None), ("worker-2", None)]
            await asyncio.gather(*(processes.start(name, port) for name, port in [*starts, *workers]))
            yield running, processes, [Target(host="127.0.0.1", port=port) for port in ports]
        finally:
            await processes.end()


async def rolling(plan: Plan, say: Say) -> RollingReport:
    """Restart every process in turn while the plan's load goes on, for its seconds at least. Raises as `run` does."""
    plan = replace(plan, up=True).checked()
    clock = asyncio.get_running_loop().time
    async with _world(say) as (running, processes, addresses):
        balancer = Balancer(addresses)
        front = await balancer.start()
        loaded = await side(plan, replace(running, url=front.url))
        await loaded.connect()
        loaded.loop.start()
        await asyncio.sleep(plan.warm_up_s)
        began = clock()
        loaded.loop.open_window()
        if loaded.outside is not None:
            loaded.outside.receiver.measured = True
        while clock() - began < plan.seconds or not processes.restarted:
            for name in ("web-1", "web-2", "worker-1", "worker-2"):
                await processes.restart(name)
                say(f"{name} was restarted: {loaded.loop.tally.acknowledged:,} acknowledged so far")
        loaded.loop.close_window()
        seconds = clock() - began
        await loaded.loop.rest()
        await loaded.loop.end()
        await loaded.settle()
        report = await _report(plan, loaded, processes, balancer, seconds)
        await balancer.end()
    return report


async def _report(plan: Plan, loaded: Side, processes: Processes, balancer: Balancer, seconds: float) -> RollingReport:
    tally, latencies, verdict = loaded.loop.tally, Histogram(), await loaded.verify()
    for seat in loaded.loop.seats:
        latencies.merge(seat.histogram)
    outside = loaded.outside
    return RollingReport(
        scenario=plan.scenario.name,
        restarts=sum(processes.restarted.values()),
        restarted=dict(processes.restarted),
        exits=dict(processes.exits),
        acknowledged=tally.acknowledged,
        failed=tally.refused + tally.unknown + tally.malformed,
        refused_by_status={str(status): count for status, count in sorted(tally.refused_by_status.items())},
        unknown=tally.unknown,
        refused_connections=balancer.refused,
        given_up_connections=balancer.given_up,
        rate=tally.rate,
        p50_ms=_ms(latencies, 50),
        p99_ms=_ms(latencies, 99),
        max_ms=_ms(latencies, 100),
        webhook_lag_max_ms=None if outside is None else _ms(outside.receiver.lag, 100),
        undelivered=None if verdict.heard is None else verdict.heard.undelivered,
        lost=len(verdict.lost),
        doubled=len(verdict.doubled),
        seconds=round(seconds, 1),
        machine=machine(),
    )


def _ms(latencies: Histogram, percent: float) -> float | None:
    value = latencies.percentile_ns(percent)
    return None if value is None else round(value / 1e6, 1)
