"""A history: three clients and more, at least twenty commands, at least one fault, then peace, then the checks."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import cache
from typing import Final, NamedTuple

import msgspec

from caudal.merchants import first_merchant, first_operator
from caudal_simulation.checks import CHECKS
from caudal_simulation.clients import Client, Merchant
from caudal_simulation.database import Transaction, relations
from caudal_simulation.database.byhand import UNKNOWN, Unsimulated
from caudal_simulation.loop import Endless
from caudal_simulation.nature import CLOCK
from caudal_simulation.operators import Desk
from caudal_simulation.world import Rows, World

_CARD: Final = (
    b'{"type":"card","card":{"number":"4111111111111111","expiry_month":12,"expiry_year":2040,'
    b'"holder_name":"ANA PEREZ"}}'
)
_ENDPOINT: Final = b'{"url":"http://localhost:8080/caro"}'  # of the last one; the others' events are for nobody
# How each merchant's card payments find a provider: in an order, or by halves; a soft decline goes on to the other one.
_ROUTES: Final = {
    "Ana": b'{"by":"order","providers":["acme","bravo"]}',
    "Caro": b'{"by":"split","shares":{"acme":50,"bravo":50}}',
}
# Money that waits for its day is not stuck; a payin that waits for its payer is not either.
_WAITS: Final = ("funds.release", "payin.expire", "dispute.expire")
_ROUNDS: Final = 80
_LOOKS: Final = 8
_EARLIER_S: Final = 60.0  # the world is older than its histories
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


class Beginning(NamedTuple):
    """The rows of a world in which merchants have keys, a card in the vault, a way to providers and an endpoint."""

    rows: Rows
    merchants: tuple[Merchant, ...]
    operator: str  # her key


@cache
def beginning() -> Beginning:
    """What every history begins with."""
    world = World(0, {"shard": {(0,): (0, *relations()["shard"].defaults[1:])}}, rate=0.0)
    CLOCK.at_s -= _EARLIER_S
    merchants: list[Merchant] = []
    operators: list[str] = []

    async def begins() -> None:
        operators.append(await first_operator(world.webs[0].context))
        for name, choose in _ROUTES.items():
            merchants.append(await _merchant(world, name, len(merchants) + 1, choose))
        await _made(world, merchants[-1].secret, "/v1/webhook_endpoints", _ENDPOINT, b"hears")

    world.run(begins())
    world.close()
    rows = {name: dict(rows) for name, rows in world.database.rows.items() if rows}
    return Beginning(rows, tuple(merchants), operators[0])


async def _merchant(world: World, name: str, slot: int, choose: bytes) -> Merchant:
    _, secret = await first_merchant(world.webs[0].context, name, "BR")
    await asyncio.sleep(0.5)
    instrument = await _made(world, secret, "/v1/instruments", _CARD)
    rules = b'{"name":"cards","rules":[{"name":"all","when":{},"choose":%s}]}' % choose
    profile = await _made(world, secret, "/v1/routing/profiles", rules, b"ways")
    await _made(world, secret, f"/v1/routing/profiles/{profile}/activations", b"", b"this way")
    return Merchant(name, secret, slot, instrument)


async def _made(world: World, secret: str, path: str, body: bytes, key: bytes | None = None) -> str:
    """The id of what a request has made. Raises Told."""
    headers = {b"authorization": f"Bearer {secret}".encode(), b"content-type": b"application/json"}
    answer = await world.ask("POST", path, body, headers | ({} if key is None else {b"idempotency-key": key}), 0)
    await asyncio.sleep(0.5)
    if answer.status >= 300:
        raise Told(f"{answer.body!r}")
    return str(msgspec.json.decode(answer.body)["id"])


def play(
    seed: int, *, rate: float = 1.0, off: frozenset[str] = frozenset(), journal: bool = False, shown: bool = False
) -> History:
    """Plays the history of a seed and checks how it ended, without the checks that are off."""
    rows, merchants, operator = beginning()
    world = World(seed, rows, rate=rate, shown=shown)
    if journal:
        world.database.journal = []
    clients = [Client(world, merchants[number % len(merchants)], number) for number in range(4 if seed % 4 == 0 else 3)]
    try:
        world.run(_story(world, clients, Desk(world, operator)))
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


async def _story(world: World, clients: list[Client], desk: Desk) -> None:
    loop = asyncio.get_running_loop()
    misfortune, operator = loop.create_task(_misfortune(world)), loop.create_task(desk.attend())
    commands = -(-_COMMANDS // len(clients)) + int(world.random.random() * 2)
    await asyncio.gather(*(client.work(commands) for client in clients))
    await misfortune
    world.heal()
    await operator
    await _settled(world, desk)
    if world.random.random() < 0.5:
        world.note("every payin's time passes")
        world.jump(8 * 86_400)  # longer than any authorization lasts
        await _settled(world, desk)
    if world.outside.decide_all(world.random):
        await _settled(world, desk)


async def _settled(world: World, desk: Desk) -> None:
    """Until nothing waits, providers have told how it stands where they erred, and the operator's desk is empty."""
    for _ in range(_LOOKS):
        await _quiet(world)
        told = [provider.report() for provider in world.outside.providers]
        if not await desk.look() and not any(told):
            return


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
