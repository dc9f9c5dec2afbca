"""A batch of n is n batches of one: the same commands leave the same rows and answers, however they are cut.

The batch's time is fixed, so that every column is compared, the ledger's hash chain too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any
from uuid import uuid4

import psycopg

from caudal.kernel.commit import Head, PostgresPort, Result, Row, Statement
from caudal.kernel.commit.batch import Ask, Batch, reads_of
from caudal.kernel.commit.model import Missing
from caudal.kernel.errors import CaudalError
from tests.payins.books import wrong_in
from tests.payins.provider_story import kinds_of
from tests.payins.story import AT, Story

TABLES = [
    "account",
    "api_key",
    "audit",
    "balance_transaction",
    "book",
    "deposit",
    "deposit_account",
    "discrepancy",
    "due",
    "entry",
    "event",
    "fee_plan",
    "key",
    "merchant",
    "operator",
    "payer",
    "payin",
    "payin_change",
    "payin_operation",
    "payin_search",
    "pending_transfer",
    "provider_override",
    "release",
    "routing_profile",
    "shard",
    "transfer",
    "consumer",
]


class FixedTime(PostgresPort):
    """A port on which it is always the same time."""

    async def read(self, shard: int, reads: Sequence[Statement]) -> tuple[Head, list[list[Row]]]:
        head, rows = await super().read(shard, reads)
        head.at = head.clock = AT
        return head, rows


async def play(database_url: str, shard: int, commands: Sequence[Any], size: int) -> list[str]:
    """Commits the story on an empty shard in batches of this size; what each command came to."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("insert into shard (id) values (%s) on conflict (id) do nothing", (shard,))
    port, told = FixedTime(database_url), list[str]()
    for first in range(0, len(commands), size):
        asks = [Ask(command=command) for command in commands[first : first + size]]
        told += await committed(port, shard, asks)
    await port.close()
    return told


async def committed(port: PostgresPort, shard: int, asks: list[Ask]) -> list[str]:
    """One batch. Where a decision needs another row, the whole batch begins again with it."""
    while True:
        await port.open()
        reads = reads_of(asks)
        head, found = await port.read(shard, [table.reading(shard, keys) for table, keys in reads.items()])
        batch, results = Batch(head, reads, found), list[str]()
        try:
            for ask in asks:
                results.append(shown(batch.decide(ask.command)))
        except Missing as missing:
            asks[len(results)].extra += missing.needs
            await port.close()
            continue
        await port.write(batch.statements(uuid4(), len(asks)) if batch.wrote else [])
        return results


def shown(result: Result | CaudalError) -> str:
    if isinstance(result, CaudalError):
        return f"{type(result).__name__} {result.code} {result.__cause__ or ''}"
    if result.answer is None:
        return f"{type(result.outcome).__name__} {getattr(result.outcome, 'code', result.outcome)}"
    return f"{result.answer.status} {result.answer.replayed} {result.answer.body!r}"


async def dump(database_url: str, shard: int) -> dict[str, list[str]]:
    """Every row of every table of a shard, as text."""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        await connection.execute("set timezone = 'UTC'")
        out = {}
        for table in TABLES:
            column = "id" if table == "shard" else "shard"
            query = f"select (to_jsonb(t) - '{column}')::text from {table} t where t.{column} = %s order by 1"
            cursor = await connection.execute(query.encode(), (shard,))
            out[table] = [row[0] for row in await cursor.fetchall()]
        return out


async def tables_of(database_url: str) -> set[str]:
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        query = "select c.relname from pg_class c where relkind in ('r', 'p') and not relispartition"
        cursor = await connection.execute(query.encode() + b" and relnamespace = 'public'::regnamespace")
        return {row[0] for row in await cursor.fetchall()}


async def test_a_batch_is_its_commands_one_by_one(database_url: str) -> None:
    story = Story(seed=9, length=900).commands
    told: dict[int, list[str]] = {}
    rows: dict[int, dict[str, list[str]]] = {}
    for shard, size in enumerate((1, 7, 64, 512)):
        told[size] = await play(database_url, shard, story, size)
        rows[size] = await dump(database_url, shard)
        assert await wrong_in(database_url, shard) == [], size
    for size in (7, 64, 512):
        assert told[size] == told[1], size
        for table in TABLES:
            assert rows[size][table] == rows[1][table], (size, table)


async def test_the_story_tells_of_everything(database_url: str, say: Callable[[str], None]) -> None:
    story = Story(seed=9, length=900).commands
    told = await play(database_url, 0, story, 100)
    rows = await dump(database_url, 0)
    kinds = Counter(kinds_of(command) for command in story)
    say(", ".join(f"{count} {kind}" for kind, count in kinds.most_common()))
    assert not [one for one in told if one.startswith("Fault")]
    outcomes = " ".join(told)
    for word in ("contradiction", "forbidden_transition", "in_the_past", "not_found", "True"):
        assert word in outcomes, word
    assert any("outcome.settled" in row for row in rows["audit"]), "a return that was carried out after all"
    assert {table for table in TABLES if not rows[table]} == {
        "consumer",
        "payin_search",
        "pending_transfer",
        "provider_override",
        "routing_profile",
    }
    elsewhere = ("instrument", "webhook_", "dispute")  # which have stories of their own
    others = {name for name in await tables_of(database_url) - set(TABLES) if not name.startswith(elsewhere)}
    assert others == {"batch", "check_place", "migration", "placement", "directory", "sealing_key"}
    reasons = (
        "surplus partial late closed wrong_currency unknown_account return_confirmed underpaid requested_by_merchant"
    )
    reasons += " other_amount submitting authorized declined failed late_success other_account contradicts_final_state"
    tables = ("deposit", "payin", "payin_operation", "payin_change", "discrepancy")
    everything = " ".join(row for table in tables for row in rows[table])
    assert [reason for reason in reasons.split() if reason not in everything] == []
