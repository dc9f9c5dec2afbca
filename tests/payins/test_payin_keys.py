"""Idempotency, row by row as the API's conventions have it; and who may see and do what."""

from __future__ import annotations

import asyncio
import base64
from typing import Any

import pytest

from caudal.kernel.context import Context
from tests.conftest import KEK, settings_of
from tests.payins.books import assert_in_order, rows
from tests.payins.cast import Merchant


async def counted(context: Context) -> tuple[Any, ...]:
    """Keys, payins, events, transfers."""
    query = "select (select count(*) from key), (select count(*) from payin), (select count(*) from event)"
    return (await context.rows(query + ", (select count(*) from transfer)"))[0]


# The same key again


async def test_the_same_request_is_answered_byte_for_byte_and_happens_once(ana: Merchant, context: Context) -> None:
    first = await ana.create("k", payer={"name": "Ana"})
    before = await counted(context)
    for _ in range(3):
        again = await ana.create("k", payer={"name": "Ana"})
        assert (again.status, again.body) == (201, first.body)
        assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    assert await counted(context) == before


async def test_the_answer_stays_when_the_payin_has_gone_on(ana: Merchant) -> None:
    first = await ana.create("k")
    await ana.paid(first.json)
    assert (await ana.create("k")).body == first.body


async def test_the_answer_survives_a_restart(database_url: str, ana: Merchant) -> None:
    first = await ana.create("k")
    async with Context(settings_of(database_url), name="restarted") as context:
        restarted = Merchant(context, ana.merchant, ana.key, ana.olga)
        again = await restarted.create("k")
    assert (again.body, again.headers["idempotent-replayed"]) == (first.body, "true")


async def test_the_answer_survives_a_change_of_the_key_encryption_key(database_url: str, ana: Merchant) -> None:
    first = await ana.create("k")
    changed = settings_of(database_url, kek=base64.b64encode(bytes(32)).decode(), kek_former=KEK)
    async with Context(changed, name="changed") as context:
        asking = Merchant(context, ana.merchant, ana.key, ana.olga)
        assert (await asking.create("k")).body == first.body
        assert (await asking.create("k", amount=20_000)).code == "key_reused"


async def test_a_hundred_at_once_are_one(ana: Merchant, context: Context) -> None:
    answered = await asyncio.gather(*(ana.create("k") for _ in range(100)))
    assert {(one.status, one.body) for one in answered} == {(201, answered[0].body)}
    assert sum("idempotent-replayed" not in one.headers for one in answered) == 1
    assert await rows(context, "select count(*) from payin") == [(1,)]


async def test_a_quoted_key_is_the_bare_one(ana: Merchant) -> None:
    first = await ana.create("a key")
    assert (await ana.create('"a key"')).body == first.body


async def test_a_key_with_another_request_is_refused_and_changes_nothing(ana: Merchant, context: Context) -> None:
    first = await ana.create("k")
    before = await counted(context)
    for other in (await ana.create("k", amount=10_001), await ana.cancel(first.json, idempotency="k")):
        assert (other.status, other.code) == (422, "key_reused")
    assert await counted(context) == before
    assert (await ana.create("k")).body == first.body


async def test_keys_of_merchants_and_modes_are_their_own(ana: Merchant, caro: Merchant) -> None:
    live = await ana.key_of("live")
    body = {"amount": 10_000, "currency": "MXN", "country": "MX", "method": "spei"}
    made = [
        await ana.post("/v1/payins", body, idempotency="k"),
        await ana.post("/v1/payins", body, idempotency="k", key=live),
        await caro.post("/v1/payins", body, idempotency="k"),
    ]
    assert [one.status for one in made] == [201] * 3
    assert len({one.json["id"] for one in made}) == 3


async def test_where_money_moves_a_key_is_needed(ana: Merchant, context: Context) -> None:
    payin = await ana.payin()
    before = await counted(context)
    body = {"amount": 10_000, "currency": "MXN", "country": "MX", "method": "spei"}
    for path, sent in (("/v1/payins", body), (f"/v1/payins/{payin['id']}/cancellations", None)):
        answered = await ana.post(path, sent, idempotency=None)
        assert (answered.status, answered.code) == (400, "key_missing")
        assert answered.fields == {"Idempotency-Key": "missing"}
    assert await counted(context) == before


async def test_a_malformed_key_is_refused(ana: Merchant, context: Context) -> None:
    before = await counted(context)
    for key in ("x" * 256, "é", '""', " ", "a\tb"):
        answered = await ana.create(key)
        assert (answered.status, answered.code) == (400, "invalid_key"), key
    assert (await ana.create("x" * 255)).status == 201
    assert await rows(context, "select count(*) from key") == [(before[0] + 1,)]


# What is stored under the key


async def test_what_is_wrong_with_the_request_is_not_stored(ana: Merchant, context: Context) -> None:
    before = await counted(context)
    wrong = [
        await ana.create("k", amount=1),
        await ana.post("/v1/payins", b"{", idempotency="k"),
        await ana.post("/v1/payins", {}, idempotency="k", key="sk_test_x"),
        await ana.post("/v1/payins", b" " * 70_000, idempotency="k"),
        await ana.post("/v1/payins", {}, idempotency="k", headers={"content-type": "text/plain"}),
    ]
    assert [one.status for one in wrong] == [422, 400, 401, 413, 415]
    assert await counted(context) == before
    assert (await ana.create("k")).status == 201


