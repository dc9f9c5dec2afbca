"""What stands around every provider stands around the bank: deadlines, the breaker, what operators decide of it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any

import pytest

from caudal.connectors import Outcome, PaymentOut, links, spei
from caudal.kernel.context import Context
from caudal.merchants import first_merchant
from caudal.routing.offers import provider_names
from tests.api import Answered
from tests.conftest import settings_of
from tests.connectors.bank import Bank
from tests.payins.cast import SECRET, Merchant

CLABE = {"account": "646180110400000007", "holder_name": "Beto Ruiz"}


@pytest.fixture
async def bank() -> AsyncIterator[Bank]:
    async with Bank() as running:
        yield running


@pytest.fixture
async def context(database_url: str, bank: Bank) -> AsyncIterator[Context]:
    async with Context(settings_of(database_url, provider_secret_test=SECRET, sandbox_url=bank.url), name="test") as it:
        yield it


@pytest.fixture
async def ana(context: Context, olga: str) -> Merchant:
    return Merchant(context, *await first_merchant(context, "Ana", "MX"), olga)


async def say(ana: Merchant, what: str, **body: Any) -> Answered:
    answered = await ana.post(f"/v1/operator/providers/spei/{what}", {"reason": "their incident", **body}, key=ana.olga)
    assert answered.status == 201, answered.body
    return answered


async def refunded(ana: Merchant) -> dict[str, Any]:
    payin = await ana.payin()
    await ana.paid(payin)
    answered = await ana.refund(payin, 2_500, destination=CLABE)
    assert answered.status == 201, answered.body
    return dict(answered.json)


async def test_a_refund_is_asked_for_within_its_requests_time(ana: Merchant, context: Context) -> None:
    told = list[float | None]()

    class Slow:
        async def pay_out(self, order: PaymentOut, *, deadline: float | None, **more: Any) -> Outcome:
            told.append(deadline)
            return Outcome(status="unknown", detail="silence")

    context._once[spei.SpeiClient] = Slow()
    payin = await ana.payin()
    await ana.paid(payin)
    asked = {"amount": 2_500, "destination": CLABE}
    refund = await ana.post(f"/v1/payins/{payin['id']}/refunds", asked, headers={"Request-Timeout-Ms": "1000"})
    assert refund.json["status"] == "pending"
    assert await ana.work("payin.operate") == 0, "somebody has to ask again"
    [within, later] = told
    assert within is not None and within < monotonic() + 1, "in what is left of a second"
    assert later is None, "nobody waits for a sweep"


async def test_operators_see_the_bank_of_each_mode(ana: Merchant) -> None:
    told = (await ana.get("/v1/operator/providers", key=ana.olga)).json["data"]
    assert [(one["provider"], one["mode"]) for one in told] == [
        ("sandbox", "test"),
        ("spei", "test"),
        ("spei", "live"),
    ]
    await refunded(ana)
    [seen] = [
        one
        for one in (await ana.get("/v1/operator/providers", key=ana.olga)).json["data"]
        if (one["provider"], one["mode"]) == ("spei", "test")
    ]
    assert (seen["calls"], seen["failed"], seen["breaker"]) == (1, 0, "closed")
    page = (await ana.get("/v1/operator/metrics", key=ana.olga)).body.decode()
    assert 'caudal_provider_calls_total{caudal_provider="spei",caudal_mode="test"} 1' in page


async def test_forced_open_refunds_wait_and_new_transfers_do_not(ana: Merchant, bank: Bank) -> None:
    assert (await say(ana, "forcings", breaker="open")).json["provider"] == "spei"
    refund = await refunded(ana)
    assert refund["status"] == "pending" and not bank.asked
    await ana.work("payin.operate")
    assert not bank.asked, "a sweep is no way around it"
    await say(ana, "forcings", breaker="automatic")
    assert await ana.work("payin.operate") == 1
    assert (await ana.get(f"/v1/refunds/{refund['id']}")).json["status"] == "succeeded"
    assert len(bank.asked) == 1


async def test_drained_no_transfer_begins_and_everything_else_goes_on(ana: Merchant, bank: Bank) -> None:
    asked: dict[str, Any] = {"amount": 10_000, "currency": "MXN", "country": "MX", "method": "spei"}
    before = await ana.post("/v1/payins", asked, idempotency="k-1")
    assert (await say(ana, "drains", drained=True)).json["drained"] is True
    answered = await ana.create()
    assert (answered.status, answered.code) == (503, "provider_unavailable")
    assert int(answered.headers["retry-after"]) > 0
    assert (await ana.post("/v1/payins", asked, idempotency="k-1")).body == before.body, "what there is stays"
    item = {"idempotency_key": "bulk-1", "payin": asked}
    [one] = (await ana.post("/v1/payins/bulk", {"payins": [item]}, idempotency=None)).json["data"]
    assert (one["status"], one["problem"]["code"]) == (503, "provider_unavailable")
    await ana.paid(before.json)
    refund = await ana.refund(before.json, 2_500, destination=CLABE)
    assert refund.json["status"] == "succeeded" and len(bank.asked) == 1
    ana.key, key = await ana.key_of("live"), ana.key
    assert (await ana.create()).status == 201, "the live bank is another one"
    ana.key = key
    await say(ana, "drains", drained=False)
    assert (await ana.create()).status == 201


async def test_a_return_waits_for_a_bank_that_is_forced_open_and_is_made_once(ana: Merchant, bank: Bank) -> None:
    payin = await ana.payin()
    await ana.paid(payin)
    deposit = await ana.paid(payin)
    await say(ana, "forcings", breaker="open")
    answered = await ana.post(f"/v1/operator/deposits/{deposit}/returns", key=ana.olga)
    assert answered.status == 201, answered.body
    await ana.work("deposit.return")
    assert not bank.asked
    await say(ana, "forcings", breaker="automatic")
    assert await ana.work("deposit.return") == 1
    assert [json.loads(body)["amount"] for _, _, body in bank.asked] == [10_000]


async def test_no_rule_sends_a_payment_to_the_bank(context: Context) -> None:
    assert {link.provider.name for link in links(context)} == {"sandbox", "spei"}
    assert provider_names(context, live=False) == ("sandbox",) and provider_names(context, live=True) == ()
