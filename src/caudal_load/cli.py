"""`caudal-load`: load a caudal and prove that nothing was lost."""

import asyncio
import base64
import json
import secrets
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, TypeVar

import aiohttp
import psycopg
import typer
import uvloop
from rich.console import Console

from caudal_load.bulk import Bulk, bulk
from caudal_load.caudal_up import CaudalFailed
from caudal_load.cluster import ServerFailed
from caudal_load.failover import Failover, failover, print_outcome
from caudal_load.faults.command import Asked, check_again, faults, print_list
from caudal_load.faults.model import BadFaults
from caudal_load.faults.report import print_report
from caudal_load.merchants import SetupFailed
from caudal_load.overload import overload, print_overload
from caudal_load.plan import BadPlan, Plan
from caudal_load.report import print_table
from caudal_load.rolling import rolling
from caudal_load.run import against_bare, run
from caudal_load.scenario import SCENARIOS
from caudal_load.seed import SeedFailed
from caudal_load.seed import seed as seed_database
from caudal_load.slow import print_phases, slow_provider

_KEK_BYTES = 32
_SEEDS = 2**31
_FAILURES = (CaudalFailed, SetupFailed, SeedFailed, ServerFailed, OSError, psycopg.Error, aiohttp.ClientError)

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def main() -> None:
    """The entry point of `caudal-load`."""
    app(prog_name="caudal-load")


@app.callback()
def about() -> None:
    """Load a caudal over real TCP, and prove that nothing that it acknowledged was lost."""


