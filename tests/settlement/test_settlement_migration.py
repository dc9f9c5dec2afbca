"""A database from before settlement: what was earned waits for the day of the migration, and everything is in order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from caudal.app.migrate import migrate
from tests.payins.books import assert_in_order, rows
from tests.payins.cast import Merchant

BEFORE = """
drop table release, balance_transaction;
delete from due where kind = 'funds.release';
delete from migration where number = 4;
alter table payin drop column available_on;
alter table book drop column refunds_beyond_balance;
alter table fee_plan drop column refund_fixed_minor, drop column dispute_fixed_minor, drop column settlement_days;
"""

# A payment's event names no day then.
OLD_EVENTS = r"""
update event set data = convert_to(regexp_replace(convert_from(data, 'UTF8'), ',"available_on":"[^"]*"', ''), 'UTF8')
where type = 'payin.paid'
"""


@pytest.fixture
async def earlier(ana: Merchant, caro: Merchant) -> str:
    """The database as it was before: Ana has two paid payins and a clock five days ahead, Caro one of them."""
    for merchant in (ana, ana, caro):
        await merchant.paid(await merchant.payin())
    await ana.payin()
    async with ana.context.pool.connection() as connection:
        await connection.execute(OLD_EVENTS)
        await connection.execute(
            "update book set clock_offset_s = 5 * 86400 where merchant = %s and book %% 2 = 0", (ana.merchant,)
        )
        for statement in BEFORE.strip().splitlines():
            await connection.execute(statement.encode())
    return ana.context.settings.database_url or ""


async def test_what_was_earned_before_waits_for_today(ana: Merchant, caro: Merchant, earlier: str) -> None:
    assert "0004_settlement" in await migrate(earlier)
    await assert_in_order(ana.context)
    today = datetime.now(UTC).date()
    found = await rows(ana.context, "select day, version, amount_minor, released_minor from release order by id")
    assert found == [(today + timedelta(days=5), 1, 19_200, 0), (today, 1, 9_600, 0)]
    query = "select count(*), min(settlement_days), max(refund_fixed_minor) from fee_plan"
    assert (await rows(ana.context, query))[0][1:] == (1, 0)
    lines = await rows(
        ana.context, "select kind, gross_minor, fee_minor, net_minor, id = payin from balance_transaction"
    )
    assert lines == [("payment", 10_000, 400, 9_600, True)] * 3
    assert (
        await rows(ana.context, "select count(*) from payin where (status = 'paid') <> (available_on is not null)")
    ) == [(0,)]
    due = await rows(ana.context, "select count(*) from due where kind = 'funds.release' and at <= now()")
    assert due == [(2,)]
