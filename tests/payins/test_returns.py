"""Operators send unapplied money back: asked, sent by the bank once, and settled, whatever the bank answers."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from caudal import ledger
from caudal.app.worker import JOBS
from caudal.connectors import spei
from caudal.kernel.commit import Due
from caudal.kernel.context import Context
from caudal.kernel.due import ClaimDue, run_job
from caudal.payins.commands import SettleReturn
from tests.api import Answered
from tests.conftest import settings_of
from tests.payins.bank import Bank
from tests.payins.books import assert_in_order, balances, house, postings_of, rows
from tests.payins.cast import Merchant

CLABE = "646180110400000007"
SURPLUS = {"MXN": {"pending": 9600, "unapplied": 950}}
EARNED = {"MXN": {"pending": 9600}}


@pytest.fixture
async def bank() -> AsyncIterator[Bank]:
    async with Bank() as opened:
        yield opened


@pytest.fixture
async def context(database_url: str, bank: Bank) -> AsyncIterator[Context]:
    async with Context(settings_of(database_url, sandbox_url=bank.url), name="test") as opened:
        yield opened


async def surplus(ana: Merchant) -> str:
    """A deposit of which 950 is left over."""
    return await ana.paid(await ana.payin(), 10_950)


async def ask(ana: Merchant, deposit: str, idempotency: str = "") -> Answered:
    return await ana.post(f"/v1/operator/deposits/{deposit}/returns", idempotency=idempotency, key=ana.olga)


async def work(context: Context, lease_s: float = 0.0001) -> list[tuple[str, bool]]:
    """Claims what is due now and does it: the kinds, and whether they ended."""
    claimed: tuple[Due, ...] = (await context.commit(0, ClaimDue(lease_s=lease_s))).outcome
    return [(due.kind, await run_job(context, 0, due, JOBS)) for due in claimed]


async def test_what_is_left_over_goes_back_to_whoever_paid_it(ana: Merchant, context: Context, bank: Bank) -> None:
    deposit = await surplus(ana)
    asked = await ask(ana, deposit)
    parts = ("amount_applied", "amount_unapplied", "amount_returning", "amount_returned")
    assert (asked.status, [asked.json[name] for name in parts]) == (201, [10_000, 0, 950, 0])
    assert (await balances(ana), await house(context, ledger.Purpose.CLEARING)) == (EARNED, 950)
    assert await work(context) == [("deposit.return", True)]
    [order] = bank.orders
    assert (order["amount"], order["currency"], order["tracking_key"]) == (950, "MXN", asked.json["tracking_key"])
    assert await postings_of(context, deposit) == [
        "payin.received bank→pending 10000",
        "payin.fee pending→fees 400",
        "deposit.unapplied bank→unapplied 950",
        "deposit.return_requested unapplied→clearing 950",
        "deposit.returned clearing→bank 950",
    ]
    assert await rows(context, "select returning_minor, returned_minor from deposit") == [(0, 950)]
    assert (await balances(ana), await house(context, ledger.Purpose.CLEARING)) == (EARNED, 0)
    await assert_in_order(context)


async def test_the_merchant_hears_of_it_and_the_audit_trail_knows_who(ana: Merchant, context: Context) -> None:
    deposit = await surplus(ana)
    await ask(ana, deposit)
    await work(context)
    events = [
        (event["type"], event["subject"])
        for event in await ana.events(types="deposit.return_requested,deposit.returned")
    ]
    assert events == [("deposit.return_requested", deposit), ("deposit.returned", deposit)]
    trail = (await ana.get(f"/v1/operator/audit?subject={deposit}", key=ana.olga)).json["data"]
    assert [entry["action"] for entry in trail] == ["deposit.return_requested"]
    ids = await rows(context, "select 'operator_' || replace(id::text, '-', '') from operator")
    assert [(entry["actor"],) for entry in trail] == ids


# The bank's answers


async def test_a_bank_in_trouble_is_asked_again_with_the_same_key(ana: Merchant, context: Context, bank: Bank) -> None:
    await ask(ana, await surplus(ana))
    bank.script = ["500", "503", "429"]
    assert await work(context) == [("deposit.return", False)], "it may have happened: asked later"
    assert await work(context) == [("deposit.return", True)], "nothing had happened: asked again at once, twice"
    assert len(bank.orders) == 4 and len({order["return_key"] for order in bank.orders}) == 1
    assert await work(context) == []
    assert await rows(context, "select returned_minor from deposit") == [(950,)]
    await assert_in_order(context)


async def test_an_answer_that_never_comes_is_asked_for_again(ana: Merchant, context: Context, bank: Bank) -> None:
    context.settings = msgspec.structs.replace(context.settings, provider_timeout_ms=50)
    await ask(ana, await surplus(ana))
    bank.script = ["hang"]
    assert [await work(context), await work(context)] == [[("deposit.return", False)], [("deposit.return", True)]]
    assert list(bank.returned.values()) == [950]
    assert await rows(context, "select returned_minor from deposit") == [(950,)]


async def test_a_bank_that_is_not_there_is_asked_later(ana: Merchant, context: Context, bank: Bank) -> None:
    await ask(ana, await surplus(ana))
    await bank.__aexit__()
    assert await work(context) == [("deposit.return", False)]
    assert await rows(context, "select returning_minor, attempt from deposit, due where kind = 'deposit.return'") == [
        (950, 1)
    ]
    await bank.__aenter__()


@pytest.mark.parametrize("status", ["404", "409", "422"])
async def test_what_the_bank_refuses_for_good_is_unapplied_again(
    ana: Merchant, context: Context, bank: Bank, status: str
) -> None:
    deposit = await surplus(ana)
    await ask(ana, deposit)
    bank.script = [status]
    assert await work(context) == [("deposit.return", True)]
    assert (await balances(ana), await house(context, ledger.Purpose.CLEARING)) == (SURPLUS, 0)
    assert await rows(context, "select reason, unapplied_minor from deposit") == [("return_refused", 950)]
    assert [event["type"] for event in await ana.events()][-1] == "deposit.return_failed"
    assert (await ask(ana, deposit)).status == 201
    assert await work(context) == [("deposit.return", True)]
    assert len({order["return_key"] for order in bank.orders}) == 2
    assert await balances(ana) == EARNED
    await assert_in_order(context)


async def test_two_workers_with_one_return_settle_it_once(ana: Merchant, context: Context, bank: Bank) -> None:
    await ask(ana, await surplus(ana))
    [due] = (await context.commit(0, ClaimDue(lease_s=30))).outcome
    assert await run_job(context, 0, due, JOBS)
    assert await run_job(context, 0, due, JOBS)
    assert await rows(context, "select returned_minor, returning_minor from deposit") == [(950, 0)]
    assert await rows(context, "select count(*) from due where kind = 'deposit.return'") == [(0,)]
    await assert_in_order(context)


async def test_an_answer_that_comes_late_settles_no_later_return(ana: Merchant, context: Context, bank: Bank) -> None:
    deposit = await surplus(ana)
    await ask(ana, deposit)
    [due] = (await context.commit(0, ClaimDue(lease_s=30))).outcome
    slow = SettleReturn(due=due, version=2, end="refused", currency="MXN")
    bank.script = ["404"]
    assert await run_job(context, 0, due, JOBS)
    await ask(ana, deposit)
    await context.commit(0, slow)  # the answer to the first return, by a worker that was slow
    assert await rows(context, "select returning_minor, unapplied_minor from deposit") == [(950, 0)]
    assert await work(context) == [("deposit.return", True)]
    assert await rows(context, "select returned_minor from deposit") == [(950,)]
    await assert_in_order(context)


async def test_live_money_waits_while_the_live_bank_is_away(ana: Merchant, context: Context, bank: Bank) -> None:
    clabe = spei.of_number("646180", 77)
    deposit = await ana.paid({"next_action": {"clabe": clabe}, "amount": 100}, secret="live secret")
    assert (await ask(ana, deposit)).json["mode"] == "live"
    assert await work(context) == [("deposit.return", False)]
    assert bank.orders == []
    assert await house(context, ledger.Purpose.CLEARING, live=True) == 100


async def test_without_a_live_bank_no_live_payin_refund_or_return_begins(database_url: str, ana: Merchant) -> None:
    key, to = await ana.key_of("live"), {"account": CLABE, "holder_name": "Ana"}
    lively = Merchant(ana.context, ana.merchant, key, ana.olga)
    payin = await lively.payin()
    deposit = await lively.paid(payin, payin["amount"] + 1, secret="live secret")
    alone = settings_of(database_url, spei_url_live=None)
    async with Context(alone, name="alone") as context:
        lonely = Merchant(context, ana.merchant, key, ana.olga)
        assert (await lonely.create()).fields == {"/method": "not_available"}
        refused = await lonely.refund(payin, 100, destination=to)
        assert (refused.status, refused.code) == (422, "not_refundable")
        assert (await ask(lonely, deposit)).code == "forbidden_transition"
    assert (await lively.refund(payin, 100, destination=to)).status == 201


# What may be returned

# What happened to a payin of 10000, which deposit is asked for, the answer, and what the payin has received then
ASKED = """
10000                   1  409  10000
4000                    1  409  4000
4000,cancel             1  201  0
4000,expire             1  201  0
4000,5000,expire        1  201  5000
4000,5000,expire        2  201  4000
4000,6000               1  409  10000
4000,7000               2  201  10000
4000,7000               1  409  10000
cancel,500              1  201  0
10000,500               2  201  10000
"""


async def test_only_what_belongs_to_no_payin_may_go_back(ana: Merchant, context: Context) -> None:
    for line in ASKED.strip().splitlines():
        before, number, status, received = line.split()
        payin, deposits = await ana.payin(), []
        for step in before.split(","):
            if step == "expire":
                await ana.advance()
            elif step == "cancel":
                await ana.cancel(payin)
            else:
                deposits.append(await ana.paid(payin, int(step)))
        answered = await ask(ana, deposits[int(number) - 1])
        assert answered.status == int(status), line
        assert answered.status == 201 or answered.code == "forbidden_transition", line
        assert (await ana.seen(payin))["amount_received"] == int(received), line
    await work(context)
    await assert_in_order(context)


async def test_the_rest_does_not_pay_for_what_went_back(ana: Merchant, context: Context) -> None:
    payin = await ana.payin()
    part = await ana.paid(payin, 4000)
    await ana.advance()
    await ask(ana, part)
    await ana.paid(payin, 6000)
    seen = await ana.seen(payin)
    assert (seen["status"], seen["amount_received"]) == ("expired", 6000)
    await ana.paid(payin, 4000)
    assert (await ana.seen(payin))["status"] == "paid"
    await work(context)
    await assert_in_order(context)


async def test_nothing_goes_back_twice(ana: Merchant, context: Context, bank: Bank) -> None:
    deposit = await surplus(ana)
    first = await ask(ana, deposit, "k")
    again = await ask(ana, deposit, "k")
    assert (again.body, again.headers["idempotent-replayed"]) == (first.body, "true")
    for _ in range(2):
        refused = await ask(ana, deposit)
        assert (refused.status, refused.code) == (409, "forbidden_transition")
        await work(context)
    assert len(bank.orders) == 1


async def test_only_an_operator_with_a_key_may_ask(ana: Merchant, context: Context) -> None:
    deposit = await surplus(ana)
    path = f"/v1/operator/deposits/{deposit}/returns"
    assert (await ana.post(path)).status == 401
    assert (await ana.post(path, key=ana.olga, idempotency=None)).code == "key_missing"
    assert (await ana.post(path, {"amount": 1}, key=ana.olga)).status == 422
    to = {"account": CLABE, "holder_name": "Ana"}
    assert (await ana.post(path, {"destination": to}, key=ana.olga)).fields == {"/destination": "not_supported"}
    for nobody in (f"dep_{'0' * 32}", "x", deposit.replace("dep_", "payin_")):
        assert (await ask(ana, nobody)).code == "not_found"
    await context.rows("update operator set revoked_at = now() returning 1")
    assert (await ask(ana, deposit)).status == 401
    assert await balances(ana) == SURPLUS


# What operators see


async def listed(ana: Merchant, query: str) -> list[Any]:
    answered = await ana.get(f"/v1/operator/deposits?{query}", key=ana.olga)
    assert answered.status == 200, answered.body
    return [(deposit["amount"], deposit["reason"]) for deposit in answered.json["data"]]


async def test_operators_see_everything_that_is_unapplied_newest_first(ana: Merchant, caro: Merchant) -> None:
    await ana.paid(await ana.payin())
    await surplus(ana)
    await caro.paid(await caro.payin(), 7)
    await ana.paid({"next_action": {"clabe": spei.of_number("646180", 77)}, "amount": 3}, secret="live secret")
    everything = [(3, "unknown_account"), (7, "partial"), (10_950, "surplus")]
    assert await listed(ana, "") == everything
    assert await listed(ana, "merchant=house&mode=live") == everything[:1]
    assert await listed(ana, "merchant=house") == []
    assert await listed(ana, f"merchant=mer_{caro.merchant.hex}") == everything[1:2]
    whole = await listed(ana, f"merchant=mer_{ana.merchant.hex}&unapplied=false")
    assert whole == [(10_950, "surplus"), (10_000, None)]
    page = (await ana.get("/v1/operator/deposits?limit=2", key=ana.olga)).json
    assert page["has_more"] and await listed(ana, f"limit=2&after={page['next']}") == everything[2:]
    assert (await ana.get("/v1/operator/deposits?unapplied=false", key=ana.olga)).fields == {"?merchant": "missing"}
    assert (await ana.get("/v1/operator/deposits")).status == 401
