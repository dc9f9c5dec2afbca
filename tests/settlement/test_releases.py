"""Money becomes available: by the worker, by a moved clock, once; and the laws name what does not fit."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from caudal.app.worker import JOBS
from caudal.kernel.commit import Due
from caudal.kernel.context import Context
from caudal.kernel.due import run_job
from tests.payins.books import assert_in_order, balances, rows, wrong_in
from tests.payins.cast import DAY_S, Merchant


async def work(context: Context) -> None:
    """Runs the releases that stand in the database, due or not."""
    found = await rows(context, "select at, kind, subject, book, attempt from due where kind = 'funds.release'")
    for at, kind, subject, book, attempt in found:
        assert await run_job(context, 0, Due(at=at, kind=kind, subject=subject, book=book, attempt=attempt), JOBS)


async def price(ana: Merchant, days: int, fixed_minor: int = 0) -> None:
    line = {"family": "instant_transfer", "currency": "MXN", "settlement_days": days, "fixed_minor": fixed_minor}
    answered = await ana.post(ana.path + "/fee_plans", {"fee_plan": [line]}, key=ana.olga)
    assert answered.status == 201, answered.body
    await asyncio.sleep(1.1)  # a key's fee plan is remembered for a second


async def by_day(ana: Merchant) -> list[dict[str, Any]]:
    found = (await ana.get("/v1/balances")).json["data"]
    return list(found[0]["pending_by_day"]) if found else []


def today() -> date:
    return datetime.now(UTC).date()


async def test_a_payment_waits_until_the_next_day(ana: Merchant, context: Context) -> None:
    await ana.paid(await ana.payin())
    assert await balances(ana) == {"MXN": {"pending": 9_600}}
    assert await by_day(ana) == [{"day": (today() + timedelta(days=1)).isoformat(), "amount": 9_600}]
    await work(context)
    assert await balances(ana) == {"MXN": {"pending": 9_600}}, "the work came too early and stands again"
    await assert_in_order(context)
    await ana.advance(DAY_S)
    assert await balances(ana) == {"MXN": {"available": 9_600}}
    assert await by_day(ana) == []
    assert await rows(context, "select count(*) from due") == [(0,)]
    await assert_in_order(context)


async def test_the_payin_says_since_when_its_money_is_available(ana: Merchant, context: Context) -> None:
    await ana.advance(5 * DAY_S)
    await ana.paid(await ana.payin())
    [(paid_at, day)] = await rows(context, "select paid_at, available_on from payin")
    assert day == paid_at.date() + timedelta(days=1) >= today() + timedelta(days=6)


async def test_a_hundred_payments_are_one_row_and_one_piece_of_work(ana: Merchant, context: Context) -> None:
    payins = await asyncio.gather(*(ana.payin() for _ in range(100)))
    await asyncio.gather(*(ana.paid(payin) for payin in payins))
    assert await rows(context, "select version, amount_minor from release") == [(100, 960_000)]
    assert await rows(context, "select count(*) from due where kind = 'funds.release'") == [(1,)]
    assert await rows(context, "select count(*) from balance_transaction") == [(100,)]
    await assert_in_order(context)


async def test_days_of_the_plan_count(ana: Merchant, context: Context) -> None:
    await price(ana, 3)
    await ana.paid(await ana.payin())
    await ana.advance(2 * DAY_S)
    assert await balances(ana) == {"MXN": {"pending": 10_000}}
    await ana.advance(DAY_S)
    assert await balances(ana) == {"MXN": {"available": 10_000}}
    await assert_in_order(context)


async def test_a_plan_of_no_days_is_due_at_once_again_and_again(ana: Merchant, context: Context) -> None:
    await price(ana, 0)
    for count in (1, 2):
        await ana.paid(await ana.payin())
        [(due_at,)] = await rows(context, "select at from due where kind = 'funds.release'")
        assert due_at <= datetime.now(UTC)
        await work(context)
        assert await balances(ana) == {"MXN": {"available": count * 10_000}}
    assert await rows(context, "select amount_minor, released_minor from release") == [(0, 20_000)]
    await assert_in_order(context)


async def test_a_release_that_comes_twice_moves_once(ana: Merchant, context: Context) -> None:
    await ana.paid(await ana.payin())
    [(at, kind, subject, book)] = await rows(
        context, "select at, kind, subject, book from due where kind = 'funds.release'"
    )
    due = Due(at=at, kind=kind, subject=subject, book=book)
    await ana.advance(DAY_S)
    await asyncio.gather(*(run_job(context, 0, due, JOBS) for _ in range(5)))
    assert await balances(ana) == {"MXN": {"available": 9_600}}
    assert await rows(context, "select count(*) from transfer where code = 'funds.released'") == [(1,)]
    await assert_in_order(context)


async def test_another_merchants_money_waits_for_its_own_clock(ana: Merchant, caro: Merchant, context: Context) -> None:
    for merchant in (ana, caro):
        await merchant.paid(await merchant.payin())
    await ana.advance(DAY_S)
    assert await balances(caro) == {"MXN": {"pending": 9_600}}
    await assert_in_order(context)


async def test_a_fee_larger_than_the_payment_leaves_pending_at_nothing(ana: Merchant, context: Context) -> None:
    await price(ana, 1, fixed_minor=1_000)
    await ana.paid(await ana.payin(amount=900))
    assert await balances(ana) == {"MXN": {"available": -100}}
    await ana.paid(await ana.payin())
    assert await balances(ana) == {"MXN": {"pending": 9_000, "available": -100}}
    await ana.advance(DAY_S)
    assert await balances(ana) == {"MXN": {"available": 8_900}}
    await assert_in_order(context)


BROKEN = """
pending_money      update release set amount_minor = amount_minor + 1
pending_money      delete from release
statement_money    update balance_transaction set gross_minor = gross_minor + 1, net_minor = net_minor + 1
statement_money    delete from balance_transaction
release_is_due     delete from due where kind = 'funds.release'
release_of_its_id  update release set day = day + 1
release_of_its_id  update release set currency = 'BRL'
"""


@pytest.mark.parametrize("line", BROKEN.strip().splitlines())
async def test_a_law_names_what_breaks_it(ana: Merchant, context: Context, line: str) -> None:
    name, statement = line.split(maxsplit=1)
    await ana.paid(await ana.payin())
    await assert_in_order(context)
    async with context.pool.connection() as connection:
        await connection.execute(statement.encode())
    assert name in {found.split()[0] for found in await wrong_in(context.settings.database_url or "")}
