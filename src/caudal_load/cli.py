"""`caudal-load`: load a caudal and prove that nothing was lost."""

import base64
import json
import secrets
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from caudal_load.bulk import Bulk, bulk
from caudal_load.capacity.command import capacity_command
from caudal_load.carry import at_once, carried_out, say
from caudal_load.commands import (
    AsJson,
    ScenarioName,
    compare_command,
    known,
    report_command,
    run_command,
    scenarios_command,
)
from caudal_load.failover import Failover, failover, print_outcome
from caudal_load.faults.command import FOLLOWS, Asked, check_again, faults, print_list
from caudal_load.faults.report import Report, print_report
from caudal_load.overload import overload, print_overload
from caudal_load.pages import Pages, pages_in, table_of
from caudal_load.plan import Plan
from caudal_load.rolling import rolling
from caudal_load.run import against_bare
from caudal_load.seed import seed as seed_database
from caudal_load.slow import print_phases, slow_provider
from caudal_load.tpcb import against_tpcb, pgbench

_KEK_BYTES = 32
_SEEDS = 2**31

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


def main() -> None:
    """The entry point of `caudal-load`."""
    app(prog_name="caudal-load")


SecondsEach = Annotated[float, typer.Option(help="measured seconds, per side")]
WarmUpEach = Annotated[float, typer.Option(help="unmeasured seconds before them")]
MerchantsEach = Annotated[int, typer.Option(help="make so many merchants and spread the requests over them")]


@app.callback()
def about() -> None:
    """Load a caudal over real TCP, and prove that nothing that it acknowledged was lost."""


app.command("run")(run_command)
app.command("scenarios")(scenarios_command)
app.command("compare")(compare_command)
app.command("report")(report_command)
app.command("capacity")(capacity_command)


@app.command("overload")
def overload_command(
    scenario: ScenarioName,
    factor: Annotated[float, typer.Option(min=0.1, max=20, help="how many times the maximum is offered")] = 3.0,
    seconds: Annotated[float, typer.Option(min=1, help="measured seconds of overload, per round")] = 8.0,
    timeout_ms: Annotated[
        int | None,
        typer.Option(min=1, max=60_000, help="the deadline of every request; without it 1000, with a provider 2000"),
    ] = None,
    rounds: Annotated[int, typer.Option(min=1, max=99, help="so often; figures are medians")] = 3,
    merchants: MerchantsEach = 8,
    web_processes: Annotated[int | None, typer.Option(min=1, max=64, help="so many API processes")] = None,
    as_json: AsJson = False,
) -> None:
    """Find the maximum of a caudal of its own, offer it a multiple, and show what it does and how it refuses the rest.

    It holds that all that was acknowledged is there, once, and that no second commit was refused. The goals (goodput,
    latency, what a refusal costs, memory: docs/load.md) are printed, not held: other work on the machine spoils them.

    Exit 0: what it holds is so. 1: something is lost or double, a second commit was refused, or the run failed.
    """
    asked = known(scenario).scenario
    if asked.whole_flows:
        raise typer.BadParameter("whole flows go on behind the answer: use run", param_hint="SCENARIO")
    plan = Plan(
        scenario=asked,
        connections=1,
        seconds=seconds,
        merchants=merchants,
        up=True,
        settings={} if web_processes is None else {"CAUDAL_WEB_PROCESSES": str(web_processes)},
    )
    timeout_ms = timeout_ms or (2000 if plan.scenario.through_provider else 1000)
    report = carried_out(overload(plan, factor, timeout_ms, rounds, say))
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
    merchants: MerchantsEach = 4,
    as_json: AsJson = False,
) -> None:
    """Restart two API processes behind a plain TCP balancer and two workers, each in turn, under load.

    Exit 0: each ended in order and came back, no request failed, and all that was acknowledged is there, once. 1: not.
    """
    plan = Plan(
        scenario=known(scenario).scenario,
        connections=connections,
        seconds=max(seconds, 0.1),
        merchants=merchants,
        up=True,
    )
    report = carried_out(rolling(plan, say)).as_json()
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
    found = carried_out(slow_provider(rate, slow_ms, seconds, say))
    if as_json:
        print(json.dumps({**found, "phases": [asdict(one) for one in found["phases"]]}))
    else:
        print_phases(found, Console())


@app.command("bulk")
def bulk_command(
    items: Annotated[int, typer.Option(min=1, max=500, help="payins a request")] = 500,
    connections: Annotated[int, typer.Option(min=1, max=64, help="so many, one request in flight on each")] = 4,
    seconds: SecondsEach = 8.0,
    warm_up: WarmUpEach = 2.0,
    merchants: MerchantsEach = 1,
) -> None:
    """Load a caudal of its own with many payins a request, and print payins per second and CPU per payin as JSON.

    Exit 0: all that was acknowledged is there, once. 1: something is lost or double, or the run failed.
    """
    asked = Bulk(items=items, connections=connections, seconds=seconds, warm_up_s=warm_up, merchants=merchants)
    figures = carried_out(bulk(asked, say))
    print(json.dumps(figures))
    if figures["lost"] or figures["doubled"]:
        raise typer.Exit(1)


