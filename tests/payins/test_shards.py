"""Two shards in one database: every story goes on wherever its merchant is, and operators see all of them as one."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import psycopg
import pytest

from caudal.connectors import spei
from caudal.kernel.context import Context
from caudal.kernel.due import ClaimDue, run_job
from caudal.payins import JOBS
from tests.api import Api
from tests.payins.books import rows, wrong_in
from tests.payins.cast import Merchant, key_of
from tests.payins.desk import Desk
from tests.payins.disputing import Seller

FEES = [
    {"family": family, "currency": currency, "fixed_minor": 300, "basis_points": 100}
    for family, currency in (("instant_transfer", "MXN"), ("instant_transfer", "BRL"), ("card", "BRL"))
]


@pytest.fixture
async def context(database_url: str, context: Context) -> Context:
    """A process that begins where a second shard is."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("insert into shard (id) values (1)")
    return context


async def taken_in(context: Context, olga: str, name: str, **asked: object) -> Seller:
    """A new merchant with a test key."""
    first = Merchant(context, *(await _made(context, olga, name, **asked)), olga)
    return Seller(context, first.merchant, first.key, olga)


async def _made(context: Context, olga: str, name: str, **asked: object) -> tuple[UUID, str]:
    api = Api(context)
    made = await api.post(
        "/v1/operator/merchants", {"name": name, "country": "MX", "fee_plan": FEES, **asked}, key=olga
    )
    assert made.status == 201, made.body
    key = await api.post(f"/v1/operator/merchants/{made.json['id']}/keys", {"mode": "test"}, key=olga)
    return UUID(made.json["id"].removeprefix("mer_")), str(key.json["secret"])


@pytest.fixture
async def ana(context: Context, olga: str) -> Seller:
    return await taken_in(context, olga, "Ana", shard=0)


@pytest.fixture
async def caro(context: Context, olga: str) -> Seller:
    return await taken_in(context, olga, "Caro", shard=1)


async def placed(context: Context) -> list[int]:
    return [shard for (shard,) in await rows(context, "select shard from placement order by slot")]


async def assert_all_in_order(context: Context) -> None:
    for shard in (0, 1):
        wrong = await wrong_in(context.settings.database_url or "", shard)
        assert not wrong, "\n".join(wrong)


async def worked(context: Context, *kinds: str) -> int:
    """A worker takes up on every shard what is due some day."""
    await rows(context, "update due set at = now() where kind = any(%s) returning 1", list(kinds))
    done = 0
    for shard in (0, 1):
        claimed = (await context.commit(shard, ClaimDue(lease_s=60.0))).outcome
        done += sum([await run_job(context, shard, due, JOBS) for due in claimed])
    return done


# Where a merchant goes


async def test_a_new_merchant_goes_where_fewest_are_unless_a_shard_is_named(context: Context, olga: str) -> None:
    for name in "abc":
        await taken_in(context, olga, name)
    await taken_in(context, olga, "d", shard=0)
    await taken_in(context, olga, "e")
    assert await placed(context) == [0, 1, 0, 0, 1]


async def test_a_shard_that_is_not_there_is_refused(context: Context, ana: Seller) -> None:
    for shard, code in ((2, "not_available"), (-1, "invalid_value"), ("1", "invalid_type")):
        asked: dict[str, Any] = {"name": "x", "country": "MX", "fee_plan": [], "shard": shard}
        answered = await ana.post("/v1/operator/merchants", asked, key=ana.olga)
        assert (answered.status, answered.fields) == (422, {"/shard": code}), answered.body


async def test_a_request_that_comes_again_makes_no_second_merchant_elsewhere(context: Context, ana: Seller) -> None:
    asked = {"name": "x", "country": "MX", "fee_plan": []}
    answers = [await ana.post("/v1/operator/merchants", asked, idempotency="k", key=ana.olga) for _ in range(4)]
    answers += await asyncio.gather(
        *(ana.post("/v1/operator/merchants", asked, idempotency="j", key=ana.olga) for _ in range(6))
    )
    assert len({answered.json["id"] for answered in answers}) == 2
    assert len(await rows(context, "select id from merchant")) == 3


# Stories, on either shard


@pytest.fixture(params=[0, 1], ids=["first", "second"])
async def seller(request: pytest.FixtureRequest, ana: Seller, caro: Seller) -> Seller:
    """A merchant of either shard; on the other one there is another."""
    return (ana, caro)[request.param]


