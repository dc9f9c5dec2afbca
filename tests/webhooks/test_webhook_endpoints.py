"""Merchants make endpoints, change them, rotate their secrets, test them, and have events sent again."""

from __future__ import annotations

import time
from typing import Any

import pytest
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from caudal.app import events, worker
from caudal.contracts.webhooks import TEST
from caudal.kernel.context import Context
from caudal.kernel.due import ClaimDue, run_job
from caudal.webhooks import TYPES, verify
from tests.webhooks.cast import Ana, delivering, settled, told
from tests.webhooks.receiver import Receiver

URL = "https://shop.example.com/caudal"


async def test_a_secret_is_shown_once_and_not_even_when_the_answer_is_replayed(ana: Ana, context: Context) -> None:
    first = await ana.post("/v1/webhook_endpoints", {"url": URL}, idempotency="make")
    again = await ana.post("/v1/webhook_endpoints", {"url": URL}, idempotency="make")
    assert first.json["secret"].startswith("whsec_") and again.json == {**first.json, "secret": None}
    assert again.headers["idempotent-replayed"] == "true"
    assert (await ana.look(first.json))["secret"] is None
    [(sealed, answer)] = await context.rows(
        "select e.sealed, k.answer from webhook_endpoint e join key k on k.shard = e.shard and k.subject = e.id"
    )
    secret = first.json["secret"].encode()
    assert secret not in bytes(sealed) and secret not in bytes(answer)


WRONG: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({}, {"/url": "missing"}),
    ({"url": "http://127.0.0.1:22/"}, {"/url": "port_not_allowed"}),
    ({"url": "https://10.0.0.1/"}, {"/url": "address_not_allowed"}),
    ({"url": "https://2130706433/"}, {"/url": "invalid_host"}),
    ({"url": "ftp://shop.example.com/"}, {"/url": "invalid_scheme"}),
    (
        {"url": URL, "types": ["payin.payed", "payin.paid", "payin.paid"]},
        {"/types/0": "unknown_type", "/types/2": "repeated"},
    ),
    ({"url": URL, "types": ["merchant.created"]}, {"/types/0": "unknown_type"}),
    ({"url": URL, "types": "payin.paid"}, {"/types": "invalid_type"}),
    ({"url": URL, "description": "x" * 201}, {"/description": "invalid_length"}),
    (
        {"url": "nowhere", "types": ["x"], "description": "x" * 201},
        {"/url": "invalid_scheme", "/types/0": "unknown_type", "/description": "invalid_length"},
    ),
    ({"url": URL, "typs": []}, {"/typs": "unknown_field"}),
]


def test_an_endpoint_may_hear_of_all_that_merchants_read() -> None:
    assert set(TYPES) | {TEST} == {name for name, kind in events.TYPES.items() if kind.reader == "merchant"}


@pytest.mark.parametrize(("asked", "errors"), WRONG, ids=[str(asked)[:60] for asked, _ in WRONG])
async def test_every_wrong_field_is_named(ana: Ana, asked: dict[str, Any], errors: dict[str, str]) -> None:
    answered = await ana.post("/v1/webhook_endpoints", asked)
    assert (answered.status, answered.fields) == (422, errors)


async def test_live_endpoints_need_https_and_never_name_this_machine(ana: Ana, server: Receiver) -> None:
    live = await ana.key_of("live")
    for url in ("http://shop.example.com/", server.url):
        answered = await ana.post("/v1/webhook_endpoints", {"url": url}, key=live)
        assert answered.status == 422 and "https_needed" in [error["code"] for error in answered.json["errors"]]
    made = await ana.post("/v1/webhook_endpoints", {"url": URL}, key=live)
    assert (made.status, made.json["mode"]) == (201, "live")
    assert (await ana.get(f"/v1/webhook_endpoints/{made.json['id']}")).status == 404, "the other mode's"


