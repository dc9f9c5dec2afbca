"""What every connector keeps, whatever its method: the same tests for all of them, over a socket.

Each runs against a provider in the test's own process and against the sandbox as a process of its own. What happens
when a provider misbehaves stands in test_conformance_faults.py.
"""

from __future__ import annotations

from uuid import uuid4

import msgspec

from caudal.connectors import (
    CAPABILITIES,
    AwaitPush,
    Declined,
    Evidence,
    NotFound,
    OperationState,
    PaymentState,
    Redirect,
    ShowQr,
    ShowVoucher,
    Unresolved,
)
from tests.connectors import orders
from tests.connectors.bench import Bench

NEXT: dict[str, type] = {"boleto": ShowVoucher, "card": type(None), "mpesa": AwaitPush, "pix": ShowQr, "pse": Redirect}


async def test_a_payment_is_made_once_however_often_it_is_submitted(bench: Bench) -> None:
    order = orders.order(bench.method)
    first, second = await bench.connector.submit(order), await bench.connector.submit(order)
    assert isinstance(first, PaymentState) and first == second
    assert (first.key, first.account, first.amount_minor) == (order.key, "7", 12050)
    assert (first.currency, first.reason, first.refunded_minor) == (order.currency, None, 0)


async def test_the_payer_is_told_what_to_do_next(bench: Bench) -> None:
    state = await bench.connector.submit(orders.order(bench.method))
    assert isinstance(state, PaymentState)
    assert isinstance(state.action, NEXT[bench.method])
    assert state.status == ("paid" if bench.method == "card" else "pending")
    assert state.payer_page is not None and state.payer_page.startswith("http")


async def test_a_query_says_the_same_as_the_answer(bench: Bench) -> None:
    order = orders.order(bench.method)
    assert await bench.connector.submit(order) == await bench.connector.payment(orders.query(order))


async def test_a_key_that_nobody_submitted_is_not_found(bench: Bench) -> None:
    order = orders.order(bench.method)
    assert await bench.connector.payment(orders.query(order)) == NotFound()
    assert await bench.connector.operation(orders.operation(orders.refund(order, 50))) == NotFound()


async def test_a_payment_that_the_payer_pays_is_paid_whole(bench: Bench) -> None:
    state = await bench.payment(await bench.paid())
    assert (state.status, state.captured_minor, state.action) == ("paid", 12050, None)
    assert state.authorized_minor == (12050 if bench.method == "card" else 0)


async def test_a_key_that_names_another_payment_is_no_outcome(bench: Bench) -> None:
    order = orders.order(bench.method)
    await bench.connector.submit(order)
    answer = await bench.connector.submit(msgspec.structs.replace(order, amount_minor=12051))
    assert isinstance(answer, Unresolved) and answer.kind == "unknown"
    asked = await bench.connector.payment(orders.query(order, amount_minor=12051))
    assert isinstance(asked, Unresolved) and asked.kind == "unknown"


async def test_money_goes_back_in_parts_each_once(bench: Bench) -> None:
    order = await bench.paid()
    account = orders.destination(bench.method) if CAPABILITIES[bench.method].refund == "bank_account" else None
    part = orders.refund(order, 50, account)
    first, second = await bench.connector.refund(part), await bench.connector.refund(part)
    assert isinstance(first, OperationState) and first == second
    assert (first.key, first.payment_key, first.kind, first.amount_minor) == (part.key, order.key, "refund", 50)
    assert await bench.connector.operation(orders.operation(part)) == first
    await bench.connector.refund(orders.refund(order, 70, account))
    assert (await bench.payment(order)).refunded_minor == 120


async def test_a_payment_to_a_counter_is_refunded_to_an_account_only(bench: Bench) -> None:
    order = await bench.paid()
    answer = await bench.connector.refund(orders.refund(order, 50))
    assert isinstance(answer, Declined) == (CAPABILITIES[bench.method].refund == "bank_account")


async def test_a_part_is_captured_where_the_method_can(bench: Bench) -> None:
    if not CAPABILITIES[bench.method].manual_capture:
        answer = await bench.connector.capture(orders.capture(await bench.paid(), 50))
        assert isinstance(answer, Declined) and answer.reason == "not_permitted"
        return
    order = await bench.paid(capture="manual")
    assert (await bench.payment(order)).status == "authorized"
    part = orders.capture(order, 5000)
    first, second = await bench.connector.capture(part), await bench.connector.capture(part)
    assert isinstance(first, OperationState) and first == second
    assert (first.kind, first.status, first.amount_minor) == ("capture", "succeeded", 5000)
    assert await bench.connector.operation(orders.operation(part)) == first
    await bench.connector.capture(orders.capture(order, 1000, final=True))
    state = await bench.payment(order)
    assert (state.status, state.authorized_minor, state.captured_minor) == ("paid", 12050, 6000)


async def test_a_payment_is_given_up_where_the_method_can(bench: Bench) -> None:
    order = orders.order(bench.method, capture="manual" if bench.method == "card" else "automatic")
    await bench.connector.submit(order)
    given_up = orders.void(order)
    first, second = await bench.connector.void(given_up), await bench.connector.void(given_up)
    if not CAPABILITIES[bench.method].void:
        assert isinstance(first, Declined) and first.reason == "not_permitted"
        return
    assert isinstance(first, OperationState) and first == second
    assert (first.kind, first.status) == ("void", "succeeded")
    assert (await bench.payment(order)).status == "cancelled"


async def test_an_operation_on_a_payment_that_is_not_there_is_refused(bench: Bench) -> None:
    order = orders.order(bench.method)
    answer = await bench.connector.refund(orders.refund(order, 50, orders.destination(bench.method)))
    assert isinstance(answer, Declined) and answer.reason == "invalid_request"


async def test_evidence_for_a_dispute_that_is_not_there_is_refused(bench: Bench) -> None:
    evidence = Evidence(
        key=uuid4().hex, dispute_reference="dp_none/../x", mode="test", content_type="application/pdf", content=b"%PDF-"
    )
    answer = await bench.connector.send_evidence(evidence)
    assert isinstance(answer, Declined)
    assert answer.reason == ("invalid_request" if CAPABILITIES[bench.method].disputes else "not_permitted")


async def test_the_figures_count_every_call(bench: Bench) -> None:
    order = orders.order(bench.method)
    await bench.connector.submit(order)
    await bench.connector.payment(orders.query(order))
    (figures,) = bench.health()
    assert (figures.provider, figures.mode, figures.calls, figures.failed) == ("sandbox", "test", 2, 0)
    assert figures.breaker == "closed" and figures.p99_ms is not None


async def test_there_is_no_live_provider(bench: Bench) -> None:
    answer = await bench.connector.submit(orders.order(bench.method, mode="live"))
    assert isinstance(answer, Unresolved) and answer.kind == "retry"
    assert bench.connector.available("test") and not bench.connector.available("live")
