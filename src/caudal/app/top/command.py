"""The command: a look every second, until Ctrl-C or q."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Final

import aiohttp
import msgspec
import typer
from rich.console import Console
from rich.live import Live

from caudal.app import state
from caudal.app.top.figures import Figures, figures
from caudal.app.top.reading import Page, read
from caudal.app.top.view import frame
from caudal.kernel.settings import SettingError, load

EPILOG: Final = "Example: caudal top --every 2 --metrics http://10.0.0.5:8702 --metrics http://10.0.0.6:8702"
_WINDOW_S: Final = 5.0  # rates and percentiles are of the last seconds: of one second they jump
_WIDE: Final = 100


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
    addresses = _addresses(metrics or [])
    try:
        found = asyncio.run(_watch(addresses, every, once=once, as_json=as_json))
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


async def _watch(addresses: Mapping[str, str], every: float, *, once: bool, as_json: bool) -> bool:
    """Looks until it is ended; whether anybody answered the last time."""
    console = Console(highlight=False)
    console = console if console.is_terminal else Console(highlight=False, width=_WIDE)
    looks: deque[dict[str, Page]] = deque(maxlen=max(2, 1 + round(_WINDOW_S / every)))
    async with aiohttp.ClientSession() as session:
        looks.append(await read(session, addresses))
        with Live(console=console, screen=console.is_terminal, auto_refresh=False) as live:
            if once or as_json or not console.is_terminal:
                live.stop()
            while True:
                await asyncio.sleep(every)
                looks.append(await read(session, addresses))
                now = figures(looks[0], looks[-1])
                if as_json:
                    print(json.dumps(msgspec.to_builtins(now)), flush=True)
                elif once or not console.is_terminal:
                    console.print(frame(now, _title(now, addresses)))
                else:
                    live.update(frame(now, _title(now, addresses)), refresh=True)
                if once:
                    return any(page.samples for page in looks[-1].values())


def _title(now: Figures, addresses: Mapping[str, str]) -> str:
    away = sum("trouble" in of for of in now.processes)
    told = f"{len(addresses) - away} of {len(addresses)} processes" if away else f"{len(addresses)} processes"
    return f"caudal  {datetime.now(UTC):%H:%M:%S} UTC  {told}, the last {now.seconds:.0f} s"
