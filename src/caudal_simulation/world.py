"""One history's world: a server, the outside, receivers, two webs and a worker, and what befalls them."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping
from datetime import timedelta
from random import Random
from typing import Any, Final

import msgspec

from caudal.kernel.http import Response
from caudal_simulation import nature
from caudal_simulation.chance import Faults
from caudal_simulation.database import Database, Row
from caudal_simulation.database.byhand import statement_of
from caudal_simulation.loop import Loop
from caudal_simulation.nature import CLOCK
from caudal_simulation.network import Network
from caudal_simulation.outside import Outside
from caudal_simulation.programs import Lost, Program, Receiver, WebProgram, WorkerProgram, promise
from caudal_simulation.provider import CardProvider
from caudal_simulation.server import Server
from caudal_simulation.signatures import bank_signature, provider_signature

Rows = Mapping[str, Mapping[Row, Row]]

_WEBS: Final = ("web one", "web two")


class World:
    """Everything there is. `rate` multiplies what goes wrong by itself; 0 is a world in which nothing does."""

    def __init__(self, seed: int, rows: Rows, *, rate: float = 1.0, shown: bool = False) -> None:
        nature.begin(seed)
        self.seed, self.random = seed, Random(seed)
        self.loop = Loop(CLOCK)
        self.faults = Faults(self.random, self.loop, CLOCK, rate)
        self.database = Database(statement_of, CLOCK.wall, packed=False).restored(rows)
        self.server = Server(self.database, self.faults)
        self.outside, self.receiver = Outside(self.faults, self.told), Receiver()
        self.network = Network(self.faults, self.outside.at)
        self.loop.connecting = self.network.connect
        for provider in self.outside.providers:
            provider.forgets = seed % 3 == 0
        promise(deduplicates=seed % 3 != 0)
        self.webs: list[WebProgram] = []
        self.worker: WorkerProgram | None = None
        self.dead: list[Program] = []
        self.shown = shown
        self.story: list[str] = []  # what happened, for whoever replays a seed
        self.deposits: dict[str, tuple[str, int]] = {}  # what the bank has taken: tracking key → CLABE, amount
        self.restless = False  # it never became quiet
        self.owed = 0  # callbacks that are on their way
        self.callbacks = 0

    def run(self, story: Coroutine[Any, Any, None]) -> None:
        """Plays a story to its end."""
        self.loop.run_until_complete(self.loop.create_task(self._opened(story)))

    async def _opened(self, story: Coroutine[Any, Any, None]) -> None:
        self.webs = [WebProgram(self.server, self.faults, name) for name in _WEBS]
        self.worker = WorkerProgram(self.server, self.faults, "worker", self.receiver)
        await story

    def note(self, text: str) -> None:
        """One line of what happened."""
        if self.shown:
            self.story.append(f"{CLOCK.now_s:10.4f}  {text}")

    # Programs die and begin again

    def kill_web(self, number: int, for_s: float) -> None:
        """A web process is killed; its supervisor starts it again."""
        self.note(f"kill {_WEBS[number]}")
        self.faults.happened["web killed"] += 1
        self.dead.append(self.webs[number])
        self.webs[number].kill()
        self.faults.later(for_s, self._start_web, number)

    def _start_web(self, number: int) -> None:
        self.note(f"start {_WEBS[number]}")
        self.webs[number] = WebProgram(self.server, self.faults, _WEBS[number])

    def kill_worker(self, for_s: float) -> None:
        """The worker is killed, likewise."""
        assert self.worker is not None
        self.note("kill worker")
        self.faults.happened["worker killed"] += 1
        self.dead.append(self.worker)
        self.worker.kill()
        self.faults.later(for_s, self._start_worker)

    def _start_worker(self) -> None:
        self.note("start worker")
        self.worker = WorkerProgram(self.server, self.faults, "worker", self.receiver)

    def kill_database(self, for_s: float) -> None:
        """The database's server is killed and recovers."""
        self.note("kill database")
        self.faults.happened["database killed"] += 1
        self.server.crash(for_s)

    def close_outside(self, for_s: float) -> None:
        """A provider is away, or the bank, or all of them."""
        everybody = self.outside.everybody()
        gone = everybody if self.random.random() < 0.4 else [self.faults.pick(everybody)]
        self.note(f"{len(gone)} of the outside away")
        self.faults.happened["provider away"] += 1
        for service in gone:
            service.up = False
        self.faults.later(for_s, self._open_outside)

    def _open_outside(self) -> None:
        for service in self.outside.everybody():
            service.up = True

    # The outside calls

    async def ask(
        self, method: str, path: str, body: bytes, headers: dict[bytes, bytes], web: int | None = None
    ) -> Response:
        """A request to one of the webs. Raises Lost."""
        number = int(self.random.random() * len(self.webs)) if web is None else web
        return await self.webs[number].request(method, path, body, headers)

    async def deposit(self, tracking: str, clabe: str, amount: int) -> None:
        """The bank has taken money, and says so until it is heard; sometimes again, and sometimes to both."""
        self.deposits[tracking] = (clabe, amount)
        told = {"tracking_key": tracking, "clabe": clabe, "amount": amount, "currency": "MXN"}
        body = msgspec.json.encode({**told, "payer_name": "Beto Ruiz"})
        self.owed += 1
        await self._tell("/v1/callbacks/spei", body, f"deposit {tracking} of {amount}")
        self.owed -= 1

    def told(self, provider: CardProvider, about: str, told: dict[str, Any]) -> None:
        """A provider calls back: late, twice, out of order, and again until it is heard."""
        self.callbacks += 1
        self.owed += 1
        body = msgspec.json.encode({"id": f"cb_{self.callbacks}", "type": about, about: told})
        self.loop.create_task(self._callback(provider, body, f"{provider.name} tells {about} {told['status']}"))

    async def _callback(self, provider: CardProvider, body: bytes, what: str) -> None:
        if self.faults.happens("late callback", 0.2):
            await asyncio.sleep(self.faults.spread(0.5, 4.0))
        else:
            await asyncio.sleep(self.random.random() * 0.2)
        await self._tell(f"/v1/callbacks/{provider.name}/card", body, what, provider)
        self.owed -= 1

    async def _tell(self, path: str, body: bytes, what: str, provider: CardProvider | None = None) -> None:
        twice = self.faults.happens("callback twice", 0.1)
        pause_s = 0.2
        while True:
            at = int(CLOCK.time())
            headers = {b"content-type": b"application/json"}
            if provider is None:
                headers[b"spei-signature"] = bank_signature(at, body).encode()
            else:
                headers[b"provider-signature"] = provider_signature(provider.secret, at, path, body).encode()
            try:
                status = (await self.ask("POST", path, body, headers)).status
            except Lost:
                status = 0
            self.note(f"{what}: {status or 'no answer'}")
            if status == 200:
                if not twice:
                    return
                twice = False
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, 2.0)

    # The end

    def heal(self) -> None:
        """Nothing goes wrong from here on, and everything runs."""
        self.note("heal")
        self.faults.on, self.server.up = False, True
        self._open_outside()
        for number, web in enumerate(self.webs):
            if not web.alive:
                self._start_web(number)
        if self.worker is not None and not self.worker.alive:
            self._start_worker()

    def in_days(self, days: int) -> str:
        """A moment some days from now, RFC 3339."""
        return (CLOCK.wall() + timedelta(days=days)).isoformat()

    def jump(self, seconds: float) -> None:
        """Time passes in which nobody does anything."""
        CLOCK.at_s += seconds

    def close(self) -> None:
        """Everything ends; what was still waiting is dropped without a word."""
        for program in [*self.webs, *self.dead, *([self.worker] if self.worker else [])]:
            program.process.alive = False
