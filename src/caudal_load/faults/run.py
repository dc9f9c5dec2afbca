"""One run: load while faults happen, heal, wait for quiet, ask again, read everything, check.

Everything that is known goes into a directory as it becomes known, so that a run that is cut off tells what it saw, and
a kept one can be checked again (`recheck`) or made again (`--replay`).
"""

import asyncio
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import msgspec

from caudal_load.faults import evidence as kept
from caudal_load.faults.checks import examine
from caudal_load.faults.evidence import Evidence, Stuck
from caudal_load.faults.hearing import Ears
from caudal_load.faults.history import History, Phase, Verdict, askings, now_s
from caudal_load.faults.model import BadFaults, Fault, Plan, World, plan_from_json
from caudal_load.faults.quiet import Say, wait
from caudal_load.faults.recovery import never_back, recoveries
from caudal_load.faults.report import Report, counts, harms, later_attempts, of_ops
from caudal_load.faults.workload.asker import Ask, Asker, Flight, session
from caudal_load.faults.workload.cast import make_cast
from caudal_load.faults.workload.clients import Clients
from caudal_load.faults.workload.payers import Payers
from caudal_load.places import said
from caudal_load.processes import commit, machine

MERCHANTS = 6
SETTLE_S = 60.0
PAYERS_S = 30.0
BACK_S = 30.0
"""So much longer does the load last where the rate is not back yet after a kill."""
READINGS = 5
AGAIN = 2_000
"""How many answers are asked for once more, besides all that were unknown at first. The rows are looked at of all."""
_AGAIN_AT_ONCE = 16
_SAY_EVERY_S = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Options:
    """What a run is to be, besides its plan."""

    connections: int = 32
    quiet_s: float = 180.0
    without: tuple[str, ...] = ()


class Begun(msgspec.Struct, frozen=True):
    """What a run was begun with, besides its plan, and on what."""

    connections: int
    commit: str
    machine: dict[str, str | int]


class _Ran(msgspec.Struct, frozen=True):
    """What only the run itself knows, beside the evidence."""

    began_s: float
    ended_s: float
    injected_s: list[float]
    """When each fault of the plan began, which is later than planned where what it hits had to be waited for."""
    quiet_s: float
    happened: dict[str, int]


def begun(directory: Path) -> Begun:
    """What a kept run was begun with. Raises BadFaults where nothing of one is kept."""
    kept_there = directory / "begun.json"
    try:
        return msgspec.json.decode(kept_there.read_bytes(), type=Begun)
    except OSError as error:
        raise BadFaults(f"{directory} holds no run: {kept_there} cannot be read: {said(error)}") from error
    except msgspec.DecodeError as error:
        raise BadFaults(f"{directory} holds no run: {error}") from error


async def carry_out(
    world: World, plan: Plan, options: Options, directory: Path, say: Say, flight: Flight | None = None
) -> Report:
    """The whole of it in a world that stands; `flight` is told how many requests are under way.

    Raises SetupFailed, aiohttp.ClientError, psycopg.Error.
    """
    (directory / "plan.json").write_bytes(plan.as_json())
    (directory / "begun.json").write_bytes(msgspec.json.encode(Begun(options.connections, commit(), machine())))
    history, ears = History(directory / "history.jsonl"), Ears(directory / "heard.jsonl")
    try:
        receiver = await ears.start()
        url = world.webhook_url_of(int(receiver.rpartition(":")[2]))
        cast = await make_cast(world.api_urls[0], world.operator_key, MERCHANTS, url)
        ears.secrets = [merchant.signs for merchant in cast]
        kept.write(directory / "cast.jsonl", [merchant.endpoint for merchant in cast])
        secrets = [merchant.secret for merchant in cast]
        async with session() as requests, session() as payments:
            asker = Asker(requests, world.api_urls, secrets, history, plan.seed, flight or Flight())
            payers = Payers(payments, world.sandbox_url, world.api_urls, secrets, plan.seed)
            clients = Clients(asker, cast, payers, plan.seed, options.connections)
            clients.ordered = world.ordered
            began_s, ended_s, injected_s = await _load(world, plan, clients, payers, asker, say)
            quiet_began = monotonic()
            stuck = await wait(world.database_url, world.sandbox_url, options.quiet_s, say)
            quiet_s = monotonic() - quiet_began
            say(f"quiet after {quiet_s:.1f} s" if not stuck else f"{len(stuck)} pieces are not at rest")
            await _again(asker, plan.seed, say)
            stuck += await _read(world, directory, options.quiet_s, say)
    finally:
        history.close()
        await ears.end()
    kept.write(directory / "stuck.jsonl", stuck)
    ran = _Ran(began_s, ended_s, injected_s, quiet_s, dict(world.happened))
    (directory / "run.json").write_bytes(msgspec.json.encode(ran))
    return recheck(directory, options.without)


async def _read(world: World, directory: Path, quiet_s: float, say: Say) -> list[Stuck]:
    """Keep rows and statements of one moment, with every message about them heard; what does not come to rest.

    Time goes on for those who are at rest: payins expire, holds end, and events say so. So all of
    it is read again as long as something was written while it was read, and the receivers listen until the end.
    """
    for _ in range(READINGS):
        await kept.rows_of(world.database_url, directory)
        await kept.statements_of(world.sandbox_url, directory)
        stuck = await wait(world.database_url, world.sandbox_url, quiet_s, say)
        if stuck or not await kept.moved(world.database_url, directory):
            return stuck
        say("something was written while everything was read; it is read again")
    return []