async def test_a_key_needs_the_scopes(ana: Ana) -> None:
    reading, nothing = (
        await ana.key_of("test", scopes=("webhooks:read",)),
        await ana.key_of("test", scopes=("events:read",)),
    )
    endpoint = await ana.endpoint(URL)
    path = f"/v1/webhook_endpoints/{endpoint['id']}"
    assert (await ana.get(path, key=reading)).status == 200
    assert (await ana.get(path, key=nothing)).code == "forbidden"
    assert (await ana.post(path, {"status": "disabled"}, key=reading)).code == "forbidden"
    assert (await ana.post(path, {}, idempotency=None)).code == "key_missing"


async def test_others_see_nothing_of_it(ana: Ana, caro: Ana) -> None:
    endpoint = await ana.endpoint(URL)
    made = (await ana.post(f"/v1/webhook_endpoints/{endpoint['id']}/tests")).json
    [event] = await ana.events()
    asked: list[tuple[str, Any]] = [
        (f"/v1/webhook_endpoints/{endpoint['id']}", {}),
        (f"/v1/webhook_endpoints/{endpoint['id']}/deletions", None),
        (f"/v1/webhook_endpoints/{endpoint['id']}/tests", None),
        (f"/v1/webhook_endpoints/{endpoint['id']}/secret_rotations", {"overlap_s": 0}),
        (
            f"/v1/webhook_endpoints/{endpoint['id']}/redeliveries",
            {"from": "2026-01-01T00:00:00Z", "to": "2036-01-01T00:00:00Z"},
        ),
        (f"/v1/webhook_deliveries/{made['id']}/redeliveries", None),
        (f"/v1/events/{event['id']}/redeliver", None),
    ]
    for path, body in asked:
        assert (await caro.post(path, body)).code == "not_found", path
    for path in (f"/v1/webhook_endpoints/{endpoint['id']}", f"/v1/webhook_deliveries/{made['id']}"):
        assert (await caro.get(path)).code == "not_found", path
    assert (await caro.get(f"/v1/webhook_endpoints/{endpoint['id']}/deliveries")).code == "not_found"
    assert (await caro.get("/v1/webhook_endpoints")).json["data"] == []


async def test_an_endpoint_is_changed_and_disabled_and_enabled(ana: Ana) -> None:
    endpoint = await ana.endpoint(URL, types=["payin.paid"], description="shop")
    changed = await ana.change(endpoint, url=URL + "2", description="")
    assert (changed["url"], changed["types"], changed["description"]) == (URL + "2", ["payin.paid"], None)
    disabled = await ana.change(endpoint, status="disabled")
    assert (disabled["status"], disabled["status_reason"]) == ("disabled", "requested")
    assert (await ana.post(f"/v1/webhook_endpoints/{endpoint['id']}/tests")).code == "forbidden_transition"
    assert (await ana.change(endpoint, status="enabled"))["status_reason"] is None
    [event] = await ana.events()
    assert (event["type"], event["subject"]) == ("webhook_endpoint.disabled", endpoint["id"])


async def test_the_list_pages_both_ways(ana: Ana) -> None:
    made = [(await ana.endpoint(f"{URL}/{number}"))["id"] for number in range(5)]
    first = (await ana.get("/v1/webhook_endpoints?limit=2")).json
    second = (await ana.get(f"/v1/webhook_endpoints?limit=2&after={first['next']}")).json
    back = (await ana.get(f"/v1/webhook_endpoints?limit=2&before={second['previous']}")).json
    assert [row["id"] for row in first["data"] + second["data"]] == made[:0:-1][:4]
    assert back["data"] == first["data"] and first["has_more"] and second["has_more"]


async def test_a_rotated_secret_signs_beside_the_new_one_for_the_overlap(
    context: Context, ana: Ana, server: Receiver
) -> None:
    endpoint = await ana.endpoint(server.url)
    path = f"/v1/webhook_endpoints/{endpoint['id']}/secret_rotations"
    rotated = (await ana.post(path, {"overlap_s": 3_600})).json
    await ana.payin()
    await told(context)
    async with delivering(context):
        [message] = await server.until(1)
    for secret in (endpoint["secret"], rotated["secret"]):
        assert Webhook(secret).verify(message.body, message.headers)
        verify(secret, message.headers, message.body, time.time())
    assert (await ana.post(path, {"overlap_s": 0})).json["former_secret_until"] is None
    await ana.payin()
    await told(context)
    async with delivering(context):
        _, message = await server.until(2)
    for secret in (endpoint["secret"], rotated["secret"]):
        with pytest.raises(WebhookVerificationError):
            Webhook(secret).verify(message.body, message.headers)
    assert (await ana.post(path, {"overlap_s": -1})).status == 422


