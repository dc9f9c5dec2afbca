"""Laws walk tables in ranges: what is wrong is named wherever a range begins or ends, and nothing else is."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import psycopg
import pytest

from caudal.app.check import _PAIRS, RANGE, Round, differences, laws, range_of
from caudal.kernel import db
from caudal.kernel.context import Context
from tests.api import Api
from tests.conftest import new_database, settings_of

PAYINS: Final = 10
CHANGES: Final = {
    "transfer": ("seq", "amount_minor = amount_minor + 1"),
    "event": ("seq", "at = at + interval '1 day'"),
    "entry": ("account_id, version", "credits_posted = credits_posted + 1"),
    "payin": ("id", "fee_minor = fee_minor + 1"),
    "key": ("book, digest", "status = 500"),
    "account": ("id", "debits_posted = debits_posted + 1"),
    "balance_transaction": ("id", "fee_minor = fee_minor + 1, net_minor = net_minor - 1"),
}
# Tables that grow with traffic, and the small index by which a law of the whole shard may look at one all the same: of
# what is open, or of one end. Nothing holds money yet that `pending_transfer` would grow by.
GROWING: Final = """
    batch key event transfer entry payin payin_change payin_operation deposit deposit_account payer payin_search
    discrepancy balance_transaction webhook_delivery webhook_attempt dispute dispute_evidence dispute_file instrument"""
SMALL: Final = {
    "audit_of_event": "event_shard_book_seq_idx",  # the house's own
    "clearing_money": "payin_operation_pending deposit_returning",
    "code_kept_too_long": "instrument_code",
    "dispute_work": "dispute_open dispute_evidence_of_dispute",
    "disputed_money": "dispute_open",
    "event_head": "event_pkey",
    "return_under_way": "deposit_returning",
    "shard_head": "transfer_pkey",
    "unapplied_money": "deposit_unapplied",
    "webhook_waiting_is_looked_at": "webhook_delivery_shard_endpoint_due_at_event_seq_idx",
}


@pytest.fixture(scope="module")
def sold_url(server_url: str) -> str:
    """A database with two merchants and a few paid payins of each. Whoever changes it, rolls back."""
    url = new_database(server_url, "sold")
    asyncio.run(sell(url))
    return url


async def sell(url: str) -> None:
    async with Context(settings_of(url), name="test") as context:
        api = Api(context)
        for name in ("Ana", "Beto"):
            await api.ana(name)
            for _ in range(PAYINS // 2):
                assert (await api.deposit((await api.create()).json["next_action"]["clabe"], 10_000)).status == 200


@pytest.fixture
async def told(sold_url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection that plans each law once, for all its ranges."""
    async with await psycopg.AsyncConnection.connect(sold_url, autocommit=True, prepare_threshold=0) as connection:
        await connection.execute("set timezone = 'UTC'")
        await connection.execute("set plan_cache_mode = force_generic_plan")
        connection.prepared_max = len(laws()) * 2
        yield connection


@pytest.mark.parametrize("size", [1, 2, 3, 7])
async def test_nothing_is_wrong_where_a_range_ends(told: psycopg.AsyncConnection[Any], size: int) -> None:
    assert await wrong(told, size) == set()


@pytest.mark.parametrize("table", CHANGES)
async def test_a_wrong_row_is_named_at_and_across_the_ends_of_ranges(
    told: psycopg.AsyncConnection[Any], table: str
) -> None:
    order, change = CHANGES[table]
    for row in range(4):
        async with told.transaction(force_rollback=True):
            where = f"ctid = (select ctid from {table} where shard = 0 order by {order} offset {row} limit 1)"
            changed = await told.execute(f"update {table} set {change} where shard = 0 and {where}".encode())
            assert changed.rowcount == 1
            named = await wrong(told, RANGE)
            assert named, (table, row)
            for size in (2, 3):
                assert await wrong(told, size) == named, (table, row, size)


async def test_a_round_ends_although_rows_come_all_the_time(database_url: str, context: Context) -> None:
    api, seen = Api(context), Counter[str]()
    await api.ana()
    walk = Round(0)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("set timezone = 'UTC'")
        while (look := await walk.look(connection)) is not None:
            assert look.wrong == []
            seen[look.kind] += 1
            assert seen[look.kind] <= 1, f"{look.kind}: all rows that there are fit into one range"
            assert (await api.deposit((await api.create()).json["next_action"]["clabe"], 10_000)).status == 200
    assert {law.name for law in laws()} == {name for names in walk.ended for name in names}


async def test_a_law_of_the_whole_shard_looks_at_what_is_small(database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        for name, value in db.PLANS.items():
            await connection.execute(f"set {name} = {value}".encode())
        for law in laws():
            if range_of(law) == "shard":
                question = b"explain (format json) " + law.sql.encode()
                parameters = {"shard": 0, "currencies": ["MXN"], "numerics": [484]}
                [(plan,)] = await (await connection.execute(question, parameters)).fetchall()
                looked = {index for table, index in scans(plan[0]["Plan"]) if table in GROWING.split()}
                assert looked <= set(SMALL.get(law.name, "").split()), law.name


async def test_a_law_between_pairs_looks_its_rows_up_one_by_one(database_url: str) -> None:
    """How many rows lie between two pairs the planner cannot tell; a join would read a whole table for each range."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("set enable_nestloop = off")
        for law in laws():
            if range_of(law) in _PAIRS:
                names = [f"{end}_{part}" for end in ("low", "high") for part in _PAIRS[range_of(law)]]
                bounds = {name: b"" if name.endswith("digest") else 0 for name in names}
                question = b"explain (format json) " + law.sql.encode()
                [(plan,)] = await (await connection.execute(question, {"shard": 0, **bounds})).fetchall()
                assert not set(joined(plan[0]["Plan"])) & set(GROWING.split()), law.name


def joined(plan: dict[str, Any]) -> Iterator[str]:
    """Tables that a plan reads as the inner side of a join by hashing or merging."""
    for place, inner in enumerate(plan.get("Plans", [])):
        if place == 1 and plan["Node Type"] in ("Hash Join", "Merge Join"):
            yield from (table for table, _ in scans(inner))
        yield from joined(inner)


def scans(plan: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Every table that a plan looks at and the index by which it does; a partition by its table's name."""
    if "Relation Name" in plan:
        yield plan["Relation Name"].removesuffix("_default"), plan.get("Index Name", "none").replace("_default_", "_")
    for inner in plan.get("Plans", []):
        yield from scans(inner)


async def wrong(connection: psycopg.AsyncConnection[Any], size: int) -> set[str]:
    """Each law that is broken, and where."""
    return {f"{row[0]}: {row[2]}" async for row in differences(connection, 0, size=size)}