def recheck(directory: Path, without: Sequence[str] = ()) -> Report:
    """Check what was kept of a run. Raises OSError, msgspec.MsgspecError, BadFaults."""
    known = kept.load(directory)
    report = _report(directory, known, tuple(without))
    (directory / "report.json").write_text(json.dumps(report.as_json(), indent=1, default=str))
    return report


def _report(directory: Path, known: Evidence, without: tuple[str, ...]) -> Report:
    plan = plan_from_json((directory / "plan.json").read_bytes())
    ran, was = msgspec.json.decode((directory / "run.json").read_bytes(), type=_Ran), begun(directory)
    violations = examine(known, without)
    found = harms(violations)
    return Report(
        seed=plan.seed,
        seconds=plan.seconds,
        connections=was.connections,
        planned=dict(sorted(plan.planned().items())),
        happened=ran.happened,
        ops=of_ops(known.lines),
        **counts(known.lines),
        events=len(known.events),
        messages=len(known.heard),
        transfers=len(known.transfers),
        **later_attempts(known),
        recovery=recoveries(_as_injected(plan, ran.injected_s), ran.began_s, ran.ended_s, known.lines),
        lost=found["lost"],
        doubled=found["doubled"],
        stuck=found["stuck"],
        wrong=found["wrong"],
        violations=violations,
        without=without,
        quiet_s=ran.quiet_s,
        kept=str(directory),
        machine=was.machine,
        commit=was.commit,
    )


def _as_injected(plan: Plan, injected_s: Sequence[float]) -> list[Fault]:
    """The plan's faults that have begun, at the moments when they really did."""
    return [msgspec.structs.replace(fault, at_s=at_s) for fault, at_s in zip(plan.faults, injected_s, strict=False)]


async def _load(
    world: World, plan: Plan, clients: Clients, payers: Payers, asker: Asker, say: Say
) -> tuple[float, float, list[float]]:
    """Everybody goes on while the plan is carried out; when it began, when the load ended, when each fault began."""
    began_s, clock = now_s(), asyncio.get_running_loop().time
    end_s = clock() + plan.seconds
    clients.start()
    payers.start()
    injected_s = list[float]()
    injecting = asyncio.create_task(_inject(world, plan, injected_s, say))
    try:
        while clock() < end_s:
            await asyncio.sleep(min(_SAY_EVERY_S, max(0.0, end_s - clock())))
            told = sum(line.is_final for line in asker.history.lines[-2_000:])
            doubtful = len(clients.doubtful)
            say(f"{len(asker.history.lines):,} lines, {told} of the last 2,000 definite, {doubtful} in doubt")
        await injecting
        await _until_back(plan, began_s, injected_s, asker.history)
        ended_s = now_s()
        await world.heal()
        await clients.end_load()
        say(f"healed; {len(clients.doubtful)} requests are in doubt")
        await clients.settle(SETTLE_S)
        payers.close_pages()
        waited_s = clock() + PAYERS_S
        while not payers.idle and clock() < waited_s:  # noqa: ASYNC110 (nobody could tell)
            await asyncio.sleep(0.1)
    finally:
        injecting.cancel()
        await asyncio.gather(injecting, clients.end(), payers.end(), return_exceptions=True)
    return began_s, ended_s, injected_s


async def _until_back(plan: Plan, began_s: float, injected_s: Sequence[float], history: History) -> None:
    """Load for longer where the plan ended before the rate was back: else nobody could tell whether it comes back."""
    end_s, faults = now_s() + BACK_S, _as_injected(plan, injected_s)
    while now_s() < end_s and never_back(recoveries(faults, began_s, now_s(), history.lines)):  # noqa: ASYNC110
        await asyncio.sleep(1.0)


async def _inject(world: World, plan: Plan, injected_s: list[float], say: Say) -> None:
    clock = asyncio.get_running_loop().time
    began = clock()
    for fault in plan.faults:
        await asyncio.sleep(max(0.0, began + fault.at_s - clock()))
        say(f"{fault.name} {'' if not fault.for_s else f'for {fault.for_s:g} s '}{fault.parameters or ''}")
        await world.inject(fault)
        injected_s.append(round(clock() - began, 3))


async def _again(asker: Asker, seed: int, say: Say) -> None:
    """Ask once more for what has a definite answer: all that was unknown at first, and some of the rest."""
    asker.history.phase = Phase.AGAIN
    definite = [one for one in askings(asker.history.lines) if one.verdict in (Verdict.ACKNOWLEDGED, Verdict.REFUSED)]
    sure = [one for one in definite if not one.was_unknown]
    chosen = [one for one in definite if one.was_unknown] + random.Random(seed).sample(sure, min(AGAIN, len(sure)))
    waiting = iter(chosen)

    async def ask(number: int) -> None:
        for one in waiting:
            again = Ask(op=one.op, merchant=one.merchant, path=one.path, key=one.key, body=one.request)
            await asker.ask(again, f"again-{number}")

    await asyncio.gather(*(ask(number) for number in range(_AGAIN_AT_ONCE)))
    say(f"{len(chosen):,} answers were asked for once more")
