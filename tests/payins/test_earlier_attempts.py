"""What is done about an attempt that came to nothing before another one began is done at its own provider, with its own
payment: what carries the payin stays as it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from caudal.app.check import SQL
from caudal.kernel.context import Context
from tests.payins.books import broken_laws, rows
from tests.payins.cast import DAY_S, Merchant, key_of
from tests.payins.desk import Desk
from tests.payins.several import merchant, three_providers
from tests.payins.test_cascade import DECLINED, tell
from tests.payins.test_corrections import corrected
from tests.payins.test_late_success import deposits
from tests.payins.test_trace import traced

REFUSED = {"status": "failed", "reason": "processing_error"}


@pytest.fixture
async def context(database_url: str, tmp_path: Path) -> AsyncIterator[Context]:
    async with three_providers(database_url, tmp_path, lease_s=0.5) as opened:
        yield opened


@pytest.fixture
async def ana(context: Context) -> Merchant:
    return await merchant(context)


@pytest.fixture
async def held_twice(ana: Merchant, desk: Desk) -> dict[str, Any]:
    """Acme declined and bravo authorized 7,000; acme turns out to hold as much, and does not let go of it."""
    desk.says["submit"], desk.says["void"] = [DECLINED], [REFUSED]
    payin = await ana.card(amount=7_000, capture="manual")
    first = key_of(payin)
    desk.change(first, status="authorized", reason=None, authorized_minor=7_000)
    assert (await tell(ana, desk, first)).status == 200
    assert await ana.work("payin.operate") == 1
    assert (desk.held(first), desk.held(f"{first}-2")) == (7_000, 7_000)
    return payin


async def odd_of(ana: Merchant, kind: str) -> dict[str, Any]:
    [case] = [one for one in await ana.odd() if one["kind"] == kind]
    return case


async def agree(ana: Merchant, desk: Desk, held: dict[str, int]) -> None:
    """Each provider holds so much, our books say the same, and no law is broken."""
    ours = {row[0]: row[4:7] for row in await ana.context.rows(SQL["payins_for_provider"])}
    theirs = {key: (desk.held(key), one.captured_minor, one.refunded_minor) for key, one in desk.payments.items()}
    assert ours == theirs and {key: row[0] for key, row in theirs.items()} == held
    async with ana.context.pool.connection() as connection:
        assert await broken_laws(connection) == []


@pytest.mark.parametrize("kind", ["late_success", "contradicts_final_state"])
async def test_a_void_of_an_earlier_attempt_is_asked_for_again_where_it_failed(
    ana: Merchant, desk: Desk, held_twice: dict[str, Any], kind: str
) -> None:
    first, case, before = key_of(held_twice), await odd_of(ana, kind), await ana.seen(held_twice)
    assert (case["provider"], case["proposals"][0]["correction"]) == ("acme", "void_again")
    assert (await corrected(ana, case)).status == 201
    assert await ana.work("payin.operate") == 1
    asked = [one.payment_key for one in desk.operations.values() if one.kind == "void"]
    assert asked == [first, first], "nobody asks bravo for anything"
    assert await ana.seen(held_twice) == before and before["status"] == "authorized"
    [other] = await ana.odd()
    assert other["proposals"][0]["correction"] == "none_needed", "it has let go: nobody is asked a third time"
    await agree(ana, desk, {first: 0, f"{first}-2": 7_000})
    assert (await ana.capture(held_twice)).status == 201
    await agree(ana, desk, {first: 0, f"{first}-2": 0})
    assert desk.payments[f"{first}-2"].captured_minor == 7_000


async def test_beside_a_part_that_was_captured_the_rest_stays_the_merchants(
    ana: Merchant, desk: Desk, held_twice: dict[str, Any]
) -> None:
    assert (await ana.capture(held_twice, 2_000)).status == 201
    assert (await corrected(ana, await odd_of(ana, "contradicts_final_state"))).status == 201
    assert (await ana.capture(held_twice, 3_000)).status == 201, "it is not being given up"
    assert await ana.work("payin.operate") == 1
    assert (await ana.capture(held_twice, 2_000)).status == 201
    first = key_of(held_twice)
    await agree(ana, desk, {first: 0, f"{first}-2": 0})


async def test_what_it_refuses_twice_is_cleared_by_hand(ana: Merchant, desk: Desk, held_twice: dict[str, Any]) -> None:
    desk.says["void"] = [REFUSED]
    assert (await corrected(ana, await odd_of(ana, "late_success"))).status == 201
    assert await ana.work("payin.operate") == 1
    proposed = [one["proposals"][0] for one in await ana.odd()]
    assert [one["correction"] for one in proposed] == ["by_hand", "by_hand"], "whichever case has asked"
    assert all("a second time" in one["because"] for one in proposed)
    assert (await ana.seen(held_twice))["status"] == "authorized"


async def test_traces_and_laws_tell_them_apart(ana: Merchant, desk: Desk, held_twice: dict[str, Any]) -> None:
    assert (await ana.capture(held_twice, 2_000)).status == 201
    steps = [step for step in (await traced(ana, held_twice["id"]))["steps"] if step["what"].endswith("asked for")]
    told = {step["what"]: (step["detail"]["attempt"], step["detail"]["provider"]) for step in steps}
    assert told == {"void asked for": (1, "acme"), "capture asked for": (2, "bravo")}
    await rows(ana.context, "delete from due where kind = 'payin.expire' returning 1")
    async with ana.context.pool.connection() as connection:
        wrong = await broken_laws(connection)
    assert [line.split()[0] for line in wrong] == ["open_payin_expires"], "nobody gives back the payin's own rest"


async def test_what_an_earlier_attempts_provider_gave_back_takes_nothing_from_the_merchant(
    ana: Merchant, desk: Desk
) -> None:
    desk.says["submit"] = [DECLINED]
    payin = await ana.card(amount=7_000)
    first = key_of(payin)
    other = {"status": "paid", "amount_minor": 9_000, "captured_minor": 9_000, "refunded_minor": 3_000}
    desk.change(first, reason=None, **other)
    assert (await tell(ana, desk, first)).status == 200
    case = await odd_of(ana, "other_amount")
    assert (case["provider"], case["proposals"][0]["correction"]) == ("acme", "ask_again")
    assert (await corrected(ana, case)).status == 201
    assert await ana.work("discrepancy.ask") == 1
    [proposal] = (await odd_of(ana, "other_amount"))["proposals"]
    assert (proposal["correction"], proposal["postings"]) == ("by_hand", [])
    assert "an attempt before" in proposal["because"]


async def test_late_money_of_an_earlier_attempt_pays_no_payin_whose_refunds_would_go_elsewhere(
    ana: Merchant, desk: Desk
) -> None:
    desk.says["submit"] = [DECLINED]
    payin = await ana.asked("pse")
    await ana.advance(30 * DAY_S)
    assert ((await ana.seen(payin))["status"], payin["provider"]) == ("expired", "bravo")
    desk.change(key_of(payin), status="paid", reason=None, captured_minor=payin["amount"])
    assert (await tell(ana, desk, key_of(payin))).status == 200
    [deposit] = await deposits(ana)
    assert (deposit["provider"], deposit["reason"], deposit["amount_unapplied"]) == ("acme", "late", payin["amount"])
    case = await odd_of(ana, "late_success")
    assert [one["correction"] for one in case["proposals"]] == ["return_money"]
