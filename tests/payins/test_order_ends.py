"""What became of each order of a return, whatever became of the others: which word of its provider is a case.

Each line of HISTORIES is what became of a deposit's orders, one after another, and how each stands then (`unclear`: one
that had failed was carried out, and nobody knows which of several).
"""

from __future__ import annotations

import pytest

from caudal.kernel.context import Context
from tests.payins.books import assert_in_order
from tests.payins.cast import LIVE_SECRET, Merchant
from tests.payins.desk import Desk
from tests.payins.test_corrections import corrected
from tests.payins.test_returns_after_all import confirmed, told
from tests.payins.test_unresolved import tried

HISTORIES = """
failed,confirmed                   succeeded
failed,succeeded                   failed succeeded
failed,failed,succeeded            failed failed succeeded
failed,failed,failed,confirmed     unclear unclear unclear
"""


async def lived(ana: Merchant, desk: Desk, context: Context, late: str, history: str) -> list[str]:
    """The deposit's orders end so; their keys."""
    for number, step in enumerate(history.split(",")):
        if step == "confirmed":
            assert (await confirmed(ana, late)).status == 201
            continue
        if number:
            assert (await ana.post(f"/v1/operator/deposits/{late}/returns", key=ana.olga)).status == 201
        desk.says["refund"] = [{"status": step}]
        assert await tried(context, "deposit.return") == 1
    return [order.key for order in desk.refunds]


async def contradicted(ana: Merchant) -> list[tuple[str, str]]:
    found = await ana.odd(all="true", kind="contradicts_final_state")
    return sorted((one["detail"]["key"], one["detail"]["status"]) for one in found)


@pytest.mark.parametrize("line", HISTORIES.strip().splitlines(), ids=lambda line: line.split()[0])
async def test_a_word_is_a_case_where_the_order_ended_otherwise_or_nobody_knows(
    ana: Merchant, desk: Desk, context: Context, late: str, line: str
) -> None:
    history, *ends = line.split()
    keys = await lived(ana, desk, context, late, history)
    assert len(set(keys)) == len(keys) == len(ends)
    for key in keys:
        for status in ("succeeded", "failed"):
            await told(ana, desk, key, status)
    otherwise = [
        (key, word) for key, end in zip(keys, ends, strict=True) for word in ("succeeded", "failed") if word != end
    ]
    assert await contradicted(ana) == sorted(otherwise)
    await assert_in_order(context)


async def test_after_one_of_several_was_booked_the_others_are_a_persons(
    ana: Merchant, desk: Desk, context: Context, late: str
) -> None:
    first, second = await lived(ana, desk, context, late, "failed,failed")
    await told(ana, desk, first, "succeeded")
    desk.settle(first, "succeeded")
    for correction in ("ask_again", "book_return"):
        [case] = await ana.odd(kind="contradicts_final_state")
        assert case["proposals"][0]["correction"] == correction
        assert (await corrected(ana, case)).status == 201
        await ana.work("discrepancy.ask")
    await told(ana, desk, first, "succeeded")
    assert await contradicted(ana) == [(first, "succeeded")], "it was booked"
    await told(ana, desk, second, "succeeded")
    desk.settle(second, "succeeded")
    [case] = await ana.odd(kind="contradicts_final_state")
    assert (await corrected(ana, case)).status == 201
    await ana.work("discrepancy.ask")
    [case] = await ana.odd(kind="contradicts_final_state")
    proposal = case["proposals"][0]
    assert proposal["correction"] == "by_hand" and "what the payer has, and what twice" in proposal["because"]
    await assert_in_order(context)


async def test_no_live_word_is_about_test_money(ana: Merchant, desk: Desk, context: Context, late: str) -> None:
    [key] = await lived(ana, desk, context, late, "succeeded")
    said = desk.told_of_operation(key, status="failed")
    assert (await ana.told("mpesa", "operation", said, secret=LIVE_SECRET)).status == 200
    [case] = await ana.odd(kind="other_account")
    assert (case["payin"], case["held"]["about"]) == ((await ana.odd(kind="late_success"))[0]["payin"], "deposit")
