"""The sandbox's magic values, seen through the connectors: every outcome, fault and callback of every method."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable

import msgspec
import pytest

from caudal.connectors import (
    Declined,
    DisputeState,
    Notice,
    OperationState,
    PaymentOrder,
    PaymentState,
    Redirect,
    Unresolved,
    of,
    receive,
)
from caudal.connectors.card.translate import REASONS
from caudal.kernel.errors import Refused
from caudal.kernel.http import Request
from caudal_sandbox.provider import magic
from tests.connectors import orders
from tests.connectors.bench import Bench, Called, Sandbox

pytestmark = pytest.mark.server

# What an answer comes to within 1.2 s; what is not here, the table does not have.
ANSWERS = {
    "silence_before": "unknown",
    "silence_after": "unknown",
    "silence_alone": "unknown",
    "error_after": "unknown",
    "reset_before": "unknown",
    "reset_after": "unknown",
    "drip": "unknown",
    "slow": "unknown",
    "busy": "retry",
}


@pytest.fixture(params=orders.METHODS)
async def bench(request: pytest.FixtureRequest, sandbox: Sandbox) -> AsyncIterator[Bench]:
    context = orders.context(sandbox.url, provider_timeout_ms=1200)
    yield Bench(method=request.param, connector=of(context, "sandbox", request.param), url=sandbox.url)
    for close in context.closing:
        await close()


async def test_what_the_api_takes_of_a_payer_and_a_purchase_is_taken_by_the_provider(bench: Bench) -> None:
    order = orders.order(bench.method)
    email = f"{'a' * 64}@{'b' * 63}.{'c' * 63}.{'d' * 55}.br"
    payer = msgspec.structs.replace(order.payer, name="x" * 200, email=email)
    long = msgspec.structs.replace(order, description="Two loaves,\n\tone cake\u200b " * 20, payer=payer)
    assert long.description is not None and 400 < len(long.description) <= 500 and len(email) > 240
    assert isinstance(await bench.connector.submit(long), PaymentState)


async def test_why_the_provider_refuses_for_good_is_told_and_logged(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    answer = await bench.connector.submit(orders.order(bench.method, account="not an account"))
    assert isinstance(answer, Declined) and answer.detail.endswith("/account"), answer
    # Without the provider's sentence: that may hold what was sent, and lines of a log hold nobody's data.
    assert "provider sandbox refuses what was asked: invalid_request /account" in caplog.messages


def amounts(part: str) -> dict[str, int]:
    """What a part of the table orders, and by which amount."""
    return {row.what: 20_000 + int(row.value) for row in magic.TABLE if row.part == part}


async def test_every_fault_of_an_answer_is_understood_and_asking_again_finds_out(bench: Bench) -> None:
    async def one(what: str, amount_minor: int) -> str:
        order = orders.order(bench.method, amount_minor=amount_minor)
        answer = await bench.connector.submit(order)
        again = await bench.connector.submit(order)
        assert isinstance(again, PaymentState) and again.key == order.key, (what, again)
        return answer.kind if isinstance(answer, Unresolved) else "answered"

    table = amounts("answer")
    found = await asyncio.gather(*(one(what, amount_minor) for what, amount_minor in table.items()))
    assert dict(zip(table, found, strict=True)) == ANSWERS


async def test_a_slow_answer_is_right_where_there_is_time(sandbox: Sandbox) -> None:
    context = orders.context(sandbox.url, provider_timeout_ms=4000)
    answer = await of(context, "sandbox", "pix").submit(orders.order("pix", amount_minor=amounts("answer")["slow"]))
    assert isinstance(answer, PaymentState)
    for close in context.closing:
        await close()


async def test_every_outcome_is_declined_for_its_reason(bench: Bench) -> None:
    for reason, amount_minor in amounts("outcome").items():
        state = await bench.connector.submit(orders.order(bench.method, amount_minor=amount_minor))
        assert isinstance(state, PaymentState), state
        assert (state.status, state.reason, state.captured_minor) == ("declined", reason, 0)


@pytest.mark.parametrize("row", [row for row in magic.TABLE if row.part == "card"], ids=lambda row: row.value)
async def test_every_card_number_does_what_the_table_says(sandbox: Sandbox, row: magic.Magic) -> None:
    context = orders.context(sandbox.url, provider_timeout_ms=4000)
    card = msgspec.structs.replace(orders.CARD, number=row.value, security_code=None)
    state = await of(context, "sandbox", "card").submit(orders.order("card", card=card))
    assert isinstance(state, PaymentState), state
    if row.what.startswith("challenge"):
        assert state.status == "pending" and isinstance(state.action, Redirect)
    elif row.what in REASONS:
        assert (state.status, state.reason) == ("declined", REASONS[row.what])
    else:
        assert state.status == "paid"
    for close in context.closing:
        await close()


@pytest.mark.parametrize("code", magic.CODES, ids=lambda code: f"{code.method}-{code.code}")
def test_every_code_of_the_sandbox_means_to_us_what_it_says(code: magic.Code) -> None:
    words = __import__(f"caudal.connectors.{code.method}.translate", fromlist=["REASONS"])
    assert words.REASONS[code.code] == code.means


async def test_a_refund_fails_or_waits_as_its_amount_says(bench: Bench) -> None:
    order = await bench.paid(amount_minor=1_000_000)
    account, found = orders.destination(bench.method), {}
    for what in ("refund_fails", "refund_waits", "refund_fails_late"):
        refund = orders.refund(order, amounts("operation")[what], account)
        state = await bench.connector.refund(refund)
        assert isinstance(state, OperationState), state
        found[what] = (state.status, state.reason)
    assert found == {
        "refund_fails": ("failed", "processing_error"),
        "refund_waits": ("pending", None),
        "refund_fails_late": ("pending", None),
    }


async def test_a_capture_fails_as_its_amount_says(sandbox: Sandbox) -> None:
    context = orders.context(sandbox.url, provider_timeout_ms=4000)
    bench = Bench(method="card", connector=of(context, "sandbox", "card"), url=sandbox.url)
    order = await bench.paid(amount_minor=1_000_000, capture="manual")
    state = await bench.connector.capture(orders.capture(order, amounts("operation")["capture_fails"]))
    assert isinstance(state, OperationState) and (state.status, state.reason) == ("failed", "processing_error")
    for close in context.closing:
        await close()


# Callbacks


async def arrived(called: Called, true: Callable[[list[Request]], bool], key: str) -> list[Request]:
    """The callbacks about a key, when enough of them have come."""
    give_up = time.monotonic() + 60
    while not true(called.about(key)):
        assert time.monotonic() < give_up, "it did not come in time"
        await asyncio.sleep(0.02)
    return called.about(key)


def told(bench: Bench, requests: list[Request]) -> list[Notice | str]:
    """What callbacks tell, or the code with which they are refused."""
    found: list[Notice | str] = []
    for request in requests:
        try:
            found.append(receive(orders.links(None), "sandbox", bench.method, request, time.time()))
        except Refused as refused:
            found.append(refused.code)
    return found


async def ordered(bench: Bench, what: str) -> PaymentOrder:
    """A payment whose callbacks misbehave, paid."""
    amount_minor = amounts("callback").get(what, 12050)
    demanded = "demanded" if bench.method == "card" else "if_required"
    return await bench.paid(amount_minor=amount_minor, three_ds=demanded)


async def test_a_callback_tells_what_a_query_tells(bench: Bench, called: Called) -> None:
    order = await ordered(bench, "right")
    notices = told(bench, await arrived(called, bool, order.key))
    assert [notice.about for notice in notices if isinstance(notice, Notice)] == [await bench.payment(order)]
    assert all(isinstance(notice, Notice) and notice.mode == "test" for notice in notices)


async def test_a_callback_that_comes_twice_has_one_id(bench: Bench, called: Called) -> None:
    order = await ordered(bench, "twice")
    first, second = told(bench, await arrived(called, lambda found: len(found) == 2, order.key))
    assert first == second


async def test_a_forged_callback_is_refused_and_the_right_one_is_not(bench: Bench, called: Called) -> None:
    order = await ordered(bench, "forged")
    notices = told(bench, await arrived(called, lambda found: len(found) == 3, order.key))
    assert "unauthenticated" in notices
    assert any(isinstance(notice, Notice) for notice in notices)


async def test_a_callback_for_another_account_says_so(bench: Bench, called: Called) -> None:
    order = await ordered(bench, "other_account")
    notices = told(bench, await arrived(called, lambda found: len(found) == 2, order.key))
    states = [notice.about for notice in notices if isinstance(notice, Notice)]
    assert {state.account for state in states} == {"7", "8"}


async def test_a_callback_that_contradicts_is_read_like_any_other(bench: Bench, called: Called) -> None:
    order = await ordered(bench, "contradictory")
    notices = told(bench, await arrived(called, lambda found: len(found) == 2, order.key))
    states = [notice.about for notice in notices if isinstance(notice, Notice)]
    assert {state.status for state in states} == {"paid", "declined"}


async def test_an_operation_that_ends_later_is_called_back(bench: Bench, called: Called) -> None:
    order = await bench.paid(amount_minor=1_000_000)
    refund = orders.refund(order, amounts("operation")["refund_waits"], orders.destination(bench.method))
    await bench.connector.refund(refund)
    (notice,) = told(bench, await arrived(called, bool, refund.key))
    assert isinstance(notice, Notice) and isinstance(notice.about, OperationState)
    assert (notice.about.key, notice.about.kind, notice.about.status) == (refund.key, "refund", "succeeded")


async def test_a_dispute_is_called_back(bench: Bench, called: Called) -> None:
    order = await bench.paid()
    await bench.by_payer(order.key, "dispute")
    requests = await arrived(called, lambda found: any(b'"dispute"' in request.body for request in found), order.key)
    disputes = [notice.about for notice in told(bench, requests) if isinstance(notice, Notice)]
    (dispute,) = [about for about in disputes if isinstance(about, DisputeState)]
    assert (dispute.payment_key, dispute.status, dispute.amount_minor) == (order.key, "opened", 12050)
    assert dispute.respond_by and dispute.reason
