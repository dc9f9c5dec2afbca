"""POST /v1/payins/bulk: many payins in one request, a key and an answer each, one failing alone."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import msgspec
import psycopg

from caudal.kernel.commit import Limits
from caudal.kernel.context import Context
from caudal.kernel.telemetry import Sampling, Span, Tracer
from caudal.merchants import first_merchant, first_operator
from caudal.payins.http import bulk as page
from tests.api import Answered
from tests.conftest import settings_of
from tests.payins.books import assert_in_order, rows
from tests.payins.cast import ASKED, SECRET, Merchant
from tests.payins.desk import Desk

SPEI = {"amount": 10_000, "currency": "MXN", "country": "MX", "method": "spei"}
SOON_S = 30.0
# What is wrong with a list, and where; nothing of it is written.
REFUSED = """
[]                                                          /payins:invalid_value
{}                                                          /payins:invalid_type
null                                                        /payins:invalid_type
[7]                                                         /payins/0:invalid_type
[{"payin":P}]                                               /payins/0/idempotency_key:missing
[{"idempotency_key":"a"}]                                   /payins/0/payin:missing
[{"idempotency_key":7,"payin":P}]                           /payins/0/idempotency_key:invalid_type
[{"idempotency_key":"","payin":P}]                          /payins/0/idempotency_key:invalid_value
[{"idempotency_key":" a","payin":P}]                        /payins/0/idempotency_key:invalid_value
[{"idempotency_key":"ñ","payin":P}]                         /payins/0/idempotency_key:invalid_value
[{"idempotency_key":"{256}","payin":P}]                     /payins/0/idempotency_key:invalid_value
[{"idempotency_key":"a","payin":P,"amount":1}]              /payins/0/amount:unknown_field
[{"idempotency_key":"a","idempotency_key":"b","payin":P}]   /payins/0/idempotency_key:repeated
[{"idempotency_key":"a","payin" : P,"payin":P}]             /payins/0/payin:repeated
[{"idempotency_key":"a","payin":P,"pay\\u0069n":P}]         /payins/0/payin:repeated
[{"idempotency_key":"a","payin":P},{"payin":{}}]            /payins/1/idempotency_key:missing
"""


def item(key: str, **changed: Any) -> dict[str, Any]:
    asked = {**SPEI, **ASKED.get(changed.get("method", ""), {}), **changed}
    return {"idempotency_key": key, "payin": {name: value for name, value in asked.items() if value is not ...}}


async def bulk(ana: Merchant, *items: Any, **more: Any) -> list[dict[str, Any]]:
    answered = await asked(ana, *items, **more)
    assert answered.status == 200, answered.body
    data: list[dict[str, Any]] = answered.json["data"]
    assert len(data) == len(items)
    return data


async def asked(ana: Merchant, *items: Any, **more: Any) -> Answered:
    return await ana.post("/v1/payins/bulk", {"payins": list(items)}, idempotency=None, **more)


def said(one: dict[str, Any]) -> str:
    """An answer in a word or two."""
    if one["payin"] is not None:
        return f"{one['status']} {one['payin']['status']}" + (" again" if one["idempotent_replayed"] else "")
    fields = "".join(f" {error['field']}" for error in one["problem"].get("errors", ()))
    return f"{one['status']} {one['problem']['code']}{fields}"


# Each for itself


async def test_each_payin_has_its_answer_in_the_order_of_the_request(ana: Merchant, context: Context) -> None:
    data = await bulk(ana, *(item(f"k{n}", amount=10_000 + n) for n in range(page.MOST)))
    assert [one["payin"]["amount"] for one in data] == [10_000 + n for n in range(page.MOST)]
    assert {(one["status"], one["problem"], one["retry_after"]) for one in data} == {(201, None, None)}
    assert len({one["payin"]["next_action"]["clabe"] for one in data}) == page.MOST
    assert await ana.seen(data[77]["payin"]) == {**data[77]["payin"], "payer": None}
    await ana.paid(data[499]["payin"])
    assert (await ana.seen(data[499]["payin"]))["status"] == "paid"
    await assert_in_order(context)


async def test_an_answer_is_the_one_that_the_payin_would_get_alone(ana: Merchant, caro: Merchant) -> None:
    bodies: list[Any] = [
        {**SPEI, "reference": "7", "metadata": {"a": "b"}, "payer": {"name": "Zoë", "email": "z@example.com"}},
        {**SPEI, "amount": 1, "refrence": "x"},
        {**SPEI, "expires_at": "2020-01-01T00:00:00Z"},
        {**SPEI, "method": "spie"},
        {**SPEI, "description": "x" * 70_000},
        {**SPEI, "payer": {"name": "a\0"}},
        7,
    ]
    alone = [await ana.post("/v1/payins", body, headers={"request-id": "r"}) for body in bodies]
    items = [{"idempotency_key": f"k{n}", "payin": body} for n, body in enumerate(bodies)]
    many = await bulk(caro, *items, headers={"request-id": "r"})
    assert (
        [one["status"] for one in many]
        == [answered.status for answered in alone]
        == [201, 422, 422, 422, 413, 422, 422]
    )
    unequal = {"id", "next_action", "created_at", "expires_at"}
    for one, answered in zip(many, alone, strict=True):
        shown = one["payin"] or one["problem"]
        if answered.status == 413:
            assert (shown["code"], answered.code) == ("too_large", "too_large")
        else:
            assert {name: shown[name] for name in shown.keys() - unequal} == {
                name: answered.json[name] for name in answered.json.keys() - unequal
            }


async def test_one_fails_alone_and_what_is_refused_writes_nothing(ana: Merchant, context: Context) -> None:
    await ana.create("used")
    data = await bulk(ana, item("a"), item("b", amount=1), item("used", amount=9_000), item("c", amount=...), item("d"))
    assert [said(one) for one in data] == [
        "201 pending",
        "422 invalid_request /amount",
        "422 key_reused",
        "422 invalid_request /amount",
        "201 pending",
    ]
    assert await rows(context, "select (select count(*) from payin), (select count(*) from key)") == [(3, 3)]


async def test_a_repetition_answers_payin_by_payin_what_it_answered_first(ana: Merchant, context: Context) -> None:
    first = await bulk(ana, item("a", reference="1"), item("b", amount=1), item("c"))
    again = await bulk(ana, item("c"), item("d"), item("a", reference="1"), item("b", amount=1), item("a"))
    assert [said(one) for one in again] == [
        "201 pending again",
        "201 pending",
        "201 pending again",
        "422 invalid_request /amount",
        "422 key_reused",
    ]
    assert (again[0]["payin"], again[2]["payin"]) == (first[2]["payin"], first[0]["payin"])
    assert await rows(context, "select count(*) from payin") == [(3,)]


async def test_a_key_is_the_same_here_and_alone(ana: Merchant) -> None:
    alone = await ana.post("/v1/payins", SPEI, idempotency="a")
    [here, new] = await bulk(ana, item("a"), item("b"))
    assert (said(here), here["payin"]) == ("201 pending again", alone.json)
    again = await ana.post("/v1/payins", SPEI, idempotency="b")
    assert (again.headers["idempotent-replayed"], again.json) == ("true", new["payin"])


async def test_a_key_that_comes_twice_in_a_request_counts_once(ana: Merchant, context: Context) -> None:
    data = await bulk(ana, item("a"), item("a"), item("b", amount=1), item("b"), item("a", amount=9_000))
    assert [said(one) for one in data] == [
        "201 pending",
        "201 pending again",
        "422 invalid_request /amount",
        "201 pending",
        "422 key_reused",
    ]
    assert data[0]["payin"] == data[1]["payin"]
    assert await rows(context, "select count(*) from payin") == [(2,)]


# How it is seen


async def test_each_payins_answer_is_counted_and_what_was_not_done_is_an_error_of_the_whole(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    kept: list[Span] = []
    context.tracer = Tracer(Sampling(share=0.0), kept.append, slow_s=1e9)
    assert [said(one) for one in await bulk(ana, item("a"), item("b"))] == ["201 pending"] * 2
    await bulk(ana, item("c", amount=1))
    assert kept == [], "all was answered, and what is wrong with a payin is its caller's"
    desk.away.add("sandbox")
    data = await bulk(ana, item("d"), item("e", method="pix"), item("f", amount=1))
    assert [said(one) for one in data] == ["201 pending", "503 provider_unavailable", "422 invalid_request /amount"]
    [span] = [one for one in kept if one.kind == "server"]
    assert (span.name, span.error) == ("POST /v1/payins/bulk", "provider_unavailable")
    told = [span.attributes[name] for name in ("http.response.status_code", "error.type")]
    assert told == [200, "provider_unavailable"]
    [(_, counted)] = [one for one in context.meter.read() if one[0].name == "caudal.bulk.payins"]
    assert dict(counted) == {
        ("201", ""): 3,
        ("503", "provider_unavailable"): 1,
        ("422", "invalid_request"): 2,
    }


# Who may ask, and for what


async def test_a_list_that_is_wrong_is_refused_whole_with_every_place(ana: Merchant, context: Context) -> None:
    wrong = []
    for line in REFUSED.strip().splitlines():
        text, expected = line.rsplit(maxsplit=1)
        text = text.strip().replace("{256}", "k" * 256).replace("P", json.dumps(SPEI))
        answered = await ana.post("/v1/payins/bulk", f'{{"payins":{text}}}'.encode(), idempotency=None)
        found = " ".join(f"{field}:{code}" for field, code in answered.fields.items())
        if (answered.status, found) != (422, expected):
            wrong.append(f"{line}\n    {answered.status} {answered.body.decode()[:300]}")
    assert not wrong, "\n" + "\n".join(wrong)
    for raw, status in ((b"{", 400), (b"", 400), (b"[]", 422), (b'{"payin":[]}', 422)):
        assert (await ana.post("/v1/payins/bulk", raw, idempotency=None)).status == status
    too_many = await asked(ana, *(item(f"k{n}") for n in range(page.MOST + 1)))
    assert (too_many.status, too_many.fields) == (422, {"/payins": "invalid_value"})
    too_large = await ana.post("/v1/payins/bulk", b" " * (page.BODY_LIMIT_BYTES + 1), idempotency=None)
    assert (too_large.status, too_large.code) == (413, "too_large")
    assert await rows(context, "select (select count(*) from payin), (select count(*) from key)") == [(0, 0)]


async def test_what_is_hidden_in_one_payin_is_its_own(ana: Merchant) -> None:
    twice = json.dumps(SPEI)[:-1] + ',"amount":20000}'
    named = json.dumps({**SPEI, "reference": "é", "description": '"payin" "idempotency_key"'})
    raw = f'{{"payins":[{{"idempotency_key":"a","payin":{twice}}},{{"payin" : {named}, "idempotency_key":"\\u0062"}}]}}'
    answered = await ana.post("/v1/payins/bulk", raw.encode(), idempotency=None)
    assert [said(one) for one in answered.json["data"]] == ["422 invalid_request /amount", "201 pending"]


async def test_a_caller_that_may_not_is_refused_whole(ana: Merchant) -> None:
    reader = await ana.key_of("test", scopes=("payins:read",))
    assert (await asked(ana, item("a"), key=reader)).code == "forbidden"
    assert (await asked(ana, item("a"), key="sk_test_nobody")).code == "unauthenticated"
    assert (await ana.get("/v1/payins/bulk")).status == 404, "the id of no payin"


async def test_who_has_no_price_or_no_bank_is_told_so_for_each(ana: Merchant, context: Context) -> None:
    context.settings = msgspec.structs.replace(context.settings, spei_url_live=None)
    made = await ana.post("/v1/operator/merchants", {"name": "Free", "country": "MX", "fee_plan": []}, key=ana.olga)
    key = await ana.post(f"/v1/operator/merchants/{made.json['id']}/keys", {"mode": "test"}, key=ana.olga)
    data = await bulk(ana, item("a"), item("b", amount=1), key=key.json["secret"])
    assert [said(one) for one in data] == ["422 invalid_request /method", "422 invalid_request /amount /method"]
    first = await bulk(ana, item("a"))
    live = await ana.key_of("live")
    assert [said(one) for one in await bulk(ana, item("a"), key=live)] == ["422 invalid_request /method"]
    assert (await bulk(ana, item("a")))[0]["payin"] == first[0]["payin"]


# Through providers


async def test_methods_may_be_mixed_and_keep_their_order(ana: Merchant, desk: Desk, context: Context) -> None:
    card = {"id": await ana.instrument()}
    desk.says["submit"] = ["lost"]
    data = await bulk(
        ana,
        item("a", method="pix"),
        item("b"),
        item("c", method="card", instrument=card),
        item("d", method="boleto"),
        item("e", method="card", instrument={"id": "instr_" + "0" * 32}),
    )
    assert [said(one) for one in data] == [
        "201 submitting",
        "201 pending",
        "201 paid",
        "201 pending",
        "422 invalid_request /instrument/id",
    ]
    assert [one["payin"]["method"] for one in data[:4]] == ["pix", "spei", "card", "boleto"]
    again = await bulk(ana, item("c", method="card", instrument=card))
    assert (said(again[0]), again[0]["payin"]) == ("201 paid again", data[2]["payin"])
    await assert_in_order(context)


async def test_a_key_that_comes_twice_is_charged_once(ana: Merchant, desk: Desk) -> None:
    data = await bulk(ana, *(item("a", method="pix") for _ in range(3)), item("a"))
    assert [said(one) for one in data] == ["201 pending", "201 pending again", "201 pending again", "422 key_reused"]
    assert desk.count("submit") == 1


async def test_a_provider_that_is_away_fails_its_payins_alone(ana: Merchant, desk: Desk) -> None:
    desk.away.add("sandbox")
    data = await bulk(ana, item("a", method="pix"), item("b"))
    assert [said(one) for one in data] == ["503 provider_unavailable", "201 pending"]
    assert data[0]["retry_after"] >= 1 and data[0]["problem"]["retry"] == "after"


async def test_a_single_payin_finds_the_provider_free_though_many_are_asked_for(desk: Desk, database_url: str) -> None:
    settings = settings_of(database_url, provider_secret_test=SECRET, provider_concurrency=8)
    async with Context(settings, name="test") as context:
        ana = Merchant(context, *await first_merchant(context, "Ana", "MX"), await first_operator(context))
        inside, most, free = 0, 0, asyncio.Event()

        async def hesitate() -> None:
            nonlocal inside, most
            inside, most = inside + 1, max(most, inside + 1)
            await free.wait()
            inside -= 1

        desk.says["submit"] = [hesitate, hesitate]
        many = asyncio.create_task(bulk(ana, *(item(f"k{n}", method="pix") for n in range(12))))
        async with asyncio.timeout(SOON_S):
            while inside < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        assert (await ana.pix())["status"] == "pending"
        assert not many.done() and desk.count("submit") == 3, "two of the many are under way, and nobody else's turn"
        desk.says["submit"] = [hesitate] * 10
        free.set()
        assert {said(one) for one in await many} == {"201 pending"}
        assert most == 2


# In the queue


async def test_single_payins_go_before_many_that_came_earlier(
    ana: Merchant, caro: Merchant, context: Context, database_url: str
) -> None:
    await ana.payin(), await caro.payin()
    async with await psycopg.AsyncConnection.connect(database_url) as holder:
        await holder.execute("select 1 from shard where id = 0 for update")
        many = [asyncio.create_task(bulk(ana, *(item(f"{part}-{n}") for n in range(500)))) for part in "ab"]
        async with asyncio.timeout(SOON_S):
            while len(context.shard(0).lanes) < 700:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        singles = [asyncio.create_task(one.payin()) for one in (ana, caro)]
        async with asyncio.timeout(SOON_S):
            while context.shard(0).lanes.admitted < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        await holder.rollback()
    alone = [made["id"].removeprefix("payin_") for made in await asyncio.gather(*singles)]
    await asyncio.gather(*many)
    order = "select id::text from payin p join event e on e.subject = p.id and e.type = 'payin.created' order by e.seq"
    places = [id.replace("-", "") for (id,) in await rows(context, order)]
    assert max(places.index(id) for id in alone) < 2 + 256 + 2, "in the batch behind the one that had begun"


async def test_a_crowd_refuses_as_many_as_find_no_room(ana: Merchant, context: Context) -> None:
    await ana.payin()
    context.shard(0).lanes.limits = Limits(queue_limit=100)
    data = await bulk(ana, *(item(f"k{n}") for n in range(60)))
    assert [said(one) for one in data] == ["201 pending"] * 50 + ["429 too_many_requests"] * 10
    assert all(one["retry_after"] >= 1 and one["problem"]["retry"] == "after" for one in data[50:])
    again = await bulk(ana, *(item(f"k{n}") for n in range(30, 60)))
    assert [said(one) for one in again] == ["201 pending again"] * 20 + ["201 pending"] * 10


async def test_an_agreed_rate_counts_payins(ana: Merchant, context: Context) -> None:
    await ana.payin()
    context.shard(0).lanes.limits = Limits(merchant_rate=5)
    data = await bulk(ana, *(item(f"k{n}") for n in range(20)))
    assert [one["status"] for one in data[:5]] == [201] * 5
    assert [one["status"] for one in data].count(429) >= 10


async def test_what_has_no_turn_by_the_deadline_is_told_so_and_not_written(
    ana: Merchant, context: Context, database_url: str
) -> None:
    await ana.payin()
    async with await psycopg.AsyncConnection.connect(database_url) as holder:
        await holder.execute("select 1 from shard where id = 0 for update")
        data = await bulk(ana, *(item(f"k{n}") for n in range(3)), headers={"request-timeout-ms": "150"})
    assert {said(one) for one in data} == {"503 overloaded"}
    assert await rows(context, "select count(*) from payin") == [(1,)]
