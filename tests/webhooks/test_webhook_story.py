"""A payment's story has what went to its merchant's endpoints, those that are deleted since, too."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import psycopg

from caudal.app.trace.gather import SQL
from caudal.kernel import db
from caudal.kernel.context import Context
from tests.webhooks.cast import Ana, delivering, settled, told
from tests.webhooks.receiver import Receiver


def test_deleted_endpoints_are_found_by_an_index(database_url: str) -> None:
    asked = {"shard": 0, "book": 2, "moments": [datetime(2026, 11, 27, tzinfo=UTC)], "subjects": [uuid4()]}
    with psycopg.connect(db.conninfo(database_url, **db.PLANS), autocommit=True) as connection:
        plan = "\n".join(row[0] for row in connection.execute(b"explain " + SQL["deliveries"].encode(), asked))
    assert "webhook_endpoint_deleted" in plan and "webhook_endpoint_of_book" in plan and "Seq Scan" not in plan, plan


async def deliveries(ana: Ana, payin: dict[str, Any]) -> list[dict[str, Any]]:
    answered = await ana.get(f"/v1/operator/traces/{payin['id']}", key=ana.olga)
    assert answered.status == 200, answered.body
    return [step for step in answered.json["steps"] if step["kind"] == "delivery"]


async def test_a_story_has_messages_with_their_answers_and_those_that_wait(
    context: Context, ana: Ana, server: Receiver
) -> None:
    endpoint = await ana.endpoint(f"{server.url}/hook")
    payin = await ana.payin()
    await told(context)
    [waits] = await deliveries(ana, payin)
    assert waits["what"] == "payin.created waits" and waits["detail"]["due_at"] is not None
    async with delivering(context):
        await server.until(1)
    [sent] = await deliveries(ana, payin)
    assert sent["what"] == "payin.created → 200" and sent["detail"]["duration_us"] > 0
    assert (sent["subject"], sent["detail"]["endpoint"]) == (waits["subject"], endpoint["id"])


async def test_a_deleted_endpoint_keeps_its_messages_in_the_story(context: Context, ana: Ana, server: Receiver) -> None:
    endpoint = await ana.endpoint(f"{server.url}/hook")
    payin = await ana.payin()
    await told(context)
    async with delivering(context):
        await server.until(1)
    before = await deliveries(ana, payin)
    await ana.paid(payin)
    await told(context)
    assert (await ana.post(f"/v1/webhook_endpoints/{endpoint['id']}/deletions")).status == 200
    async with delivering(context):
        await settled(context)
    after = await deliveries(ana, payin)
    assert before[0] in after and "payin.paid is cancelled" in {step["what"] for step in after}
