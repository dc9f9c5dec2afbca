"""The commands about load itself: run a scenario, list them, compare what runs have left."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from caudal_load.carry import carried_out, say
from caudal_load.compare import BadReport, compare, load, print_comparison
from caudal_load.html import comparison_page, report_page
from caudal_load.places import apart, writable, written
from caudal_load.plan import Plan
from caudal_load.progress import Shown
from caudal_load.report import Report, print_table
from caudal_load.run import run
from caudal_load.scenarios import BadScenario, Script, names, read

SLO_MISSED = 3

ScenarioName = Annotated[
    str, typer.Argument(metavar="SCENARIO", help=f"a scenario ({', '.join(names())}), or the path of a .toml file")
]
Connections = Annotated[
    int | None, typer.Option(help="closed loop: so many connections, one request in flight on each")
]
Rate = Annotated[
    float | None, typer.Option(help="open loop: so many arrivals per second, latency from the scheduled arrival")
]
Seconds = Annotated[
    float | None, typer.Option(help="measured seconds, per side; a scenario's phases are stretched to them")
]
NumberOfRequests = Annotated[
    int | None, typer.Option(help="measure until so many are acknowledged, and fail if --seconds are over before")
]
WarmUp = Annotated[float | None, typer.Option(help="unmeasured seconds before them, per side; 1 unless the file says")]
Up = Annotated[bool, typer.Option("--up", help="start a caudal on an empty directory and end it afterwards")]
Url = Annotated[str | None, typer.Option(help="load a running one, e.g. http://127.0.0.1:8700")]
Var = Annotated[
    Path | None,
    typer.Option(help="load the one that `caudal up` runs on this directory: addresses, key and processes are known"),
]
Key = Annotated[str | None, typer.Option(help="with --url: a merchant's sk_test_… key")]
OperatorKey = Annotated[str | None, typer.Option(help="with --url: an op_… key, to make merchants with")]
Database = Annotated[
    str | None, typer.Option(help="with --url: its database, to verify in; without it the API is asked")
]
Sandbox = Annotated[
    str | None, typer.Option(help="with --url: its sandbox, e.g. http://127.0.0.1:8701, whose books are compared")
]
Merchants = Annotated[int | None, typer.Option(help="make so many merchants and spread the requests over them")]
Processes = Annotated[int | None, typer.Option(help="so many processes of the generator; 1 unless the file says")]
WebProcesses = Annotated[int | None, typer.Option("--web-processes", help="with --up: so many API processes")]
Seed = Annotated[int, typer.Option(help="with --up: give it a past of so many payins first")]
Versus = Annotated[
    str | None,
    typer.Option(
        metavar="SETTING=VALUE,…",
        help="a second side with these different, loaded in turn: connections, rate, merchants, seed, checkout, "
        "telemetry (a share of traces), or a setting",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON object on standard output")]
Save = Annotated[
    Path | None,
    typer.Option(metavar="FILE.json", callback=writable, help="write that object into a file, for `compare`"),
]
Page = Annotated[
    Path | None,
    typer.Option(
        "--report", metavar="FILE.html", callback=writable, help="write a page with plots, one file, no download"
    ),
]


def run_command(
    scenario: ScenarioName,
    connections: Connections = None,
    rate: Rate = None,
    seconds: Seconds = None,
    requests: NumberOfRequests = None,
    warm_up: WarmUp = None,
    up: Up = False,
    url: Url = None,
    var: Var = None,
    key: Key = None,
    operator_key: OperatorKey = None,
    database: Database = None,
    sandbox: Sandbox = None,
    merchants: Merchants = None,
    processes: Processes = None,
    web_processes: WebProcesses = None,
    seed: Seed = 0,
    versus: Versus = None,
    as_json: AsJson = False,
    save: Save = None,
    report: Page = None,
) -> None:
    """Load caudal with a scenario, then look for every payin that it acknowledged.

    Exit 0: all there, once, and the scenario's SLO kept. 1: something is lost or double, or the run failed.
    2: the options do not fit together. 3: all there, but the SLO was missed.
    """
    apart(save, report)
    plan = Plan.of(
        known(scenario),
        connections=connections,
        rate=rate,
        seconds=seconds,
        requests=requests,
        warm_up_s=warm_up,
        merchants=merchants,
        processes=processes,
        up=up,
        settings=None if web_processes is None else {"CAUDAL_WEB_PROCESSES": str(web_processes)},
        seed=seed,
        url=url,
        var=var,
        key=key,
        operator_key=operator_key,
        database_url=database,
        sandbox_url=sandbox,
    )
    _written(carried_out(run(plan, versus, say, Shown(Console(stderr=True), say))), as_json, save, report)


def _written(found: Report, as_json: bool, save: Path | None, page: Path | None) -> None:
    """Print and keep what was found, and end as it deserves. What cannot be kept any more has been printed."""
    said = found.as_json()
    if as_json:
        print(json.dumps(said), flush=True)
    else:
        print_table(found, Console())
    if save is not None:
        _kept(save, json.dumps(said))
    if page is not None:
        _kept(page, report_page(said))
    if not found.passed:
        raise typer.Exit(1)
    if not found.kept:
        raise typer.Exit(SLO_MISSED)


def _kept(path: Path, text: str) -> None:
    written(path, text)
    say(f"written: {path}")


def known(scenario: str) -> Script:
    """What the command line names. Raises BadParameter."""
    try:
        return read(scenario)
    except BadScenario as error:
        raise typer.BadParameter(str(error), param_hint="SCENARIO") from error


def scenarios_command(
    scenario: Annotated[str | None, typer.Argument(help="show the file of this one, or check yours")] = None,
) -> None:
    """List the scenarios of the product; with a name or a path check that one and print its file.

    Exit 0: it is as it should be. 2: it is not, and the field is named.
    """
    if scenario is not None:
        print(known(scenario).text, end="")
        return
    table = Table("scenario", "load", "about", box=None, pad_edge=False, header_style="bold")
    for name in names():
        script = read(name)
        phases = ", ".join(f"{phase.name} {phase.seconds:g} s up to {phase.peak:g}/s" for phase in script.phases)
        table.add_row(name, phases or "--connections or --rate", script.about)
    Console().print(table)


Saved = Annotated[str, typer.Argument(metavar="A.json", help="what --save wrote; several runs with commas between")]
Other = Annotated[str, typer.Argument(metavar="B.json", help="the same of the other side")]


def compare_command(
    first: Saved,
    second: Other,
    as_json: AsJson = False,
    report: Page = None,
) -> None:
    """Say what differs between two runs, or two groups of runs, and whether it is more than chance at 95 %.

    Exit 0: compared, whatever came out. 2: a file is no report.
    """
    try:
        sides = [[load(Path(name)) for name in names_.split(",")] for names_ in (first, second)]
        found = compare(sides[0], sides[1])
    except BadReport as error:
        raise typer.BadParameter(str(error)) from error
    if report is not None:
        _kept(report, comparison_page(found))
    if as_json:
        print(json.dumps(found.as_json()))
    else:
        print_comparison(found, Console())


def report_command(
    saved: Annotated[Path, typer.Argument(metavar="A.json", help="what --save wrote")],
    page: Annotated[Path, typer.Argument(metavar="FILE.html", callback=writable, help="where the page goes")],
) -> None:
    """Write the page with plots of a run that was saved. Exit 2: the file is no report."""
    try:
        text = report_page(load(saved).said)
    except BadReport as error:
        raise typer.BadParameter(str(error)) from error
    except (KeyError, TypeError, ValueError) as error:
        raise typer.BadParameter(f"{saved} is no report of a run: a part of it is missing ({error})") from error
    _kept(page, text)