async def test_a_test_goes_to_the_one_endpoint_whatever_it_hears_of(
    context: Context, ana: Ana, server: Receiver
) -> None:
    tested, _ = await ana.endpoint(f"{server.url}/a", types=["payin.paid"]), await ana.endpoint(f"{server.url}/b")
    made = (await ana.post(f"/v1/webhook_endpoints/{tested['id']}/tests")).json
    await told(context)
    async with delivering(context):
        [message] = await server.until(1)
        await settled(context)
    assert [one.path for one in server.messages] == ["/a"] and message.event["type"] == "webhook_endpoint.tested"
    assert (made["cause"], made["event"]) == ("test", message.id)
    assert message.event in await ana.events()


# Once more


async def test_one_delivery_is_sent_again_under_the_same_id(context: Context, ana: Ana, server: Receiver) -> None:
    endpoint = await ana.endpoint(server.url)
    await ana.payin()
    await told(context)
    async with delivering(context) as deliverer:
        await server.until(1)
        await settled(context)
        [first] = await ana.deliveries(endpoint)
        again = await ana.post(f"/v1/webhook_deliveries/{first['id']}/redeliveries", idempotency="again")
        once = await ana.post(f"/v1/webhook_deliveries/{first['id']}/redeliveries", idempotency="again")
        deliverer.wake()
        one, two = await server.until(2)
        await settled(context)
    assert again.status == 201 and once.body == again.body and again.json["cause"] == "redelivery"
    assert (one.id, one.body) == (two.id, two.body)
    assert [row["id"] for row in await ana.deliveries(endpoint)] == [again.json["id"], first["id"]]


async def test_an_event_is_sent_again_to_all_who_hear_of_it(context: Context, ana: Ana, server: Receiver) -> None:
    await ana.payin()
    await told(context)
    for path, types in (("/a", []), ("/b", ["payin.created"]), ("/c", ["payin.paid"])):
        await ana.endpoint(server.url + path, types=types)
    [event] = await ana.events()
    made = await ana.post(f"/v1/events/{event['id']}/redeliver")
    assert made.status == 201 and len(made.json["data"]) == 2
    async with delivering(context):
        await server.until(2)
        await settled(context)
    assert sorted(message.path for message in server.messages) == ["/a", "/b"]
    forged = event["id"][:-1] + ("0" if event["id"][-1] != "0" else "1")
    assert (await ana.post(f"/v1/events/{forged}/redeliver")).code == "not_found"


async def worked(context: Context) -> None:
    """What is due now is done."""
    for due in (await context.commit(0, ClaimDue(lease_s=30))).outcome:
        assert await run_job(context, 0, due, worker.JOBS)


async def everything_due(context: Context) -> int:
    """What is due is done until nothing is; how often that was looked at."""
    for looks in range(1, 100):
        await worked(context)
        if not await context.rows("select 1 from due where at <= now()"):
            return looks
    raise AssertionError("it does not end")


