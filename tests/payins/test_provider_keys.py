"""One key, one payment, one answer: while the provider is asked, after the deadline, after an early callback."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from caudal import vault
from caudal.kernel.context import Context
from caudal.kernel.errors import Fault, Overloaded, Retry
from caudal.payins import calls, commands
from tests.payins.books import assert_in_order, rows
from tests.payins.cast import ASKED, Merchant, key_of
from tests.payins.desk import Desk


async def test_while_the_provider_is_asked_the_key_is_in_progress(ana: Merchant, desk: Desk, context: Context) -> None:
    told: list[Any] = []

    async def meanwhile() -> None:
        told.append(await ana.ask("pix", "k"))

    desk.says["submit"] = [meanwhile]
    first = await ana.ask("pix", "k")
    [during] = told
    assert (during.status, during.code, during.json["retry"]) == (409, "key_in_progress", "after")
    assert 1 <= int(during.headers["retry-after"]) <= 10
    assert during.json["object"] == first.json["id"]
    again = await ana.ask("pix", "k")
    assert (again.status, again.body, again.headers["idempotent-replayed"]) == (201, first.body, "true")
    assert desk.count("submit") == 1
    await assert_in_order(context)


async def test_a_hundred_at_once_are_one_payment(ana: Merchant, desk: Desk, context: Context) -> None:
    answered = await asyncio.gather(*(ana.ask("pix", "k") for _ in range(100)))
    assert {one.status for one in answered} <= {201, 409}
    assert len({one.body for one in answered if one.status == 201}) == 1
    assert {one.code for one in answered if one.status == 409} <= {"key_in_progress"}
    assert len(desk.payments) == 1 and await rows(context, "select count(*) from payin") == [(1,)]


async def test_the_same_key_for_something_else_is_refused_also_while_it_is_in_progress(
    ana: Merchant, desk: Desk
) -> None:
    told: list[Any] = []

    async def meanwhile() -> None:
        told.append(await ana.ask("pix", "k", reference="other"))

    desk.says["submit"] = [meanwhile]
    await ana.ask("pix", "k")
    assert [one.code for one in (*told, await ana.ask("pix", "k", amount=10_001))] == ["key_reused"] * 2


async def test_at_the_deadline_the_answer_is_submitting_and_stays_so(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    desk.says["submit"] = ["lost"]
    first = await ana.ask("pix", "k")
    assert (first.status, first.json["status"], first.json["next_action"]) == (201, "submitting", None)
    assert await ana.work("payin.submit") == 1
    assert (await ana.seen(first.json))["status"] == "pending"
    again = await ana.ask("pix", "k")
    assert (again.status, again.body, again.headers["idempotent-replayed"]) == (201, first.body, "true")
    await assert_in_order(context)


async def test_a_provider_that_hangs_costs_the_request_no_more_than_its_deadline(ana: Merchant, desk: Desk) -> None:
    async def slow() -> None:
        await asyncio.sleep(0.2)

    desk.says["submit"] = [slow]
    asked = {"amount": 10_000, "method": "pix", **ASKED["pix"]}
    headers = {"request-timeout-ms": "5000"}
    answered = await ana.post("/v1/payins", asked, idempotency="k", headers=headers)
    assert (answered.status, answered.json["status"]) == (201, "pending")


async def test_a_request_that_died_is_answered_by_the_sweep(ana: Merchant, desk: Desk, context: Context) -> None:
    desk.says["submit"] = ["lost"]
    first = await ana.ask("pix", "k")
    # As if the process had died before it could store the answer.
    unanswered = "update key set status = null, answer = null, deadline = now(), version = 1 where subject = %s::uuid"
    await context.rows(unanswered + " returning 1", (key_of(first.json),))
    assert (await ana.ask("pix", "k")).code == "key_in_progress"
    desk.says["payment"] = ["nothing"]
    assert await ana.work("payin.submit") == 0
    assert (await ana.ask("pix", "k")).body == first.body, "not known yet: submitting, from now on"
    assert await ana.work("payin.submit") == 1
    assert (await ana.ask("pix", "k")).body == first.body
    await assert_in_order(context)


async def test_a_request_that_died_is_answered_with_the_outcome_where_that_comes_first(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    desk.says["submit"] = ["lost"]
    first = await ana.ask("card", "k", instrument={"id": await ana.instrument()})
    unanswered = "update key set status = null, answer = null, deadline = now(), version = 1 where subject = %s::uuid"
    await context.rows(unanswered + " returning 1", (key_of(first.json),))
    await ana.told("card", "payment", desk.told(key_of(first.json)))
    [(status, body)] = await rows(
        context, "select status, answer from key where subject = %s::uuid", key_of(first.json)
    )
    assert status == 201 and b'"status":"paid"' in bytes(body)
    await assert_in_order(context)


async def test_whoever_comes_back_after_all_answers_what_was_stored(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    async def long_after() -> None:
        desk.says["payment"] = ["nothing"]
        assert await ana.work("payin.submit") == 0, "the sweep has given the key its answer"

    desk.says["submit"] = [long_after]
    first = await ana.ask("pix", "k")
    assert first.json["status"] == "submitting"
    assert (await ana.ask("pix", "k")).body == first.body
    assert (await ana.seen(first.json))["status"] == "pending"
    await assert_in_order(context)


async def test_operations_keep_their_answers_too(ana: Merchant, desk: Desk, context: Context) -> None:
    payin = await ana.card()
    await ana.card()
    desk.says["refund"] = ["lost"]
    first = await ana.refund(payin, 100, idempotency="k")
    assert first.json["status"] == "pending"
    assert (await ana.refund(payin, 101, idempotency="k")).code == "key_reused"
    assert await ana.work("payin.operate") == 1
    again = await ana.refund(payin, 100, idempotency="k")
    assert (again.status, again.body, again.headers["idempotent-replayed"]) == (201, first.body, "true")
    assert desk.payments[key_of(payin)].refunded_minor == 100
    await assert_in_order(context)


async def test_while_a_provider_is_away_its_payins_are_refused_and_no_others(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    first = await ana.ask("pix", "k")
    desk.open = False
    refused = await ana.ask("pix", "k2")
    assert (refused.status, refused.code, refused.json["retry"]) == (503, "provider_unavailable", "after")
    assert int(refused.headers["retry-after"]) >= 5
    assert (await ana.ask("pix", "k")).body == first.body, "what was asked before is answered"
    assert (await ana.create()).status == 201, "a transfer asks no provider"
    assert await rows(context, "select count(*) from payin") == [(2,)]
    desk.open = True
    assert (await ana.ask("pix", "k2")).status == 201


async def test_captures_and_refunds_are_taken_while_a_provider_is_away(ana: Merchant, desk: Desk) -> None:
    payin = await ana.card(capture="manual")
    desk.open, desk.says["capture"] = False, ["busy"]
    assert (await ana.capture(payin)).json["status"] == "pending"
    desk.open = True
    assert await ana.work("payin.operate") == 1
    assert (await ana.seen(payin))["status"] == "paid"


FAILURES: list[Exception] = [
    Retry("database_unavailable", "the database does not answer; nothing was written"),
    Retry("try_again", "the shard was busy; nothing was written"),
    Overloaded("stopping", "this process is stopping"),
    Fault("internal_error", "the database would not take this request; nothing was written"),
    ZeroDivisionError(),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda error: getattr(error, "code", "a bug"))
async def test_behind_the_intent_no_failure_says_that_nothing_happened(
    ana: Merchant, desk: Desk, context: Context, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def fails(*_: Any, **__: Any) -> Any:
        raise failure

    paid, card = await ana.card(), await ana.instrument()
    with monkeypatch.context() as failing:
        failing.setattr(calls.payments, "record", fails)
        asked = await ana.ask("card", "k", instrument={"id": card})
    with monkeypatch.context() as failing:
        failing.setattr(commands, "SettleOperation", fails)
        refunded = await ana.refund(paid, 1_000, idempotency="r")
    for answered in (asked, refunded):
        assert (answered.status, answered.code, answered.json["retry"]) == (500, "unknown_outcome", "same_key")
    assert len(desk.payments) == 2 and desk.payments[key_of(paid)].refunded_minor == 1_000, "it has happened"
    assert await ana.work("payin.submit", "payin.operate") == 2
    asked, refunded = (
        await ana.ask("card", "k", instrument={"id": card}),
        await ana.refund(paid, 1_000, idempotency="r"),
    )
    assert (asked.json["status"], refunded.json["status"]) == ("paid", "succeeded")
    assert len(desk.payments) == 2 and desk.payments[key_of(paid)].refunded_minor == 1_000
    await assert_in_order(context)


async def test_a_card_that_cannot_be_opened_leaves_an_unknown_outcome(
    ana: Merchant, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: Any) -> Any:
        raise ValueError("a seal of another key")

    with monkeypatch.context() as failing:
        failing.setattr(vault, "open_card", fails)
        answered = await ana.ask("card", "k")
    assert (answered.status, answered.code) == (500, "unknown_outcome")
    assert b"seal" not in answered.body
