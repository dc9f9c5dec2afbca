"""The load of many payins a request: each of them is counted, named and looked for."""

from __future__ import annotations

import json
import os
from uuid import uuid4

from caudal_load.bulk import Bulk, Load, measured
from caudal_load.caudal_up import Running
from caudal_load.scenario import Requests, Target
from caudal_load.scenarios import SPEI_CREATE
from tests.whole import Whole

NAMES = Requests(SPEI_CREATE, Target(host="h", port=1), ["k"])


async def test_every_payin_of_a_request_is_acknowledged_and_found(running: Whole) -> None:
    caudal = Running(
        url=running.api_url,
        database_url=running.database_url,
        operator_key=running.operator_key,
        processes={"own": os.getpid()},
    )
    asked = Bulk(items=40, connections=2, seconds=0.4, warm_up_s=0.1, merchants=2)
    found = await measured(caudal, asked, lambda _: None)
    assert found["acknowledged"] >= 80 and found["acknowledged"] % 40 == 0
    assert (found["refused"], found["lost"], found["doubled"]) == ({}, 0, 0)
    assert found["payins_per_s"] > 0 and found["request_p99_ms"] >= found["request_p50_ms"] > 0
    assert set(found["cpu_us_per_payin"]) == {"generator", "own"}


def test_an_answer_is_counted_payin_by_payin() -> None:
    load = Load(items=3, names=NAMES, measured=True)
    first, request = load.request("k", "h:1")
    head, _, body = request.partition(b"\r\n\r\n")
    assert b"Content-Length: %d" % len(body) in head
    keys = [item["idempotency_key"] for item in json.loads(body)["payins"]]
    assert (first, keys) == (0, [NAMES.token(number) for number in range(3)])
    assert load.request("k", "h:1")[0] == 3
    ids = [uuid4(), uuid4()]
    made = [{"status": 201, "payin": {"id": f"payin_{id.hex}"}, "problem": None} for id in ids]
    refused = {"status": 429, "payin": None, "problem": {"code": "too_many_requests"}}
    load.told(first, 200, json.dumps({"data": [made[0], refused, made[1]]}).encode())
    assert list(load.tally.promises()) == [(0, ids[0]), (2, ids[1])]
    assert (load.tally.window_acknowledged, dict(load.tally.refused_by_status)) == (2, {429: 1})
    load.told(3, 503, b"{}")
    assert dict(load.tally.refused_by_status) == {429: 1, 503: 1}
