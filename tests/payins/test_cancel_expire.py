"""A payin that is given up, and one whose time passes."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

from caudal.app.worker import JOBS
from caudal.kernel.commit import Due
from caudal.kernel.context import Context
from caudal.kernel.due import run_job
from caudal.payins.commands import ExpirePayin
from tests.payins.books import assert_in_order, rows
from tests.payins.cast import Merchant

# What happened before, then what a cancellation comes to
CANCELLED = """
-            200
4000         200
10000        409
cancel       409
expire       409
4000,expire  409
"""


async def history(context: Context, payin: dict[str, Any]) -> list[tuple[Any, ...]]:
    query = "select number, status, event, received_minor from payin_change where payin = %s::uuid order by number"
    return await rows(context, query, payin["id"].removeprefix("payin_"))


async def due_of(context: Context, payin: dict[str, Any]) -> list[Due]:
    query = "select at, kind, subject, book, attempt from due where subject = %s::uuid order by at"
    found = await rows(context, query, payin["id"].removeprefix("payin_"))
    return [Due(at=at, kind=kind, subject=id, book=book, attempt=n) for at, kind, id, book, n in found]


# Cancelled


async def test_a_pending_payin_can_be_given_up(ana: Merchant, context: Context) -> None:
    payin = await ana.payin()
    answered = await ana.cancel(payin)
    gone = {**payin, "status": "cancelled", "status_reason": "requested_by_merchant", "next_action": None}
    assert (answered.status, answered.json) == (200, gone)
    assert {**await ana.seen(payin), "payer": None} == {**gone, "payer": None}
    assert await history(context, payin) == [(2, "cancelled", "cancelled", 0)]
    await assert_in_order(context)


async def test_what_can_be_cancelled_depends_on_the_state(ana: Merchant, context: Context) -> None:
    for line in CANCELLED.strip().splitlines():
        before, status = line.split()
        payin = await ana.payin()
        for step in before.strip("-").split(","):
            if step == "expire":
                await ana.advance()
            elif step:
                await (ana.cancel(payin) if step == "cancel" else ana.paid(payin, int(step)))
        seen = await ana.seen(payin)
        answered = await ana.cancel(payin)
        assert (answered.status, answered.json.get("code", "-")) == (
            int(status),
            "-" if status == "200" else "forbidden_transition",
        ), line
        if status != "200":
            assert await ana.seen(payin) == seen, line
    await assert_in_order(context)


async def test_a_cancellation_takes_no_body(ana: Merchant) -> None:
    payin = await ana.payin()
    assert (await ana.cancel(payin, body={"reason": "x"})).status == 422
    assert (await ana.cancel(payin, body={})).status == 200


async def test_paying_and_cancelling_at_once_come_to_one_of_the_two(ana: Merchant, context: Context) -> None:
    payins = [await ana.payin() for _ in range(10)]
    asked = [ask for payin in payins for ask in (ana.cancel(payin), ana.paid(payin))]
    await asyncio.gather(*asked)
    for payin in payins:
        seen = await ana.seen(payin)
        assert seen["status"] in ("paid", "cancelled")
        assert seen["amount_received"] == (10_000 if seen["status"] == "paid" else 0)
    await assert_in_order(context)


# Expired


async def test_a_payin_is_due_when_it_expires(ana: Merchant, context: Context) -> None:
    payin = await ana.payin()
    [due] = await due_of(context, payin)
    assert (due.kind, due.attempt, due.at) == ("payin.expire", 0, datetime.fromisoformat(payin["expires_at"]))


async def test_a_payin_that_is_looked_at_too_early_stays_pending_and_due(ana: Merchant, context: Context) -> None:
    payin = await ana.payin()
    [due] = await due_of(context, payin)
    await context.commit(0, ExpirePayin(due=due))
    assert (await ana.seen(payin))["status"] == "pending"
    assert await due_of(context, payin) == [due]


async def test_time_that_passes_expires_a_payin_once(ana: Merchant, context: Context) -> None:
    payin = await expired(ana, context)
    seen = await ana.seen(payin)
    assert (seen["status"], seen["status_reason"], seen["next_action"]) == ("expired", None, None)
    assert await history(context, payin) == [(2, "expired", "time_passed", 0)]
    assert await due_of(context, payin) == []
    await assert_in_order(context)


async def test_a_payin_that_has_a_part_of_its_money_expires_as_underpaid(ana: Merchant, context: Context) -> None:
    payin = await expired(ana, context, 4000)
    seen = await ana.seen(payin)
    assert (seen["status"], seen["status_reason"], seen["amount_received"]) == ("expired", "underpaid", 4000)
    assert await history(context, payin) == [(2, "pending", "part_received", 4000), (3, "expired", "time_passed", 4000)]


async def expired(ana: Merchant, context: Context, part: int = 0) -> dict[str, Any]:
    """A payin whose expiry the worker has found, three times."""
    payin = await ana.payin()
    if part:
        await ana.paid(payin, part)
    [due] = await due_of(context, payin)
    await context.rows("update book set clock_offset_s = 259201, version = 9 where book = 2 returning 1")
    for _ in range(3):
        assert await run_job(context, 0, due, JOBS)
    return payin


async def test_nothing_waits_for_a_payin_that_is_paid(ana: Merchant, context: Context) -> None:
    payin = await ana.payin()
    await ana.paid(payin)
    assert await due_of(context, payin) == []


async def test_an_expiry_that_finds_something_else_changes_nothing(ana: Merchant, context: Context) -> None:
    paid, cancelled = await ana.payin(), await ana.payin()
    work = [*await due_of(context, paid), *await due_of(context, cancelled)]
    await ana.paid(paid)
    await ana.cancel(cancelled)
    for due in work:
        assert await run_job(context, 0, due, JOBS)
    assert [(await ana.seen(one))["status"] for one in (paid, cancelled)] == ["paid", "cancelled"]
    assert await rows(context, "select count(*) from due where kind <> 'funds.release'") == [(0,)]


async def test_the_clabe_of_an_expired_payin_stays_its_own(ana: Merchant, context: Context) -> None:
    old = await expired(ana, context)
    others = [await ana.payin() for _ in range(20)]
    assert old["next_action"]["clabe"] not in {other["next_action"]["clabe"] for other in others}
    await ana.paid(old)
    assert (await ana.seen(old))["status_reason"] == "late"


async def test_the_expiry_named_by_the_merchant_is_the_one_that_counts(ana: Merchant, context: Context) -> None:
    at = datetime.fromisoformat((await ana.payin())["created_at"]) + timedelta(hours=1)
    payin = await ana.payin(expires_at=at.isoformat())
    assert [due.at for due in await due_of(context, payin)] == [at]
    assert (await ana.advance(3500)).json["expired"] == 0
    assert (await ana.advance(200)).json["expired"] == 1
    assert (await ana.seen(payin))["status"] == "expired"