async def test_a_transfer_arrives_by_its_clabe_once(seller: Seller, context: Context) -> None:
    made = await seller.payin()
    deposit = await seller.paid(made, tracking="T1")
    assert await seller.paid(made, tracking="T1") == deposit
    assert (await seller.seen(made))["status"] == "paid"
    assert [event["type"] for event in await seller.events()] == ["payin.created", "payin.paid"]
    repeated = await seller.post(f"/v1/operator/deposits/{deposit}/returns", key=seller.olga)
    assert repeated.code == "forbidden_transition", repeated.body
    await assert_all_in_order(context)


async def test_a_card_is_captured_refunded_and_disputed(seller: Seller, desk: Desk, context: Context) -> None:
    held = await seller.card(capture="manual")
    assert (await seller.capture(held, 6_000)).json["status"] == "succeeded"
    assert (await seller.refund(held, 1_000)).json["status"] == "succeeded"
    dispute = await seller.disputed(held, amount=2_000)
    assert (dispute["status"], (await seller.seen(held))["amount_disputed"]) == ("needs_response", 2_000)
    desk.says["submit"] = ["lost"]
    lost = await seller.pix()
    assert lost["status"] == "submitting" and await worked(context, "payin.submit") == 1
    assert (await seller.seen(lost))["status"] == "pending"
    desk.pay(key_of(lost))
    assert (await seller.told("pix", "payment", desk.told(key_of(lost)))).status == 200
    assert (await seller.seen(lost))["status"] == "paid"
    await assert_all_in_order(context)


async def test_a_refund_whose_outcome_comes_later_is_called_back(seller: Seller, desk: Desk, context: Context) -> None:
    paid = await seller.card()
    desk.says["refund"] = ["lost"]
    refund = (await seller.refund(paid, 1_000)).json
    assert refund["status"] == "pending"
    desk.settle(key_of(refund), "succeeded")
    told = await seller.told("card", "operation", desk.told_of_operation(key_of(refund)))
    assert told.status == 200
    assert (await seller.get(f"/v1/refunds/{refund['id']}")).json["status"] == "succeeded"
    await assert_all_in_order(context)


async def test_numbers_of_two_shards_are_two_clabes(ana: Seller, caro: Seller, context: Context) -> None:
    first, second = await ana.payin(), await caro.payin()
    places = [spei.place_of("646180", one["next_action"]["clabe"]) for one in (first, second)]
    assert [place and place[0] for place in places] == [0, 1]
    await caro.paid(second)
    assert [(await one.seen(made))["status"] for one, made in ((ana, first), (caro, second))] == ["pending", "paid"]
    elsewhere = await ana.deposit(spei.of_number("646182", 7), 500)
    assert elsewhere.status == 200, "no shard's: it is kept, and nobody's"
    await assert_all_in_order(context)


async def test_a_tracking_key_is_one_deposit_whichever_shards_accounts_it_names(
    ana: Seller, caro: Seller, context: Context
) -> None:
    first, second = await ana.payin(), await caro.payin()
    await caro.paid(second, tracking="T1")
    answered = await ana.deposit(first["next_action"]["clabe"], first["amount"], "T1")
    assert (answered.status, answered.code) == (409, "contradiction")
    assert (await ana.seen(first))["status"] == "pending"
    assert [one["kind"] for one in await ana.odd()] == ["other_account"]
    await ana.paid(first, tracking="T2")
    await rows(context, "delete from directory where kind = 'deposit' returning 1")  # as from before there were two
    answered = await caro.deposit((await caro.payin())["next_action"]["clabe"], first["amount"], "T2")
    assert answered.code == "contradiction"
    await assert_all_in_order(context)


async def test_nobody_sees_what_is_another_shards(ana: Seller, caro: Seller, desk: Desk) -> None:
    made = await caro.card()
    assert (await ana.get(f"/v1/payins/{made['id']}")).status == 404
    assert (await ana.refund(made, 1)).status == 404
    assert (await ana.get("/v1/payins")).json["data"] == []


# What operators see


