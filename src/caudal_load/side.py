"""One side of a run: a caudal, what loads it, and the meters that stand beside it while it does."""

import asyncio
import base64
import contextlib
import os
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from time import perf_counter_ns

from caudal_load.caudal_up import Running, caudal_up, up_in
from caudal_load.connection import Connection
from caudal_load.crew import Crew, Job
from caudal_load.crew.job import Seat
from caudal_load.drive import ClosedLoop, OpenLoop
from caudal_load.log_files import LEAST_S, make_log_files
from caudal_load.merchants import make_endpoints, make_instruments, make_merchants
from caudal_load.meters import Interval, Meter, intervals
from caudal_load.outside import Outside, come_to_rest
from caudal_load.payers import Payers
from caudal_load.plan import Plan
from caudal_load.processes import holders_of, own_cpu_s, trees_cpu_s, trees_memory_mb
from caudal_load.receiver import Receiver, secret_of
from caudal_load.scenario import Requests, Target
from caudal_load.seed import Say, seed
from caudal_load.verify import (
    Batched,
    Verdict,
    batched,
    lowest_id,
    paid_within,
    verify_by_api,
    verify_in_books,
    verify_in_database,
)

Cast = tuple[list[str], list[list[str]]]
"""The keys of merchants, and the cards of each."""
_FIRST_CONNECTIONS = 16
_LOOK_EVERY_S = 0.05
GENERATOR, CONDUCTOR = "generator", "conductor"
"""The processes that send, and the one that tells them when, reads meters and receives webhooks.

Where a loop runs in the process that was started, it is the generator, and there is no conductor.
"""


