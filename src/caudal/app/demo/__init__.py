"""The first payments, before your eyes: what `caudal up` ends its start with. Speaks HTTP like anybody else."""

from __future__ import annotations

import asyncio
import os
import sys
from contextlib import suppress

from rich.console import Console
from rich.table import Table

from caudal.app.state import Ready


async def show_addresses(ready: Ready) -> bool:
    """Only the addresses."""
    console = Console()
    _say_next(console, ready)
    console.print("caudal is up; Ctrl-C stops it.", highlight=False)
    return True


async def show_and_end(ready: Ready) -> bool:
    """Runs every flow once, for `caudal demo`."""
    return await show(ready, stays=False)


async def show(ready: Ready, *, stays: bool = True) -> bool:
    """Runs every flow once and prints the table; True when each reached its expected status."""
    from caudal.app.demo import flows  # with an HTTP client: who pays nothing starts without

    console = Console()
    console = console if console.is_terminal else Console(width=132)
    rows = await flows.run(ready)
    table = Table(title="A first payment of every flow", title_justify="left")
    for column in ("flow", "steps", "time", "status", "balance"):
        table.add_column(column, justify="right" if column == "time" else "left")
    for row in rows:
        table.add_row(row.name, row.steps, f"{row.took_s * 1000:.0f} ms", row.status, row.balance)
    console.print(table)
    clean = await _books_are_clean(ready, console, flows.PATIENCE_S if stays else None)
    if stays:
        _say_next(console, ready)
        console.print("caudal is up; Ctrl-C stops it.", highlight=False)
    return clean and all(row.status == flows.EXPECTED for row in rows)


async def _books_are_clean(ready: Ready, console: Console, patience_s: float | None) -> bool:
    """Runs `caudal check --replay --against-sandbox` as anybody would.

    Where there is a limit to the patience, long books are left to the reader's; otherwise their judgement counts.
    """
    environment = {**os.environ, "CAUDAL_DATABASE_URL": ready.database_url, "CAUDAL_SANDBOX_URL": ready.sandbox_url}
    command = (sys.executable, "-m", "caudal", "check", "--replay", "--against-sandbox")
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), patience_s)
    except TimeoutError:
        console.print("caudal check --replay: not checked, the books are long; run it yourself")
        return True
    finally:  # Ctrl-C too: it does not outlive us
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    told = " · ".join(line.strip() for line in said.decode().splitlines() if line.strip())
    console.print(f"caudal check --replay --against-sandbox: {told}", highlight=False, markup=False)
    return process.returncode == 0


def _say_next(console: Console, ready: Ready) -> None:
    body = '{"amount":12050,"currency":"MXN","country":"MX","method":"spei","reference":"order-1"}'
    lines = [
        "",
        "Create a payin:",
        f"  curl -s {ready.api_url}/v1/payins -H 'Authorization: Bearer {ready.demo_key}' \\",
        f"    -H \"Idempotency-Key: order-$(date +%s)\" -H 'Content-Type: application/json' -d '{body}'",
        "",
        f"API reference   {ready.reference_url}",
        f"Payer's page    {ready.payer_url}",
        f"Metrics         {ready.metrics.get('web')}/metrics (each process has its own: docs/telemetry.md)",
        "Operator's key  operator_key in secrets.json, beside the data",
        "Check the books caudal check --replay",
        "",
    ]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)
