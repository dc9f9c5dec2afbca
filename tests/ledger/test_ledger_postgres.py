"""The ledger in a real PostgreSQL: what the machine decides is what is written, and what is wrong is not committed."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID, uuid4

import msgspec
import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from caudal.app.replay import replay
from caudal.kernel import sqlfile
from caudal.kernel.commit import Answer, Decision, Lane, PostgresPort, Table, View
from caudal.kernel.commit.batch import Ask, Batch, reads_of
from caudal.kernel.errors import Refused as KernelRefused
from caudal.ledger import (
    ACCOUNTS,
    FACT,
    PENDING_TRANSFERS,
    POSTINGS,
    Account,
    Entry,
    Posted,
    Transfer,
    decide_group,
    needs,
    opened,
    puts,
)
from caudal.ledger.rows import rows_of
from tests.ledger.test_ledger_chain import BANK, FEES, PAYIN, PENDING
from tests.ledger.test_ledger_machine import ACCOUNTS as MACHINE_ACCOUNTS
from tests.ledger.test_ledger_machine import LedgerMachine

LAWS = sqlfile.queries(Path(__file__).parents[2] / "db" / "checks" / "ledger.sql")
# Laws of what stands above the ledger.
OTHERS = (
    "payin",
    "event",
    "batch",
    "key",
    "unapplied",
    "statement_money",
    "pending_money",
    "clearing_money",
    "release",
)
CHECKS = {name: law for name, law in LAWS.items() if not name.startswith(OTHERS)}
MOST = 2**63 - 1
EVERYTHING = {"low": 0, "high": MOST, "low_account": 0, "low_version": 0, "high_account": MOST, "high_version": MOST}
Story = Sequence[tuple[datetime, list[Transfer]]]


class Book(msgspec.Struct, frozen=True, kw_only=True):
    """The command that posts a group."""

    group: list[Transfer]
    known: dict[UUID, Transfer]
    book: int = 0
    lane: Lane = Lane.NORMAL
    recorded: bool = True
    key: None = None

    def needs(self) -> Iterable[tuple[Table[Any, Any], Any]]:
        return (*needs(self.group), *((ACCOUNTS, id) for id in MACHINE_ACCOUNTS))

    def decide(self, view: View) -> Decision | KernelRefused:
        accounts, pendings = rows_of(view, self.group)
        outcome = decide_group(accounts, pendings, self.known, self.group, view.at)
        if not isinstance(outcome, Posted):
            return KernelRefused(outcome.refusal.value, "")
        self.known.update({booked.transfer.id: booked.transfer for booked in outcome.transfers})
        return Decision(outcome=outcome, puts=puts(outcome))

    def render(self, outcome: object) -> Answer:
        raise AssertionError("nobody waits for an answer")


async def _play(database_url: str, shard: int, story: Story, size: int) -> None:
    """Play a story on an empty shard, in batches of at most `size` groups of one moment."""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        await connection.execute("insert into shard (id) values (%s) on conflict (id) do nothing", (shard,))
    port, known = PostgresPort(database_url), dict[UUID, Transfer]()
    for at, moment in itertools.groupby(story, key=itemgetter(0)):
        groups = [group for _, group in moment]
        for first in range(0, len(groups), size):
            commands = [Book(group=group, known=known) for group in groups[first : first + size]]
            reads = reads_of(Ask(command=command) for command in commands)
            await port.open()
            head, found = await port.read(shard, [table.reading(shard, keys) for table, keys in reads.items()])
            head.at = head.clock = at
            batch = Batch(head, reads, found)
            for command in commands:
                batch.decide(command)
            await port.write(batch.statements(uuid4(), len(commands)))
    await port.close()


async def _rows(connection: psycopg.AsyncConnection[Any], table: Any, shard: int, keys: list[Any]) -> dict[Any, Any]:
    statement, parameters = table.reading(shard, keys)
    cursor = connection.cursor(binary=True)
    await cursor.execute(statement, parameters)
    return dict(table.load(row) for row in await cursor.fetchall())


async def _same(database_url: str, shard: int, machine: LedgerMachine, size: int) -> None:
    books = machine.books
    await _play(database_url, shard, machine.story, size)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        written = {id: account for id, account in books.accounts.items() if account.version}
        assert await _rows(connection, ACCOUNTS, shard, list(books.accounts)) == written
        assert await _rows(connection, PENDING_TRANSFERS, shard, list(books.pendings)) == books.pendings
        replayed = await replay(connection, shard, range_size=7)
        assert (replayed.differences, replayed.transfers) == ([], sum(len(p.transfers) for p in books.posted))


def test_postgresql_holds_what_the_machine_holds(database_url: str) -> None:
    shards = itertools.count(100)

    class OnPostgres(LedgerMachine):
        accounts: ClassVar[dict[int, int]] = {id: opened(id).flags for id in MACHINE_ACCOUNTS}

        def teardown(self) -> None:
            super().teardown()
            shard = next(shards)
            asyncio.run(_same(database_url, shard, self, size=(1, 7, 64)[shard % 3]))

    slow = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        OnPostgres,
        settings=settings(max_examples=30, stateful_step_count=30, deadline=None, suppress_health_check=slow),
    )


def test_batches_of_any_size_write_the_same_rows(database_url: str) -> None:
    async def dump(shard: int, size: int) -> list[list[Any]]:
        await _play(database_url, shard, _days(), size)
        async with await psycopg.AsyncConnection.connect(database_url) as connection:
            tables = {"account": "id", "transfer": "seq", "entry": "account_id, version", "pending_transfer": "id"}
            found = []
            for table, order in tables.items():
                query = f"select to_jsonb(t) - 'shard' from {table} t where shard = %s order by {order}"
                found.append(await (await connection.execute(query, (shard,))).fetchall())
            query = "select encode(chain, 'hex'), posting_seq from shard where id = %s"
            return [*found, await (await connection.execute(query, (shard,))).fetchall()]

    dumps = [asyncio.run(dump(200 + size, size)) for size in (1, 7, 64, 512)]
    assert dumps[0][1] and dumps[1:] == [dumps[0]] * 3


def _days() -> Story:
    at = datetime.fromisoformat("2026-11-23T10:00:00+00:00")
    return [(at, _payment(number)) for number in range(40)]


def _payment(number: int) -> list[Transfer]:
    received = Transfer(
        id=UUID(int=2 * number + 1),
        debit_account=BANK,
        credit_account=PENDING,
        amount_minor=12_050,
        flags=FACT,
        subject=PAYIN,
        code="payin.received",
    )
    fee = Transfer(
        id=UUID(int=2 * number + 2), debit_account=PENDING, credit_account=FEES, amount_minor=650, code="payin.fee"
    )
    return [received, fee]


# ── Guards ──────────────────────────────────────────────────────────────────────────────────────────────────────

Change = Callable[[Posted], Posted]


def _entry(index: int, **fields: Callable[[Any], Any]) -> Change:
    def change(posted: Posted) -> Posted:
        entries: list[Entry] = list(posted.entries)
        new = {field: value(getattr(entries[index], field)) for field, value in fields.items()}
        entries[index] = msgspec.structs.replace(entries[index], **new)
        return msgspec.structs.replace(posted, entries=tuple(entries))

    return change


def _account(id: int, **fields: Callable[[Any], Any]) -> Change:
    def change(posted: Posted) -> Posted:
        account: Account = posted.accounts[id]
        new = {field: value(getattr(account, field)) for field, value in fields.items()}
        changed = msgspec.structs.replace(account, **new)
        return msgspec.structs.replace(posted, accounts={**posted.accounts, id: changed})

    return change


def _one_version_on(posted: Posted) -> Posted:
    accounts = {id: msgspec.structs.replace(a, version=a.version + 1) for id, a in posted.accounts.items()}
    entries = tuple(msgspec.structs.replace(entry, version=entry.version + 1) for entry in posted.entries)
    return msgspec.structs.replace(posted, accounts=accounts, entries=entries)


WRONG: dict[str, Change] = {
    "an amount on one side": _entry(0, amount_minor=lambda amount: amount + 1),
    "a side": _entry(0, side=lambda side: -side),
    "a gap in the versions": _entry(1, version=lambda version: version + 5),
    "a version again": _entry(1, version=lambda version: 1),
    "everything one version on": _one_version_on,
    "a balance that is not the last entry's": _account(BANK, debits_posted=lambda debits: debits + 1),
    "an entry that is not the balance": _entry(3, credits_posted=lambda credits: credits + 1),
    "a version that is not the last entry's": _account(BANK, version=lambda version: version + 1),
    "a request beyond its limit": _entry(2, debits_posted=lambda debits: 10**12),
    "a counter below zero": _entry(0, debits_pending=lambda debits: -1),
}


async def _write(
    database_url: str, change: Change, read_version: Callable[[int], int] = lambda version: version
) -> None:
    """One more payment on shard 0, changed behind the ledger's back."""
    port, ids = PostgresPort(database_url), [BANK, PENDING, FEES]
    await port.open()
    try:
        head, [rows] = await port.read(0, [ACCOUNTS.reading(0, ids)])
        before = dict(ACCOUNTS.load(row) for row in rows)
        outcome = decide_group(before, {}, {}, _payment(head.posting_seq), head.at)
        assert isinstance(outcome, Posted)
        posted = change(outcome)
        changes = [(read_version(before[id].version), account) for id, account in posted.accounts.items()]
        await port.write([*ACCOUNTS.updating(head, changes), *POSTINGS.inserting(head, [posted])])
    finally:
        await port.close()