class Side:
    """What is loaded, with what, and what it cost so far. With `crew` processes of their own send the requests."""

    def __init__(
        self,
        plan: Plan,
        running: Running,
        keys: list[str],
        instruments: Sequence[Sequence[str]],
        crew: bool = False,
    ) -> None:
        self.outside: Outside | None = None
        self.plan = plan
        self.running = running
        self.cpu_s: defaultdict[str, float] = defaultdict(float)
        self.slices: list[tuple[datetime, datetime]] = []
        self.intervals: list[Interval] = []
        self.memory_mb: list[dict[str, float]] = []
        """Of every process when the first window opened and when the last one closed."""
        self._keys = keys
        self._holders: dict[int, str] = {}
        """Which API process of a caudal of our own held which of our ports at the end of the last load."""
        jobs = _jobs(plan, running, keys, instruments)
        self.requests = jobs[0].requests()
        self.loop: ClosedLoop | OpenLoop | Crew = Crew(jobs) if crew else jobs[0].loop(self.requests)

    async def connect(self) -> None:
        """Open the connections: all of a closed loop, the first of an open one. Raises OSError, CrewFailed."""
        await self.loop.connect(self.plan.connections or _FIRST_CONNECTIONS)
        if self.outside is not None and self.outside.payers is not None and not isinstance(self.loop, Crew):
            await self.outside.payers.connect()
            self.loop.promised = self.outside.payers.told

    async def load(self, lead_s: float, seconds: float) -> None:
        """Load for `lead_s` unmeasured and `seconds` measured seconds, and come to rest."""
        start_ns = perf_counter_ns()
        open_ns = start_ns + int(lead_s * 1e9)
        meter = None
        if isinstance(self.loop, Crew):
            self.loop.open_window(open_ns)  # said before, so that all know of it when it comes
            everybody = {**self.running.processes, **self.loop.pids}
            place = self.running.var if "postgres" in self.running.processes else None
            meter = Meter(everybody, self.running.database_url, alone={CONDUCTOR: os.getpid()}, place=place)
        self.loop.start(start_ns, lead_s)
        await asyncio.sleep((open_ns - perf_counter_ns()) / 1e9)
        self._note_memory()
        before = self._used_s()
        opened = datetime.now(UTC)
        if meter is not None:
            meter.start()
        else:
            open_ns = perf_counter_ns()  # reading has cost some milliseconds of this very loop
            self.loop.open_window(open_ns)
        if self.outside is not None:
            self.outside.receiver.measured = True
        await self._pass(seconds - (perf_counter_ns() - open_ns) / 1e9)
        closed_ns = perf_counter_ns()
        self.loop.close_window(closed_ns)
        self.slices.append((opened, datetime.now(UTC)))
        for name, used_s in self._used_s().items():
            self.cpu_s[name] += max(0.0, used_s - before.get(name, 0.0))
        if meter is not None:
            await asyncio.to_thread(meter.stop)
            before_s = (self.loop.tally.window_ns - closed_ns + open_ns) / 1e9
            self.intervals += intervals(meter.readings, open_ns, before_s)
        self._note_memory()
        self._holders = holders_of(self.web_pids(), Target.of(self.running.url).port)
        await self.loop.rest()
        if self.outside is not None and self.running.database_url is not None:
            await self.outside.note_behind(self.running.database_url)

    async def _pass(self, seconds: float) -> None:
        """Let the measured seconds pass, or fewer where the plan's requests are acknowledged before."""
        if self.plan.requests is None:
            await asyncio.sleep(seconds)
            return
        clock = asyncio.get_running_loop().time
        end_s = clock() + seconds
        # An event would cost every answer.
        while self.loop.tally.window_acknowledged < self.plan.requests and clock() < end_s:
            await asyncio.sleep(_LOOK_EVERY_S)
            if isinstance(self.loop, Crew):
                self.loop.look()

    async def settle(self) -> None:
        """Wait until what was acknowledged has come to its end, where that takes more than the answer."""
        database_url, tally = self.running.database_url, self.loop.tally
        if self.plan.scenario.through_provider and database_url is not None and tally.acknowledged:
            await come_to_rest(database_url, self.outside, lowest_id(tally), self.requests.prefix)
        if self.outside is not None:
            await self.outside.end()

    async def leave(self) -> None:
        """However the run ends: let the processes of the generator go."""
        if isinstance(self.loop, Crew):
            await self.loop.leave()

    def _note_memory(self) -> None:
        self.memory_mb = [*self.memory_mb[:1], trees_memory_mb(self.running.processes)]

    async def verify(self) -> Verdict:
        """Look for every payin that was acknowledged. Raises psycopg.Error or aiohttp.ClientError."""
        database_url, sandbox_url, tally = self.running.database_url, self.running.sandbox_url, self.loop.tally
        if database_url is None:
            return await verify_by_api(self.running.url, self._keys, self.requests, tally)
        verdict = await verify_in_database(database_url, self.requests, tally)
        if not self.plan.scenario.through_provider or sandbox_url is None:
            return verdict
        verdict = await verify_in_books(verdict, database_url, sandbox_url, self.requests, tally)
        return verdict if self.outside is None else replace(verdict, heard=await self.outside.heard(database_url))

    async def paid_rate(self) -> float | None:
        """Payins that became paid per second of the window; None where they are not looked for in two books."""
        if self.running.database_url is None or not self.plan.scenario.through_provider:
            return None
        if not self.loop.tally.acknowledged:
            return 0.0
        lowest = lowest_id(self.loop.tally)
        paid = await paid_within(self.running.database_url, self.slices, self.requests, lowest)
        return self.loop.tally.per_s(paid)

    async def batched(self) -> Batched | None:
        """The batches of the measured slices; None without a database to ask."""
        return None if self.running.database_url is None else await batched(self.running.database_url, self.slices)

    def web_pids(self) -> dict[str, int]:
        """The API processes of a caudal of our own, by name."""
        return {name: pid for name, pid in self.running.processes.items() if name.startswith("web")}

    @property
    def seats_by_process(self) -> dict[str, list[Connection | Seat]]:
        """Which API process of a caudal of our own held which connections at the end of the last load."""
        held: defaultdict[str, list[Connection | Seat]] = defaultdict(list)
        for seat in self.loop.seats:
            if seat.port is not None and seat.port in self._holders:
                held[self._holders[seat.port]].append(seat)
        return dict(sorted(held.items()))

    def _used_s(self) -> dict[str, float]:
        """CPU seconds of every process; those of the generator together."""
        if not isinstance(self.loop, Crew):
            return {GENERATOR: own_cpu_s(), **trees_cpu_s(self.running.processes)}
        used_s = trees_cpu_s({**self.running.processes, **self.loop.pids})
        generator_s = sum(used_s.pop(name, 0.0) for name in self.loop.pids)
        return {GENERATOR: generator_s, CONDUCTOR: own_cpu_s(), **used_s}


