"""The laws of webhooks hold after a story, and each finds what breaks it."""

from __future__ import annotations

from typing import Any

import psycopg

from caudal.app.check import differences
from caudal.kernel.context import Context
from tests.webhooks.cast import Ana, delivering, settled, told
from tests.webhooks.receiver import Message, Receiver

BROKEN = [
    ("delete from webhook_queue", "webhook_queue_of_endpoint"),
    ("update webhook_queue set due_at = null", "webhook_waiting_is_looked_at"),
    ("update consumer set seq = seq + 1000 where name = 'webhooks'", "webhook_fan_out_within"),
    ("update webhook_endpoint set created_at = created_at + interval '1 s'", "event_of_webhook_endpoint"),
    ("update webhook_endpoint set book = book + 2", "event_of_webhook_endpoint"),
    ("update webhook_delivery set attempts = attempts + 1", "webhook_delivered_was_accepted"),
    ("update webhook_attempt set status = 500", "webhook_delivered_was_accepted"),
    ("delete from webhook_attempt", "webhook_delivered_was_accepted"),
    ("update webhook_delivery set subject = gen_random_uuid()", "webhook_delivery_of_event"),
    ("update webhook_delivery set book = book + 2", "webhook_delivery_of_event"),
]


async def story(context: Context, ana: Ana, server: Receiver) -> None:
    """Some that is delivered, some that waits, and an endpoint that was disabled."""

    async def mostly(message: Message) -> Any:
        return await (server.refuse if message.path == "/bad" else server.accept)(message)

    server.answer = mostly
    await ana.endpoint(f"{server.url}/good")
    await ana.endpoint(f"{server.url}/bad")
    await ana.change(await ana.endpoint(f"{server.url}/none"), status="disabled")
    await ana.paid(await ana.payin())
    await told(context)
    async with delivering(context):
        await server.until(5)
        await settled(context)


async def test_the_laws_hold_and_find_what_breaks_them(
    context: Context, ana: Ana, server: Receiver, database_url: str
) -> None:
    await story(context, ana, server)
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("set timezone = 'UTC'")
        assert [row async for row in differences(connection, 0)] == []
        for change, law in BROKEN:
            async with connection.transaction(force_rollback=True):
                await connection.execute(change.encode())
                found = {row[0] async for row in differences(connection, 0)}
            assert law in found, change
