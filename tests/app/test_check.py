"""A byte that somebody changes by SQL is named: by a law of db/checks, by the replay, or both."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import psycopg
import pytest

from caudal.app.check import check, laws
from caudal.app.replay import replay
from caudal.kernel.context import Context
from caudal.ledger import Kind, Purpose, Transfer, account_id
from caudal.vault.commands import CreateInstrument, DeleteInstrument
from tests.app.broken import ABOUT, CHANGED, GONE, TAKEN_AWAY, UNWATCHED
from tests.conftest import new_database, settings_of
from tests.ledger.test_ledger_postgres import Book
from tests.payins.books import broken_laws, wrong_on
from tests.payins.story import Story
from tests.payins.test_batch_equals_sequential import play
from tests.payins.test_dispute_laws import BROKEN as DISPUTED
from tests.vault.test_vault_batches import card
from tests.webhooks.test_webhook_laws import BROKEN

COLUMNS = """
    select c.relname, a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
    where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
        and a.attnum > 0 and not a.attisdropped"""
HOUSE_TAX, HOUSE_LIQUIDITY = (account_id(0, "MXN", purpose) for purpose in (Purpose.TAX, Purpose.LIQUIDITY))


@pytest.fixture(scope="module")
def story_url(server_url: str) -> str:
    """A database in which a story has happened, holds included. Whoever changes it, rolls back."""
    url = new_database(server_url, "story")
    asyncio.run(play(url, 0, [*Story(seed=7, length=1100).commands, *held(), *cards()], 100))
    return url


@pytest.fixture
async def told(story_url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    async with await psycopg.AsyncConnection.connect(story_url, autocommit=True) as connection:
        await connection.execute("set timezone = 'UTC'")
        yield connection


async def test_whoever_changes_a_byte_is_found(told: psycopg.AsyncConnection[Any]) -> None:
    assert await wrong_on(told) == []
    missed = []
    for table, change, names in CHANGES:
        async with told.transaction(force_rollback=True):
            await told.execute(TAKEN_AWAY.get(table, "select 1").encode())
            changed = await told.execute(_update(table, change))
            assert changed.rowcount == 1, (table, change)
            # Whoever is to find something looks; what others would find makes no difference.
            wrong = await broken_laws(told, only=names.split())
            if "replay" in names.split():
                wrong += [f"replay: {difference}" for difference in (await replay(told, 0)).differences]
            found = {one.partition(" ")[0].strip(":") for one in wrong}
        if not set(names.split()) <= found:
            missed.append(f"{table} {change}: {names}\n    {sorted(found)}")
    assert not missed, "\n" + "\n".join(missed)


async def test_every_column_is_watched_or_has_a_reason_not_to_be(told: psycopg.AsyncConnection[Any]) -> None:
    watched = {f"{table.partition('(')[0]}.{name}" for table, change, _ in CHANGES for name in _columns(change)}
    unwatched = {name for names in UNWATCHED.values() for name in names.split()}
    there = {f"{table}.{column}" for table, column in await (await told.execute(COLUMNS.encode())).fetchall()}
    excused = {one for one in there if unwatched & {one, f"{one.partition('.')[0]}.*", f"*.{one.partition('.')[2]}"}}
    assert sorted(there - watched - excused) == []
    assert sorted(watched & excused | watched - there) == [], "watched after all, or gone"
    assert sorted(one for one in unwatched if "*" not in one and one not in there) == []


def test_every_law_is_broken_by_something() -> None:
    broken = {name for _, _, names in CHANGES for name in names.split()} | {name for _, name in (*BROKEN, *DISPUTED)}
    assert {law.name for law in laws()} - broken == set()


def held() -> list[Book]:
    """Holds of the house's: one open, one posted in part, one voided."""
    known, groups = dict[UUID, Transfer](), list[list[Transfer]]()
    for number, kinds in enumerate(([Kind.PENDING], [Kind.PENDING, Kind.POST], [Kind.PENDING, Kind.VOID]), 1):
        hold = UUID(int=number << 8 | 0x7 << 76 | 0b10 << 62)
        for kind in kinds:
            is_hold = kind is Kind.PENDING
            transfer = Transfer(
                id=hold if is_hold else UUID(int=hold.int + 1),
                kind=kind,
                debit_account=HOUSE_TAX,
                credit_account=HOUSE_LIQUIDITY,
                amount_minor=60 if kind is Kind.POST else 100,
                pending_id=None if is_hold else hold,
                timeout_s=3600 if is_hold else 0,
                flags=0,
                subject=UUID(int=number),
                code="test.hold",
            )
            groups.append([transfer])
    return [Book(group=group, known=known) for group in groups]


def cards() -> list[CreateInstrument | DeleteInstrument]:
    """Three cards; one is deleted."""
    asked: dict[str, Any] = {"key_digest": b"\x01" * 32, "key": None, "request_id": "req_1"}
    kept = [CreateInstrument(record=card(number, 1, None), **asked) for number in (1, 2, 3)]
    return [*kept, DeleteInstrument(id=kept[0].record.id, book=2, **asked)]


def parts(line: str) -> tuple[str, str, str]:
    """A line of CHANGED."""
    table, rest = line.split(maxsplit=1)
    change, _, names = rest.partition("   ")
    return table, change, names


CHANGES = [parts(line) for line in CHANGED.strip().splitlines()]


def _columns(change: str) -> list[str]:
    return re.findall(r"(?:^|, )(\w+) = ", change)


def _update(about: str, change: str) -> bytes:
    return f"update {about.partition('(')[0]} set {change} where ctid = ({_middle(about)})".encode()


def _middle(about: str) -> str:
    table = about.partition("(")[0]
    rows = f"from {table} where {'id' if table == 'shard' else 'shard'} = 0 and {ABOUT.get(about, 'true')}"
    return f"select ctid {rows} order by ctid offset (select count(*) / 2 {rows}) limit 1"


async def test_whoever_takes_a_row_away_is_found(told: psycopg.AsyncConnection[Any]) -> None:
    missed = []
    for table in GONE:
        async with told.transaction(force_rollback=True):
            await told.execute(f"delete from {table} where ctid = ({_middle(table)})".encode())
            if not await wrong_on(told):
                missed.append(table)
    assert not missed


async def test_check_prints_what_is_wrong_and_says_so(
    context: Context, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await play(database_url, 0, Story(seed=7, length=200).commands, 100)
    assert await check(settings_of(database_url), replay=True, against_sandbox=False) == 0
    assert "all is well" in capsys.readouterr().out
    await context.rows("update account set credits_posted = credits_posted + 1 returning 1")
    assert await check(settings_of(database_url), replay=True, against_sandbox=False) == 1
    printed = capsys.readouterr().out
    assert "WRONG account_balance" in printed and "WRONG replay" in printed and "all is well" not in printed


async def test_a_key_that_nobody_finishes_is_found_an_hour_after_its_deadline(
    told: psycopg.AsyncConnection[Any],
) -> None:
    stuck = "update key set status = null, answer = null, deadline = now() - interval '{} minutes' where ctid = ({})"
    for minutes, found in ((59, []), (61, ["key_stuck"])):
        async with told.transaction(force_rollback=True):
            await told.execute(stuck.format(minutes, _middle("key")).encode())
            assert [line.partition(" ")[0].strip(":") for line in await wrong_on(told)] == found
