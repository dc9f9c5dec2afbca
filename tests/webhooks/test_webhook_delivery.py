"""An event reaches whoever wants to hear of it: once and signed when all is well, again when it is not."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import psycopg
import pytest
from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from caudal.kernel.context import Context
from caudal.webhooks import BadSignature, Deliverer, fan_out, lag_s, verify
from tests.payins.books import assert_in_order
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


async def waiting(
    context: Context, ana: Ana, server: Receiver, answer: asyncio.Event, *, status: int = 500
) -> Deliverer:
    """A deliverer in whose hands one message flies, until `answer`, and seven wait."""

    async def hang(message: Message) -> web.Response:
        await answer.wait()
        return web.Response(status=status)

    server.answer = hang
    for _ in range(8):
        await ana.payin()
    await told(context)
    deliverer = Deliverer(context, 0)
    await deliverer.round()
    await server.until(1)
    return deliverer


TAKEN = "update webhook_queue set holder = gen_random_uuid(), lease_until = now() + interval '1 min'"


async def test_who_has_lost_an_endpoint_sends_it_nothing_more(context: Context, ana: Ana, server: Receiver) -> None:
    endpoint, answer = await ana.endpoint(server.url), asyncio.Event()
    deliverer = await waiting(context, ana, server, answer)
    async with context.pool.connection() as connection:
        await connection.execute(TAKEN)
    deliverer._renewed_at -= context.settings.lease_s
    await deliverer.round()
    answer.set()
    await asyncio.gather(*deliverer._tasks)
    await deliverer.round()
    assert len(server.messages) == 1
    assert (await ana.look(endpoint))["failing_since"] is None, "that is for whoever holds it to say"
    await deliverer.end()


async def test_nothing_is_sent_behind_the_end_of_a_lease(context: Context, ana: Ana, server: Receiver) -> None:
    answer = asyncio.Event()
    await ana.endpoint(server.url)
    deliverer = await waiting(context, ana, server, answer)
    [lane] = deliverer._lanes.values()
    lane.held_until -= context.settings.lease_s
    answer.set()
    await asyncio.gather(*deliverer._tasks)
    assert len(server.messages) == 1 and not deliverer._tasks
    await deliverer.end()


async def test_a_round_that_failed_gives_no_lease(
    context: Context, ana: Ana, server: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ana.endpoint(server.url)
    await ana.payin()
    await told(context)
    deliverer = Deliverer(context, 0)
    reading = Deliverer._read

    async def break_off(self: Deliverer, *asked: Any) -> None:
        await reading(self, *asked)
        raise psycopg.OperationalError("the server went away")

    monkeypatch.setattr(Deliverer, "_read", break_off)
    with pytest.raises(psycopg.OperationalError):
        await deliverer.round()
    assert not deliverer._tasks and not deliverer._lanes
    monkeypatch.setattr(Deliverer, "_read", reading)
    await deliverer.round()
    await server.until(1)
    await deliverer.end()


async def test_changes_of_an_endpoint_that_hangs_count_at_once(context: Context, ana: Ana, server: Receiver) -> None:
    endpoint, answer = await ana.endpoint(f"{server.url}/old"), asyncio.Event()
    deliverer = await waiting(context, ana, server, answer)
    await ana.change(endpoint, url=f"{server.url}/new")
    deliverer._changes_at = 0
    await deliverer.round()
    server.answer = server.accept
    answer.set()
    await server.until(2)
    assert [message.path for message in server.messages][:2] == ["/old", "/new"]
    await deliverer.end()


@pytest.mark.parametrize("how", ["disabled", "deleted"])
async def test_what_waits_for_an_endpoint_that_hangs_is_cancelled_at_once(
    context: Context, ana: Ana, server: Receiver, how: str
) -> None:
    endpoint, answer = await ana.endpoint(server.url), asyncio.Event()
    deliverer = await waiting(context, ana, server, answer, status=500 if how == "disabled" else 204)
    if how == "disabled":
        await ana.change(endpoint, status="disabled")
    else:
        assert (await ana.post(f"/v1/webhook_endpoints/{endpoint['id']}/deletions")).status == 200
    deliverer._changes_at = 0
    await deliverer.round()
    found = {delivery["status"] for delivery in await ana.deliveries(endpoint)}
    answer.set()
    assert found == {"cancelled"}
    await asyncio.gather(*deliverer._tasks)
    for _ in range(3):
        await deliverer.round()
    assert len(server.messages) == 1 and not deliverer._lanes
    await deliverer.end()
    [taken] = [delivery for delivery in await ana.deliveries(endpoint) if delivery["attempts"]]
    assert (taken["status"], taken["attempts"]) == ("cancelled" if how == "disabled" else "delivered", 1)
    await assert_in_order(context)


async def test_a_step_is_bounded_by_deliveries(
    context: Context, ana: Ana, server: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caudal.webhooks.reactions.DELIVERIES", 5)
    for number in range(3):
        await ana.endpoint(f"{server.url}/{number}", types=["payin.created"])
    for _ in range(6):
        await ana.payin()
    made = [0]
    while await fan_out(context, 0):
        [(count,)] = await context.rows("select count(*) from webhook_delivery")
        made.append(count)
    assert made[-1] == 18 and max(after - before for before, after in pairwise(made)) <= 5 + 2
    assert await context.rows("select 1 from webhook_delivery group by endpoint, event_seq having count(*) > 1") == []


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
    assert 0.05 <= await lag_s(context, 0) < 60, "an event without its deliveries"
    await told(context)
    await asyncio.sleep(0.05)
    assert 0.05 <= await lag_s(context, 0) < 60, "a delivery that is due"
    async with delivering(context):
        await server.until(1)
        await settled(context)
    assert await lag_s(context, 0) == 0
