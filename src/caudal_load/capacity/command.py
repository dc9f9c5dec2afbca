"""`caudal-load capacity`: take the steps, or read them again, and answer."""

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from caudal_load.capacity.answer import Answer, answered
from caudal_load.capacity.kept import BadSteps, Kept, load, save, together
from caudal_load.capacity.model import DRAWS
from caudal_load.capacity.show import print_answer
from caudal_load.capacity.sizing import EXAMPLE, MEAN, UTILISATION, BadPrices, Wanted, read_prices
from caudal_load.capacity.solve import Unsolvable
from caudal_load.capacity.staircase import Climb, climbed
from caudal_load.carry import carried_out, say
from caudal_load.commands import AsJson, Page, Var, WebProcesses, known
from caudal_load.html import capacity_page
from caudal_load.places import apart, writable, written
from caudal_load.plan import Plan

NOT_PREDICTED = 3
_MERCHANTS = 8

Scenario = Annotated[str, typer.Argument(metavar="SCENARIO", help="what to ask for: a name or the path of a file")]
Steps = Annotated[
    str | None, typer.Option(metavar="FILE,…", help="take no steps: fit those that --save kept, several as one run")
]
For = Annotated[
    list[float] | None, typer.Option("--for", min=1, help="a wanted rate, per second; as often as you like")
]
Slo = Annotated[float, typer.Option("--slo-ms", min=0.1, help="99 of 100 are to be answered in this time")]
Seconds = Annotated[float, typer.Option(min=0.1, help="measured seconds of each step")]
WarmUp = Annotated[float, typer.Option(min=0, help="unmeasured seconds before each")]
Most = Annotated[int, typer.Option(min=8, max=4096, help="connections, at most")]
Between = Annotated[int, typer.Option(min=0, max=10, help="bisections of the rate around the knee")]
Processes = Annotated[int, typer.Option(min=1, max=64, help="of the generator")]
Merchants = Annotated[int, typer.Option(min=1, max=100_000, help="make so many and spread the requests over them")]
Save = Annotated[
    Path | None, typer.Option("--save", metavar="FILE.json", callback=writable, help="keep the steps, for --steps")
]
Draws = Annotated[int, typer.Option(min=1, max=10_000, help="of steps, from which the error bars are")]
Prices = Annotated[
    Path, typer.Option(metavar="FILE.toml", help="prices, largest machine, retention; yours for the example")
]
Utilisation = Annotated[
    float, typer.Option(min=0.05, max=1, help="how much of a core is to be used at the wanted rate")
]
Mean = Annotated[float, typer.Option(min=0.01, max=1, help="a day's mean rate, as a share of the wanted one")]


def capacity_command(
    scenario: Scenario = "spei-create",
    wanted: For = None,
    slo_ms: Slo = 25.0,
    seconds: Seconds = 5.0,
    warm_up: WarmUp = 1.0,
    most: Most = 256,
    between: Between = 3,
    processes: Processes = 1,
    web_processes: WebProcesses = None,
    merchants: Merchants = _MERCHANTS,
    var: Var = None,
    steps: Steps = None,
    save_as: Save = None,
    draws: Draws = DRAWS,
    prices: Prices = EXAMPLE,
    utilisation: Utilisation = UTILISATION,
    mean: Mean = MEAN,
    as_json: AsJson = False,
    report: Page = None,
) -> None:
    """Find out how much a caudal takes, what ends it, and what a wanted rate needs.

    Takes steps of more and more connections, then of more and more arrivals, fits throughput, delay and CPU to them,
    and predicts a step that it leaves out. Without --var on a caudal of its own.

    Exit 0: the step that was left out is predicted within 15 %. 3: it is not. 1: something is lost or double, the steps
    are too few for a fit, or the run failed. 2: the options do not fit together.
    """
    apart(save_as, report)
    try:
        table = read_prices(prices)
        asked = [Wanted(rate=rate, utilisation=utilisation, mean=mean, prices=table) for rate in wanted or ()]
        if steps is not None:
            kept = together([load(Path(name)) for name in steps.split(",")])
        else:
            plan = _plan(scenario, seconds, warm_up, processes, merchants, var, web_processes)
            how = Climb(most=most, slo_ms=slo_ms, between=between)
            kept = carried_out(climbed(plan, how, say, partial(_keep, save_as)))
    except (BadSteps, BadPrices) as error:
        raise typer.BadParameter(str(error)) from error
    _keep(save_as, kept)
    try:
        answer = answered(kept, slo_ms, asked, draws)
    except Unsolvable as error:
        say(f"no fit: {error}")
        raise typer.Exit(1) from error
    _written(answer, as_json, report)


def _plan(
    scenario: str,
    seconds: float,
    warm_up_s: float,
    processes: int,
    merchants: int,
    var: Path | None,
    web_processes: int | None,
) -> Plan:
    return Plan.of(
        known(scenario),
        connections=1,
        seconds=seconds,
        warm_up_s=warm_up_s,
        processes=processes,
        merchants=merchants,
        up=var is None,
        var=var,
        settings=None if web_processes is None else {"CAUDAL_WEB_PROCESSES": str(web_processes)},
    )


def _keep(place: Path | None, kept: Kept) -> None:
    if place is not None:
        save(kept, place)


def _written(answer: Answer, as_json: bool, report: Path | None) -> None:
    """Print and draw the answer, and end as it deserves."""
    if as_json:
        print(json.dumps(answer.as_json()), flush=True)
    else:
        print_answer(answer, Console())
    if report is not None:
        written(report, capacity_page(answer))
        say(f"written: {report}")
    if not answer.safe:
        raise typer.Exit(1)
    if not answer.check.passed:
        raise typer.Exit(NOT_PREDICTED)