def _jobs(plan: Plan, running: Running, keys: list[str], instruments: Sequence[Sequence[str]]) -> list[Job]:
    """The parts of a crew, or of one loop, which is like a crew of one."""
    pays = plan.scenario.whole_flows
    run, seed = secrets.token_hex(4), secrets.randbits(31)
    sandbox = Target.of(running.sandbox_url) if pays and running.sandbox_url else None
    return [
        Job(
            scenario=plan.scenario,
            target=Target.of(running.url),
            keys=keys,
            instruments=instruments,
            run=run,
            first=number,
            step=plan.processes,
            phases=plan.shape,
            seed=seed,
            sandbox=sandbox,
        )
        for number in range(plan.processes)
    ]


@contextlib.asynccontextmanager
async def started(plan: Plan, say: Say) -> AsyncIterator[Running]:
    """The caudal of a plan: one of our own, with the past that the plan wants, or the one that it names."""
    if plan.up:
        say("starting caudal …")
        kek = secrets.token_bytes(32)
        settings = dict(plan.settings)
        if plan.scenario.whole_flows:
            settings = {"CAUDAL_WEBHOOK_LOOPBACK": "1"} | settings
        if plan.seed:
            settings = {"CAUDAL_KEK": base64.b64encode(kek).decode()} | settings
        async with caudal_up(settings) as running:
            if plan.seed:
                assert running.database_url is not None
                say(f"seeding {plan.seed:,} payins …")
                await seed(running.database_url, plan.seed, kek=kek, say=say)
            if running.database_url is not None and plan.seconds >= LEAST_S:
                await make_log_files(running.database_url, plan.warm_up_s + plan.seconds)
            yield running
    elif plan.var is not None:
        running = up_in(plan.var)
        say(f"loading {running.url}")
        yield running
    else:
        assert plan.url is not None
        say(f"loading {plan.url}")
        yield Running(
            url=Target.of(plan.url).url,
            database_url=plan.database_url,
            sandbox_url=plan.sandbox_url,
            operator_key=plan.operator_key,
            processes={},
        )


async def side(plan: Plan, running: Running, crew: bool = False, cast: Cast | None = None) -> Side:
    """A side with its merchants made, and their cards, unless they are given. Raises SetupFailed."""
    keys, instruments = cast or await merchants_of(plan, running)
    made = Side(plan, running, keys, instruments, crew)
    if plan.scenario.whole_flows:
        made.outside = await _outside(running, made.requests, keys, crew)
    return made


async def merchants_of(plan: Plan, running: Running) -> Cast:
    """The keys of a plan's merchants, and the cards of each. Raises SetupFailed."""
    if plan.key is not None and plan.merchants == 1:
        keys = [plan.key]
    else:
        assert running.operator_key is not None
        keys = await make_merchants(running.url, running.operator_key, plan.merchants, plan.scenario.fees)
    return keys, await make_instruments(running.url, keys) if plan.scenario.instruments else []


async def _outside(running: Running, requests: Requests, keys: list[str], crew: bool) -> Outside:
    """Payers, unless a crew has them, and a receiver that every merchant of the side has its events sent to."""
    assert running.sandbox_url is not None, "a plan with whole flows names it"
    receiver = Receiver()
    endpoints = await make_endpoints(running.url, keys, await receiver.start())
    receiver.secrets = [secret_of(secret) for _, secret in endpoints]
    payers = None if crew else Payers(Target.of(running.sandbox_url), requests)
    return Outside(payers, receiver, [id for id, _ in endpoints])
