"""A look every second, until Ctrl-C."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

import aiohttp
import msgspec
from rich.console import Console
from rich.live import Live

from caudal.app.top.figures import Figures, figures
from caudal.app.top.reading import Page, read
from caudal.app.top.view import frame

_WINDOW_S: Final = 5.0  # rates and percentiles are of the last seconds: of one second they jump
_WIDE: Final = 100


async def watch(addresses: Mapping[str, str], every: float, *, once: bool, as_json: bool) -> bool:
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