async def test_lists_of_operators_are_one_over_all_shards_page_by_page(ana: Seller, caro: Seller) -> None:
    expected = []
    for number in range(7):
        one = (ana, caro)[number % 3 % 2]
        made = await one.payin()
        await one.cancel(made)
        expected.append(await one.paid(made))
    found: list[str] = []
    after = ""
    while True:
        page = (await ana.get(f"/v1/operator/deposits?limit=2{after}", key=ana.olga)).json
        found += [row["id"] for row in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after={page['next']}"
    assert found == expected[::-1]
    merchant = f"mer_{caro.merchant.hex}"
    own = (await ana.get(f"/v1/operator/deposits?merchant={merchant}&limit=100", key=ana.olga)).json["data"]
    assert [row["id"] for row in own] == [id for place, id in enumerate(expected) if place % 3 == 1][::-1]


async def test_an_operator_settles_and_returns_on_every_shard(
    ana: Seller, caro: Seller, desk: Desk, context: Context
) -> None:
    lost = []
    for one in (caro, ana, caro):
        desk.says["submit"] = ["nothing"]
        lost.append(await one.card())
    desk.says["payment"] = ["nothing"] * 3
    assert await worked(context, "payin.submit") == 0
    listed: list[str] = []
    after = ""
    for _ in range(3):
        page = (await ana.get(f"/v1/operator/unresolved?older_than_s=0&limit=1{after}", key=ana.olga)).json
        listed += [row["id"] for row in page["data"]]
        after = f"&after={page['next']}"
    assert listed == sorted(made["id"] for made in lost)
    settle = {"outcome": "happened", "reason": "it stands in the statement"}
    path = f"/v1/operator/unresolved/{lost[0]['id']}"
    assert (await ana.get(path, key=ana.olga)).json["id"] == lost[0]["id"]
    answers = [await ana.post(f"{path}/settlements", settle, idempotency="k", key=ana.olga) for _ in range(2)]
    assert [answered.status for answered in answers] == [201, 201], answers[0].body
    assert answers[0].body == answers[1].body and (await caro.seen(lost[0]))["status"] == "paid"
    made = await caro.payin()
    await caro.cancel(made)
    deposit = await caro.paid(made)
    returned = await ana.post(f"/v1/operator/deposits/{deposit}/returns", key=ana.olga)
    assert returned.status == 201, returned.body
    await assert_all_in_order(context)


async def test_discrepancies_of_every_shard_are_listed_and_resolved(
    ana: Seller, caro: Seller, desk: Desk, context: Context
) -> None:
    for number, one in enumerate((ana, caro, ana, caro)):
        made = await one.pix()
        await one.told("pix", "payment", desk.told(key_of(made), amount=number + 1))
    found = await ana.odd()
    assert [one["detail"]["amount_minor"] for one in found] == [4, 3, 2, 1]
    page = (await ana.get("/v1/operator/discrepancies?limit=2", key=ana.olga)).json
    rest = (await ana.get(f"/v1/operator/discrepancies?limit=2&after={page['next']}", key=ana.olga)).json
    assert [one["id"] for one in (*page["data"], *rest["data"])] == [one["id"] for one in found]
    for case in found[:2]:
        path = f"/v1/operator/discrepancies/{case['id']}"
        assert (await ana.get(path, key=ana.olga)).status == 200
        resolved = await ana.post(f"{path}/resolutions", {"resolution": "looked at"}, key=ana.olga)
        assert resolved.status == 201, resolved.body
    assert [one["id"] for one in await ana.odd()] == [one["id"] for one in found[2:]]


async def test_a_payments_story_is_told_wherever_it_is(ana: Seller, caro: Seller) -> None:
    made = [await one.payin() for one in (ana, caro)]  # the first events of payins on both shards
    for one, payin in zip((ana, caro), made, strict=True):
        [event] = await one.events()
        for id in (payin["id"], event["id"]):
            told = await ana.get(f"/v1/operator/traces/{id}", key=ana.olga)
            assert (told.status, told.json["payin"]) == (200, payin["id"]), told.body


async def test_a_crowd_on_one_shard_refuses_nobody_of_another(ana: Seller, caro: Seller, context: Context) -> None:
    await ana.payin(), await caro.payin()
    lanes = context.shard(1).lanes
    lanes.admitted = context.settings.queue_limit
    assert ((await ana.create()).status, (await caro.create()).status) == (201, 503)
    unknown = await ana.post("/v1/payins", {}, key="sk_test_" + "x" * 43)
    assert unknown.status == 401, "whose it is nobody knows, and one shard has room"
    context.shard(0).lanes.admitted = context.settings.queue_limit
    assert (await ana.post("/v1/payins", {}, key="sk_test_" + "y" * 43)).code == "overloaded"
    lanes.admitted = context.shard(0).lanes.admitted = 0
