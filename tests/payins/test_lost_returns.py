"""Money that goes back at a provider which would not know the same order again: ordered once, asked for until that is
an outcome, then the operators' again. No second order while the first may still arrive.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from caudal.kernel.context import Context
from caudal.kernel.due import ClaimDue, GiveBack, run_job
from caudal.payins import JOBS, store
from caudal.payins.commands import SendReturn
from caudal.payins.decide import unresolved as judged
from tests.payins.books import assert_in_order, postings_of
from tests.payins.cast import Merchant
from tests.payins.desk import Desk
from tests.payins.test_late_success import deposits, hours_later
from tests.payins.test_unresolved import PATH, listed, settled, tried


async def test_an_order_that_was_lost_is_an_operators_once_it_cannot_arrive_any_more(
    ana: Merchant, desk: Desk, context: Context, late: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.says["refund"] = ["nothing"]
    for _ in range(3):
        assert await tried(context, "deposit.return") == 0
    assert desk.count("refund") == 1, "the first may still arrive"
    await hours_later(context, monkeypatch)
    assert await tried(context, "deposit.return") == 1
    assert (desk.count("refund"), await listed(ana)) == (1, [])
    [deposit] = await deposits(ana)
    assert (deposit["amount_unapplied"], deposit["amount_returning"], deposit["reason"]) == (10_000, 0, "return_lost")
    assert [event["type"] for event in await ana.events(types="deposit.return_failed")] == ["deposit.return_failed"]
    assert (await postings_of(context, late))[-1] == "deposit.return_failed clearing→unapplied 10000"
    await assert_in_order(context)
    # By command it goes back again, as another order.
    assert (await ana.post(f"/v1/operator/deposits/{late}/returns", key=ana.olga)).status == 201
    assert await tried(context, "deposit.return") == 1
    assert (await deposits(ana))[0]["amount_returned"] == 10_000
    assert [len({order.key for order in desk.refunds}), len(desk.refunds)] == [2, 2]
    await assert_in_order(context)


async def test_the_case_of_a_lost_order_proposes_the_return_again(
    ana: Merchant, desk: Desk, context: Context, late: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.says["refund"] = ["nothing"]
    await tried(context, "deposit.return")
    await hours_later(context, monkeypatch)
    await tried(context, "deposit.return")
    [case] = await ana.odd()
    assert (case["kind"], case["proposals"][0]["correction"]) == ("late_success", "return_money")
    asked = {"correction": "return_money", "facts": case["proposals"][0]["facts"]}
    path = f"/v1/operator/discrepancies/{case['id']}/corrections"
    assert (await ana.post(path, asked, key=ana.olga)).status == 201
    assert await tried(context, "deposit.return") == 1
    assert (await deposits(ana))[0]["amount_returned"] == 10_000
    await assert_in_order(context)


async def test_an_answer_that_was_lost_is_asked_for_and_silence_is_no_outcome_however_long_it_lasts(
    ana: Merchant, desk: Desk, context: Context, late: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.says["refund"], desk.says["operation"] = ["lost"], [{}, "busy", "nothing"]
    assert await tried(context, "deposit.return") == 0
    await hours_later(context, monkeypatch)
    for _ in range(2):
        assert await tried(context, "deposit.return") == 0
    assert await tried(context, "deposit.return") == 1
    assert (desk.count("refund"), (await deposits(ana))[0]["amount_returned"]) == (1, 10_000)


async def test_a_worker_that_ends_in_between_is_followed_by_no_second_order(
    desk: Desk, context: Context, late: str
) -> None:
    desk.says["refund"] = ["nothing"]
    [due] = (await context.commit(0, ClaimDue(lease_s=60.0))).outcome
    assert not await run_job(context, 0, due, JOBS)
    await context.commit(0, GiveBack(held=(due,)))  # as if nobody had claimed it
    assert await tried(context, "deposit.return") == 0
    assert desk.count("refund") == 1


async def test_two_workers_order_it_once(ana: Merchant, desk: Desk, context: Context, late: str) -> None:
    [due] = (await context.commit(0, ClaimDue(lease_s=60.0))).outcome
    before = await store.deposit(context, 0, due.subject)
    assert before is not None
    send = SendReturn(id=before.id, book=before.book, version=before.version, within=timedelta(seconds=9))
    assert (await context.commit(0, send)).outcome
    assert not (await context.commit(0, send)).outcome, "another one is at it"
    assert not await run_job(context, 0, due, JOBS)
    assert desk.count("refund") == 0


async def test_it_shows_from_when_on_not_found_counts_and_until_then_nobody_says_that_it_did_not_happen(
    ana: Merchant, desk: Desk, context: Context, late: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.says["refund"] = ["nothing"]
    await tried(context, "deposit.return")
    key = desk.refunds[0].key
    one = (await ana.get(f"{PATH}/{late}", key=ana.olga)).json
    assert (one["kind"], one["provider_key"], one["times_asked"]) == ("return", key, 1)
    assert one["not_found_counts_from"] > one["submitted_until"] > one["since"]
    refused = await settled(ana, late, "did_not_happen")
    assert (refused.status, refused.code) == (409, "forbidden_transition")
    monkeypatch.setattr(judged, "MARGIN", timedelta(hours=-2))
    assert (await settled(ana, late, "did_not_happen")).status == 201
    assert (await deposits(ana))[0]["amount_unapplied"] == 10_000
    await assert_in_order(context)
