"""Whatever the statistics say, a batch probes indexes: the plans of a writer's own connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from caudal import merchants
from caudal.kernel.commit import DUE_NOW, KEYS, Due, Head, KeyRecord, PostgresPort, Statement, Table
from caudal.kernel.commit.port import SQL
from caudal.kernel.commit.tables import advancing, deleting_due
from caudal.kernel.commit.wire import Wire, numbered
from caudal.ledger import ACCOUNTS, PENDING_TRANSFERS, Account
from caudal.ledger import rows as ledger
from caudal.merchants import rows as merchant_rows
from caudal.payins import rows as payins
from caudal.payins.rows import DEPOSITS, PAYINS
from caudal.settlement import rows as settlement
from caudal.vault import rows as vault
from caudal.webhooks import rows as webhooks

NOW = datetime(2026, 11, 23, tzinfo=UTC)
HEAD = Head(shard=0, event_seq=1, posting_seq=1, chain=b"", at=NOW, clock=NOW)
# What the planner believes of every table: that it is empty, tiny though full, or larger than any.
BELIEFS = {"empty": (0, 0), "small": (5, 1), "huge": (100_000_000, 10_000_000)}
# Few rows that are changed rarely, so wide that a new table is taken for almost empty.
RARE = ("webhook_endpoint", "dispute", "dispute_evidence")
EXPECTED = {
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_material": "off",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
    "idle_in_transaction_session_timeout": "1s",
    "lock_timeout": "2s",
    "transaction_timeout": "5s",
    "TimeZone": "UTC",
}
READ: list[tuple[Table[Any, Any], Any]] = [
    (KEYS, (2, b"k" * 16)),
    (DUE_NOW, (200, ("payin.submit",))),
    (ACCOUNTS, 1),
    (PENDING_TRANSFERS, uuid4()),
    (merchants.API_KEYS, b"k" * 32),
    (merchants.BOOKS, 2),
    (merchants.FEE_PLANS, (2, 1)),
    (merchants.OPERATORS, b"k" * 32),
    (PAYINS, uuid4()),
    (DEPOSITS, uuid4()),
    (webhooks.ENDPOINT_COUNTS, 2),
    (webhooks.RANGE_COUNTS, 2),
]


def statements() -> Iterator[Statement]:
    """What a batch sends and finds rows with."""
    yield SQL["lock_shard"], (0,)
    yield SQL["find_batch"], (0, uuid4())
    yield from (table.reading(0, [key]) for table, key in READ)
    due = Due(at=NOW, kind="payin.expire", subject=uuid4(), book=2)
    yield deleting_due(HEAD, [due])
    yield advancing(uuid4(), 1, HEAD, HEAD)
    key = KeyRecord(
        book=2, digest=b"", fingerprint=b"", subject=None, status=None, answer=None, deadline=None, version=2
    )
    yield from KEYS.updating(HEAD, [(1, key)])
    yield from ACCOUNTS.updating(HEAD, [(1, Account(id=1, version=2))])
    yield ledger.SQL["insert_entries"], (None,) * ledger.SQL["insert_entries"].count("%s")
    yield from changes()


def changes() -> Iterator[Statement]:
    """What changes rows that were read before, and what reads by more than one table's key."""
    for queries in (SQL, payins.SQL, settlement.SQL, vault.SQL, ledger.SQL, merchant_rows.SQL, webhooks.SQL):
        for name in queries:
            if name.startswith("update_"):
                yield queries[name], (None,) * queries[name].count("%s")
    for statement in (webhooks.SQL["finish"], SQL["delete_due"], merchant_rows.SQL["read_fee_plans"]):
        yield statement, (None,) * statement.count("%s")


@pytest.fixture
async def port(database_url: str) -> AsyncIterator[PostgresPort]:
    opened = PostgresPort(database_url)
    await opened.open()
    yield opened
    await opened.close()


async def asked(port: PostgresPort, *said: Statement) -> list[Any]:
    """The last statement's rows."""
    wire = port._wire
    assert isinstance(wire, Wire)
    wire.begin()
    answers = await wire.ask(said)
    wire.end()
    return wire.rows(answers[-1])


def scans(plan: Any) -> Iterator[str]:
    """How each table is looked at: the node, and the table; `whole` where no more than a shard narrows it."""
    if isinstance(plan, list):
        for part in plan:
            yield from scans(part)
    elif isinstance(plan, dict):
        if "Relation Name" in plan and plan.get("Node Type", "ModifyTable") != "ModifyTable":
            narrowed = " AND " in plan.get("Index Cond", "")
            yield f"{plan['Node Type']} {plan['Relation Name']}{'' if narrowed else ', whole'}"
        for part in plan.values():
            yield from scans(part)


@pytest.mark.parametrize("belief", BELIEFS)
async def test_every_statement_of_a_batch_probes_indexes_whatever_is_believed(
    port: PostgresPort, database_url: str, belief: str
) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
        await other.execute(
            "update pg_class set reltuples = %s, relpages = %s where relnamespace = 'public'::regnamespace"
            " and relkind in ('r', 'p')",
            BELIEFS[belief],
        )
    wrong = []
    for number, (statement, parameters) in enumerate(statements()):
        nulls = ", ".join(["null"] * len(parameters))
        prepare: Any = f"prepare s{number} as {numbered(statement).decode()}"
        explain: Any = f"explain (format json) execute s{number}({nulls})"
        found = list(scans((await asked(port, (prepare, ()), (explain, ())))[0][0]))
        assert found, statement
        wrong += [(scan, statement) for scan in found if not scan.startswith(("Index Scan", "Index Only Scan"))]
    assert not wrong


async def test_in_a_new_database_a_change_looks_for_its_rows_one_by_one(port: PostgresPort) -> None:
    wrong = []
    for number, (statement, parameters) in enumerate(changes()):
        if any(f"update {table} " in statement for table in ("shard", *RARE)):
            continue
        prepare: Any = f"prepare s{number} as {numbered(statement).decode()}"
        explain: Any = f"explain (format json) execute s{number}({', '.join(['null'] * len(parameters))})"
        found = list(scans((await asked(port, (prepare, ()), (explain, ())))[0][0]))
        wrong += [(scan, statement) for scan in found if scan.endswith("whole")]
    assert not wrong


async def test_plans_are_made_anew_while_tables_grow(port: PostgresPort, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    ask = Wire.ask

    async def heard(wire: Wire, statements: Any) -> Any:
        said.extend(statement for statement, _ in statements)
        return await ask(wire, statements)

    monkeypatch.setattr(Wire, "ask", heard)
    places = []
    for batch in range(70):
        said.clear()
        await port.read(0, [])
        await port.write([])
        places += [batch] if "discard plans" in said[0] else []
    assert places == [16, 32, 64]


async def test_a_writers_session_is_what_the_rules_say(port: PostgresPort) -> None:
    names = ", ".join(f"current_setting('{name}')" for name in EXPECTED)
    question: Any = f"select {names}"
    assert await asked(port, (question, ())) == [tuple(EXPECTED.values())]
