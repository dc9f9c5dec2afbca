"""What fails is tried again by the schedule, in order, and is given up in the end."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
from aiohttp import web

from caudal.kernel.context import Context
from caudal.merchants import first_merchant, first_operator
from caudal.webhooks import round as rounds
from tests.conftest import settings_of
from tests.webhooks.cast import Ana, delivering, hurry, settled, told
from tests.webhooks.receiver import Message, Receiver

# What fails


async def test_what_fails_is_tried_again_by_the_schedule(context: Context, ana: Ana, server: Receiver) -> None:
    server.answer = server.refuse
    endpoint = await ana.endpoint(server.url)
    await ana.payin()
    await told(context)
    waits = []
    async with delivering(context) as deliverer:
        for count in range(1, 11):
            await server.until(count)
            await settled(context)
            [delivery] = await ana.deliveries(endpoint)
            assert delivery["attempts"] == count
            if count < 10:
                waits.append(await hurry(context))
                deliverer.wake()
    schedule = [5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400]
    for asked_s, wait_s in zip(schedule, waits, strict=True):
        assert asked_s - 2 <= wait_s <= asked_s * 1.1, (asked_s, wait_s)
    assert (delivery["status"], delivery["next_attempt_at"]) == ("failed", None)
    attempts = await ana.attempts(delivery)
    assert [attempt["number"] for attempt in attempts] == list(range(1, 11))
    assert {attempt["response"]["body"] for attempt in attempts} == {"not today"}
    assert len({message.id for message in server.messages}) == 1, "one message keeps its id"


async def test_the_pauses_of_the_schedule_can_be_shorter(database_url: str, server: Receiver) -> None:
    settings = settings_of(database_url, webhook_loopback=True, worker_poll_s=0.02, webhook_retry_factor=0.0001)
    async with Context(settings, name="test") as context:
        ana = Ana(context, *await first_merchant(context, "Ana", "MX"), await first_operator(context))
        server.answer = server.refuse
        endpoint = await ana.endpoint(server.url)
        await ana.payin()
        await told(context)
        async with delivering(context):
            await server.until(5)
        [delivery] = await ana.deliveries(endpoint)
        assert delivery["attempts"] >= 4, "by itself, and not in hours"


async def test_later_events_of_an_object_wait_while_an_earlier_one_is_tried_soon(
    context: Context, ana: Ana, server: Receiver
) -> None:
    await ana.endpoint(server.url)
    first, second = await ana.payin(), await ana.payin()
    await ana.paid(first)

    async def refuse_first(message: Message) -> web.Response:
        return web.Response(status=503 if message.event["subject"] == first["id"] else 200)

    server.answer = refuse_first
    await told(context)
    async with delivering(context) as deliverer:
        await server.until(2)
        await settled(context)
        assert [message.event["subject"] for message in server.messages].count(first["id"]) == 1, "paid waits"
        await ana.cancel(second)
        await told(context)  # nothing holds up another object
        deliverer.wake()
        await server.until(3)
        server.answer = server.accept
        await hurry(context)
        deliverer.wake()
        await server.until(5)
    mine = [message.event["type"] for message in server.messages if message.event["subject"] == first["id"]]
    assert mine == ["payin.created", "payin.created", "payin.paid"]


async def test_an_event_that_comes_while_its_object_waits_waits_too(
    context: Context, ana: Ana, server: Receiver
) -> None:
    server.answer = server.refuse
    await ana.endpoint(server.url)
    payin = await ana.payin()
    await told(context)
    async with delivering(context):
        await server.until(1)
        await settled(context)
    server.answer = server.accept
    await ana.paid(payin)
    await told(context)
    async with delivering(context) as deliverer:  # another worker, which has seen nothing of it
        await settled(context)
        assert server.types == ["payin.created"]
        await hurry(context)
        deliverer.wake()
        await server.until(3)
    assert server.types == ["payin.created", "payin.created", "payin.paid"]


async def test_after_three_attempts_an_object_waits_for_nothing(context: Context, ana: Ana, server: Receiver) -> None:
    await ana.endpoint(server.url)
    payin = await ana.payin()
    await ana.paid(payin)

    async def refuse_created(message: Message) -> web.Response:
        return web.Response(status=500 if message.event["type"] == "payin.created" else 200)

    server.answer = refuse_created
    await told(context)
    async with delivering(context) as deliverer:
        for count in (1, 2):
            await server.until(count)
            await settled(context)
            await hurry(context)
            deliverer.wake()
        await server.until(4)
        await settled(context)
    assert server.types == ["payin.created"] * 3 + ["payin.paid"]


async def test_who_was_due_earlier_waits_for_an_event_before_it_that_has_failed(
    context: Context, ana: Ana, server: Receiver
) -> None:
    await ana.endpoint(server.url)
    await ana.paid(await ana.payin())
    await told(context)
    failed = "update webhook_delivery set attempts = 1, due_at = now() - interval '1 s' where type = 'payin.created'"
    async with context.pool.connection() as connection:
        await connection.execute("update webhook_delivery set due_at = now() - interval '1 min'")
        await connection.execute(failed)

    async def refuse_once(message: Message) -> web.Response:
        return await (server.refuse if len(server.messages) == 1 else server.accept)(message)

    server.answer = refuse_once
    async with delivering(context) as deliverer:
        await server.until(1)
        await settled(context)
        assert server.types == ["payin.created"]
        await hurry(context)
        deliverer.wake()
        await server.until(3)
    assert server.types == ["payin.created", "payin.created", "payin.paid"]


async def test_who_was_due_earlier_waits_for_an_event_before_it_that_was_put_off(
    context: Context, ana: Ana, server: Receiver
) -> None:
    await ana.endpoint(server.url)
    await ana.paid(await ana.payin())
    await told(context)
    async with context.pool.connection() as connection:  # it has waited for one that failed, and is delivered now
        await connection.execute("update webhook_delivery set due_at = now() - interval '1 min'")
        put_off = "update webhook_delivery set due_at = created_at + interval '500 ms' where type = 'payin.created'"
        await connection.execute(put_off)
    async with delivering(context):
        await server.until(2)
    assert server.types == ["payin.created", "payin.paid"]


async def test_events_of_an_object_go_by_their_numbers_whenever_they_are_due(
    context: Context, ana: Ana, server: Receiver
) -> None:
    await ana.endpoint(server.url)
    await ana.paid(await ana.payin())
    await told(context)
    async with context.pool.connection() as connection:  # made by a worker whose transaction had begun before
        earlier = "created_at - interval '1 s'"
        await connection.execute(f"update webhook_delivery set due_at = {earlier} where type = 'payin.paid'".encode())
    async with delivering(context):
        await server.until(2)
    assert server.types == ["payin.created", "payin.paid"]


async def test_an_event_that_is_read_while_the_one_before_it_fails_waits_too(
    context: Context, ana: Ana, server: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ana.endpoint(server.url)
    await ana.payin()
    failing, reading = asyncio.Event(), rounds.due

    async def wait_and_refuse(message: Message) -> web.Response:
        await failing.wait()
        return web.Response(status=500)

    async def read_and_fail(*asked: Any) -> Any:
        read = await reading(*asked)
        if any(b"payin.paid" in (one.letter.body or b"") for one in read):
            failing.set()
            await asyncio.wait(deliverer._tasks)
        return read

    await told(context)
    async with delivering(context) as deliverer:
        await server.until(1)  # the endpoint answers, so that two may fly
        await settled(context)
        server.answer = wait_and_refuse
        payin = await ana.payin()
        await told(context)
        deliverer.wake()
        await server.until(2)
        monkeypatch.setattr(rounds, "due", read_and_fail)
        await ana.paid(payin)
        await told(context)
        deliverer.wake()
        async with asyncio.timeout(60):
            await failing.wait()
        await settled(context)
    assert server.types == ["payin.created", "payin.created"]


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("hang", "no whole answer in time"),
        ("endless", None),
        ("garbage", "the answer is not HTTP"),
        ("nothing", "the connection ended without an answer"),
        ("nobody", "the connection was refused or did not come about"),
    ],
)
async def test_a_server_that_misbehaves_is_a_failure_in_words(
    context: Context, ana: Ana, answer: str, error: str | None
) -> None:
    ended = asyncio.Event()

    async def misbehave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        if answer == "hang":
            await reader.read()  # until the other side has had enough
        elif answer == "endless":
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n" + b"x" * 100_000)
            with suppress(ConnectionError):
                await writer.drain()
                await reader.read()
        elif answer == "garbage":
            await reader.read(10)
            writer.write(b"220 smtp.example.com ready\r\n\r\n")
        writer.close()
        ended.set()

    listening = await asyncio.start_server(misbehave, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    if answer == "nobody":
        listening.close()
        await listening.wait_closed()
    endpoint = await ana.endpoint(f"http://127.0.0.1:{port}/")
    await ana.payin()
    await told(context)
    async with delivering(context):
        [delivery] = await settled(context, 1, endpoint, ana)
    [attempt] = await ana.attempts(delivery)
    assert attempt["error"] == error
    if answer == "endless":
        assert delivery["status"] == "delivered" and attempt["response"]["body"] == "x" * 2048
    else:
        assert (delivery["status"], attempt["response"]) == ("pending", None)
    if answer != "nobody":
        await ended.wait()
    listening.close()


# Who gives up


async def test_gone_disables_at_once_and_says_so_to_the_others(context: Context, ana: Ana, server: Receiver) -> None:
    async def gone(message: Message) -> web.Response:
        return web.Response(status=410 if message.path == "/gone" else 200)

    server.answer = gone
    endpoint, other = await ana.endpoint(f"{server.url}/gone"), await ana.endpoint(f"{server.url}/other")
    await ana.payin()
    await told(context)
    async with delivering(context):
        await server.until(2)
        seen = await until_disabled(ana, endpoint)
        await told(context)
        await server.until(3)
        await ana.payin()
        await told(context)
        await server.until(4)
        await settled(context)
    assert (seen["status"], seen["status_reason"]) == ("disabled", "gone") and seen["disabled_at"]
    assert [message.path for message in server.messages].count("/gone") == 1
    [told_of] = [m.event for m in server.messages if m.event["type"] == "webhook_endpoint.disabled"]
    assert told_of["subject"] == endpoint["id"] and told_of["data"]["status_reason"] == "gone"
    assert len(await ana.deliveries(other)) == 3


async def until_disabled(ana: Ana, endpoint: dict[str, Any]) -> dict[str, Any]:
    for _ in range(500):
        seen = await ana.look(endpoint)
        if seen["status"] == "disabled":
            return seen
        await asyncio.sleep(0.01)
    raise AssertionError("it is still enabled")


async def test_days_of_nothing_but_failures_disable_and_what_waits_is_cancelled(
    context: Context, ana: Ana, server: Receiver
) -> None:
    server.answer = server.refuse
    endpoint = await ana.endpoint(server.url)
    await ana.payin()
    await told(context)
    async with delivering(context) as deliverer:
        await server.until(1)
        await settled(context)
        assert (await ana.look(endpoint))["failing_since"] is not None
    async with context.pool.connection() as connection:
        await connection.execute("update webhook_queue set failing_since = now() - interval '5 days'")
    async with delivering(context) as deliverer:
        await hurry(context)
        deliverer.wake()
        seen = await until_disabled(ana, endpoint)
        for _ in range(500):
            [delivery] = await ana.deliveries(endpoint)
            if delivery["status"] == "cancelled":
                break
            await asyncio.sleep(0.01)
    assert (seen["status_reason"], delivery["status"]) == ("failing", "cancelled")
    [event] = await ana.events(types="webhook_endpoint.disabled")
    assert event["data"]["status_reason"] == "failing" and event["subject"] == endpoint["id"]
    again = await ana.change(endpoint, status="enabled")
    assert (again["status"], again["status_reason"], again["disabled_at"]) == ("enabled", None, None)
    assert (await ana.look(endpoint))["failing_since"] is None


async def test_one_success_ends_the_days_of_failures(context: Context, ana: Ana, server: Receiver) -> None:
    server.answer = server.refuse
    endpoint = await ana.endpoint(server.url)
    await ana.payin()
    await told(context)
    async with delivering(context) as deliverer:
        await server.until(1)
        await settled(context)
        server.answer = server.accept
        await hurry(context)
        deliverer.wake()
        await server.until(2)
        await settled(context)
        assert (await ana.look(endpoint))["failing_since"] is None