@pytest.fixture
async def begun(database_url: str) -> AsyncIterator[str]:
    """A database with some payments on shard 0."""
    await _play(database_url, 0, _days(), 64)
    yield database_url


async def test_a_wrong_row_aborts_the_commit_behind_it(begun: str) -> None:
    for name, change in WRONG.items():
        with pytest.raises((psycopg.errors.DivisionByZero, psycopg.errors.IntegrityError)):
            await _write(begun, change)
            pytest.fail(name)
    with pytest.raises(psycopg.errors.DivisionByZero):
        await _write(begun, lambda posted: posted, lambda version: version - 1)
    assert _complaints(begun) == set()
    await _write(begun, lambda posted: posted)


# ── Checks ──────────────────────────────────────────────────────────────────────────────────────────────────────

PLANTS = {
    "update transfer set amount_minor = amount_minor + 1 where seq = 7": "entry_of_transfer",
    "delete from transfer where seq = 7": "transfer_numbers",
    "update transfer set group_seq = 3 where seq = 7": "transfer_numbers",
    "update transfer set at = at + interval '1 hour' where seq = 7": "transfer_numbers",
    "delete from transfer where seq = 80": "shard_head",
    "update shard set chain = sha256('') where id = 0": "shard_head",
    "update entry set debits_posted = debits_posted + 1 where seq = 7 and side = 1": "entry_follows",
    "update entry set amount_minor = amount_minor + 1 where seq = 7 and side = 1": "entry_follows",
    "delete from entry where seq = 7 and side = 1": "entry_follows",
    "update entry set fact = false where seq = 7 and side = 1": "entry_of_transfer",
    "update account set credits_posted = 0 where id = (select max(id) from account)": "account_balance",
    "update account set version = version + 1 where id = (select max(id) from account)": "account_balance",
    "delete from account where id = (select max(id) from account)": "account_of_entry",
    "update shard set posting_seq = posting_seq + 1 where id = 0": "shard_totals",
    "update account set debits_pending = 1 where id = (select max(id) from account)": "pending_counters",
    "alter table entry drop constraint entry_request_within_limit;"
    "update entry set debits_posted = 10 ^ 12 where seq = 8 and side = 1": "entry_within_limit",
}


def _complaints(database_url: str, change: str | None = None) -> set[str]:
    """The names of the checks that find something, after a change that is then taken back."""
    with psycopg.connect(database_url) as connection:
        for statement in (change or "").split(";"):
            if statement:
                connection.execute(statement.encode())
        found = {row[0] for query in CHECKS.values() for row in _all(connection, query)}
        connection.rollback()
        return found


def _all(connection: psycopg.Connection[Any], query: Any) -> Iterator[Any]:
    return iter(connection.execute(query, {"shard": 0, **EVERYTHING}).fetchall())


def test_the_checks_name_what_was_changed_by_hand(begun: str) -> None:
    assert _complaints(begun) == set()
    assert {change: check in _complaints(begun, change) for change, check in PLANTS.items()} == dict.fromkeys(
        PLANTS, True
    )


async def test_the_replay_reads_what_was_changed_by_hand(begun: str) -> None:
    async with await psycopg.AsyncConnection.connect(begun, autocommit=True) as connection:
        await connection.execute("update transfer set code = 'payin.lost' where seq = 7")
        replayed = await replay(connection, 0)
    assert [(found.check, found.subject) for found in replayed.differences] == [("hash", "transfer 7")]
