"""What `caudal-load faults` does with its options: a plan, a world, a run in it, and a directory for all of it."""

import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table

from caudal_load.faults.checks import CHECKS
from caudal_load.faults.kinds import KINDS
from caudal_load.faults.model import BadFaults, Plan, plan_from_json
from caudal_load.faults.needs import missing, verify
from caudal_load.faults.plan import plan_of
from caudal_load.faults.quiet import Say
from caudal_load.faults.report import Report, checks_table
from caudal_load.faults.run import Options, begun, carry_out, recheck
from caudal_load.faults.workload.asker import Flight
from caudal_load.faults.world import World
from caudal_load.places import said
from caudal_load.processes import commit

SETTINGS = {"CAUDAL_WEBHOOK_RETRY_FACTOR": "0.1", "CAUDAL_WEBHOOK_TIMEOUT_S": "5"}
"""So that what an endpoint missed comes again within the run, and not in five minutes."""
_WITH_DISKS = frozenset({"disk_full", "fsync_error"})


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """The options of the command."""

    seconds: float = 120.0
    seed: int = 0
    each: int = 1
    kinds: tuple[str, ...] = ()
    connections: int = 32
    quiet_s: float = 180.0
    without: tuple[str, ...] = ()
    keep: Path | None = None
    replay: Path | None = None


async def faults(asked: Asked, say: Say) -> Report:
    """A run of its own. Raises BadFaults, SetupFailed, OSError, psycopg.Error, aiohttp.ClientError."""
    verify_checks(asked.without)
    plan, connections = _plan(asked), asked.connections
    if asked.replay is not None:
        was = begun(asked.replay)
        connections = was.connections
        say(f"{asked.replay} is of commit {was.commit}, this one of {commit()}; {connections} clients, as then")
    verify(plan)
    directory = _directory(asked, plan)
    say(f"seed {plan.seed}: {len(plan.faults)} faults in {plan.seconds:g} s; everything is kept in {directory}")
    options = Options(connections=connections, quiet_s=asked.quiet_s, without=asked.without)
    flight = Flight()
    async with _world(plan, directory, flight) as world:
        say("a world stands: " + ", ".join(f"{kind} {len(ids)}" for kind, ids in world.processes().items()))
        report = await carry_out(world, plan, options, directory, say, flight)
    if report.passed and asked.keep is None:
        shutil.rmtree(directory)
    return report


@contextlib.asynccontextmanager
async def _world(plan: Plan, directory: Path, flight: Flight) -> AsyncIterator[World]:
    """A world beside what is kept; its logs are kept, its database is not."""
    place = Path(tempfile.mkdtemp(prefix="caudal-world-"))
    disks = any(fault.kind in _WITH_DISKS for fault in plan.faults)
    try:
        async with World.start(place, disks=disks, settings=SETTINGS, in_flight=lambda: flight.count) as world:
            yield world
    finally:
        for logs in (place / "log", place / "var" / "log"):
            with contextlib.suppress(OSError, shutil.Error):
                shutil.copytree(logs, directory / "log", dirs_exist_ok=True)
        shutil.rmtree(place, ignore_errors=True)


def _plan(asked: Asked) -> Plan:
    if asked.replay is None:
        return plan_of(asked.seed, asked.seconds, asked.kinds, asked.each)
    kept = asked.replay / "plan.json"
    try:
        return plan_from_json(kept.read_bytes())
    except OSError as error:
        raise BadFaults(f"{asked.replay} holds no run: {kept} cannot be read: {said(error)}") from error


def _directory(asked: Asked, plan: Plan) -> Path:
    """Where the run is kept: as it was asked for, which has to be new or empty, or somewhere among temporary files.

    The plan is in it. Raises BadFaults.
    """
    directory = asked.keep or Path(tempfile.mkdtemp(prefix="caudal-faults-"))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise BadFaults(f"{directory} is not empty: a run is kept in a directory of its own")
        (directory / "plan.json").write_bytes(plan.as_json())
    except OSError as error:
        raise BadFaults(f"{directory} cannot be written: {said(error)}") from error
    return directory


FOLLOWS = {
    "--list": frozenset[str](),
    "--recheck": frozenset({"--without", "--json"}),
    "--replay": frozenset({"--quiet", "--without", "--keep", "--json"}),
}
"""What makes no run of its own, and the options that mean something beside it."""


def verify_checks(without: Sequence[str]) -> None:
    """Raise BadFaults for a check that there is not."""
    unknown = [name for name in without if name not in CHECKS]
    if unknown:
        raise BadFaults(f"there is no check {', '.join(unknown)}; there is: {', '.join(CHECKS)}")


def check_again(directory: Path, without: Sequence[str]) -> Report:
    """Check a kept run once more. Raises BadFaults."""
    verify_checks(without)
    if not (directory / "run.json").exists():
        raise BadFaults(f"{directory} holds no run that came to its end")
    try:
        return recheck(directory, without)
    except OSError as error:
        raise BadFaults(f"{error.filename or directory}: {said(error)}") from error
    except msgspec.MsgspecError as error:
        raise BadFaults(f"{directory} holds no run that can be read: {error}") from error


def print_list(console: Console) -> None:
    """Every kind of fault, whether it can happen here, and every check."""
    table = Table(title="faults", title_justify="left")
    for name in ("kind", "happens to", "does", "shows that it happened", "here"):
        table.add_column(name)
    lacking = missing(kind.name for kind in KINDS)
    for kind in KINDS:
        here = lacking.get(kind.name, "yes")
        table.add_row(kind.name, ", ".join(kind.targets), kind.does, kind.evidence, here)
    console.print(table)
    console.print(checks_table())