async def test_a_range_brings_what_was_missed_in_its_order(
    context: Context, ana: Ana, server: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caudal.webhooks.jobs.STEP", 3)
    endpoint = await ana.endpoint(server.url, types=["payin.created"])
    seen = await ana.payin()
    await told(context)
    async with delivering(context):
        await server.until(1)
        await settled(context)
    await ana.change(endpoint, status="disabled")
    missed = [(await ana.payin())["id"] for _ in range(8)]
    await told(context)
    await ana.change(endpoint, status="enabled")
    asked = {"from": "2026-01-01T00:00:00Z", "to": "2036-01-01T00:00:00Z", "only_failed": True}
    made = await ana.post(f"/v1/webhook_endpoints/{endpoint['id']}/redeliveries", asked)
    assert made.status == 201 and made.json["types"] == ["payin.created"]
    await everything_due(context)
    async with delivering(context):
        await server.until(9)
        await settled(context)
    assert [message.event["subject"] for message in server.messages] == [seen["id"], *missed]
    assert await context.rows("select status, made from webhook_range") == [("done", 8)]
    assert await context.rows("select 1 from due where kind = 'webhook.redeliver'") == []
    everything = {**asked, "only_failed": False}
    await ana.post(f"/v1/webhook_endpoints/{endpoint['id']}/redeliveries", everything)
    await everything_due(context)
    async with delivering(context):
        await server.until(18)
    assert "webhook.redeliver" in worker.JOBS


EVER = {"from": "2000-01-01T00:00:00Z", "to": "2036-01-01T00:00:00Z"}


async def test_a_long_range_is_made_in_steps_and_lets_other_work_go_between(
    context: Context, ana: Ana, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caudal.webhooks.jobs.STEP", 3)
    endpoint = await ana.endpoint(URL, types=["payin.paid"])
    for _ in range(7):
        await ana.payin()
    made = await ana.post(f"/v1/webhook_endpoints/{endpoint['id']}/redeliveries", EVER)
    seen = []
    for _ in range(3):
        await worked(context)
        seen += await context.rows(
            "select r.seq - (select min(seq) from event e where e.book = r.book) + 1, status from webhook_range r"
        )
    assert made.status == 201 and seen == [(3, "running"), (6, "running"), (7, "done")], "what is not wanted counts"
    assert await context.rows("select 1 from webhook_delivery") == []
    assert await context.rows("select 1 from due where kind = 'webhook.redeliver'") == []


async def test_a_range_begins_where_its_time_begins(
    context: Context, ana: Ana, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("caudal.webhooks.jobs.STEP", 3)
    endpoint = await ana.endpoint(URL)
    for _ in range(7):
        await ana.payin()
    [last, *_] = sorted(await ana.events(), key=lambda event: -int(event["sequence"]))
    await ana.post(f"/v1/webhook_endpoints/{endpoint['id']}/redeliveries", {**EVER, "from": last["time"]})
    assert await everything_due(context) == 1
    assert [row["event"] for row in await ana.deliveries(endpoint)] == [last["id"]]


async def test_a_range_ends_with_its_endpoint(context: Context, ana: Ana) -> None:
    endpoint = await ana.endpoint(URL)
    await ana.payin()
    await ana.post(f"/v1/webhook_endpoints/{endpoint['id']}/redeliveries", EVER)
    await ana.change(endpoint, status="disabled")
    assert await everything_due(context) == 1
    assert await context.rows("select status, made from webhook_range") == [("done", 0)]


async def test_only_so_many_ranges_are_on_their_way(context: Context, ana: Ana) -> None:
    endpoint = await ana.endpoint(URL)
    path = f"/v1/webhook_endpoints/{endpoint['id']}/redeliveries"
    for _ in range(10):
        assert (await ana.post(path, EVER)).status == 201
    refused = await ana.post(path, EVER, idempotency="eleven")
    assert (refused.status, refused.fields) == (422, {"": "too_many"})
    await everything_due(context)
    assert (await ana.post(path, EVER, idempotency="eleven")).status == 201, "nothing is stored of the refusal"


# Given up


async def test_an_endpoint_is_deleted_for_good(context: Context, ana: Ana) -> None:
    endpoint, other = await ana.endpoint(URL), await ana.endpoint(f"{URL}/other")
    path = f"/v1/webhook_endpoints/{endpoint['id']}"
    test = (await ana.post(f"{path}/tests")).json
    deleted = await ana.post(f"{path}/deletions", idempotency="once")
    again = await ana.post(f"{path}/deletions", idempotency="once")
    assert (deleted.status, deleted.json["status"], again.body) == (200, "deleted", deleted.body)
    assert deleted.json["deleted_at"] and await ana.look(endpoint) == deleted.json
    assert [row["id"] for row in (await ana.get("/v1/webhook_endpoints")).json["data"]] == [other["id"]]
    assert [row["id"] for row in await ana.deliveries(endpoint)] == [test["id"]], "history stays"
    assert await context.rows("select sealed, former_sealed from webhook_endpoint where status = 'deleted'") == [
        (None, None)
    ]
    refused: list[tuple[str, Any]] = [
        (path, {"status": "enabled"}),
        (f"{path}/deletions", None),
        (f"{path}/tests", None),
        (f"{path}/secret_rotations", {"overlap_s": 0}),
        (f"{path}/redeliveries", EVER),
        (f"/v1/webhook_deliveries/{test['id']}/redeliveries", None),
    ]
    for asked, body in refused:
        assert (await ana.post(asked, body)).code == "forbidden_transition", asked
    [event] = await ana.events(types="webhook_endpoint.deleted")
    assert (event["subject"], event["data"]["status"]) == (endpoint["id"], "deleted")


async def test_a_hundred_endpoints_are_enough_and_deleted_ones_do_not_count(ana: Ana) -> None:
    first = await ana.post("/v1/webhook_endpoints", {"url": URL}, idempotency="first")
    for number in range(99):
        made = await ana.endpoint(f"{URL}/{number}")
    await ana.change(made, status="disabled")
    again = await ana.post("/v1/webhook_endpoints", {"url": URL}, idempotency="first")
    assert again.json == {**first.json, "secret": None}, "what was made before is answered as before"
    refused = await ana.post("/v1/webhook_endpoints", {"url": URL}, idempotency="more")
    assert (refused.status, refused.fields) == (422, {"": "too_many"})
    assert (await ana.post(f"/v1/webhook_endpoints/{made['id']}/deletions")).status == 200
    assert (await ana.post("/v1/webhook_endpoints", {"url": URL}, idempotency="more")).status == 201


async def test_a_range_that_makes_no_sense_is_refused(ana: Ana) -> None:
    endpoint = await ana.endpoint(URL)
    path = f"/v1/webhook_endpoints/{endpoint['id']}/redeliveries"
    backwards = {"from": "2036-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}
    assert (await ana.post(path, backwards)).fields == {"/to": "contradiction"}
    assert (await ana.post(path, {})).fields == {"/from": "missing", "/to": "missing"}
    await ana.change(endpoint, status="disabled")
    right = {"from": "2026-01-01T00:00:00Z", "to": "2026-01-02T00:00:00Z"}
    assert (await ana.post(path, right)).code == "forbidden_transition"


async def test_deliveries_are_found_by_what_they_are(context: Context, ana: Ana, server: Receiver) -> None:
    endpoint = await ana.endpoint(server.url)
    payin = await ana.payin()
    await ana.paid(payin)
    await told(context)
    async with delivering(context):
        await server.until(2)
        await settled(context)
    await ana.payin()
    await told(context)
    assert [row["type"] for row in await ana.deliveries(endpoint)] == ["payin.created", "payin.paid", "payin.created"]
    assert len(await ana.deliveries(endpoint, "&status=pending")) == 1
    assert len(await ana.deliveries(endpoint, "&type=payin.paid")) == 1
    [event, *_] = await ana.events()
    assert [row["event"] for row in await ana.deliveries(endpoint, f"&event={event['id']}")] == [event["id"]]
    assert await ana.deliveries(endpoint, "&created_to=2026-01-01T00:00:00Z") == []
    first = (await ana.get(f"/v1/webhook_endpoints/{endpoint['id']}/deliveries?limit=2")).json
    second = (await ana.get(f"/v1/webhook_endpoints/{endpoint['id']}/deliveries?limit=2&after={first['next']}")).json
    assert (len(first["data"]), len(second["data"]), second["has_more"]) == (2, 1, False)
    assert (await ana.get(f"/v1/webhook_endpoints/{endpoint['id']}/deliveries?status=lost")).status == 422
