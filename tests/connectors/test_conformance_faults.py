"""What every connector makes of a provider that misbehaves: a noun, never an exception, never a false outcome."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time

import pytest

from caudal.connectors import (
    CAPABILITIES,
    Declined,
    Evidence,
    EvidenceTaken,
    NotFound,
    OperationState,
    PaymentState,
    Unresolved,
    available,
    health,
    of,
)
from tests.connectors import orders
from tests.connectors.bench import Bench
from tests.connectors.provider import CHANGED, SILENT, Provider, signed

UNKNOWN = [*SILENT, *CHANGED, "error", "bad gateway", "not HTTP", "key reused", "elsewhere", "no content", "empty"]
UNKNOWN += ["a proxy's 404", "a proxy's 422", "a proxy's 503"]
UNKNOWN += ["not JSON", "a list", "too deep", "not UTF-8", "too long"]
LONGEST_MS = 60_000
RETRY = ["busy", "too many", "not signed"]


@pytest.mark.parametrize("fault", UNKNOWN)
async def test_what_is_no_right_answer_leaves_the_outcome_unknown(
    commanded: Bench, provider: Provider, fault: str
) -> None:
    until = await commanded.patience(fault)
    provider.faults.append(fault)
    answer = await commanded.connector.submit(orders.order(commanded.method), until)
    assert isinstance(answer, Unresolved) and answer.kind == "unknown", answer


@pytest.mark.parametrize("fault", UNKNOWN)
async def test_the_same_goes_for_queries(commanded: Bench, provider: Provider, fault: str) -> None:
    order = await commanded.paid()
    until = await commanded.patience(fault)
    provider.faults.extend([fault, fault])  # a GET whose kept connection ends is repeated
    answer = await commanded.connector.payment(orders.query(order), until)
    assert isinstance(answer, Unresolved) and answer.kind == "unknown", answer


@pytest.mark.parametrize("fault", [*SILENT, "error", "other key", "other amount", "other currency", "a proxy's 404"])
async def test_and_for_operations(commanded: Bench, provider: Provider, fault: str) -> None:
    refund = orders.refund(await commanded.paid(), 50, orders.destination(commanded.method))
    until = await commanded.patience(fault)
    provider.faults.append(fault)
    answer = await commanded.connector.refund(refund, until)
    assert isinstance(answer, Unresolved) and answer.kind == "unknown", answer
    until = await commanded.patience(fault)
    provider.faults.extend([fault, fault])
    asked = await commanded.connector.operation(orders.operation(refund), until)
    assert isinstance(asked, Unresolved) and asked.kind == "unknown", asked


@pytest.mark.parametrize("fault", ["other amount", "other currency"])
async def test_an_answer_with_another_amount_is_kept_for_a_person(
    commanded: Bench, provider: Provider, fault: str
) -> None:
    """Never acted on, and never dropped. That it is about another payment or operation is no such answer."""
    order = await commanded.paid()
    refund = orders.refund(order, 50, orders.destination(commanded.method))
    provider.faults += [fault] * 3
    connector = commanded.connector
    said = [await connector.payment(orders.query(order)), await connector.submit(order), await connector.refund(refund)]
    for answer in said:
        assert isinstance(answer, Unresolved) and answer.kind == "unknown" and answer.otherwise is not None
        ours = (refund.amount_minor if isinstance(answer.otherwise, OperationState) else order.amount_minor, "BRL")
        assert (answer.otherwise.amount_minor, answer.otherwise.currency) != ours
    provider.faults.append("other key")
    answer = await connector.submit(order)
    assert isinstance(answer, Unresolved) and answer.otherwise is None


@pytest.mark.parametrize("fault", RETRY)
async def test_a_provider_that_says_so_has_done_nothing(commanded: Bench, provider: Provider, fault: str) -> None:
    provider.faults.append(fault)
    answer = await commanded.connector.submit(orders.order(commanded.method))
    assert isinstance(answer, Unresolved) and answer.kind == "retry", answer


@pytest.mark.parametrize("method", orders.METHODS)
async def test_nothing_happened_where_nobody_listens(method: str) -> None:
    context = orders.context("http://127.0.0.1:1")
    answer = await of(context, "sandbox", method).submit(orders.order(method))
    assert isinstance(answer, Unresolved) and answer.kind == "retry", answer
    for close in context.closing:
        await close()


async def test_nothing_happened_where_no_connection_comes_about() -> None:
    with socket.socket() as deaf, contextlib.ExitStack() as waiting:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        for _ in range(4):  # more than it keeps waiting
            one = waiting.enter_context(socket.socket())
            one.setblocking(False)
            one.connect_ex(deaf.getsockname())
        context = orders.context(f"http://127.0.0.1:{deaf.getsockname()[1]}")
        answer = await of(context, "sandbox", "pix").submit(orders.order("pix"))
        assert isinstance(answer, Unresolved) and answer.kind == "retry", answer
        for close in context.closing:
            await close()


async def test_a_refusal_is_final_and_its_text_is_kept_short_and_clean(commanded: Bench, provider: Provider) -> None:
    provider.faults.append("refused")
    answer = await commanded.connector.submit(orders.order(commanded.method))
    assert isinstance(answer, Declined) and answer.reason == "invalid_request"
    assert "4111" not in answer.detail and answer.detail.isprintable() and len(answer.detail) <= 200


@pytest.mark.parametrize("fault", ["silence after", "reset after", "error", "half", "busy", "reset before", "not JSON"])
async def test_asking_again_finds_out_and_nothing_is_made_twice(provider: Provider, fault: str) -> None:
    for method in orders.METHODS:
        context = orders.context(provider.url, provider_tries=2)
        provider.faults.append(fault)
        order = orders.order(method)
        answer = await of(context, "sandbox", method).submit(order)
        assert isinstance(answer, PaymentState) and answer.key == order.key
        for close in context.closing:
            await close()
    assert len(provider.payments) == len(orders.METHODS) and len(provider.asked) == 2 * len(orders.METHODS)


async def test_the_answer_to_a_query_may_be_that_there_is_nothing(commanded: Bench, provider: Provider) -> None:
    order = orders.order(commanded.method)
    provider.faults.append("silence before")
    await commanded.connector.submit(order, time.monotonic() + 0.5)
    assert await commanded.connector.payment(orders.query(order)) == NotFound()


@pytest.mark.parametrize("method", orders.METHODS)
async def test_a_deadline_ends_a_call(method: str, provider: Provider) -> None:
    context = orders.context(provider.url, provider_timeout_ms=LONGEST_MS)
    await of(context, "sandbox", method).payment(orders.query(orders.order(method)))  # it is connected from now on
    provider.faults.append("silence after")
    async with asyncio.timeout(LONGEST_MS / 2000):
        answer = await of(context, "sandbox", method).submit(orders.order(method), time.monotonic() + 0.75)
    assert isinstance(answer, Unresolved) and answer.kind == "unknown"
    for close in context.closing:
        await close()


async def test_every_request_is_signed_and_says_no_more_than_the_method_needs(
    commanded: Bench, provider: Provider
) -> None:
    order = orders.order(commanded.method)
    await commanded.connector.submit(order)
    await commanded.connector.payment(orders.query(order))
    assert all(signed(asked) for asked in provider.asked)
    told = provider.asked[0].body
    assert (told["card"] is not None) == CAPABILITIES[commanded.method].card
    assert (told["bank"] is not None) == (CAPABILITIES[commanded.method].bank == "required")
    assert (told["payer"]["phone"] is not None) == (commanded.method == "mpesa")
    assert (told["return_url"] is not None) == (commanded.method in ("card", "pse"))


async def test_an_order_that_lacks_something_is_refused_without_a_call(provider: Provider) -> None:
    context = orders.context(provider.url)
    answer = await of(context, "sandbox", "pse").submit(orders.order("pse", bank=None))
    assert isinstance(answer, Declined) and answer.reason == "invalid_request" and not provider.asked
    for close in context.closing:
        await close()


async def test_evidence_goes_as_it_is(commanded: Bench, provider: Provider) -> None:
    file = Evidence(
        key="a" * 32, dispute_reference="dp_1", mode="test", content_type="image/png", content=b"\x89PNG\r\n\x00"
    )
    answer = await commanded.connector.send_evidence(file)
    if not CAPABILITIES[commanded.method].disputes:
        assert isinstance(answer, Declined) and not provider.asked
        return
    assert answer == EvidenceTaken(dispute_reference="dp_1")
    (asked,) = provider.asked
    assert signed(asked) and asked.raw == file.content and asked.headers["content-type"] == "image/png"
    assert asked.path == f"/v1/provider/{commanded.method}/disputes/dp_1/evidence?key={'a' * 32}"


async def test_connections_are_kept(commanded: Bench, provider: Provider) -> None:
    for _ in range(5):
        await commanded.connector.submit(orders.order(commanded.method))
    assert provider.connections == 1


@pytest.mark.parametrize("lacks", ["provider_secret_test", "sandbox_url"])
async def test_without_a_provider_nothing_is_asked(lacks: str) -> None:
    context = orders.context("http://127.0.0.1:1", **{lacks: None})
    answer = await of(context, "sandbox", "pix").submit(orders.order("pix"))
    assert isinstance(answer, Unresolved) and answer.kind == "retry"
    assert not available(context, "sandbox", "pix", "test") and health(context) == []


async def test_the_figures_of_all_providers_are_read_at_once(provider: Provider) -> None:
    context = orders.context(provider.url)
    assert [(figures.provider, figures.mode) for figures in health(context)] == [("sandbox", "test")]
    assert all(available(context, "sandbox", method, "test") for method in orders.METHODS)


async def test_a_provider_that_is_down_is_left_alone_and_found_again(provider: Provider) -> None:
    context = orders.context(provider.url, provider_breaker_failures=3, provider_breaker_open_s=0.1)
    pix, card = of(context, "sandbox", "pix"), of(context, "sandbox", "card")
    provider.faults.extend(["reset after"] * 3)
    for _ in range(5):
        await pix.submit(orders.order("pix"))
    assert len(provider.asked) == 3 and not pix.available("test")
    assert not card.available("test"), "its other methods share its fate"
    answer = await card.submit(orders.order("card"))
    assert isinstance(answer, Unresolved) and answer.kind == "retry" and len(provider.asked) == 3
    await asyncio.sleep(0.11)
    assert pix.available("test")
    for _ in range(2):
        assert isinstance(await pix.submit(orders.order("pix")), PaymentState)
    assert [figures.breaker for figures in health(context)] == ["closed"]
    for close in context.closing:
        await close()
