"""The laws of disputes hold after a story, and each finds what breaks it; every column is watched."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import psycopg
import pytest

from caudal.app.check import differences
from caudal.kernel.context import Context
from caudal.merchants import first_merchant
from tests.conftest import settings_of
from tests.connectors.provider import SECRET, Provider
from tests.payins.disputing import Seller, work

BROKEN = [
    ("update dispute set id = gen_random_uuid()", "event_of_dispute"),
    ("update dispute set book = book + 2", "event_of_dispute"),
    ("update dispute set payin = gen_random_uuid()", "event_of_dispute"),
    ("update dispute set provider = 'pix'", "payin_disputed"),
    ("update dispute set reference = reference || 'x'", "event_of_dispute"),
    ("update dispute set reason = '10.5'", "event_of_dispute"),
    ("update dispute set currency = 'USD'", "disputed_money"),
    ("update dispute set status = 'lost' where status = 'won'", "event_of_dispute"),
    ("update dispute set status = 'won' where status = 'lost'", "payin_disputed"),
    ("update dispute set amount_minor = amount_minor + 1", "dispute_booked"),
    ("update dispute set fee_minor = fee_minor + 1", "dispute_booked"),
    ("update dispute set fee_minor = fee_minor + 1 where status = 'lost'", "payin_earnings"),
    ("update dispute set fee_minor = 0, from_pending_minor = 0 where status = 'lost'", "dispute_fee"),
    ("update dispute set fee_minor = 0, from_pending_minor = 0 where status = 'won'", "dispute_fee"),
    ("update dispute set from_pending_minor = from_pending_minor - 1", "dispute_booked"),
    ("update dispute set evidence = evidence + 1", "evidence_counted"),
    ("update dispute set respond_by = respond_by + interval '1 us'", "event_of_dispute"),
    ("update dispute set opened_at = opened_at + interval '1 us'", "event_of_dispute"),
    ("update dispute set closed_at = closed_at + interval '1 us' where status = 'lost'", "event_of_dispute"),
    ("update payin set disputed_minor = disputed_minor - 1 where disputed_minor > 0", "payin_disputed"),
    ("update payin set detail = '{}' where disputed_minor > 0", "payin_disputed"),
    ("update dispute_evidence set id = gen_random_uuid()", "file_of_evidence"),
    ("update dispute_evidence set book = book + 2", "evidence_counted"),
    ("update dispute_evidence set dispute = gen_random_uuid()", "evidence_counted"),
    ("update dispute_evidence set size_bytes = size_bytes + 1", "file_of_evidence"),
    ("update dispute_evidence set status = 'pending', sent_at = null where status = 'taken'", "dispute_work"),
    ("update dispute_file set id = gen_random_uuid()", "file_of_evidence"),
    ("delete from dispute_file", "file_of_evidence"),
    ("delete from dispute_evidence", "evidence_counted"),
    ("delete from dispute", "disputed_money"),
    ("delete from due where kind = 'dispute.expire'", "dispute_work"),
    ("delete from due where kind = 'dispute.send'", "dispute_work"),
    ("update balance_transaction set payin = gen_random_uuid() where kind = 'dispute'", "line_of_dispute"),
    ("update balance_transaction set subject = gen_random_uuid() where kind = 'dispute'", "line_of_dispute"),
    ("update balance_transaction set subject_kind = 'refund' where kind = 'dispute'", "line_of_dispute"),
    (
        "update balance_transaction set created_at = created_at + interval '1 us' where kind = 'dispute'",
        "line_of_dispute",
    ),
    ("update balance_transaction set kind = 'adjustment' where kind = 'dispute'", "line_of_dispute"),
    ("update balance_transaction set kind = 'dispute' where kind = 'dispute_won'", "line_of_dispute"),
    (
        "update balance_transaction set gross_minor = 5, net_minor = net_minor + 5 where kind = 'dispute_won'",
        "line_of_dispute",
    ),
    (
        "update balance_transaction set created_at = created_at + interval '1 us' where kind = 'dispute_lost'",
        "line_of_dispute",
    ),
    ("delete from balance_transaction where kind = 'dispute_lost'", "payin_earnings"),
    ("update transfer set subject = gen_random_uuid() where code = 'dispute.lost'", "dispute_booked"),
]
# Columns that no law watches, and why not.
UNWATCHED = {
    "it leads to the row, which is gone from its place when it is changed": "*.shard",
    "a guard of the next change, which fails with another one": "*.version",
    "where money goes back to: a day that it was not taken from holds it as well": "dispute.day",
    "what a person reads; no decision looks at it": "dispute_evidence.kind dispute_evidence.content_type"
    " dispute_evidence.sha256 dispute_evidence.reason dispute_evidence.created_at dispute_evidence.sent_at",
    "sealed under the id of its row: AES-GCM does not open it any more": "dispute_file.sealed",
    "says when a row may be forgotten": "dispute_file.kept_at",
}


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider() as running:
        yield running


@pytest.fixture
async def context(database_url: str, provider: Provider) -> AsyncIterator[Context]:
    settings = settings_of(database_url, sandbox_url=provider.url, provider_secret_test=SECRET)
    async with Context(settings, name="test") as opened:
        yield opened


@pytest.fixture
async def ana(context: Context, olga: str) -> Seller:
    return Seller(context, *await first_merchant(context, "Ana", "BR"), olga)


async def story(ana: Seller, context: Context) -> None:
    """A dispute in every state, and files in each of theirs."""
    expired = await ana.sold()
    await ana.disputed(expired, reference="dp_expired")
    await ana.waits(8)
    reviewed = await ana.sold()
    await ana.answers(await ana.disputed(reviewed))  # the reference that the provider takes files for
    assert await work(context) == [True]
    for ends in ("won", "lost"):
        payin = await ana.sold()
        await ana.disputed(payin, reference=f"dp_{ends}")
        await ana.disputed(payin, ends, reference=f"dp_{ends}")
    await ana.disputed(await ana.sold(), reference="dp_open")
    waiting = await ana.sold()
    await ana.answers(await ana.disputed(waiting, reference="dp_waiting"))
    found = [(await ana.dispute(payin))["status"] for payin in (expired, reviewed, payin, waiting)]
    assert found == ["expired", "under_review", "lost", "needs_response"]


async def test_the_laws_hold_and_find_what_breaks_them(ana: Seller, context: Context, database_url: str) -> None:
    await story(ana, context)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("set timezone = 'UTC'")
        assert [row async for row in differences(connection, 0)] == []
        missed = []
        for change, law in BROKEN:
            async with connection.transaction(force_rollback=True):
                changed = await connection.execute(change.encode())
                found = {row[0] async for row in differences(connection, 0)}
            if law not in found or not changed.rowcount:
                missed.append((change, changed.rowcount, sorted(found)))
        assert missed == []


async def test_every_column_of_disputes_is_watched_or_has_a_reason_not_to_be(context: Context) -> None:
    query = """select table_name || '.' || column_name from information_schema.columns
        where table_schema = 'public' and table_name like 'dispute%%'"""
    there = {name for (name,) in await context.rows(query)}
    changes = (re.match(r"update (\w+) set (.*?)(?: where|$)", change) for change, _ in BROKEN)
    watched = {f"{one[1]}.{name}" for one in changes if one for name in re.findall(r"(?:^|, )(\w+) = ", one[2])}
    excused = {name for names in UNWATCHED.values() for name in names.split()}
    silent = {name for name in there - watched if not excused & {name, f"*.{name.partition('.')[2]}"}}
    assert silent == set()