@app.command("pages")
def pages_command(
    var: Annotated[Path, typer.Option(help="ask the one that `caudal up` runs on this directory")] = Path("var"),
    requests: Annotated[int, typer.Option(min=1, max=100_000, help="of each kind of question")] = 400,
    connections: Annotated[int, typer.Option(min=1, max=64, help="so many, one request in flight on each")] = 2,
    seed: Annotated[int, typer.Option(help="decides which payins are asked for")] = 0,
    merchant: Annotated[str | None, typer.Option(metavar="mer_…", help="whose; without it who has the most")] = None,
    as_json: AsJson = False,
) -> None:
    """Time lists and search for one merchant: which page takes how long, whatever else is there.

    Exit 1: an answer was not the page that was asked for.
    """
    asked = Pages(requests=requests, connections=connections, seed=seed, merchant=merchant)
    found = carried_out(pages_in(var, asked, say))
    print(json.dumps(found) if as_json else table_of(found))


@app.command("bare")
def bare_command(
    connections: Annotated[int, typer.Option(min=1, max=10_000, help="requests in flight on either side")] = 64,
    seconds: SecondsEach = 8.0,
) -> None:
    """Load a caudal of its own and the bare write path in turn, on one server, and print their ratio as JSON.

    The bare path writes rows of the same shape in the same batches without HTTP, validation, ledger or failure rules.
    """
    plan = Plan(scenario=known("spei-create").scenario, connections=connections, seconds=seconds, up=True)
    figures = carried_out(against_bare(plan, say))
    print(json.dumps(figures))
    if figures["lost"] or figures["doubled"]:
        raise typer.Exit(1)


@app.command("tpcb")
def tpcb_command(
    connections: Annotated[int, typer.Option(min=1, max=1_000, help="requests in flight, and clients of pgbench")] = 64,
    seconds: SecondsEach = 16.0,
    program: Annotated[str | None, typer.Option("--pgbench", help="its path; without it the embedded server's")] = None,
) -> None:
    """Load a caudal of its own and pgbench's built-in TPC-B transaction in turn, on one server; ratios as JSON.

    pgbench is had in three ways: with a branch for each client, with prepared statements too, and with one branch.
    """
    plan = Plan(scenario=known("spei-create").scenario, connections=connections, seconds=seconds, up=True)
    against = program or carried_out(at_once(pgbench))
    figures = carried_out(against_tpcb(plan, against, say))
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
    outcome = carried_out(failover(plan, say, {}))
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
    seeded = carried_out(seed_database(database, payins, merchants=merchants, days=days, kek=key, say=say))
    say(f"{seeded.payins:,} payins, {seeded.events:,} events, {seeded.transfers:,} transfers in {seeded.seconds:.0f} s")


_Seed = Annotated[int | None, typer.Option(help="decides moments, targets and requests; without it a new one")]
_Quiet = Annotated[float, typer.Option(min=0, max=3_600, help="seconds that all may take to come to rest afterwards")]


def _refuse_strangers(context: typer.Context) -> None:
    """Raise BadParameter for an option that means nothing beside --list, --recheck or --replay."""
    given = set[str]()
    for one in context.command.params:
        source = context.get_parameter_source(one.name or "")
        if source is not None and source.name == "COMMANDLINE":
            given.add(one.opts[0])
    for what, follows in FOLLOWS.items():
        strange = sorted(given - {what, *follows})
        if what in given and strange:
            raise typer.BadParameter(f"does not follow {', '.join(strange)}", param_hint=what)


@app.command("faults")
def faults_command(
    context: typer.Context,
    seconds: Annotated[float, typer.Option(min=1, help="how long the load and the faults last")] = 120.0,
    seed: _Seed = None,
    each: Annotated[int, typer.Option(min=1, max=1_000, help="how often each fault happens")] = 1,
    kinds: Annotated[str, typer.Option(help="kill,pause:web,…: kinds, or one target of a kind; without it all")] = "",
    connections: Annotated[int, typer.Option(min=1, max=1_000, help="clients, one request in flight each")] = 32,
    quiet: _Quiet = 180.0,
    without: Annotated[str, typer.Option(metavar="3,5", help="leave these checks out")] = "",
    keep: Annotated[Path | None, typer.Option(help="keep plan, history, rows and logs in this new directory")] = None,
    replay: Annotated[
        Path | None, typer.Option(help="run the plan of this kept run again, with as many clients")
    ] = None,
    recheck: Annotated[Path | None, typer.Option(help="run nothing: check this kept run again")] = None,
    show: Annotated[bool, typer.Option("--list", help="run nothing: show all faults and checks")] = False,
    as_json: AsJson = False,
) -> None:
    """Start a whole caudal, load it while everything around it fails, and prove that nothing is lost or doubled.

    Clients create, capture, refund, cancel, repeat keys and race for them, and write down what they ask and are told.
    Meanwhile the plan, made from the seed, kills and stops processes, breaks connections, fills disks. Then all is
    healed, everything comes to rest, and seven checks hold what was answered against rows, both books and messages.

    Exit 0: every planned fault happened, and nothing is wrong. 1: something is lost, doubled, stuck or wrong, a fault
    never happened, the rate never came back, or the run failed; what was seen is kept, and the directory named. 2: the
    options do not fit.
    """
    _refuse_strangers(context)
    if show:
        print_list(Console())
        return
    names, left_out = (tuple(name for name in text.split(",") if name) for text in (kinds, without))
    if recheck is not None:
        report = carried_out(at_once(lambda: check_again(recheck, left_out)))
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
        report = carried_out(faults(asked, say))
    _tell(report, as_json)


def _tell(report: Report, as_json: bool) -> None:
    if as_json:
        print(json.dumps(report.as_json(), default=str))
    else:
        print_report(report, Console())
    if not report.passed:
        raise typer.Exit(1)
