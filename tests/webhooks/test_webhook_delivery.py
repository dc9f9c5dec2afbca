"""An event reaches whoever wants to hear of it: once and signed when all is well, again when it is not."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime

import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from caudal.kernel.context import Context
from caudal.webhooks import BadSignature, Deliverer, fan_out, lag_s, verify
from tests.webhooks.cast import Ana, delivering, settled, told
from tests.webhooks.receiver import Message, Receiver


async def test_an_event_is_delivered_as_the_list_shows_it(context: Context, ana: Ana, server: Receiver) -> None:
    endpoint = await ana.endpoint(f"{server.url}/hook")
    await ana.payin()
    await told(context)
    async with delivering(context):
        [message] = await server.until(1)
    [event] = await ana.events()
    assert (message.event, message.id, message.path) == (event, event["id"], "/hook")
    [delivery] = await ana.deliveries(endpoint)
    assert (delivery["status"], delivery["attempts"], delivery["event"]) == ("delivered", 1, event["id"])
    [attempt] = await ana.attempts(delivery)
    assert attempt["response"] == {"status": 200, "body": "thanks"} and attempt["error"] is None
    assert attempt["request"]["body"].encode() == message.body and attempt["duration_ms"] > 0
    assert all(message.headers[name] == value for name, value in attempt["request"]["headers"].items())


async def test_another_library_of_the_standard_verifies_it(context: Context, ana: Ana, server: Receiver) -> None:
    endpoint = await ana.endpoint(server.url)
    await ana.payin()
    await told(context)
    async with delivering(context):
        [message] = await server.until(1)
    assert Webhook(endpoint["secret"]).verify(message.body, message.headers) == message.event
    verify(endpoint["secret"], message.headers, message.body, time.time())
    for broken in (message.body + b" ", message.body.replace(b"pending", b"paid!!!")):
        with pytest.raises(WebhookVerificationError):
            Webhook(endpoint["secret"]).verify(broken, message.headers)
        with pytest.raises(BadSignature):
            verify(endpoint["secret"], message.headers, broken, time.time())
    with pytest.raises(BadSignature):
        verify(endpoint["secret"], message.headers, message.body, time.time() + 301)


async def test_what_that_library_signs_is_verified_here() -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    now = datetime.now(UTC)
    signed = Webhook(secret).sign("evt_1", now, '{"a":1}')
    headers = {"webhook-id": "evt_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signed}
    verify(secret, headers, b'{"a":1}', now.timestamp())


async def test_only_the_types_that_were_asked_for_come(context: Context, ana: Ana, server: Receiver) -> None:
    await ana.endpoint(server.url, types=["payin.paid", "payin.cancelled"])
    payin = await ana.payin()
    await ana.paid(payin)
    await told(context)
    async with delivering(context):
        await server.until(1)
    assert server.types == ["payin.paid"]


async def test_events_of_others_of_the_other_mode_and_of_before_do_not_come(
    context: Context, ana: Ana, caro: Ana, server: Receiver
) -> None:
    await ana.payin(reference="before")
    await ana.endpoint(server.url)
    await caro.payin(reference="of Caro")
    live, test = await ana.key_of("live"), ana.key
    ana.key = live
    await ana.payin(reference="live")
    ana.key = test
    await ana.payin(reference="after")
    await told(context)
    async with delivering(context):
        await server.until(1)
        await settled(context)
    assert [message.event["data"]["reference"] for message in server.messages] == ["after"]


async def test_events_of_one_object_come_in_their_order_one_at_a_time(
    context: Context, ana: Ana, server: Receiver
) -> None:
    await ana.endpoint(server.url)
    at_once, most = set[str](), 0

    async def slowly(message: Message) -> web.Response:
        nonlocal most
        subject = message.event["subject"]
        assert subject not in at_once, "two of one object at once"
        at_once.add(subject)
        most = max(most, len(at_once))
        await asyncio.sleep(0.01)
        at_once.remove(subject)
        return web.Response()

    server.answer = slowly
    payins = [await ana.payin() for _ in range(12)]
    await asyncio.gather(*(ana.paid(payin) for payin in payins))
    await told(context)
    async with delivering(context):
        await server.until(24)
    for payin in payins:
        mine = [message.event for message in server.messages if message.event["subject"] == payin["id"]]
        assert [event["type"] for event in mine] == ["payin.created", "payin.paid"]
        assert int(mine[0]["sequence"]) < int(mine[1]["sequence"])
    assert most > 4, "different objects go side by side"


# Who dies


async def test_what_a_dead_worker_held_is_sent_by_the_next(context: Context, ana: Ana, server: Receiver) -> None:
    endpoint = await ana.endpoint(server.url)
    await ana.payin()
    await told(context)
    never = asyncio.Event()

    async def hang(message: Message) -> web.Response:
        await never.wait()
        return web.Response()

    server.answer = hang
    dying = Deliverer(context, 0)
    await dying.round()
    await server.until(1)
    for task in list(dying._tasks):  # it dies here: nothing is written, its lease stays
        task.cancel()
    await dying._disconnect()
    server.answer = server.accept
    async with delivering(context):
        await asyncio.sleep(0.3)
        assert len(server.messages) == 1, "the lease counts"
        async with context.pool.connection() as connection:
            await connection.execute("update webhook_queue set lease_until = now()")
        await server.until(2)
    never.set()
    assert len({message.id for message in server.messages}) == 1
    [delivery] = await ana.deliveries(endpoint)
    assert (delivery["status"], delivery["attempts"]) == ("delivered", 1)


async def test_several_workers_send_everything_once(context: Context, ana: Ana, server: Receiver) -> None:
    endpoints = [await ana.endpoint(f"{server.url}/{number}") for number in range(8)]
    for _ in range(15):
        await ana.payin()
    async with delivering(context), delivering(context), delivering(context):
        await asyncio.gather(*(fan_out(context, 0) for _ in range(4)))
        await told(context)
        await server.until(15 * len(endpoints))
        await settled(context)
    assert len({(message.path, message.id) for message in server.messages}) == len(server.messages) == 120


async def test_how_far_behind_deliveries_are_can_be_asked(context: Context, ana: Ana, server: Receiver) -> None:
    await told(context)
    assert await lag_s(context, 0) == 0
    await ana.endpoint(server.url)
    await ana.payin()
    await asyncio.sleep(0.05)
    assert 0.05 <= await lag_s(context, 0) < 5, "an event without its deliveries"
    await told(context)
    await asyncio.sleep(0.05)
    assert 0.05 <= await lag_s(context, 0) < 5, "a delivery that is due"
    async with delivering(context):
        await server.until(1)
        await settled(context)
    assert await lag_s(context, 0) == 0
