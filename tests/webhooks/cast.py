"""The cast: Ana is a merchant with a server that listens; whoever delivers, does so when a test says."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from caudal.kernel.context import Context
from caudal.webhooks import Deliverer, fan_out
from tests.payins.cast import Merchant


class Ana(Merchant):
    """A merchant with webhook endpoints."""

    async def endpoint(self, url: str, **asked: Any) -> dict[str, Any]:
        """A new endpoint; its secret is in `secret`."""
        answered = await self.post("/v1/webhook_endpoints", {"url": url, **asked})
        assert answered.status == 201, answered.body
        made: dict[str, Any] = answered.json
        return made

    async def change(self, endpoint: dict[str, Any], **asked: Any) -> dict[str, Any]:
        answered = await self.post(f"/v1/webhook_endpoints/{endpoint['id']}", asked)
        assert answered.status == 200, answered.body
        made: dict[str, Any] = answered.json
        return made

    async def look(self, endpoint: dict[str, Any]) -> dict[str, Any]:
        answered = await self.get(f"/v1/webhook_endpoints/{endpoint['id']}")
        assert answered.status == 200, answered.body
        found: dict[str, Any] = answered.json
        return found

    async def deliveries(self, endpoint: dict[str, Any], query: str = "") -> list[dict[str, Any]]:
        answered = await self.get(f"/v1/webhook_endpoints/{endpoint['id']}/deliveries?limit=100{query}")
        assert answered.status == 200, answered.body
        found: list[dict[str, Any]] = answered.json["data"]
        return found

    async def attempts(self, delivery: dict[str, Any]) -> list[dict[str, Any]]:
        answered = await self.get(f"/v1/webhook_deliveries/{delivery['id']}")
        assert answered.status == 200, answered.body
        found: list[dict[str, Any]] = answered.json["attempts"]
        return found


async def told(context: Context) -> None:
    """Every event so far has its deliveries."""
    while await fan_out(context, 0):
        pass


@asynccontextmanager
async def delivering(context: Context) -> AsyncIterator[Deliverer]:
    """A worker that delivers while the block runs."""
    stopping = asyncio.Event()
    deliverer = Deliverer(context, 0)
    running = asyncio.create_task(deliverer.run(stopping))
    try:
        yield deliverer
    finally:
        stopping.set()
        deliverer.wake()
        await running


async def settled(
    context: Context, attempts: int = 0, endpoint: dict[str, Any] | None = None, ana: Ana | None = None
) -> list[dict[str, Any]]:
    """Waits until nobody holds an endpoint and nothing is due; or until one's deliveries were tried so often."""
    query = "select 1 from webhook_queue where holder is not null or due_at <= now() limit 1"
    for _ in range(1000):
        if endpoint is not None and ana is not None:
            found = await ana.deliveries(endpoint)
            if found and all(delivery["attempts"] >= attempts for delivery in found):
                return found
        elif await context.row(query) is None:
            return []
        await asyncio.sleep(0.01)
    raise AssertionError("it does not come to rest")


async def hurry(context: Context) -> float:
    """What waits is due now; how long the first of it would have waited, seconds."""
    async with context.pool.connection() as connection:
        cursor = await connection.execute(
            "select extract(epoch from min(due_at) - now())::float8 from webhook_delivery where due_at is not null"
        )
        row = await cursor.fetchone()
        await connection.execute("update webhook_delivery set due_at = now() where due_at is not null")
        await connection.execute("update webhook_queue set due_at = now()")
    assert row is not None and row[0] is not None, "nothing waits"
    return float(row[0])
