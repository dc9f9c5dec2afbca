"""One side of a run: a caudal, the loop that loads it, and the meters that stand beside it while it does."""

import asyncio
import base64
import contextlib
import secrets
from collections import defaultdict
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from caudal_load.caudal_up import Running, caudal_up
from caudal_load.drive import ClosedLoop, OpenLoop
from caudal_load.merchants import make_merchants
from caudal_load.plan import Plan
from caudal_load.processes import own_cpu_s, trees_cpu_s
from caudal_load.scenario import Requests, Target
from caudal_load.seed import Say, seed
from caudal_load.verify import Verdict, median_batch, verify_by_api, verify_in_database

_FIRST_CONNECTIONS = 16
GENERATOR = "generator"


class Side:
    """What is loaded, with what, and what it cost so far."""

    def __init__(self, plan: Plan, running: Running, keys: list[str]) -> None:
        self.plan = plan
        self.running = running
        self.cpu_s: defaultdict[str, float] = defaultdict(float)
        self.slices: list[tuple[datetime, datetime]] = []
        self._keys = keys
        target = Target.of(running.url)
        self.requests = Requests(plan.scenario, target, keys)
        self.loop: ClosedLoop | OpenLoop = (
            ClosedLoop(target, self.requests) if plan.rate is None else OpenLoop(target, self.requests, plan.rate)
        )

    async def connect(self) -> None:
        """Open the connections: all of a closed loop, the first of an open one. Raises OSError."""
        await self.loop.connect(self.plan.connections or _FIRST_CONNECTIONS)

    async def load(self, lead_s: float, seconds: float) -> None:
        """Load for `lead_s` unmeasured and `seconds` measured seconds, and come to rest."""
        self.loop.start()
        await asyncio.sleep(lead_s)
        before = self._trees_cpu_s()
        before[GENERATOR] = own_cpu_s()  # read last, and first at the end: reading the others is no part of the load
        opened = datetime.now(UTC)
        self.loop.open_window()
        await asyncio.sleep(seconds)
        self.loop.close_window()
        self.slices.append((opened, datetime.now(UTC)))
        after = {GENERATOR: own_cpu_s(), **self._trees_cpu_s()}
        for name, used_s in after.items():
            self.cpu_s[name] += max(0.0, used_s - before.get(name, 0.0))
        await self.loop.rest()

    async def verify(self) -> Verdict:
        """Look for every payin that was acknowledged. Raises psycopg.Error or aiohttp.ClientError."""
        if self.running.database_url is not None:
            return await verify_in_database(self.running.database_url, self.requests, self.loop.tally)
        return await verify_by_api(self.running.url, self._keys, self.requests, self.loop.tally)

    async def median_batch(self) -> int | None:
        """The median batch of the measured slices; None without a database to ask."""
        if self.running.database_url is None:
            return None
        return await median_batch(self.running.database_url, self.slices)

    def _trees_cpu_s(self) -> dict[str, float]:
        return trees_cpu_s(dict(self.running.processes))


@contextlib.asynccontextmanager
async def started(plan: Plan, say: Say) -> AsyncIterator[Running]:
    """The caudal of a plan: one of our own, with the past that the plan wants, or the one that it names."""
    if plan.up:
        say("starting caudal …")
        kek = secrets.token_bytes(32)
        settings = {"CAUDAL_KEK": base64.b64encode(kek).decode(), **plan.settings}
        async with caudal_up(settings if plan.seed else plan.settings) as running:
            if plan.seed:
                assert running.database_url is not None
                say(f"seeding {plan.seed:,} payins …")
                await seed(running.database_url, plan.seed, kek=kek, say=say)
            yield running
    else:
        assert plan.url is not None
        say(f"loading {plan.url}")
        yield Running(
            url=Target.of(plan.url).url,
            database_url=plan.database_url,
            operator_key=plan.operator_key,
            processes={},
        )


async def side(plan: Plan, running: Running) -> Side:
    """A side with its merchants made. Raises SetupFailed."""
    if plan.key is not None and plan.merchants == 1:
        return Side(plan, running, [plan.key])
    assert running.operator_key is not None
    return Side(plan, running, await make_merchants(running.url, running.operator_key, plan.merchants))
