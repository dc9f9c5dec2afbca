"""Orders to the bank: each goes out signed, once a key, and comes back as what its answer means."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from aiohttp import web

from caudal.connectors import Outcome, PaymentOut, ReturnOrder
from caudal.connectors.spei import SpeiClient
from caudal.kernel.telemetry import Sampling, Span, Tracer
from tests.connectors import orders
from tests.connectors.bench import Sandbox

OUT = PaymentOut(
    payment_key="refund-1",
    clabe="646180110400000007",
    amount_minor=12050,
    currency="MXN",
    beneficiary_name="Ana Pérez",
)
BACK = ReturnOrder(return_key="return-1", tracking_key="T1", amount_minor=50, currency="MXN")


BOOKED = {"returns": "returned", "payments": "sent", "elsewhere": "sent"}


class Bank:
    """Answers as it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status, self.asked, self.url = 201, list[tuple[str, str, bytes]](), ""
        self.traces = list[str | None]()
        self.told: Any = None  # None: what was ordered, as booked

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, request.headers["Spei-Signature"], await request.read()))
        self.traces.append(request.headers.get("traceparent"))
        if self.status == 0:
            assert request.transport is not None
            request.transport.abort()
        booked = {**json.loads(self.asked[-1][2]), "status": BOOKED[request.match_info["order"]]}
        told = booked if self.told is None else {**booked, **self.told} if isinstance(self.told, dict) else self.told
        raw = told if isinstance(told, str) else json.dumps(told)
        headers = {"Location": "/v1/bank/elsewhere"} if 300 <= self.status < 400 else {}
        return web.Response(text=raw, status=self.status or 500, content_type="application/json", headers=headers)


@pytest.fixture
async def bank() -> AsyncIterator[Bank]:
    running = Bank()
    app = web.Application()
    app.router.add_post("/v1/bank/{order}", running.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    running.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield running
    await runner.cleanup()


@pytest.fixture
async def client(bank: Bank) -> AsyncIterator[SpeiClient]:
    made = SpeiClient(orders.context(bank.url, spei_secret_test=orders.SPEI_SECRET))
    yield made
    await made.close()


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
    client = SpeiClient(orders.context(None, spei_secret_live="loud bank", spei_url_live=bank.url))
    assert (await client.pay_out(OUT, live=True)).status == "done"
    assert (await client.pay_out(OUT, live=False)).status == "retry"
    ((_, header, body),) = bank.asked
    at, _, given = header.removeprefix("t=").partition(",v1=")
    assert given == hmac.new(b"loud bank", f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    await client.close()


async def test_a_bank_that_is_not_there_is_asked_later() -> None:
    client = SpeiClient(orders.context("http://127.0.0.1:9", spei_secret_test=orders.SPEI_SECRET))
    assert (await client.pay_out(OUT, live=False)).status == "retry"


@pytest.mark.server
async def test_the_sandbox_sends_the_money_once_and_refuses_another_order_with_the_key(sandbox: Sandbox) -> None:
    client = SpeiClient(orders.context(sandbox.url, spei_secret_test=orders.SPEI_SECRET))
    order = msgspec.structs.replace(OUT, payment_key=uuid4().hex)
    for _ in range(2):
        assert (await client.pay_out(order, live=False)).status == "done"
    other = msgspec.structs.replace(order, amount_minor=12051)
    assert (await client.pay_out(other, live=False)).status == "unknown"
    never = msgspec.structs.replace(BACK, return_key=uuid4().hex)
    assert (await client.send_back(never, live=False)).status == "permanent", "nobody sent that"
    await client.close()


async def test_an_order_is_a_span_in_the_trace_of_what_it_is_about(bank: Bank) -> None:
    context, kept, deposit = orders.context(bank.url, spei_secret_test=orders.SPEI_SECRET), list[Span](), uuid4()
    context.tracer = Tracer(Sampling(share=1.0), kept.append, slow_s=9.0)
    client = SpeiClient(context)
    assert (await client.send_back(BACK, live=False, about=deposit)).status == "done"
    bank.status = 503
    await client.pay_out(OUT, live=False, about=deposit)
    await client.close()
    assert [(one.name, one.kind, one.error) for one in kept] == [
        ("return spei", "client", None),
        ("payment spei", "client", "unknown"),
    ]
    assert bank.traces == [f"00-{deposit.hex}-{one.place[1]:016x}-01" for one in kept]
    assert kept[0].attributes == {
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
