"""`caudal check`: runs every law of db/checks.sql, the replay, and the comparison with the sandbox bank's books.

Each law walks its table in ranges, each range in a short transaction of its own.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Final, cast
from uuid import UUID

import aiohttp
import psycopg
from rich.console import Console

from caudal.app.replay import replay as replay_shard
from caudal.kernel import sqlfile
from caudal.kernel.money import CURRENCIES
from caudal.kernel.settings import Settings

CHECKS: Final = Path(__file__).parents[3] / "db" / "checks.sql"
SQL: Final = sqlfile.queries(Path(__file__).with_name("queries.sql"))
_RANGE: Final = 20_000
_SHOWN_MAX: Final = 50

_ISO: Final = {
    "currencies": list(CURRENCIES),
    "numerics": [currency.numeric for currency in CURRENCIES.values()],
}

Connection = psycopg.AsyncConnection[Any]


async def check(settings: Settings, *, replay: bool, against_sandbox: bool) -> int:
    """Checks everything and prints what is wrong; the exit status."""
    console, wrong = Console(highlight=False), 0
    connection: Connection = await psycopg.AsyncConnection.connect(settings.database_url or "", autocommit=True)
    async with connection:
        await connection.execute("set timezone = 'UTC'")
        for (shard,) in await _rows(connection, SQL["shards"], {}):
            async for row in differences(connection, shard):
                wrong += 1
                if wrong <= _SHOWN_MAX:
                    console.print(f"WRONG {row[0]}: shard {row[1]}, {row[2]}: {row[3]}", markup=False)
            if replay:
                wrong += await _replay(connection, shard, console)
        if against_sandbox:
            wrong += await _against_sandbox(connection, settings, console)
    console.print("all is well" if not wrong else f"{wrong} rows are wrong", style="green" if not wrong else "red")
    return 1 if wrong else 0


async def differences(connection: Connection, shard: int) -> AsyncIterator[tuple[Any, ...]]:
    """Every row that breaks a law: check, shard, subject, detail."""
    for query in sqlfile.parse(CHECKS.read_text("utf-8"), str(CHECKS)):
        kind = query.doc.partition("range:")[2].split(maxsplit=1)[0]
        async for bounds in _ranges(connection, shard, kind):
            for row in await _rows(connection, query.sql, {"shard": shard, **_ISO, **bounds}):
                yield row


async def _ranges(connection: Connection, shard: int, kind: str) -> AsyncIterator[dict[str, Any]]:
    if kind == "shard":
        yield {}
        return
    first: dict[str, tuple[Any, ...]] = {
        "transfers": (0,),
        "events": (-1,),
        "accounts": (-1,),
        "payins": (UUID(int=0),),
        "entries": (-1, 0),
    }
    low = first[kind]
    while True:
        page = {"shard": shard, "low": low[0], "low2": low[-1], "size": _RANGE}
        [high] = await _rows(connection, SQL[f"range_of_{kind}"], page)
        if high[0] is None:
            return
        if kind == "entries":
            names = ("low_account", "low_version", "high_account", "high_version")
            yield dict(zip(names, (*low, *high), strict=True))
        else:
            yield {"low": low[0], "high": high[0]}
        low = high


async def _rows(connection: Connection, query: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(cast("Any", query), parameters)
    return await cursor.fetchall()


async def _replay(connection: Connection, shard: int, console: Console) -> int:
    with console.status(f"replaying shard {shard}") as status:
        result = await replay_shard(
            connection, shard, progress=lambda seq, mark: status.update(f"replaying shard {shard}: {seq:,} of {mark:,}")
        )
    for difference in result.differences[:_SHOWN_MAX]:
        console.print(f"WRONG replay: shard {shard}, {difference}", markup=False)
    console.print(f"shard {shard}: {result.transfers:,} transfers replayed, chain {result.chain.hex()[:16]}…")
    return len(result.differences) + result.unreported


async def _against_sandbox(connection: Connection, settings: Settings, console: Console) -> int:
    """Deposits and returns, ours against the bank's, by tracking key."""
    ours = {row[0]: row[1:] for row in await _rows(connection, SQL["deposits_for_bank"], {})}
    theirs: dict[str, list[int]] = {}
    async with aiohttp.ClientSession() as session:
        async with session.get(f"{settings.sandbox_url}/v1/bank/statement") as answer:
            answer.raise_for_status()
            async for line in answer.content:
                entry = json.loads(line)
                sums = theirs.setdefault(entry["tracking_key"], [0, 0])
                sums[entry["kind"] == "return"] += entry["amount"]
    wrong = 0
    for key in sorted(ours.keys() | theirs.keys()):
        mine, bank = ours.get(key), theirs.get(key)
        if mine is None or bank is None or list(mine) != bank:
            wrong += 1
            if wrong <= _SHOWN_MAX:
                console.print(f"WRONG sandbox: {key}: ours {mine}, the bank's {bank}", markup=False)
    console.print(f"{len(theirs):,} transfers of the sandbox bank compared")
    return wrong
