"""The command. What it shows with is loaded when it runs: every command's module is loaded by all of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Final

import typer

from caudal.app import state
from caudal.kernel.settings import SettingError, load

EPILOG: Final = "Example: caudal top --every 2 --metrics http://10.0.0.5:8702 --metrics http://10.0.0.6:8702"


def top(
    every: Annotated[float, typer.Option(min=0.2, max=60, help="Seconds between two looks.")] = 1.0,
    metrics: Annotated[
        list[str] | None,
        typer.Option(help="An operator's port of a process, http://HOST:PORT; may be repeated.", metavar="URL"),
    ] = None,
    once: Annotated[bool, typer.Option("--once", help="Look twice, show that, and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="A line of JSON a look.")] = False,
) -> None:
    """Show what a caudal does now: requests, batches, providers, webhooks, money in flight, processes.

    Of the `caudal up` of this directory (CAUDAL_VAR), or of the processes whose operator's ports (CAUDAL_METRICS_PORT)
    are named. Rates and percentiles are of the last five seconds. A process that does not answer is shown as away, and
    counts again when it is back. Ctrl-C ends it. Exits 0; 2 where there is nothing to look at, or `--once` found none.
    """
    from caudal.app.top.watching import watch

    addresses = _addresses(metrics or [])
    try:
        found = asyncio.run(watch(addresses, every, once=once, as_json=as_json))
    except KeyboardInterrupt:
        return
    if not found:
        raise SettingError(f"nobody answers at {', '.join(addresses.values())}")


def _addresses(named: list[str]) -> dict[str, str]:
    """Name → address. Raises SettingError."""
    for address in named:
        if not address.startswith(("http://", "https://")):
            raise SettingError(f"--metrics {address}: an address is http://HOST:PORT")
    if named:
        return {address.partition("://")[2].rstrip("/"): address.rstrip("/") for address in named}
    settings = load()
    ready = state.read_ready(Path(settings.var))
    if ready is None or not ready.metrics:
        where = Path(settings.var).absolute()
        raise SettingError(f"no `caudal up` runs in {where}: name operator's ports with --metrics")
    return dict(ready.metrics)