Scenario = Annotated[str, typer.Argument(metavar="SCENARIO", help=f"what to ask for: {', '.join(SCENARIOS)}")]
Connections = Annotated[
    int | None, typer.Option(help="closed loop: so many connections, one request in flight on each")
]
Rate = Annotated[
    float | None, typer.Option(help="open loop: so many arrivals per second, latency from the scheduled arrival")
]
Seconds = Annotated[float, typer.Option(help="measured seconds, per side")]
Requests = Annotated[
    int | None, typer.Option(help="measure until so many are acknowledged, and fail if --seconds are over before")
]
WarmUp = Annotated[float, typer.Option(help="unmeasured seconds before them, per side")]
Up = Annotated[bool, typer.Option("--up", help="start a caudal on an empty directory and end it afterwards")]
Url = Annotated[str | None, typer.Option(help="load a running one, e.g. http://127.0.0.1:8700")]
Key = Annotated[str | None, typer.Option(help="with --url: a merchant's sk_test_… key")]
OperatorKey = Annotated[str | None, typer.Option(help="with --url: an op_… key, to make merchants with")]
Database = Annotated[
    str | None, typer.Option(help="with --url: its database, to verify in; without it the API is asked")
]
Sandbox = Annotated[
    str | None, typer.Option(help="with --url: its sandbox, e.g. http://127.0.0.1:8701, whose books are compared")
]
Merchants = Annotated[int, typer.Option(help="make so many merchants and spread the requests over them")]
WebProcesses = Annotated[
    int | None, typer.Option("--web-processes", "--processes", help="with --up: so many API processes")
]
Seed = Annotated[int, typer.Option(help="with --up: give it a past of so many payins first")]
Versus = Annotated[
    str | None,
    typer.Option(
        metavar="SETTING=VALUE",
        help="a second side with this different, loaded in turn: connections, rate, merchants, seed, checkout, or a "
        "setting",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on standard output")]


@app.command("run")
def run_command(
    scenario: Scenario,
    connections: Connections = None,
    rate: Rate = None,
    seconds: Seconds = 8.0,
    requests: Requests = None,
    warm_up: WarmUp = 1.0,
    up: Up = False,
    url: Url = None,
    key: Key = None,
    operator_key: OperatorKey = None,
    database: Database = None,
    sandbox: Sandbox = None,
    merchants: Merchants = 1,
    web_processes: WebProcesses = None,
    seed: Seed = 0,
    versus: Versus = None,
    as_json: AsJson = False,
) -> None:
    """Load caudal, then look for every payin that it acknowledged.

    Exit 0: all there, once. 1: something is lost or double, or the run failed. 2: the options do not fit together.
    """
    if scenario not in SCENARIOS:
        raise typer.BadParameter(f"no scenario {scenario!r}; there is: {', '.join(SCENARIOS)}", param_hint="SCENARIO")
    plan = Plan(
        scenario=SCENARIOS[scenario],
        connections=connections,
        rate=rate,
        seconds=seconds,
        requests=requests,
        warm_up_s=warm_up,
        merchants=merchants,
        up=up,
        settings={} if web_processes is None else {"CAUDAL_WEB_PROCESSES": str(web_processes)},
        seed=seed,
        url=url,
        key=key,
        operator_key=operator_key,
        database_url=database,
        sandbox_url=sandbox,
    )
    report = _carried_out(run(plan, versus, _say))
    if as_json:
        print(json.dumps(report.as_json()))
    else:
        print_table(report, Console())
    if not report.passed:
        raise typer.Exit(1)


@app.command("overload")
def overload_command(
    scenario: Scenario,
    factor: Annotated[float, typer.Option(min=0.1, max=20, help="how many times the maximum is offered")] = 3.0,
    seconds: Annotated[float, typer.Option(min=1, help="measured seconds of overload, per round")] = 8.0,
    timeout_ms: Annotated[
        int | None,
        typer.Option(min=1, max=60_000, help="the deadline of every request; without it 1000, with a provider 2000"),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, max=99, help="so often; figures are medians")] = 3,
    merchants: Merchants = 8,
    web_processes: WebProcesses = None,
    as_json: AsJson = False,
) -> None:
    """Find the maximum of a caudal of its own, offer it a multiple, and show what it does and how it refuses the rest.

    Exit 0: all that was acknowledged is there, once. 1: something is lost or double, or the run failed.
    """
    if scenario not in SCENARIOS:
        raise typer.BadParameter(f"no scenario {scenario!r}; there is: {', '.join(SCENARIOS)}", param_hint="SCENARIO")
    if SCENARIOS[scenario].whole_flows:
        raise typer.BadParameter("whole flows go on behind the answer: use run", param_hint="SCENARIO")
    plan = Plan(
        scenario=SCENARIOS[scenario],
        connections=1,
        seconds=seconds,
        merchants=merchants,
        up=True,
        settings={} if web_processes is None else {"CAUDAL_WEB_PROCESSES": str(web_processes)},
    )
    timeout_ms = timeout_ms or (2000 if plan.scenario.through_provider else 1000)
    report = _carried_out(overload(plan, factor, timeout_ms, rounds, _say))
    if as_json:
        print(json.dumps(report.as_json()))
    else:
        print_overload(report, Console())
    if not report.passed:
        raise typer.Exit(1)


@app.command("rolling")
def rolling_command(
    scenario: Annotated[str, typer.Argument(metavar="SCENARIO", help="what to ask for")] = "mixed",
    seconds: Annotated[
        float, typer.Option(min=0, help="go on restarting for so long; every process once at least")
    ] = 0,
    connections: Annotated[int, typer.Option(min=1, max=1_000, help="requests in flight")] = 16,
    merchants: Merchants = 4,
    as_json: AsJson = False,
) -> None:
    """Restart two API processes behind a plain TCP balancer and two workers, each in turn, under load.

    Exit 0: each ended in order and came back, no request failed, and all that was acknowledged is there, once. 1: not.
    """
    if scenario not in SCENARIOS:
        raise typer.BadParameter(f"no scenario {scenario!r}; there is: {', '.join(SCENARIOS)}", param_hint="SCENARIO")
    plan = Plan(
        scenario=SCENARIOS[scenario], connections=connections, seconds=max(seconds, 0.1), merchants=merchants, up=True
    )
    report = _carried_out(rolling(plan, _say)).as_json()
    print(json.dumps(report) if as_json else "\n".join(f"{name:>22}  {value}" for name, value in report.items()))
    if not report["passed"]:
        raise typer.Exit(1)


@app.command("slow-provider")
def slow_provider_command(
    rate: Annotated[float, typer.Option(min=1, max=1000, help="arrivals per second of each method")] = 40.0,
    slow_ms: Annotated[int, typer.Option(min=0, max=60_000, help="how much later one provider answers")] = 3000,
    seconds: Annotated[float, typer.Option(min=1, help="measured seconds, per phase")] = 10.0,
    as_json: AsJson = False,
) -> None:
    """Slow one provider of a caudal of its own, and show what another provider's payments notice of it."""
    found = _carried_out(slow_provider(rate, slow_ms, seconds, _say))
    if as_json:
        print(json.dumps({**found, "phases": [asdict(one) for one in found["phases"]]}))
    else:
        print_phases(found, Console())


@app.command("bulk")
def bulk_command(
    items: Annotated[int, typer.Option(min=1, max=500, help="payins a request")] = 500,
    connections: Annotated[int, typer.Option(min=1, max=64, help="so many, one request in flight on each")] = 4,
    seconds: Seconds = 8.0,
    warm_up: WarmUp = 2.0,
    merchants: Merchants = 1,
) -> None:
    """Load a caudal of its own with many payins a request, and print payins per second and CPU per payin as JSON.

    Exit 0: all that was acknowledged is there, once. 1: something is lost or double, or the run failed.
    """
    asked = Bulk(items=items, connections=connections, seconds=seconds, warm_up_s=warm_up, merchants=merchants)
    figures = _carried_out(bulk(asked, _say))
    print(json.dumps(figures))
    if figures["lost"] or figures["doubled"]:
        raise typer.Exit(1)


@app.command("bare")
def bare_command(
    connections: Annotated[int, typer.Option(min=1, max=10_000, help="requests in flight on either side")] = 64,
    seconds: Seconds = 8.0,
) -> None:
    """Load a caudal of its own and the bare write path in turn, on one server, and print their ratio as JSON.

    The bare path writes rows of the same shape in the same batches without HTTP, validation, ledger or failure rules.
    """
    plan = Plan(scenario=SCENARIOS["spei-create"], connections=connections, seconds=seconds, up=True)
    figures = _carried_out(against_bare(plan, _say))
    print(json.dumps(figures))
    if figures["lost"] or figures["doubled"]:
        raise typer.Exit(1)


@app.command("failover")
def failover_command(
    seconds: Annotated[float, typer.Option(min=3, max=3600, help="under load; the primary fails after a third")] = 24.0,
    connections: Annotated[int, typer.Option(min=1, max=1000, help="that pay by SPEI; a fourth as many by card")] = 32,
    pause: Annotated[
        bool, typer.Option("--pause", help="the primary stands still, and comes back when its standby is the primary")
    ] = False,
    noticed: Annotated[float, typer.Option(min=0, max=600, help="seconds from the fault to the promotion")] = 1.0,
    as_json: AsJson = False,
) -> None:
    """Have a database of its own fail over under load, and ask for everything that was told.

    Starts a primary, its synchronous standby and a caudal that knows both addresses, and promotes the standby when the
    primary has failed. Exit 0: nothing lost, nothing double, nobody restarted, and traffic goes on.
    """
    if noticed >= seconds / 3:
        raise typer.BadParameter("has to be below a third of --seconds", param_hint="--noticed")
    plan = Failover(seconds=seconds, connections=connections, pause=pause, noticed_s=noticed)
    outcome = _carried_out(failover(plan, _say, {}))
    if as_json:
        print(json.dumps({**asdict(outcome), "passed": outcome.passed}))
    else:
        print_outcome(outcome, Console())
    if not outcome.passed:
        raise typer.Exit(1)


@app.command("seed")
def seed_command(
    payins: Annotated[int, typer.Argument(metavar="N", min=1, max=100_000_000, help="how many payins")],
    database: Annotated[str, typer.Option(help="the database's URL; it has caudal's schema and no postings yet")],
    merchants: Annotated[int, typer.Option(min=1, max=100_000, help="how many merchants had them")] = 100,
    days: Annotated[float, typer.Option(min=1, max=330, help="over how many days until now")] = 60.0,
    kek: Annotated[
        str | None,
        typer.Option(envvar="CAUDAL_KEK", help="caudal's key-encryption key; without it the payins have no payers"),
    ] = None,
) -> None:
    """Fill a database with a consistent past: payins, events, keys, deposits, and postings that replay."""
    try:
        key = None if kek is None else base64.b64decode(kek, validate=True)
    except ValueError as error:
        raise typer.BadParameter("not base64", param_hint="--kek") from error
    if key is not None and len(key) != _KEK_BYTES:
        raise typer.BadParameter(f"has to be {_KEK_BYTES} bytes of base64", param_hint="--kek")
    seeded = _carried_out(seed_database(database, payins, merchants=merchants, days=days, kek=key, say=_say))
    _say(
        f"{seeded.payins:,} payins, {seeded.events:,} events, {seeded.transfers:,} transfers in {seeded.seconds:.0f} s"
    )


@app.command("faults")
def faults_command(
    seconds: Annotated[float, typer.Option(min=1, help="how long the load and the faults last")] = 120.0,
    seed: Annotated[
        int | None, typer.Option(help="decides moments, targets and requests; without it a new one")
    ] = None,
    each: Annotated[int, typer.Option(min=1, max=1_000, help="how often each fault happens")] = 1,
    kinds: Annotated[str, typer.Option(help="kill,pause:web,…: kinds, or one target of a kind; without it all")] = "",
    connections: Annotated[int, typer.Option(min=1, max=1_000, help="clients, one request in flight each")] = 32,
    quiet: Annotated[float, typer.Option(help="seconds that all may take to come to rest afterwards")] = 180.0,
    without: Annotated[str, typer.Option(metavar="3,5", help="leave these checks out")] = "",
    keep: Annotated[Path | None, typer.Option(help="keep plan, history, rows and logs in this new directory")] = None,
    replay: Annotated[Path | None, typer.Option(help="run the plan of this kept run again")] = None,
    recheck: Annotated[Path | None, typer.Option(help="run nothing: check this kept run again")] = None,
    show: Annotated[bool, typer.Option("--list", help="run nothing: show all faults and checks")] = False,
    as_json: AsJson = False,
) -> None:
    """Start a whole caudal, load it while everything around it fails, and prove that nothing is lost or doubled.

    Clients create, capture, refund, cancel, repeat keys and race for them, and write down what they ask and are told.
    Meanwhile the plan, made from the seed, kills and stops processes, breaks connections, fills disks. Then all is
    healed, everything comes to rest, and seven checks hold what was answered against rows, both books and messages.

    Exit 0: every planned fault happened, and nothing is wrong. 1: something is lost, doubled, stuck or wrong, a fault
    never happened, or the run failed; what was seen is kept, and the directory named. 2: the options do not fit.
    """
    if show:
        print_list(Console())
        return
    names, left_out = (tuple(name for name in text.split(",") if name) for text in (kinds, without))
    if recheck is not None:
        report = _carried_out(_at_once(lambda: check_again(recheck, left_out)))
    else:
        asked = Asked(
            seconds=seconds,
            seed=secrets.randbelow(_SEEDS) if seed is None else seed,
            each=each,
            kinds=names,
            connections=connections,
            quiet_s=quiet,
            without=left_out,
            keep=keep,
            replay=replay,
        )
        report = _carried_out(faults(asked, _say))
    if as_json:
        print(json.dumps(report.as_json(), default=str))
    else:
        print_report(report, Console())
    if not report.passed:
        raise typer.Exit(1)


T = TypeVar("T")


async def _at_once(work: Callable[[], T]) -> T:
    """What waits for nothing, as what is carried out."""
    return work()


def _carried_out(work: Coroutine[Any, Any, T]) -> T:
    """Do it, and say in one line what went wrong if something did."""
    try:
        return uvloop.run(_interruptible(work))
    except (BadPlan, BadFaults) as error:
        raise typer.BadParameter(str(error)) from error
    except _FAILURES as error:
        print(f"caudal-load: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
    except asyncio.CancelledError as error:
        print("caudal-load: interrupted", file=sys.stderr)
        raise typer.Exit(130) from error


async def _interruptible(work: Coroutine[Any, Any, T]) -> T:
    """Let Ctrl-C and a polite kill cancel the work, so that it ends the caudal that it started."""
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, task.cancel)
    return await task


_BEGAN_S = time.monotonic()


def _say(text: str) -> None:
    """Progress, on standard error."""
    print(f"[{time.monotonic() - _BEGAN_S:5.1f} s] {text}", file=sys.stderr)
