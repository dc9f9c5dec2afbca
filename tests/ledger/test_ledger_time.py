"""The ledger and time: balances as they stood, and holds that end when their time has passed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from caudal.app.worker import JOBS
from caudal.kernel.commit import Decision, Due, View
from caudal.kernel.context import Context
from caudal.kernel.due import ClaimDue, run_job
from caudal.kernel.errors import Refused as KernelRefused
from caudal.ledger import (
    FACT,
    Kind,
    Posted,
    Purpose,
    Transfer,
    account_id,
    balances,
    balances_at,
    decide_group,
    done,
    due,
    events,
    opened,
    post,
    puts,
)
from caudal.ledger.commands import ExpireHold
from tests.ledger.test_ledger_postgres import OTHERS, Book
from tests.payins.books import rows, wrong_in

BOOK = 2
BANK = account_id(0, "MXN", Purpose.BANK)
PENDING = account_id(BOOK, "MXN", Purpose.PENDING)
AVAILABLE = account_id(BOOK, "MXN", Purpose.AVAILABLE)
UNAPPLIED = account_id(BOOK, "MXN", Purpose.UNAPPLIED)


class Move(Book, frozen=True, kw_only=True):
    """Posts a group, with its events and its work."""

    def decide(self, view: View) -> Decision | KernelRefused:
        outcome = post(view, self.group)
        if not isinstance(outcome, Posted):
            return KernelRefused(outcome.refusal.value, "")
        return Decision(
            outcome=outcome, puts=puts(outcome), events=events(outcome), due=due(outcome), done=done(outcome)
        )


def move(debit: int, credit: int, amount: int, **more: Any) -> Transfer:
    return Transfer(
        id=uuid4(), debit_account=debit, credit_account=credit, amount_minor=amount, code="test.moved", **more
    )


async def moved(context: Context, *group: Transfer) -> Posted:
    result = await context.commit(0, Move(group=list(group), known={}))
    if isinstance(result.outcome, KernelRefused):
        raise result.outcome
    assert isinstance(result.outcome, Posted)
    return result.outcome


async def in_order(context: Context) -> None:
    """The laws of the ledger hold; those of payins are about other stories."""
    wrong = await wrong_in(context.settings.database_url or "")
    assert not [line for line in wrong if not line.startswith(OTHERS)]


# Balances as they stood


SCAN = """select distinct on (account_id) account_id, version, debits_pending, debits_posted, credits_pending,
    credits_posted, e.flags from entry e join transfer t using (shard, seq)
    where shard = 0 and account_id >> 16 = 2 and t.at <= %s order by account_id, version desc"""


async def test_a_balance_at_any_time_is_what_a_look_at_everything_says(context: Context) -> None:
    for number in range(1, 24):
        await moved(context, move(BANK, PENDING, number))
        if number % 3 == 0:
            await moved(context, move(BANK, UNAPPLIED, 7), move(PENDING, AVAILABLE, 2))
    times = [at for (at,) in await rows(context, "select at from transfer order by seq")]
    moments = [times[0] - timedelta(days=1), times[-1] + timedelta(days=1)]
    moments += [at + timedelta(microseconds=off) for at in times for off in (-1, 0, 1)]
    for at in moments:
        found = [msgspec.structs.astuple(account) for account in await balances_at(context, 0, BOOK, at)]
        assert found == await rows(context, SCAN, at), at
    assert await balances_at(context, 0, BOOK, moments[1]) == await balances(context, 0, BOOK)
    assert await balances_at(context, 0, BOOK, moments[0]) == []
    assert await balances_at(context, 1, BOOK, moments[1]) == [], "a shard without postings"


# Holds


async def worked(context: Context) -> None:
    """Runs what is due, a worker's way."""
    for piece in (await context.commit(0, ClaimDue(lease_s=30.0))).outcome:
        assert await run_job(context, 0, piece, JOBS)


async def held(context: Context, timeout_s: int) -> UUID:
    """Holds 60 of 100 in `pending`, for so long."""
    await moved(context, move(BANK, PENDING, 100))
    hold = move(PENDING, AVAILABLE, 60, kind=Kind.PENDING, timeout_s=timeout_s)
    await moved(context, hold)
    return hold.id


async def state(context: Context, hold: UUID) -> Any:
    [(found,)] = await rows(context, "select state from pending_transfer where id = %s", hold)
    return found


async def test_a_hold_ends_by_itself_when_its_time_has_passed(context: Context) -> None:
    hold = await held(context, 3600)
    assert await rows(context, "select kind, subject, book from due") == [("hold.expire", hold, BOOK)]
    await worked(context)
    assert await state(context, hold) == 0, "its time has not come"
    with pytest.raises(KernelRefused):
        await moved(context, move(PENDING, AVAILABLE, 41))
    await rows(context, "update due set at = now() - interval '1 s' returning 1")
    await rows(context, "update shard set last_at = now() + interval '1 hour' where id = 0 returning 1")
    await worked(context)
    assert await state(context, hold) == 5
    assert await rows(context, "select count(*) from due") == [(0,)]
    await moved(context, move(PENDING, AVAILABLE, 100))
    await in_order(context)


@pytest.mark.parametrize(("kind", "ends"), [(Kind.POST, 3), (Kind.VOID, 4)])
async def test_a_hold_that_is_resolved_leaves_no_work(context: Context, kind: Kind, ends: int) -> None:
    hold = await held(context, 3600)
    [(at, book)] = await rows(context, "select at, book from due")
    amount = 60 if kind is Kind.POST else 0
    resolution = Transfer(
        id=uuid4(), debit_account=0, credit_account=0, amount_minor=amount, kind=kind, pending_id=hold, code=""
    )
    await moved(context, resolution)
    assert await rows(context, "select count(*) from due") == [(0,)]
    late = Due(at=at, kind="hold.expire", subject=hold, book=book)  # claimed before it was taken away
    await context.commit(0, ExpireHold(due=late))
    assert await state(context, hold) == ends
    await in_order(context)


def test_a_hold_without_a_timeout_makes_no_work() -> None:
    for timeout_s, pieces in ((0, 0), (60, 1)):
        hold = move(BANK, PENDING, 5, kind=Kind.PENDING, timeout_s=timeout_s)
        posted = decide_group({id: opened(id) for id in (BANK, PENDING)}, {}, {}, [hold], datetime(2026, 11, 23))
        assert isinstance(posted, Posted)
        assert (len(due(posted)), done(posted)) == (pieces, ())


# Balances below zero


async def test_a_fact_that_overdraws_says_so_with_what_is_held_taken_off(context: Context) -> None:
    await held(context, 0)
    await moved(context, move(PENDING, BANK, 50, flags=FACT))
    await moved(context, move(PENDING, BANK, 5, flags=FACT))
    await moved(context, move(BANK, PENDING, 15, flags=FACT))
    await moved(context, move(PENDING, AVAILABLE, 0))
    told = await rows(context, "select type, book, subject, convert_from(data, 'utf8')::json from event order by seq")
    assert [(type, book, subject.int) for type, book, subject, _ in told] == [
        ("balance.went_negative", BOOK, PENDING)
    ] * 2
    assert [data["amount"] for *_, data in told] == [100 - 60 - 50, 100 - 60 - 55]
    assert told[0][3] == {
        "id": f"bal_{PENDING:032x}",
        "object": "balance",
        "mode": "test",
        "name": "pending",
        "currency": "MXN",
        "amount": -10,
        "cause": "test.moved",
    }
