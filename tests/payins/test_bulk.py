"""POST /v1/payins/bulk: many payins in one request, a key and an answer each, one failing alone."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from caudal.kernel.context import Context
from tests.api import Answered
from tests.payins.books import assert_in_order, rows
from tests.payins.cast import Merchant

SPEI = {"amount": 10_000, "currency": "MXN", "country": "MX", "method": "spei"}


def item(key: str, **changed: Any) -> dict[str, Any]:
    return {"idempotency_key": key, "payin": {**SPEI, **changed}}


async def bulk(ana: Merchant, *items: Any, **more: Any) -> Answered:
    return await ana.post("/v1/payins/bulk", {"payins": list(items)}, idempotency=None, **more)


async def test_each_payin_has_its_answer_in_the_order_of_the_request(ana: Merchant) -> None:
    answered = await bulk(ana, *(item(f"k{n}", amount=10_000 + n) for n in range(200)))
    assert answered.status == 200, answered.body
    data = answered.json["data"]
    assert [one["payin"]["amount"] for one in data] == [10_000 + n for n in range(200)]
    print(data[0])
