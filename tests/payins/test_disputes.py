"""Disputes: what is held, what comes back and what is gone, however and in whatever order the provider tells of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from caudal import ledger
from caudal.kernel.context import Context
from caudal.merchants import first_merchant
from tests.conftest import settings_of
from tests.connectors.provider import SECRET, Provider
from tests.payins.books import assert_in_order, balances, house, postings_of, rows
from tests.payins.disputing import Seller, odd, work

EARNED = {"BRL": {"pending": 9_900}}
HELD = {"BRL": {"available": -1_600, "disputed": 11_500}}
LOST = {"BRL": {"available": -1_600}}


@pytest.fixture
async def provider() -> AsyncIterator[Provider]:
    async with Provider() as running:
        yield running


@pytest.fixture
async def context(database_url: str, provider: Provider) -> AsyncIterator[Context]:
    settings = settings_of(database_url, sandbox_url=provider.url, provider_secret_test=SECRET)
    async with Context(settings, name="test") as opened:
        yield opened


@pytest.fixture
async def ana(context: Context, olga: str) -> Seller:
    return Seller(context, *await first_merchant(context, "Ana", "BR"), olga)


@pytest.fixture
async def caro(context: Context, olga: str) -> Seller:
    return Seller(context, *await first_merchant(context, "Caro", "BR"), olga)


async def postings(context: Context, dispute: dict[str, object]) -> list[str]:
    return await postings_of(context, str(dispute["id"]).removeprefix("dispute_"))


# Opened


async def test_what_a_payer_wants_back_is_held_with_the_fee_and_the_balance_goes_negative(
    ana: Seller, context: Context
) -> None:
    payin = await ana.sold()
    assert await balances(ana) == EARNED
    dispute = await ana.disputed(payin)
    assert (dispute["status"], dispute["amount"], dispute["fees"], dispute["reason"]) == (
        "needs_response",
        10_000,
        1_500,
        "10.4",
    )
    assert await balances(ana) == HELD
    assert await postings(context, dispute) == [
        "dispute.held_pending pending→disputed 9900",
        "dispute.held available→disputed 1600",
    ]
    seen = await ana.seen(payin)
    assert (seen["status"], seen["amount_disputed"], seen["dispute"]) == ("paid", 10_000, dispute["id"])
    assert await ana.heard() == ["dispute.opened", "balance.went_negative"]
    assert await ana.lines() == [("dispute", 0, 0)]
    await assert_in_order(context)


async def test_a_part_of_a_payment_can_be_disputed_and_the_rest_twice_no_more(ana: Seller, context: Context) -> None:
    payin = await ana.sold()
    assert (await ana.disputed(payin, amount=4_000))["amount"] == 4_000
    assert await balances(ana) == {"BRL": {"pending": 4_400, "disputed": 5_500}}
    assert (await ana.disputed(payin, reference="dp_2", amount=6_000))["amount"] == 6_000
    assert (await ana.seen(payin))["amount_disputed"] == 10_000
    assert await ana.disputed(payin, reference="dp_3", amount=1) is not None
    assert await odd(context) == ["other_amount"]
    await assert_in_order(context)


async def test_what_is_disputed_cannot_be_refunded_too(ana: Seller, context: Context) -> None:
    payin = await ana.sold()
    await ana.disputed(payin, amount=4_000)
    refused = await ana.post(f"/v1/payins/{payin['id']}/refunds", {"amount": 6_001})
    assert (refused.status, refused.code) == (422, "amount_too_large")
    await assert_in_order(context)


# Won, lost


async def test_what_was_held_comes_back_when_the_dispute_is_won(ana: Seller, context: Context) -> None:
    payin = await ana.sold()
    await ana.disputed(payin)
    dispute = await ana.disputed(payin, "won")
    assert (dispute["status"], dispute["closed_at"] is not None) == ("won", True)
    assert await balances(ana) == EARNED
    assert (await ana.seen(payin))["amount_disputed"] == 0
    assert (await postings(context, dispute))[2:] == [
        "dispute.won_pending disputed→pending 9900",
        "dispute.won disputed→available 1600",
    ]
    assert await ana.heard() == ["dispute.opened", "balance.went_negative", "dispute.won"]
    assert await ana.lines() == [("dispute", 0, 0), ("dispute_won", 0, 0)]
    await assert_in_order(context)


async def test_what_comes_back_after_its_day_is_available(ana: Seller, context: Context) -> None:
    payin = await ana.sold()
    await ana.disputed(payin)
    await ana.waits(2)
    assert await balances(ana) == HELD
    await ana.disputed(payin, "won")
    assert await balances(ana) == {"BRL": {"available": 9_900}}
    await assert_in_order(context)


async def test_what_was_held_is_gone_when_the_dispute_is_lost(ana: Seller, context: Context) -> None:
    payin = await ana.sold()
    await ana.disputed(payin)
    dispute = await ana.disputed(payin, "lost")
    assert dispute["status"] == "lost"
    assert await balances(ana) == LOST
    assert (await ana.seen(payin))["amount_disputed"] == 10_000
    assert (await postings(context, dispute))[2:] == [
        "dispute.lost disputed→provider_receivable 10000",
        "dispute.fee disputed→fees 1500",
    ]
    assert await house(context, ledger.Purpose.PROVIDER_RECEIVABLE, currency="BRL") == 0
    assert await house(context, ledger.Purpose.FEES, currency="BRL") == 1_600
    assert await ana.heard() == ["dispute.opened", "balance.went_negative", "dispute.lost"]
    assert await ana.lines() == [("dispute", 0, 0), ("dispute_lost", -10_000, 1_500)]
    await assert_in_order(context)


# By the calendar


async def test_a_dispute_that_nobody_answers_expires_when_its_time_is_over(ana: Seller, context: Context) -> None:
    payin = await ana.sold()
    await ana.disputed(payin)
    await ana.waits(6)
    assert (await ana.dispute(payin))["status"] == "needs_response"
    await ana.waits(1)
    dispute = await ana.dispute(payin)
    assert (dispute["status"], dispute["closed_at"] >= dispute["respond_by"]) == ("expired", True)
    assert await balances(ana) == LOST
    assert (await ana.heard())[-1] == "dispute.expired"
    assert await ana.lines() == [("dispute", 0, 0), ("dispute_lost", -10_000, 1_500)]
    await assert_in_order(context)


async def test_time_passes_in_real_life_too(ana: Seller, context: Context) -> None:
    payin = await ana.sold()
    await ana.disputed(payin, respond_by="2026-01-01T00:00:00Z")
    assert await work(context, "dispute.expire") == [True]
    assert (await ana.dispute(payin))["status"] == "expired"
    assert await work(context, "dispute.expire") == []
    await assert_in_order(context)


async def test_what_expired_and_is_lost_stays_as_it_is(ana: Seller, context: Context) -> None:
    payin = await ana.sold()
    await ana.disputed(payin)
    await ana.waits(8)
    assert (await ana.disputed(payin, "lost"))["status"] == "expired"
    assert (await balances(ana), await odd(context)) == (LOST, [])
    await assert_in_order(context)


async def test_what_expired_and_is_won_after_all_comes_back(ana: Seller, context: Context) -> None:
    payin = await ana.sold()
    await ana.disputed(payin)
    await ana.waits(8)
    dispute = await ana.disputed(payin, "won")
    assert dispute["status"] == "won"
    assert await balances(ana) == {"BRL": {"available": 9_900}}
    assert (await postings(context, dispute))[4:] == [
        "dispute.reversed provider_receivable→disputed 10000",
        "dispute.fee_reversed fees→disputed 1500",
        "dispute.won disputed→available 11500",
    ]
    assert await ana.lines() == [
        ("dispute", 0, 0),
        ("dispute_lost", -10_000, 1_500),
        ("adjustment", 10_000, -1_500),
        ("dispute_won", 0, 0),
    ]
    assert (await ana.seen(payin))["amount_disputed"] == 0
    await assert_in_order(context)


# Told twice, in another order, or wrongly


@pytest.mark.parametrize("end", ["won", "lost"])
async def test_what_is_told_again_changes_nothing(ana: Seller, context: Context, end: str) -> None:
    payin = await ana.sold()
    for status in ("opened", "opened", end, "opened", end):
        dispute = await ana.disputed(payin, status)
    assert dispute["status"] == end
    assert await balances(ana) == (EARNED if end == "won" else LOST)
    assert await ana.heard() == ["dispute.opened", "balance.went_negative", f"dispute.{end}"]
    assert await odd(context) == []
    await assert_in_order(context)


async def test_a_dispute_that_was_won_before_anybody_heard_of_it_moves_nothing(ana: Seller, context: Context) -> None:
    payin = await ana.sold()
    dispute = await ana.disputed(payin, "won")
    assert (dispute["status"], dispute["fees"]) == ("won", 0)
    assert (await ana.disputed(payin, "opened"))["status"] == "won"
    assert (await balances(ana), await ana.lines()) == (EARNED, [])
    assert await ana.heard() == ["dispute.opened", "dispute.won"]
    await assert_in_order(context)


async def test_a_dispute_that_was_lost_before_anybody_heard_of_it_is_held_and_given_up_at_once(
    ana: Seller, context: Context
) -> None:
    payin = await ana.sold()
    assert (await ana.disputed(payin, "lost"))["status"] == "lost"
    assert (await ana.disputed(payin, "opened"))["status"] == "lost"
    assert await balances(ana) == LOST
    assert await ana.heard() == ["dispute.opened", "dispute.lost", "balance.went_negative"]
    assert await ana.lines() == [("dispute", 0, 0), ("dispute_lost", -10_000, 1_500)]
    await assert_in_order(context)


@pytest.mark.parametrize("first, second", [("won", "lost"), ("lost", "won")])
async def test_a_verdict_that_contradicts_the_first_one_is_a_case_for_a_person(
    ana: Seller, context: Context, first: str, second: str
) -> None:
    payin = await ana.sold()
    for status in ("opened", first, second, second):
        dispute = await ana.disputed(payin, status)
    assert (dispute["status"], await odd(context)) == (first, ["contradicts_final_state"])
    await assert_in_order(context)


WRONG: list[tuple[dict[str, Any], str]] = [
    ({"payment_key": "0" * 32}, "unknown_payment"),
    ({"account": "77"}, "other_account"),
    ({"amount": 10_001}, "other_amount"),
    ({"currency": "USD"}, "other_amount"),
]


@pytest.mark.parametrize("changed, kind", WRONG, ids=[next(iter(changed)) for changed, _ in WRONG])
async def test_what_does_not_fit_our_books_is_a_case_for_a_person(
    ana: Seller, context: Context, changed: dict[str, Any], kind: str
) -> None:
    payin = await ana.sold()
    for _ in range(2):
        assert (await ana.hears(payin, **changed)).status == 200
    assert await odd(context) == [kind]
    assert (await balances(ana), (await ana.seen(payin))["dispute"]) == (EARNED, None)
    await assert_in_order(context)


async def test_a_known_reference_of_another_payment_or_amount_is_a_case_too(ana: Seller, context: Context) -> None:
    first, second = await ana.sold(), await ana.sells()
    await ana.disputed(first, amount=4_000)
    await ana.hears(second, amount=4_000)
    await ana.hears(first, amount=4_001)
    assert sorted(await odd(context)) == ["other_account", "other_amount"]
    assert (await ana.seen(second))["dispute"] is None
    await assert_in_order(context)


async def test_money_that_was_never_taken_cannot_be_disputed(ana: Seller, context: Context, provider: Provider) -> None:
    provider.faults = ["refused"]
    payin = await ana.sells()
    assert payin["status"] == "declined"
    assert (await ana.hears(payin)).status == 200
    assert await odd(context) == ["contradicts_final_state"]
    await assert_in_order(context)


async def test_a_time_that_is_none_is_refused_at_the_door(ana: Seller) -> None:
    payin = await ana.sold()
    for respond_by in ("soon", "2026-12-01", "2026-12-01T00:00:00", "9999-12-31T23:59:59Z"):
        refused = await ana.hears(payin, respond_by=respond_by)
        assert (refused.status, refused.fields) == (422, {"/dispute/respond_by": "invalid_value"})


# Before what it is about


async def test_a_dispute_that_comes_before_its_payment_is_known_asks_for_the_payment(
    ana: Seller, context: Context, provider: Provider
) -> None:
    provider.faults = ["error"] * 3
    payin = await ana.sells()
    assert payin["status"] == "submitting"
    assert (await ana.disputed(payin))["status"] == "needs_response"
    assert (await ana.seen(payin))["status"] == "paid"
    await assert_in_order(context)


async def test_a_dispute_waits_while_nobody_knows_what_became_of_the_payment(
    ana: Seller, context: Context, provider: Provider
) -> None:
    provider.faults = ["error"] * 6
    payin = await ana.sells()
    assert payin["status"] == "submitting"
    again = await ana.hears(payin)
    assert (again.status, again.code, "retry-after" in again.headers) == (503, "try_again", True)
    assert await odd(context) == []


async def test_a_dispute_does_not_wait_for_a_refund(ana: Seller, context: Context, provider: Provider) -> None:
    payin = await ana.sold()
    provider.faults = ["error"] * 3
    refund = await ana.post(f"/v1/payins/{payin['id']}/refunds", {"amount": 9_000})
    assert refund.json["status"] == "pending"
    assert (await ana.disputed(payin, amount=1_000))["amount"] == 1_000
    assert await odd(context) == []
    assert (await ana.disputed(payin, reference="dp_2", amount=9_000))["amount"] == 9_000
    assert await odd(context) == ["other_amount"]
    await assert_in_order(context)


@pytest.mark.parametrize("end", ["won", "lost"])
async def test_a_dispute_of_what_was_refunded_is_booked_answered_and_told_to_a_person(
    ana: Seller, context: Context, end: str
) -> None:
    payin = await ana.sold()
    refund = await ana.post(f"/v1/payins/{payin['id']}/refunds", {"amount": 9_900})
    assert refund.status == 201, refund.body
    dispute = await ana.disputed(payin)
    assert (dispute["status"], dispute["amount"], dispute["fees"]) == ("needs_response", 10_000, 1_500)
    assert await balances(ana) == {"BRL": {"available": -11_500, "disputed": 11_500}}
    assert await odd(context) == ["other_amount"]
    seen = await ana.seen(payin)
    assert (seen["amount_refunded"], seen["amount_disputed"]) == (9_900, 10_000)
    assert (await ana.answers(dispute)).status == 201
    refused = await ana.post(f"/v1/payins/{payin['id']}/refunds", {"amount": 1})
    assert (refused.code, "0 of the payin" in refused.json["detail"]) == ("amount_too_large", True)
    assert (await ana.hears(payin, "opened")).status == 200 and await odd(context) == ["other_amount"]
    assert (await ana.disputed(payin, end))["status"] == end
    assert await balances(ana) == {"BRL": {} if end == "won" else {"available": -11_500}}
    await assert_in_order(context)


# Looking them up


async def test_disputes_are_listed_newest_first_by_state_and_by_payin(ana: Seller, caro: Seller) -> None:
    payins = [await ana.sold() for _ in range(3)]
    ids = [(await ana.disputed(payin, reference=f"dp_{n}"))["id"] for n, payin in enumerate(payins)]
    await ana.hears(payins[0], "won", reference="dp_0")

    async def listed(query: str, by: Seller = ana) -> list[str]:
        return [row["id"] for row in (await by.get(f"/v1/disputes?{query}")).json["data"]]

    assert await listed("limit=10") == ids[::-1]
    assert await listed("status=won") == ids[:1]
    assert await listed(f"payin={payins[1]['id']}") == [ids[1]]
    first = (await ana.get("/v1/disputes?limit=2")).json
    assert (first["has_more"], await listed(f"limit=2&after={first['next']}")) == (True, ids[:1])
    middle = (await ana.get(f"/v1/disputes/{ids[1]}")).json["opened_at"]
    assert (await listed(f"opened_from={middle}"), await listed(f"opened_to={middle}")) == (ids[:0:-1], ids[:1])
    assert await listed("limit=10", caro) == []
    assert (await caro.get(f"/v1/disputes/{ids[0]}")).status == 404
    refused = await ana.get("/v1/disputes?status=lots&payin=x")
    assert (refused.status, refused.fields) == (422, {"?status": "invalid_value", "?payin": "invalid_value"})


async def test_the_history_of_a_payin_tells_of_its_disputes(ana: Seller, context: Context) -> None:
    payin = await ana.sold()
    await ana.disputed(payin)
    await ana.disputed(payin, "won")
    told = await rows(context, "select event from payin_change where payin = %s::uuid order by number", payin["id"][6:])
    assert [event for (event,) in told][-2:] == ["dispute_opened", "dispute_won"]
