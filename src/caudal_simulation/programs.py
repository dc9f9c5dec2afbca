"""caudal's programs in the simulated world: webs and workers, each with a context of its own, all killed at once.

The code is the real one from the request's head down; what a context is given instead are the port, the pool, the
sender of webhooks and the one cipher that would cost more than everything else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context as Variables
from contextvars import copy_context
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any, Final, cast

import msgspec
import psycopg

from caudal.app.web import Web
from caudal.app.worker import Places, Worker
from caudal.connectors import registry
from caudal.connectors.card import client as card
from caudal.kernel.commit import Row, Shard
from caudal.kernel.context import Context, Turns, limits_of
from caudal.kernel.errors import Retry
from caudal.kernel.http import Response
from caudal.kernel.seal import Sealer
from caudal.kernel.settings import Settings
from caudal.kernel.telemetry import Meter
from caudal.vault.envelope import Envelopes
from caudal.webhooks import Deliverer
from caudal.webhooks.model import Attempt
from caudal.webhooks.sender import Sender, Target
from caudal_simulation.chance import Faults
from caudal_simulation.loop import OF, Process
from caudal_simulation.nature import CLOCK
from caudal_simulation.outside import PROVIDERS
from caudal_simulation.server import Connection, Pool, Server, SimulatedPort
from caudal_simulation.signatures import BANK_SECRET

SETTINGS: Final = Settings(
    database_url="postgresql://simulated",
    kek="AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
    sandbox_url="http://bank:80",
    providers=str(PROVIDERS),
    spei_secret_test=BANK_SECRET,
    request_timeout_ms=2_500,
    provider_timeout_ms=700,
    provider_breaker_open_s=1.0,
    batch_deadline_s=2.0,
    lease_s=4.0,
    worker_poll_s=0.5,
    webhook_timeout_s=3.0,
    webhook_loopback=True,
)
SEALER: Final = Sealer(SETTINGS.kek_bytes())


ENVELOPES: Final = Envelopes(cast(Any, SimpleNamespace(settings=SETTINGS)))


def promise(*, deduplicates: bool) -> None:
    """What the card provider says of itself: whether it knows a payment by its key when it is ordered again."""
    abilities = msgspec.structs.replace(registry.CAPABILITIES["card"], deduplicates=deduplicates)
    registry.CAPABILITIES["card"] = abilities
    vars(card)["CAPABILITIES"] = abilities


class SimulatedContext(Context):
    """A program's way to the simulated world."""

    def __init__(self, server: Server, name: str) -> None:
        self.settings, self.name, self.sealer = SETTINGS, name, SEALER
        self._server = server
        self._shards: dict[int, Shard] = {}
        self._once: dict[object, Any] = {Envelopes: ENVELOPES}
        self._every_shard = ((), 0.0)
        self.meter, self.tracer = Meter(), None
        self.stopping = False
        self.closing: list[Callable[[], Awaitable[None]]] = []
        self.pool = self._key_pool = cast(Any, Pool(server))
        self.primary = cast(Any, SimulatedPrimary(server))
        self._turns = Turns(2)

    def shard(self, id: int) -> Shard:
        found = self._shards.get(id)
        if found is None:
            found = self._shards[id] = Shard(id, SimulatedPort(self._server), limits_of(self.settings))
            found.start()
        return found

    def connection(self, within_s: float | None = None) -> Any:
        return self.pool.connection()

    async def _read(self, query: Any, parameters: Any, pool: Any = None) -> list[Row]:
        try:
            return await self._server.read(query, parameters)
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise Retry("database_unavailable", "the database does not answer") from error


