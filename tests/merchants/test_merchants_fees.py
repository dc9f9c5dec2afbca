"""What a payment costs: the fixed part once, the share rounded half up."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from caudal.kernel.context import Context
from caudal.merchants import FEE_PLANS, FeePlan, FeeRow, fee_minor
from tests.merchants.cast import Cast

PLAN = FeePlan(
    book=2,
    version=1,
    fees={
        ("instant_transfer", "MXN"): FeeRow(fixed_minor=300, basis_points=100),
        ("instant_transfer", "CLP"): FeeRow(fixed_minor=0, basis_points=50),
        ("card", "MXN"): FeeRow(fixed_minor=250, basis_points=0),
    },
    created_at=datetime(2026, 11, 23, tzinfo=UTC),
)

FEES = """
    family            currency  amount  fee
    instant_transfer  MXN        12050  421
    instant_transfer  MXN        12049  420
    instant_transfer  MXN            1  300
    instant_transfer  CLP           99    0
    instant_transfer  CLP          100    1
    instant_transfer  CLP         1000    5
    card              MXN      1000000  250
    card              USD      1000000    0
    voucher           MXN      1000000    0
"""


@pytest.mark.parametrize("row", [line.split() for line in FEES.strip().splitlines()[1:]])
def test_a_payment_costs(row: list[str]) -> None:
    family, currency, amount, fee = row
    assert fee_minor(PLAN, family, currency, int(amount)) == int(fee)


def test_without_a_plan_everything_is_free() -> None:
    assert fee_minor(None, "card", "MXN", 1000) == 0


async def test_plans_are_read_by_book_and_version(context: Context, ana: Cast) -> None:
    statement, parameters = FEE_PLANS.reading(0, [(2, 1), (3, 1), (2, 2), (4, 1)])
    found = dict(FEE_PLANS.load(row) for row in await context.rows(statement, parameters))
    assert set(found) == {(2, 1), (3, 1)}
    assert found[2, 1].fees == found[3, 1].fees
    assert found[2, 1].fees["instant_transfer", "MXN"] == FeeRow(fixed_minor=300, basis_points=100)
    assert found[2, 1].fees["card", "BRL"].settlement_days == 2
