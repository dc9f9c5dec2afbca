"""Whatever the statistics say, a batch probes indexes: the plans of a writer's own connection."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from itertools import chain
from typing import Any, LiteralString
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
from caudal.payins.rows import DEPOSITS, OPERATIONS, PAYINS
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
    (OPERATIONS, uuid4()),
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


def scans(plan: Any, second: dict[str, str] | None = None) -> Iterator[str]:
    """How each table is looked at: the node, and the table; `whole` where no more than a shard narrows it.

    With the second columns of indexes by name: also where nothing is asked of that, so that it is skipped through.
    """
    if isinstance(plan, list):
        for part in plan:
            yield from scans(part, second)
    elif isinstance(plan, dict):
        if "Relation Name" in plan and plan.get("Node Type", "ModifyTable") != "ModifyTable":
            of = "" if second is None else second[plan["Index Name"]]
            narrowed = f" AND ({of}" in plan.get("Index Cond", "")
            yield f"{plan['Node Type']} {plan['Relation Name']}{'' if narrowed else ', whole'}"
        for part in plan.values():
            yield from scans(part, second)


async def planned(
    port: PostgresPort, given: Iterator[Statement], second: dict[str, str] | None = None
) -> AsyncIterator[tuple[LiteralString, list[str]]]:
    """Each statement, and how it looks at tables."""
    for number, (statement, parameters) in enumerate(given):
        nulls = ", ".join(["null"] * len(parameters))
        prepare: Any = f"prepare s{number} as {numbered(statement).decode()}"
        explain: Any = f"explain (format json) execute s{number}({nulls})"
        yield statement, list(scans((await asked(port, (prepare, ()), (explain, ())))[0][0], second))


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
    async for statement, found in planned(port, statements()):
        assert found, statement
        wrong += [(scan, statement) for scan in found if not scan.startswith(("Index Scan", "Index Only Scan"))]
    assert not wrong


async def test_in_a_new_database_a_change_looks_for_its_rows_one_by_one(port: PostgresPort) -> None:
    wrong = []
    async for statement, found in planned(port, changes()):
        if not any(f"update {table} " in statement for table in ("shard", *RARE)):
            wrong += [(scan, statement) for scan in found if scan.endswith("whole")]
    assert not wrong


UPDATES = ("update_payins", "update_deposits", "update_operations")
FILLED = """
insert into payin (shard, id, book, version, status, method, country, currency, amount_minor, received_minor, fee_minor,
    fee_plan, created_at, expires_at)
select 0, gen_random_uuid(), 2, 1, 'pending', 'card', 'BR', 'BRL', 100, 0, 0, 1, now(), now()
from generate_series(1, 2000);
insert into deposit (shard, id, book, version, provider, tracking_key, account, currency, amount_minor, applied_minor,
    unapplied_minor, returning_minor, returned_minor, sealed, created_at)
select 0, gen_random_uuid(), 2, 1, 'bank', 'key', '0', 'MXN', 100, 100, 0, 0, 0, '', now()
from generate_series(1, 2000);
insert into payin_operation (shard, id, book, payin, version, kind, status, currency, amount_minor, fee_minor,
    from_pending_minor, from_available_minor, created_at)
select 0, gen_random_uuid(), 2, gen_random_uuid(), 1, 'void', 'pending', 'BRL', 0, 0, 0, 0, now()
from generate_series(1, 2000)
"""


async def test_the_first_minutes_rows_are_found_by_their_key_before_there_are_statistics(
    port: PostgresPort, database_url: str
) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as other:
        for statement in FILLED.split(";"):
            await other.execute(statement.encode())
    columns: Any = "select indexrelid::regclass::text, pg_get_indexdef(indexrelid, 2, true) from pg_index"
    second = dict(await asked(port, (columns, ())))
    reads = iter([table.reading(0, [uuid4()]) for table in (PAYINS, DEPOSITS, OPERATIONS)])
    updates = iter([(payins.SQL[name], (None,) * payins.SQL[name].count("%s")) for name in UPDATES])
    async for statement, found in planned(port, chain(reads, updates), second):
        assert [scan for scan in found if scan.endswith("whole")] == [], statement


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
