"""A history: three clients and more, at least twenty commands, at least one fault, then peace, then the checks."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import cache
from typing import Final

from caudal.merchants import first_merchant
from caudal_simulation.checks import CHECKS
from caudal_simulation.clients import Client, Merchant
from caudal_simulation.database import Transaction, relations
from caudal_simulation.database.byhand import UNKNOWN, Unsimulated
from caudal_simulation.loop import Endless
from caudal_simulation.nature import CLOCK
from caudal_simulation.world import Rows, World

_CARD: Final = (
    b'{"type":"card","card":{"number":"4111111111111111","expiry_month":12,"expiry_year":2040,'
    b'"holder_name":"ANA PEREZ"}}'
)
_ENDPOINT: Final = b'{"url":"http://localhost:8080/caro"}'  # of the last one; the others' events are for nobody
_NAMES: Final = ("Ana", "Caro")
# Money that waits for its day is not stuck; a payin that waits for its payer is not either.
_WAITS: Final = ("funds.release", "payin.expire")
_ROUNDS: Final = 80
_COMMANDS: Final = 20  # of all clients together, at least


class Told(Exception):
    """The beginning of the world did not go as it must."""


class History:
    """What became of a seed."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.commands = 0
        self.faults: Counter[str] = Counter()
        self.violations: list[tuple[str, str]] = []  # check, what is wrong
        self.told: list[str] = []
        self.journal: list[Transaction] = []
        self.rows: Rows = {}


@cache
def beginning() -> tuple[Rows, tuple[Merchant, ...]]:
    """The rows of a world in which merchants have keys, a card in the vault and an endpoint; and the merchants."""
    world = World(0, {"shard": {(0,): (0, *relations()["shard"].defaults[1:])}}, rate=0.0)
    merchants: list[Merchant] = []

    async def begins() -> None:
        context = world.webs[0].context
        for name in _NAMES:
            _, secret = await first_merchant(context, name, "BR")
            await asyncio.sleep(0.5)
            headers = {b"authorization": f"Bearer {secret}".encode(), b"content-type": b"application/json"}
            kept = await world.ask("POST", "/v1/instruments", _CARD, headers, 0)
            await asyncio.sleep(0.5)
            if kept.status != 201:
                raise Told(f"{kept.body!r}")
            instrument = kept.body.partition(b'"id":"')[2].partition(b'"')[0].decode()
            merchants.append(Merchant(name, secret, len(merchants) + 1, instrument))
        named = {**headers, b"idempotency-key": b"hears"}
        hears = await world.ask("POST", "/v1/webhook_endpoints", _ENDPOINT, named, 0)
        await asyncio.sleep(0.5)
        if hears.status != 201:
            raise Told(f"{hears.body!r}")

    world.run(begins())
    world.close()
    return {name: dict(rows) for name, rows in world.database.rows.items() if rows}, tuple(merchants)


def play(
    seed: int, *, rate: float = 1.0, off: frozenset[str] = frozenset(), journal: bool = False, shown: bool = False
) -> History:
    """Plays the history of a seed and checks how it ended, without the checks that are off."""
    rows, merchants = beginning()
    world = World(seed, rows, rate=rate, shown=shown)
    if journal:
        world.database.journal = []
    clients = [Client(world, merchants[number % len(merchants)], number) for number in range(4 if seed % 4 == 0 else 3)]
    try:
        world.run(_story(world, clients))
    except Endless:
        world.restless = True
    history = History(seed)
    history.commands = sum(client.commands for client in clients)
    history.faults, history.told = world.faults.happened, world.story
    history.journal, history.rows = world.database.journal or [], world.database.rows
    world.database.kept = {}
    for name, check in CHECKS.items():
        if name not in off:
            history.violations += [(name, wrong) for wrong in check(world, clients)]
    world.close()
    if UNKNOWN:
        raise Unsimulated(UNKNOWN[0])
    return history


async def _story(world: World, clients: list[Client]) -> None:
    loop = asyncio.get_running_loop()
    misfortune = loop.create_task(_misfortune(world))
    commands = -(-_COMMANDS // len(clients)) + int(world.random.random() * 2)
    await asyncio.gather(*(client.work(commands) for client in clients))
    await misfortune
    world.heal()
    await _quiet(world)
    if world.random.random() < 0.5:
        world.note("every payin's time passes")
        world.jump(4 * 86_400)
        await _quiet(world)


async def _misfortune(world: World) -> None:
    """One to three great faults, each at some moment."""
    if not world.faults.rate:
        return
    for _ in range(1 + int(world.random.random() * 3)):
        await asyncio.sleep(world.faults.spread(0.1, 1.0))
        for_s = world.faults.spread(0.05, 1.5)
        match int(world.random.random() * 5):
            case 0 | 1:
                number = int(world.random.random() * 2)
                if world.webs[number].alive:
                    world.kill_web(number, for_s)
            case 2:
                if world.worker is not None and world.worker.alive:
                    world.kill_worker(for_s)
            case 3:
                world.kill_database(for_s)
            case 4:
                world.close_outside(for_s)


async def _quiet(world: World) -> None:
    """Until nothing waits that could go on: time goes to whatever is due next."""
    for _ in range(_ROUNDS):
        await asyncio.sleep(1.1)
        if world.owed or world.network.wandering:
            continue
        next_s = _next_s(world)
        if next_s is None:
            return
        world.jump(max(next_s, 0.0))
    world.restless = True


def _next_s(world: World) -> float | None:
    """In how many seconds the next piece of work is due; None where nothing waits."""
    now = CLOCK.wall()
    times = [row["at"] for row in world.database.dicts("due") if row["kind"] not in _WAITS or row["at"] <= now]
    times += [row["due_at"] for row in world.database.dicts("webhook_delivery") if row["due_at"] is not None]
    head = next(iter(world.database.dicts("shard")))["event_seq"]
    heard = [row["seq"] for row in world.database.dicts("consumer") if row["name"] == "webhooks"]
    if max(heard, default=0) < head:
        return 0.0
    return min((at - now).total_seconds() for at in times) if times else None
