"""Orders to the bank: each goes out signed, once a key, and comes back as what its answer means."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from uuid import uuid4

import msgspec
import pytest
from aiohttp import web

from caudal.connectors import Outcome, PaymentOut, ReturnOrder
from caudal.connectors.spei import SpeiClient
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


class Bank:
    """Answers as it is told, and keeps what it was asked."""

    def __init__(self) -> None:
        self.status, self.asked, self.url = 201, list[tuple[str, str, bytes]](), ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, request.headers["Spei-Signature"], await request.read()))
        if self.status == 0:
            assert request.transport is not None
            request.transport.abort()
        return web.json_response({"code": "told"}, status=self.status or 500)


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


# The bank's answer (`-`: it hangs up), and what it means for both orders
ANSWERS = """
200  done
201  done
404  permanent
409  permanent
422  permanent
401  retry
429  retry
500  retry
503  retry
-    unknown
"""


@pytest.mark.parametrize("line", ANSWERS.strip().splitlines())
async def test_an_answer_means_the_same_for_both_orders(bank: Bank, client: SpeiClient, line: str) -> None:
    status, outcome = line.split()
    bank.status = 0 if status == "-" else int(status)
    assert (await client.pay_out(OUT, live=False)).status == outcome
    assert (await client.send_back(BACK, live=False)).status == outcome


async def test_no_live_bank_is_asked(bank: Bank, client: SpeiClient) -> None:
    assert (await client.pay_out(OUT, live=True)).status == "retry"
    assert not bank.asked


@pytest.mark.server
async def test_the_sandbox_sends_the_money_once_and_refuses_another_order_with_the_key(sandbox: Sandbox) -> None:
    client = SpeiClient(orders.context(sandbox.url, spei_secret_test=orders.SPEI_SECRET))
    order = msgspec.structs.replace(OUT, payment_key=uuid4().hex)
    for _ in range(2):
        assert (await client.pay_out(order, live=False)).status == "done"
    other = msgspec.structs.replace(order, amount_minor=12051)
    assert (await client.pay_out(other, live=False)).status == "permanent"
    await client.close()
