"""Orders to the bank: each goes out signed, once a key, and comes back as what its answer means."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from time import monotonic
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from caudal.connectors import Outcome, PaymentOut, ReturnOrder, health, links, takers
from caudal.connectors.spei import SpeiClient
from caudal.kernel.context import Context
from caudal.kernel.telemetry import Histogram, Sampling, Span, Tracer
from tests.connectors import orders
from tests.connectors.bank import Bank
from tests.connectors.bench import Sandbox

OUT = PaymentOut(
    payment_key="refund-1",
    clabe="646180110400000007",
    amount_minor=12050,
    currency="MXN",
    beneficiary_name="Ana Pérez",
)
BACK = ReturnOrder(return_key="return-1", tracking_key="T1", amount_minor=50, currency="MXN")


@pytest.fixture
async def bank() -> AsyncIterator[Bank]:
    async with Bank() as running:
        yield running


@pytest.fixture
async def client(bank: Bank) -> AsyncIterator[SpeiClient]:
    context = orders.context(bank.url, spei_secret_test=orders.SPEI_SECRET)
    yield SpeiClient(context)
    await links(context).close()


async def test_money_is_sent_to_a_clabe_by_a_signed_order(bank: Bank, client: SpeiClient) -> None:
    assert await client.pay_out(OUT, live=False) == Outcome(status="done", detail="")
    ((path, header, body),) = bank.asked
    assert path == "/v1/bank/payments"
    assert json.loads(body) == {
        "payment_key": "refund-1",
        "clabe": "646180110400000007",
        "amount": 12050,
        "currency": "MXN",
        "beneficiary_name": "Ana Pérez",
    }
    at, _, given = header.removeprefix("t=").partition(",v1=")
    right = hmac.new(orders.SPEI_SECRET.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    assert given == right


async def test_repeating_an_order_says_the_same_thing_again(bank: Bank, client: SpeiClient) -> None:
    for bank.status in (201, 200):
        assert (await client.pay_out(OUT, live=False)).status == "done"
    assert bank.asked[0][2] == bank.asked[1][2]


# The bank's answer (`-`: it hangs up) and its code (`-`: not in the bank's form), and what it means for both orders
ANSWERS = """
200  ok                       done
201  ok                       done
404  transfer_unknown         permanent
409  return_exceeds_transfer  permanent
422  invalid_request          permanent
409  return_key_reused        unknown
409  payment_key_reused       unknown
404  not_found                unknown
404  -                        unknown
409  -                        unknown
422  -                        unknown
401  signature_invalid        retry
401  -                        unknown
429  busy                     retry
503  books_unavailable        retry
503  -                        unknown
500  internal_error           unknown
202  ok                       unknown
204  ok                       unknown
302  ok                       unknown
307  ok                       unknown
-    ok                       unknown
"""


@pytest.mark.parametrize("line", ANSWERS.strip().splitlines())
async def test_an_answer_means_the_same_for_both_orders(bank: Bank, client: SpeiClient, line: str) -> None:
    status, code, outcome = line.split()
    bank.status = 0 if status == "-" else int(status)
    bank.told = None if code == "ok" else "<html>no</html>" if code == "-" else {"code": code}
    assert (await client.pay_out(OUT, live=False)).status == outcome
    assert (await client.send_back(BACK, live=False)).status == outcome
    assert len(bank.asked) == 2, "no redirect is followed"


@pytest.mark.parametrize(
    "told",
    [
        {"payment_key": "refund-2", "return_key": "return-2"},
        {"amount": 1},
        {"currency": "USD"},
        {"status": "queued"},
        {"clabe": "646180110400000010", "tracking_key": "T2"},
        "[]",
        "{}",
        "",
        "[" * 30_000,
        "x" * 70_000,
    ],
    ids=lambda told: str(told)[:20],
)
async def test_only_the_order_as_booked_says_that_it_is_done(bank: Bank, client: SpeiClient, told: Any) -> None:
    bank.told = told
    assert (await client.pay_out(OUT, live=False)).status == "unknown"
    assert (await client.send_back(BACK, live=False)).status == "unknown"


async def test_without_a_live_bank_nobody_is_asked(bank: Bank, client: SpeiClient) -> None:
    assert (await client.pay_out(OUT, live=True)).status == "retry"
    assert not bank.asked


async def test_each_mode_has_a_bank_and_a_secret_of_its_own(bank: Bank) -> None:
    context = orders.context(None, spei_secret_live="loud bank", spei_url_live=bank.url)
    client = SpeiClient(context)
    assert (await client.pay_out(OUT, live=True)).status == "done"
    assert (await client.pay_out(OUT, live=False)).status == "retry"
    ((_, header, body),) = bank.asked
    at, _, given = header.removeprefix("t=").partition(",v1=")
    assert given == hmac.new(b"loud bank", f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    await links(context).close()


async def test_a_bank_that_is_not_there_is_asked_later() -> None:
    client = SpeiClient(orders.context("http://127.0.0.1:9", spei_secret_test=orders.SPEI_SECRET))
    assert (await client.pay_out(OUT, live=False)).status == "retry"


@pytest.mark.server
async def test_the_sandbox_sends_the_money_once_and_refuses_another_order_with_the_key(sandbox: Sandbox) -> None:
    context = orders.context(sandbox.url, spei_secret_test=orders.SPEI_SECRET)
    client = SpeiClient(context)
    order = msgspec.structs.replace(OUT, payment_key=uuid4().hex)
    for _ in range(2):
        assert (await client.pay_out(order, live=False)).status == "done"
    other = msgspec.structs.replace(order, amount_minor=12051)
    assert (await client.pay_out(other, live=False)).status == "unknown"
    never = msgspec.structs.replace(BACK, return_key=uuid4().hex)
    assert (await client.send_back(never, live=False)).status == "permanent", "nobody sent that"
    await links(context).close()


async def test_an_order_is_a_span_in_the_trace_of_what_it_is_about(bank: Bank) -> None:
    context, kept, deposit = orders.context(bank.url, spei_secret_test=orders.SPEI_SECRET), list[Span](), uuid4()
    context.tracer = Tracer(Sampling(share=1.0), kept.append, slow_s=9.0)
    client = SpeiClient(context)
    assert (await client.send_back(BACK, live=False, about=deposit)).status == "done"
    bank.status = 503
    await client.pay_out(OUT, live=False, about=deposit)
    await links(context).close()
    assert [(one.name, one.kind, one.error) for one in kept] == [
        ("return spei", "client", None),
        ("payment spei", "client", "unknown"),
    ]
    assert bank.traces == [f"00-{deposit.hex}-{one.place[1]:016x}-01" for one in kept]
    assert kept[0].attributes == {
        "http.request.method": "POST",
        "http.response.status_code": 201,
        "url.full": f"{bank.url}/v1/bank/returns",
        "server.address": "127.0.0.1",
        "server.port": int(bank.url.rpartition(":")[2]),
        "caudal.provider": "spei",
        "caudal.mode": "test",
        "caudal.operation": "return",
        "caudal.outcome": "answered",
    }


async def test_where_nobody_collects_an_order_names_its_object_all_the_same(bank: Bank, client: SpeiClient) -> None:
    deposit = uuid4()
    await client.send_back(BACK, live=False, about=deposit)
    await client.send_back(BACK, live=False)
    assert bank.traces == [f"00-{deposit.hex}-{deposit.hex[16:]}-00", None]
    assert bank.states == [None, None]


async def test_an_order_of_a_request_takes_its_callers_tracestate_along(bank: Bank) -> None:
    context = orders.context(bank.url, spei_secret_test=orders.SPEI_SECRET)
    context.tracer = Tracer(Sampling(share=1.0), lambda _: None, slow_s=9.0)
    caller = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    context.tracer.begin({b"traceparent": caller.encode(), b"tracestate": b"rojo=1"}, 0.0)
    assert (await SpeiClient(context).send_back(BACK, live=False, about=uuid4())).status == "done"
    await links(context).close()
    assert (str(bank.traces[0])[:36], bank.states) == (caller[:36], ["rojo=1"])


# What stands around it, as around every provider


def around(bank: Bank, **changed: Any) -> Context:
    return orders.context(bank.url, spei_secret_test=orders.SPEI_SECRET, **changed)


async def test_what_did_not_happen_is_ordered_again_and_what_may_have_is_left_to_whoever_asks_later(
    bank: Bank,
) -> None:
    context = around(bank, provider_tries=3)
    client, bank.told = SpeiClient(context), {"code": "busy"}
    for bank.status, outcome, asked in ((429, "retry", 3), (500, "unknown", 1)):
        bank.asked.clear()
        assert (await client.pay_out(OUT, live=False)).status == outcome
        assert len(bank.asked) == asked
    assert {body for _, _, body in bank.asked} == {bank.asked[0][2]}, "by the same key"
    await links(context).close()


async def test_without_time_nobody_is_asked(bank: Bank, client: SpeiClient) -> None:
    for outcome in (
        await client.pay_out(OUT, live=False, deadline=monotonic()),
        await client.send_back(BACK, live=False, deadline=monotonic()),
    ):
        assert outcome == Outcome(status="retry", detail="no time is left to ask the provider")
    assert not bank.asked


async def test_silence_ends_with_the_request(bank: Bank) -> None:
    context = around(bank, provider_timeout_ms=60_000)
    await SpeiClient(context).send_back(BACK, live=False)  # it is connected from now on
    bank.gate.clear()
    said = await SpeiClient(context).pay_out(OUT, live=False, deadline=monotonic() + 0.5)
    assert (said.status, len(bank.asked)) == ("unknown", 2)
    await links(context).close()


async def test_a_bank_that_fails_is_left_alone_for_a_while(bank: Bank) -> None:
    context = around(bank, provider_breaker_failures=3)
    client, bank.status = SpeiClient(context), 500
    for _ in range(3):
        assert (await client.send_back(BACK, live=False)).status == "unknown"
    said = await client.pay_out(OUT, live=False)
    assert (said.status, len(bank.asked)) == ("retry", 3), "returns and payments share its fate"
    [told] = [one for one in health(context) if one.provider == "spei"]
    assert (told.mode, told.breaker, told.calls, told.failed, told.turned_away) == ("test", "open", 4, 4, 1)
    await links(context).close()


async def test_no_more_orders_at_once_than_it_bears(bank: Bank) -> None:
    context = around(bank, provider_concurrency=1, provider_timeout_ms=60_000)
    client = SpeiClient(context)
    bank.gate.clear()
    first = asyncio.create_task(client.pay_out(OUT, live=False))
    await bank.came.wait()
    second = await client.send_back(BACK, live=False, deadline=monotonic() + 0.3)
    assert second == Outcome(status="retry", detail="every connection to the provider is in use")
    bank.gate.set()
    assert (await first).status == "done" and len(bank.asked) == 1
    await links(context).close()


async def test_its_calls_are_measured_as_every_providers(bank: Bank) -> None:
    context = around(bank)
    await SpeiClient(context).send_back(BACK, live=False)
    found = {(name, of): value for name, of, value in links(context).readings()}
    assert found["caudal.provider.calls", ("spei", "test")] == 1
    assert found["caudal.provider.breaker.state", ("spei", "test", "closed")] == 1
    times = found["caudal.provider.call.duration", ("spei", "test", "spei", "return", "answered")]
    assert isinstance(times, Histogram) and times.count == 1
    await links(context).close()


async def test_it_takes_no_payments_and_has_no_other_callbacks(bank: Bank) -> None:
    context = around(bank)
    for method in orders.METHODS:
        assert [one.name for one in takers(context, method, "MX", "test")] == ["sandbox"]
    assert links(context).secrets("spei") is None