async def test_what_a_decision_refuses_is_stored_and_nothing_else_is(ana: Merchant, context: Context) -> None:
    payin = await ana.payin()
    await ana.paid(payin)
    before = await counted(context)
    first = await ana.cancel(payin, idempotency="k")
    assert (first.status, first.code) == (409, "forbidden_transition")
    assert await counted(context) == (before[0] + 1, *before[1:])
    again = await ana.cancel(payin, idempotency="k")
    assert (again.status, again.body) == (409, first.body)
    assert again.headers["idempotent-replayed"] == "true"
    assert again.headers["content-type"] == "application/problem+json"


async def test_an_unknown_payin_that_is_cancelled_is_a_stored_404(ana: Merchant) -> None:
    nobody = {"id": f"payin_{'0' * 32}"}
    first = await ana.cancel(nobody, idempotency="k")
    again = await ana.cancel(nobody, idempotency="k")
    assert (first.status, first.code, again.body) == (404, "not_found", first.body)
    assert again.headers["idempotent-replayed"] == "true"


async def test_the_key_itself_is_stored_nowhere(ana: Merchant, context: Context) -> None:
    await ana.create("ana@example.com")
    assert await rows(context, "select count(*) from key k where k::text like '%%ana@%%'") == [(0,)]


# Who may


async def test_another_merchants_and_modes_payins_are_not_there(ana: Merchant, caro: Merchant) -> None:
    payin = await ana.payin()
    for key in (caro.key, await ana.key_of("live")):
        seen = await ana.get(f"/v1/payins/{payin['id']}", key=key)
        cancelled = await ana.cancel(payin, key=key)
        assert [(one.status, one.code) for one in (seen, cancelled)] == [(404, "not_found")] * 2
        assert (await ana.get("/v1/payins", key=key)).json["data"] == []
        assert (await ana.get("/v1/events", key=key)).json["data"] == []
    assert (await ana.seen(payin))["status"] == "pending"


async def test_an_id_that_is_none_is_not_there(ana: Merchant) -> None:
    digits = (await ana.payin())["id"].removeprefix("payin_")
    for id in (
        "x",
        "payin_",
        f"dep_{digits}",
        f"payin_{digits.upper()}",
        f"payin_{digits[:-1]}",
        "payin_%00",
        "é" * 32,
    ):
        answered = await ana.get(f"/v1/payins/{id}")
        assert (answered.status, answered.code) == (404, "not_found"), id


@pytest.mark.parametrize("header", ["-", "", "Bearer", "Bearer sk_test_x", "Basic dXNlcjpw", "Bearer \x00"])
async def test_wrong_credentials_are_a_401(ana: Merchant, header: str) -> None:
    answered = await ana.post("/v1/payins", {}, headers={"authorization": header})
    assert (answered.status, answered.code) == (401, "unauthenticated")
    assert answered.headers["www-authenticate"].startswith("Bearer")


async def test_a_key_of_the_other_mode_is_none(ana: Merchant) -> None:
    for key in (ana.key.replace("sk_test_", "sk_live_"), ana.olga, ana.key.replace("sk_test_", "op_")):
        assert (await ana.get("/v1/payins", key=key)).status == 401


async def test_a_revoked_key_is_refused_in_the_batch_although_it_is_remembered(ana: Merchant, context: Context) -> None:
    payin = await ana.payin()  # the key is remembered from here on
    await context.rows("update api_key set revoked_at = now(), version = version + 1 returning 1")
    before = await counted(context)
    for answered in (await ana.create("k"), await ana.cancel(payin), await ana.advance(60)):
        assert (answered.status, answered.code) == (401, "unauthenticated")
    assert await counted(context) == before


async def test_a_key_without_the_scope_may_not(ana: Merchant, context: Context) -> None:
    key = await ana.key_of("test", scopes=("payins:read",))
    before = await counted(context)
    refused = [
        await ana.post("/v1/payins", {}, key=key),
        await ana.get("/v1/events", key=key),
        await ana.get("/v1/balances", key=key),
        await ana.post("/v1/sandbox/clock/advances", {"seconds": 60}, key=key),
    ]
    assert [(one.status, one.code) for one in refused] == [(403, "forbidden")] * 4
    assert (await ana.get("/v1/payins", key=key)).status == 200
    assert await counted(context) == before


async def test_live_and_test_never_meet(ana: Merchant, context: Context) -> None:
    live = await ana.key_of("live")
    test, real = await ana.payin(), (await ana.post("/v1/payins", BODY, key=live)).json
    assert (test["mode"], real["mode"]) == ("test", "live")
    await ana.paid(test)
    await ana.paid(real, secret="live secret")
    for key, mine in ((ana.key, test), (live, real)):
        assert [one["id"] for one in (await ana.get("/v1/payins", key=key)).json["data"]] == [mine["id"]]
        events = (await ana.get("/v1/events", key=key)).json["data"]
        assert {event["data"]["id"] for event in events} == {mine["id"]}
        assert (await ana.get("/v1/balances", key=key)).json["data"][0]["pending"] == 9_600
    assert (await ana.post("/v1/sandbox/clock/advances", {"seconds": 60}, key=live)).status == 404
    await assert_in_order(context)


BODY = {"amount": 10_000, "currency": "MXN", "country": "MX", "method": "spei"}
