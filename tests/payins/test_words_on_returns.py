"""What callbacks say of a return of money that no payin takes: whose it is and how much is compared before its end.

Each line of TABLE is how the return stands, who says what of it, and the kind of the case that opens, if any. `a` is
acme, who took 7,000 in an earlier attempt of a card's payin; `b` is bravo, who took the payin.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from caudal.kernel.context import Context
from tests.api import Answered
from tests.payins.books import assert_in_order, rows
from tests.payins.cast import Merchant, key_of
from tests.payins.desk import Desk
from tests.payins.several import merchant, three_providers
from tests.payins.test_cascade import DECLINED, tell
from tests.payins.test_corrections import corrected
from tests.payins.test_unresolved import tried

NAMES = {"a": "acme", "b": "bravo"}
TABLE = """
stands     by  says       otherwise        opens
returned   a   succeeded  -                -
returned   a   pending    -                -
returned   a   failed     -                contradicts_final_state
returned   b   failed     -                other_account
returned   b   succeeded  -                other_account
returned   a   succeeded  account=999      other_account
returned   a   succeeded  amount=3000      other_amount
returned   a   succeeded  currency=USD     other_amount
returned   a   succeeded  kind=capture     unknown_payment
refused    a   failed     -                -
refused    a   succeeded  -                contradicts_final_state
refused    a   failed     amount=3000      other_amount
refused    b   succeeded  -                other_account
returning  a   failed     -                -
returning  a   pending    -                -
returning  a   pending    amount=3000      other_amount
returning  b   pending    -                other_account
"""
LINES = [line.split() for line in TABLE.strip().splitlines()[1:]]


@pytest.fixture
async def context(database_url: str, tmp_path: Path) -> AsyncIterator[Context]:
    async with three_providers(database_url, tmp_path, lease_s=60) as opened:
        yield opened


@pytest.fixture
async def ana(context: Context) -> Merchant:
    return await merchant(context)


async def owed(ana: Merchant, desk: Desk, stands: str) -> str:
    """Acme holds 7,000 of a payin that bravo has taken; the key of the order that sends it back."""
    desk.says["submit"] = [DECLINED]
    first = key_of(await ana.card(amount=7_000))
    desk.change(first, status="paid", reason=None, authorized_minor=7_000, captured_minor=7_000)
    assert (await tell(ana, desk, first)).status == 200
    desk.says["refund"] = [
        {"returned": {}, "refused": {"status": "failed"}, "returning": {"status": "pending"}}[stands]
    ]
    await tried(ana.context, "deposit.return")
    return desk.refunds[0].key


async def says(ana: Merchant, desk: Desk, key: str, by: str, **told: Any) -> Answered:
    provider = NAMES[by]
    said = desk.told_of_operation(key, **told)
    return await ana.told("card", "operation", said, provider=provider, secret=provider)


async def opened(ana: Merchant) -> list[tuple[str, str]]:
    return [
        (one["kind"], one["provider"]) for one in await ana.odd(all="true") if one["held"].get("about") == "deposit"
    ]


@pytest.mark.parametrize("stands", ["returned", "refused", "returning"])
async def test_a_callback_is_compared_with_the_return_that_it_names(
    ana: Merchant, desk: Desk, context: Context, stands: str
) -> None:
    key, found = await owed(ana, desk, stands), list[tuple[str, str]]()
    before = await rows(context, "select version from deposit")
    for _, by, status, otherwise, opens in (line for line in LINES if line[0] == stands):
        name, _, value = otherwise.partition("=")
        changed: dict[str, Any] = {name: int(value) if name == "amount" else value} if value else {}
        for _ in range(2):
            assert (await says(ana, desk, key, by, status=status, **changed)).status == 200
        found += [(opens, NAMES[by])] if opens != "-" else []
        assert sorted(await opened(ana)) == sorted(found), (by, status, otherwise)
    assert await rows(context, "select version from deposit") == before, "what was only told is not acted on"
    await assert_in_order(context)


async def test_another_providers_word_is_asked_about_at_the_one_that_has_the_money(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    key = await owed(ana, desk, "returned")
    await says(ana, desk, key, "b", status="failed")
    [case] = await ana.odd(kind="other_account")
    assert case["proposals"][0]["correction"] == "ask_again"
    assert (await corrected(ana, case)).status == 201
    assert await ana.work("discrepancy.ask") == 1
    [case] = await ana.odd(kind="other_account", all="true")
    assert (case["answer"]["status"], case["resolved_at"] is None) == ("succeeded", False), "acme says what we say"


async def test_another_amount_of_what_went_back_is_a_persons(ana: Merchant, desk: Desk, context: Context) -> None:
    key = await owed(ana, desk, "returned")
    desk.operations[key] = msgspec.structs.replace(desk.operations[key], amount_minor=3_000)
    await says(ana, desk, key, "a")
    [case] = await ana.odd(kind="other_amount")
    await corrected(ana, case)
    await ana.work("discrepancy.ask")
    [case] = await ana.odd(kind="other_amount")
    assert (case["answer"]["amount_minor"], case["proposals"][0]["correction"]) == (3_000, "by_hand")
