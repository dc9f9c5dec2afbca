"""What stands in the books: balances, postings, and whether everything is in order."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, LiteralString

import psycopg

from caudal import ledger
from caudal.app.check import differences
from caudal.app.replay import replay
from caudal.kernel.context import Context
from tests.api import Api


async def rows(context: Context, query: LiteralString, *parameters: object) -> list[tuple[Any, ...]]:
    return await context.rows(query, parameters)


async def wrong_in(database_url: str, shard: int = 0) -> list[str]:
    """Everything that `caudal check --replay` would print of a shard."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("set timezone = 'UTC'")
        return await wrong_on(connection, shard)


async def wrong_on(connection: psycopg.AsyncConnection[Any], shard: int = 0) -> list[str]:
    """The same on a connection."""
    found = await broken_laws(connection, shard)
    replayed = await replay(connection, shard)
    return found + [f"replay: {difference}" for difference in replayed.differences]


async def broken_laws(
    connection: psycopg.AsyncConnection[Any], shard: int = 0, only: Collection[str] | None = None
) -> list[str]:
    """Everything that `caudal check` would print of a shard, without the replay; with `only`, of these laws."""
    return [" ".join(map(str, row)) async for row in differences(connection, shard, only=only)]


async def assert_in_order(context: Context) -> None:
    wrong = await wrong_in(context.settings.database_url or "")
    assert not wrong, "\n".join(wrong)


async def balances(api: Api) -> dict[str, dict[str, int]]:
    """Currency → what is not zero."""
    answered = await api.get("/v1/balances")
    found = {row.pop("currency"): row for row in answered.json["data"]}
    for row in found.values():
        assert sum(day["amount"] for day in row.pop("pending_by_day")) == row["pending"]
    return {currency: {name: amount for name, amount in row.items() if amount} for currency, row in found.items()}


async def postings_of(context: Context, deposit: str) -> list[str]:
    """The transfers about a deposit: `payin.received bank→pending 10000`."""
    query: LiteralString = """select code, debit_account, credit_account, amount_minor from transfer
        where subject = %s::uuid order by seq"""
    found = await rows(context, query, deposit.removeprefix("dep_"))
    return [f"{code} {_purpose(debit)}→{_purpose(credit)} {amount}" for code, debit, credit, amount in found]


def _purpose(account: int) -> str:
    return ledger.account_name(account).purpose.name.lower()


async def house(context: Context, purpose: ledger.Purpose, *, live: bool = False, currency: str = "MXN") -> int:
    """The credit balance of one of the house's accounts."""
    id = ledger.account_id(int(live), currency, purpose)
    found = await rows(context, "select credits_posted - debits_posted from account where shard = 0 and id = %s", id)
    return int(found[0][0]) if found else 0
