"""The first payments, before your eyes: what `caudal up` ends its start with. Speaks HTTP like anybody else."""

from __future__ import annotations

import asyncio
import os
import sys
import uuid
from time import monotonic
from typing import Any, Final

import aiohttp
import msgspec
from rich.console import Console
from rich.table import Table

from caudal.app.state import Ready
from caudal.kernel.money import format_amount

_PATIENCE_S: Final = 15.0
_EXPECTED: Final = "paid"


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one flow."""

    name: str
    steps: str
    took_s: float
    status: str
    balance: str


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
    console = Console()
    console = console if console.is_terminal else Console(width=132)
    flows = [await _spei(ready)]
    table = Table(title="A first payment of every flow", title_justify="left")
    for column in ("flow", "steps", "time", "status", "balance"):
        table.add_column(column, justify="right" if column == "time" else "left")
    for flow in flows:
        table.add_row(flow.name, flow.steps, f"{flow.took_s * 1000:.0f} ms", flow.status, flow.balance)
    console.print(table)
    clean = await _books_are_clean(ready, console)
    if stays:
        _say_next(console, ready)
        console.print("caudal is up; Ctrl-C stops it.", highlight=False)
    return clean and all(flow.status == _EXPECTED for flow in flows)


async def _books_are_clean(ready: Ready, console: Console) -> bool:
    """Runs `caudal check --replay --against-sandbox` as anybody would; long books are left to the reader's patience."""
    environment = {**os.environ, "CAUDAL_DATABASE_URL": ready.database_url, "CAUDAL_SANDBOX_URL": ready.sandbox_url}
    command = (sys.executable, "-m", "caudal", "check", "--replay", "--against-sandbox")
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), _PATIENCE_S)
    except TimeoutError:
        process.kill()
        await process.wait()
        console.print("caudal check --replay: the books are long; run it yourself")
        return True
    told = " · ".join(line.strip() for line in said.decode().splitlines() if line.strip())
    console.print(f"caudal check --replay --against-sandbox: {told}", highlight=False, markup=False)
    return process.returncode == 0


def _say_next(console: Console, ready: Ready) -> None:
    body = '{"amount":12050,"currency":"MXN","country":"MX","method":"spei","reference":"order-1"}'
    lines = [
        "",
        "Create a payin:",
        f"  curl -s {ready.api_url}/v1/payins -H 'Authorization: Bearer {ready.demo_key}' \\",
        f"    -H 'Idempotency-Key: order-1' -H 'Content-Type: application/json' -d '{body}'",
        "",
        f"API reference   {ready.reference_url}",
        f"Payer's page    {ready.payer_url}",
        "Operator's key  operator_key in secrets.json, beside the data",
        "Check the books caudal check --replay",
        "",
    ]
    console.print("\n".join(lines), highlight=False, markup=False, soft_wrap=True)


async def _spei(ready: Ready) -> Flow:
    """A CLABE for one payment, a transfer in the sandbox bank, its callback, the ledger."""
    started, amount = monotonic(), 12050
    bearer = {"Authorization": f"Bearer {ready.demo_key}"}
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        keyed = {**bearer, "Idempotency-Key": f"demo-{uuid.uuid4()}"}
        asked = {
            "amount": amount,
            "currency": "MXN",
            "country": "MX",
            "method": "spei",
            "reference": "demo",
            "payer": {"name": "Beto Ruiz", "email": "beto@example.com"},
        }
        payin = await _json(session.post(f"{ready.api_url}/v1/payins", json=asked, headers=keyed))
        if "next_action" not in payin:
            return Flow(name="spei MX", steps="create", took_s=0, status=str(payin.get("code")), balance="")
        transfer = {
            "clabe": payin["next_action"]["clabe"],
            "amount": amount,
            "currency": "MXN",
            "payer_name": "Beto Ruiz",
        }
        await _json(session.post(f"{ready.sandbox_url}/v1/bank/transfers", json=transfer))
        address = f"{ready.api_url}/v1/payins/{payin['id']}"
        while monotonic() - started < _PATIENCE_S:
            payin = await _json(session.get(address, headers=bearer))
            if payin.get("status") != "pending":
                break
            await asyncio.sleep(0.02)
        took_s = monotonic() - started
        balances = await _json(session.get(f"{ready.api_url}/v1/balances", headers=bearer))
        events = await _json(session.get(f"{ready.api_url}/v1/events?limit=100", headers=bearer))
    mine = next((b for b in balances.get("data", []) if b["currency"] == "MXN"), {"pending": 0})
    told = [e["type"] for e in events.get("data", []) if e["subject"] == payin["id"]]
    steps = f"create → CLABE → deposit → callback → ledger (fee {format_amount(payin['fees'], 'MXN')})"
    balance = f"pending {format_amount(mine['pending'], 'MXN')}; events {', '.join(told)}"
    return Flow(name="spei MX", steps=steps, took_s=took_s, status=str(payin["status"]), balance=balance)


async def _json(call: Any) -> dict[str, Any]:
    async with call as answer:
        found: dict[str, Any] = await answer.json(content_type=None)
        return found
