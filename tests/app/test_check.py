"""A byte that somebody changes by SQL is named: by a law of db/checks.sql, by the replay, or both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from caudal.app.check import check
from caudal.kernel.context import Context
from tests.conftest import settings_of
from tests.payins.books import wrong_on
from tests.payins.story import Story
from tests.payins.test_batch_equals_sequential import play

# Table, what is changed in the row in its middle, and who names it
CHANGED = """
account          id = id + 64                                          account_balance account_of_entry replay
account          version = version + 1                                 account_balance shard_totals replay
account          debits_pending = debits_pending + 1                   account_balance pending_counters replay
account          debits_posted = debits_posted + 1                     account_balance shard_totals replay
account          credits_pending = credits_pending + 1                 account_balance pending_counters replay
account          credits_posted = credits_posted + 1                   account_balance shard_totals replay
account          flags = flags # 1                                     account_balance replay
entry            account_id = account_id + 64                          entry_follows entry_of_transfer replay
entry            seq = seq + 1                                         entry_of_transfer replay
entry            amount_minor = amount_minor + 1                       entry_follows entry_of_transfer replay
entry            debits_pending = debits_pending + 1                   entry_follows replay
entry            debits_posted = debits_posted + 1                     entry_follows replay
entry            credits_pending = credits_pending + 1                 entry_follows replay
entry            credits_posted = credits_posted + 1                   entry_follows replay
entry            side = -side                                          entry_follows entry_of_transfer replay
entry            kind = 3                                              entry_of_transfer replay
entry            flags = flags # 1                                     replay
entry            fact = not fact                                       entry_of_transfer replay
transfer         seq = seq + 100000                                    transfer_numbers entry_of_transfer replay
transfer         group_seq = group_seq - 1                             replay
transfer         debit_account = debit_account + 131072                entry_of_transfer replay
transfer         credit_account = credit_account + 131072              entry_of_transfer replay
transfer         amount_minor = amount_minor + 1                       entry_of_transfer replay
transfer         at = at + interval '1 us'                             transfer_numbers replay
transfer         flags = flags # 1                                     entry_of_transfer replay
transfer         id = gen_random_uuid()                                replay
transfer         subject = gen_random_uuid()                           replay
transfer         code = code || 'x'                                    replay
transfer         hash = set_byte(hash, 7, get_byte(hash, 7) # 1)       replay
shard            event_seq = event_seq + 1                             event_head
shard            posting_seq = posting_seq + 1                         shard_head shard_totals replay
shard            chain = set_byte(chain, 0, get_byte(chain, 0) # 1)    shard_head replay
payin            id = gen_random_uuid()                                payin_history
payin            book = book # 6                                       payin_earnings
payin            version = version + 1                                 payin_history
payin            status = 'expired', paid_at = null                    payin_history payin_earnings
payin            currency = 'USD'                                      payin_earnings
payin            received_minor = received_minor + 1                   payin_history payin_received
payin            amount_minor = amount_minor - 1                       payin_earnings
payin            fee_minor = fee_minor + 1                             payin_earnings
payin_change     number = number + 1                                   payin_history
payin_change     status = status || 'x'                                payin_history
payin_change     received_minor = received_minor + 1                   payin_history
deposit          id = gen_random_uuid()                                payin_received
deposit          book = book + 2                                       unapplied_money
deposit          unapplied_minor = unapplied_minor + 1, amount_minor = amount_minor + 1   unapplied_money
event            at = at + interval '1 us'                             event_numbers
event            seq = seq + 100000                                    event_numbers event_head
batch            last_event_seq = last_event_seq + 1                   batch_follows
"""
# The row in the middle of those that the change is about
ABOUT = {"payin": "status = 'paid' and version = 2", "deposit": "applied_minor > 0 and unapplied_minor > 0"}
ABOUT |= {"transfer": "group_seq > 1 and seq > 1"}


@pytest.fixture
async def told(database_url: str) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A database in which a story has happened."""
    await play(database_url, 0, Story(seed=7, length=600).commands, 100)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("set timezone = 'UTC'")
        yield connection


async def test_whoever_changes_a_byte_is_found(told: psycopg.AsyncConnection[Any]) -> None:
    assert await wrong_on(told) == []
    missed = []
    for line in CHANGED.strip().splitlines():
        table, rest = line.split(maxsplit=1)
        change, _, names = rest.partition("   ")
        async with told.transaction(force_rollback=True):
            await told.execute(_update(table, change))
            found = {one.partition(" ")[0].strip(":") for one in await wrong_on(told)}
        if not set(names.split()) <= found:
            missed.append(f"{line}\n    {sorted(found)}")
    assert not missed, "\n" + "\n".join(missed)


def _update(table: str, change: str) -> bytes:
    return f"update {table} set {change} where ctid = ({_middle(table)})".encode()


def _middle(table: str) -> str:
    rows = f"from {table} where {'id' if table == 'shard' else 'shard'} = 0 and {ABOUT.get(table, 'true')}"
    return f"select ctid {rows} order by ctid offset (select count(*) / 2 {rows}) limit 1"


async def test_whoever_takes_a_row_away_is_found(told: psycopg.AsyncConnection[Any]) -> None:
    missed = []
    for table in ("account", "entry", "transfer", "payin", "payin_change", "deposit", "event", "batch"):
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