class SimulatedPrimary:
    """The way to the server that is written: there is one."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def connect(self, **settings: str) -> Connection:
        """A connection for what is written outside of batches. Raises psycopg.Error."""
        return Connection(self._server, await self._server.connect())


class Lost(Exception):
    """A request has no answer: nobody knows what became of it."""


class Program:
    """One process, from its start to its kill."""

    def __init__(self, server: Server, faults: Faults, name: str) -> None:
        self.server, self.faults, self.process = server, faults, Process(name)
        self._variables = copy_context()
        self._variables.run(OF.set, self.process)
        self.context = self._variables.run(SimulatedContext, server, name)

    def variables(self) -> Variables:
        """What a task of this program runs in."""
        return self._variables.copy()

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.alive

    def kill(self) -> None:
        """It is gone, between two instructions; the world notices as it does."""
        self.process.alive = False
        leaving, self.process.leaving = self.process.leaving, []
        for leave in leaving:
            leave()


class WebProgram(Program):
    """A web process: requests come in over connections that break with it."""

    def __init__(self, server: Server, faults: Faults, name: str) -> None:
        super().__init__(server, faults, name)
        self.web = Web(self.context)
        self._open: dict[asyncio.Future[Response], None] = {}  # in order: a set's depends on addresses

    async def request(self, method: str, path: str, body: bytes, headers: dict[bytes, bytes]) -> Response:
        """A request and its answer, as a client sees it. Raises Lost."""
        faults = self.faults
        await faults.hop()
        if not self.alive or faults.happens("request lost", 0.01):
            raise Lost("no connection")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Response] = loop.create_future()
        self._open[answer] = None

        def answered(task: asyncio.Task[Response]) -> None:
            if task.cancelled() or not self.alive:
                return
            if faults.happens("answer lost", 0.02):
                faults.later(faults.hop_s(), _lose, answer)
            else:
                faults.later(faults.hop_s(), _give, answer, task.result())

        task = loop.create_task(self._serve(method, path, body, headers), context=self.variables())
        task.add_done_callback(answered)
        try:
            return await answer
        finally:
            self._open.pop(answer, None)

    async def _serve(self, method: str, path: str, body: bytes, headers: dict[bytes, bytes]) -> Response:
        return await self.web.answer(self.web.opened(method, path, b"", headers), body)

    def kill(self) -> None:
        super().kill()
        for answer in list(self._open):
            self.faults.later(self.faults.hop_s(), _lose, answer)


def _give(answer: asyncio.Future[Response], response: Response) -> None:
    if not answer.done():
        answer.set_result(response)


def _lose(answer: asyncio.Future[Response]) -> None:
    if not answer.done():
        answer.set_exception(Lost("the connection broke"))


class SimulatedWorker(Worker):
    """The worker's loops over money and deliveries; partitions, search and files have no part in a history."""

    def _begin(self, shard: int) -> None:
        self._places[shard] = Places()
        self._deliverers[shard] = Deliverer(self._context, shard)
        for step in (self._due, self._fan_out):
            self._group.create_task(self._loop(step, shard))
        self._group.create_task(self._deliverers[shard].run(self._stopping))


class WorkerProgram(Program):
    """A worker process."""

    def __init__(self, server: Server, faults: Faults, name: str, receiver: Receiver) -> None:
        super().__init__(server, faults, name)
        self.context._once[Sender] = SimulatedSender(faults, receiver)
        self.worker = SimulatedWorker(self.context)
        asyncio.get_running_loop().create_task(self.worker.run(), context=self.variables())


class Receiver:
    """The merchants' endpoints: what they were sent, in order, and how they answered."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, bytes, bool]] = []  # endpoint's address, event, body, whether it was accepted


class SimulatedSender:
    """The wire of webhooks."""

    def __init__(self, faults: Faults, receiver: Receiver) -> None:
        self._faults, self._receiver = faults, receiver

    async def send(self, target: Target, event: str, body: bytes, number: int, traceparent: str) -> Attempt:
        """One attempt: taken, refused, unheard, or never there."""
        faults, began = self._faults, CLOCK.now_s
        status: int | None = 200
        error: str | None = None
        await faults.hop()
        if faults.happens("receiver lost the message", 0.03):
            status, error = None, "the connection broke"
        elif faults.happens("receiver answers 500", 0.03):
            self._receiver.heard.append((target.text, event, body, False))
            status = 500
        else:
            self._receiver.heard.append((target.text, event, body, True))
            await faults.hop()
            if faults.happens("receiver's answer unheard", 0.03):
                status, error = None, "the connection broke"
        return Attempt(
            number=number,
            at=datetime.fromtimestamp(CLOCK.time(), UTC),
            url=target.text,
            signature="",
            duration_us=round((CLOCK.now_s - began) * 1_000_000),
            status=status,
            error=error,
            answer=None if status is None else b"",
        )
