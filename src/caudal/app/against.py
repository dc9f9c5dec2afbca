"""Our books against the sandbox's: the bank's transfers by their keys, the providers' payments by theirs.

A sandbox that does not answer is no difference: whoever compares says that he could not look.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import psycopg

from caudal.kernel import sqlfile

if TYPE_CHECKING:
    from rich.console import Console

SQL: Final = sqlfile.queries(Path(__file__).with_name("queries.sql"))
SHOWN_MAX: Final = 50
_CONNECT_S: Final = 5.0
_SILENT_S: Final = 10.0  # between two parts of an answer

Connection = psycopg.AsyncConnection[Any]


class CannotLook(Exception):
    """Something that was to be looked at does not answer, or is not what was expected; the message says what."""


async def against_sandbox(connection: Connection, url: str, console: Console) -> int:
    """How many differences there are; prints them. Raises CannotLook, psycopg.Error."""
    ours = await _rows(connection, "deposits_for_bank") + await _rows(connection, "refunds_for_bank")
    theirs: dict[str, list[int]] = {}
    async for entry in _statement(url, "/v1/bank/statement"):
        sums = theirs.setdefault(entry.get("tracking_key") or entry["payment_key"], [0, 0])
        sums[entry["kind"] == "return"] += entry["amount"]
    wrong = _compared(console, "bank", {row[0]: list(row[1:]) for row in ours}, theirs)
    payments = {row[0]: list(row[1:]) for row in await _rows(connection, "payins_for_provider")}
    said: dict[str, list[Any]] = {}
    async for entry in _statement(url, "/v1/provider/statement"):
        said[entry["key"]] = [
            entry[name] for name in ("provider", "account", "currency", "held", "captured", "refunded", "disputed")
        ]
    # What never came to be there, and neither holds nor took anything here, is no difference.
    mine = {key: row for key, row in payments.items() if key in said or row[3] or row[4]}
    return wrong + _compared(console, "provider", mine, said)


async def _rows(connection: Connection, name: str) -> list[tuple[Any, ...]]:
    return await (await connection.execute(cast("Any", SQL[name]), {})).fetchall()


async def _statement(url: str, path: str) -> AsyncIterator[dict[str, Any]]:
    import aiohttp

    patience = aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S, sock_read=_SILENT_S)
    try:
        async with aiohttp.ClientSession(timeout=patience) as session, session.get(f"{url}{path}") as answer:
            answer.raise_for_status()
            async for line in answer.content:
                yield json.loads(line)
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        why = str(error) or type(error).__name__
        raise CannotLook(f"the sandbox's statement cannot be read at {url}{path}: {why}") from error


def _compared(console: Console, who: str, ours: dict[str, list[Any]], theirs: dict[str, list[Any]]) -> int:
    wrong = 0
    for key in sorted(ours.keys() | theirs.keys()):
        mine, other = ours.get(key), theirs.get(key)
        if mine != other:
            wrong += 1
            if wrong <= SHOWN_MAX:
                console.print(f"WRONG sandbox {who}: {key}: ours {mine}, theirs {other}", markup=False)
    console.print(f"{len(theirs):,} entries of the sandbox's {who} compared")
    return wrong
