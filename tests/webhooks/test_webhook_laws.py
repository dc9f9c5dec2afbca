"""The laws of webhooks hold after a story, and each finds what breaks it."""

from __future__ import annotations

import re
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
    ("update webhook_endpoint set id = gen_random_uuid()", "webhook_queue_of_endpoint"),
    ("update webhook_queue set endpoint = gen_random_uuid()", "webhook_queue_of_endpoint"),
    ("update webhook_delivery set id = gen_random_uuid()", "webhook_delivered_was_accepted"),
    ("update webhook_delivery set endpoint = gen_random_uuid()", "webhook_delivery_of_event"),
    ("update webhook_delivery set event_seq = event_seq + 1", "webhook_delivery_of_event"),
    ("update webhook_delivery set event_at = event_at + interval '1 us'", "webhook_delivery_of_event"),
    ("update webhook_delivery set type = 'payin.expired'", "webhook_delivery_of_event"),
    ("update webhook_delivery set status = 'failed' where status = 'delivered'", "webhook_delivered_was_accepted"),
    ("update webhook_delivery set due_at = '2020-01-01' where due_at is not null", "webhook_waiting_is_looked_at"),
    ("update webhook_attempt set delivery = gen_random_uuid()", "webhook_delivered_was_accepted"),
    ("update webhook_attempt set number = number + 1", "webhook_delivered_was_accepted"),
]
# Columns that no law watches, and why not.
UNWATCHED = {
    "it leads to the row, which is gone from its place when it is changed": "*.shard",
    "a guard of the next change, which fails with another one": "*.version",
    "what its owner asked for last; the events have what was": "webhook_endpoint.url webhook_endpoint.types"
    " webhook_endpoint.description webhook_endpoint.status webhook_endpoint.reason webhook_endpoint.disabled_at"
    " webhook_endpoint.deleted_at webhook_endpoint.former_until",
    "sealed under the id of its row: AES-GCM does not open it any more": "webhook_endpoint.sealed"
    " webhook_endpoint.former_sealed",
    "work to come: who holds it, since when it fails": "webhook_queue.holder webhook_queue.lease_until"
    " webhook_queue.failing_since webhook_range.*",
    "what a person reads; no decision looks at it": "webhook_delivery.cause webhook_delivery.created_at"
    " webhook_attempt.at webhook_attempt.url webhook_attempt.signature webhook_attempt.duration_us"
    " webhook_attempt.error webhook_attempt.answer",
}


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


async def test_every_column_of_webhooks_is_watched_or_has_a_reason_not_to_be(context: Context) -> None:
    query = """select c.relname || '.' || a.attname from pg_class c join pg_attribute a on a.attrelid = c.oid
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
            and a.attnum > 0 and not a.attisdropped and c.relname like 'webhook%%'"""
    there = {name for (name,) in await context.rows(query)}
    changes = (re.match(r"update (\w+) set (.*?)(?: where|$)", change) for change, _ in BROKEN)
    watched = {f"{one[1]}.{name}" for one in changes if one for name in re.findall(r"(?:^|, )(\w+) = ", one[2])}
    excused = {name for names in UNWATCHED.values() for name in names.split()}
    silent = {n for n in there - watched if not excused & {n, f"*.{n.partition('.')[2]}", f"{n.partition('.')[0]}.*"}}
    assert silent == set()
    assert not watched & excused
