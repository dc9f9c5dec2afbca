"""What operators do: merchants, prices, settings, keys, and the trail that it leaves."""

from __future__ import annotations

import asyncio
import re
from uuid import UUID

import msgspec
import pytest

from caudal.kernel.context import Context
from caudal.merchants import CLI, Operator, create_merchant, create_operator, first_operator, store
from caudal.merchants.commands import Asking
from caudal.merchants.model import digest_of
from tests.merchants.cast import Cast, Desk

MERCHANTS = "/v1/operator/merchants"
PLAN = [
    {
        "family": "instant_transfer",
        "currency": "MXN",
        "fixed_minor": 300,
        "basis_points": 100,
        "refund_fixed_minor": 150,
        "dispute_fixed_minor": 2_000,
        "settlement_days": 3,
    }
]


async def test_a_merchant_is_created_and_found_again(olga: Desk) -> None:
    created = await olga.post(MERCHANTS, {"name": "  Caro  ", "country": "MX", "fee_plan": PLAN})
    assert created.status == 201
    merchant = created.json
    assert (merchant["name"], merchant["status"], merchant["late_payments"]) == ("Caro", "active", "accept")
    assert merchant["fee_plan"] == {"version": 1, "lines": PLAN}
    assert (await olga.get(f"{MERCHANTS}/{merchant['id']}")).json == merchant
    assert (await olga.get(MERCHANTS)).json["data"][0] == merchant


async def test_merchants_that_come_at_once_get_slots_of_their_own(context: Context, olga: Desk) -> None:
    replies = await asyncio.gather(*(olga.post(MERCHANTS, {"name": f"M{n}", "country": "MX"}) for n in range(12)))
    assert {reply.status for reply in replies} == {201}
    rows = await context.rows("select m.slot, p.slot from merchant m join placement p on p.merchant = m.id")
    assert sorted(rows) == [(slot, slot) for slot in range(1, 13)]


async def test_a_replayed_creation_makes_nothing_and_takes_no_slot(context: Context, olga: Desk) -> None:
    body = {"name": "Caro", "country": "MX"}
    first = await olga.post(MERCHANTS, body, idempotency_key="once")
    again = await olga.post(MERCHANTS, body, idempotency_key='"once"')
    assert again.body == first.body and again.headers[b"idempotent-replayed"] == b"true"
    other = await olga.post(MERCHANTS, {**body, "name": "Dora"}, idempotency_key="once")
    assert (other.status, other.code) == (422, "key_reused")
    assert await context.row("select (select count(*) from merchant), (select count(*) from placement)") == (1, 1)


async def test_two_operators_may_use_the_same_idempotency_key(context: Context, olga: Desk) -> None:
    pia = Desk(context, await first_operator(context))
    first = await olga.post(MERCHANTS, {"name": "Caro", "country": "MX"}, idempotency_key="monday")
    second = await pia.post(MERCHANTS, {"name": "Dora", "country": "MX"}, idempotency_key="monday")
    assert (first.json["name"], second.json["name"]) == ("Caro", "Dora")


async def test_a_new_fee_plan_is_a_new_version_in_both_books(context: Context, olga: Desk, ana: Cast) -> None:
    line = {**PLAN[0], "fixed_minor": 500}
    reply = await olga.post(ana.path + "/fee_plans", {"fee_plan": [line]})
    assert (reply.status, reply.json["fee_plan"]) == (201, {"version": 2, "lines": [line]})
    rows = await context.rows("select book, version, fixed_minor from fee_plan where currency = 'MXN' order by 1, 2")
    assert [row[1:] for row in rows] == [(1, 300), (2, 500)] * 2
    assert (await olga.post(ana.path + "/fee_plans", {"fee_plan": []})).json["fee_plan"] == {"version": 3, "lines": []}
    assert (await olga.get(ana.path)).json["fee_plan"] == {"version": 3, "lines": []}


async def test_a_setting_is_changed_and_the_plan_is_still_shown(olga: Desk, ana: Cast) -> None:
    shown = (await olga.get(ana.path)).json
    reply = await olga.post(ana.path + "/settings", {"late_payments": "unapplied"})
    assert (reply.status, reply.json["late_payments"]) == (200, "unapplied")
    assert reply.json["fee_plan"]["lines"] == shown["fee_plan"]["lines"]
    assert (await olga.get(ana.path)).json == reply.json


async def test_one_setting_is_changed_without_the_other(context: Context, olga: Desk, ana: Cast) -> None:
    assert (await olga.get(ana.path)).json["refunds_beyond_balance"] == "refuse"
    for asked in ({"refunds_beyond_balance": "allow"}, {"late_payments": "unapplied"}):
        reply = await olga.post(ana.path + "/settings", asked)
        assert reply.status == 200
    assert (reply.json["refunds_beyond_balance"], reply.json["late_payments"]) == ("allow", "unapplied")
    assert (await olga.get(ana.path)).json == reply.json
    query = "select distinct refunds_beyond_balance, late_payments from book where merchant = %s"
    assert await context.rows(query, (UUID(ana.id.removeprefix("mer_")),)) == [("allow", "unapplied")]


async def test_a_merchant_begins_with_the_settings_that_are_named(olga: Desk) -> None:
    created = await olga.post(MERCHANTS, {"name": "Caro", "country": "MX", "refunds_beyond_balance": "allow"})
    assert (created.status, created.json["refunds_beyond_balance"]) == (201, "allow")


async def test_lists_go_back_and_forth(olga: Desk) -> None:
    for name in "abcde":
        await olga.post(MERCHANTS, {"name": name, "country": "MX"})

    async def page(query: str) -> tuple[str, str | None, str | None]:
        found = (await olga.get(f"{MERCHANTS}?limit=2{query}")).json
        return "".join(row["name"] for row in found["data"]), found["next"], found["previous"]

    first, next_of_first, none = await page("")
    second, next_of_second, previous_of_second = await page(f"&after={next_of_first}")
    third, end, _ = await page(f"&after={next_of_second}")
    assert (first, second, third, none, end) == ("ed", "cb", "a", None, None)
    assert (await page(f"&before={previous_of_second}"))[0] == "ed"
    both = await olga.get(f"{MERCHANTS}?after={next_of_first}&before={next_of_first}")
    assert both.wrong == {"?before": "contradiction"}


async def test_every_change_leaves_an_entry_and_an_event(context: Context, olga: Desk, olga_key: str) -> None:
    merchant = (await olga.post(MERCHANTS, {"name": "Caro", "country": "MX"})).json["id"]
    await olga.post(f"{MERCHANTS}/{merchant}/fee_plans", {"fee_plan": PLAN})
    await olga.post(f"{MERCHANTS}/{merchant}/settings", {"late_payments": "unapplied"})
    key = (await olga.post(f"{MERCHANTS}/{merchant}/keys", {"mode": "live"})).json["id"]
    new = (await olga.post(f"/v1/operator/keys/{key}/rotations", {"overlap_s": 60})).json["id"]
    await olga.post(f"/v1/operator/keys/{new}/revocations")
    trail = (await olga.get("/v1/operator/audit")).json["data"]
    assert [(entry["action"], entry["subject"]) for entry in reversed(trail)][1:] == [
        ("merchant.created", merchant),
        ("fee_plan.changed", merchant),
        ("merchant.changed", merchant),
        ("api_key.created", key),
        ("api_key.rotated", key),
        ("api_key.revoked", new),
    ]
    assert trail[-1]["actor"].startswith("cli:") and re.fullmatch(r"operator_[0-9a-f]{32}", trail[0]["actor"])
    events = await context.rows("select type, book, data from event order by seq")
    assert [(type, data) for type, _, data in events] == [
        (entry["action"], msgspec.json.encode(entry["detail"])) for entry in reversed(trail)
    ]
    live = [b'"mode":"live"' in data for _, _, data in events]
    assert [book for _, book, _ in events] == live, "of a live key in the live book, all others in the test book"


async def test_the_trail_is_filtered(olga: Desk, ana: Cast) -> None:
    await olga.post(ana.path + "/settings", {"late_payments": "unapplied"})
    changed = (await olga.get("/v1/operator/audit?action=merchant.changed")).json["data"]
    assert [entry["subject"] for entry in changed] == [ana.id]
    by_olga = await olga.get(f"/v1/operator/audit?actor={changed[0]['actor']}")
    assert by_olga.json["data"] == changed
    of_ana = (await olga.get(f"/v1/operator/audit?subject={ana.id}")).json["data"]
    assert [entry["action"] for entry in of_ana] == ["merchant.changed", "merchant.created"]
    since = (await olga.get(f"/v1/operator/audit?since={changed[0]['at']}")).json["data"]
    assert since == changed
    assert (await olga.get("/v1/operator/audit?since=yesterday")).wrong == {"?since": "invalid_value"}


async def test_a_page_of_the_trail_looks_at_so_many(olga: Desk, ana: Cast, monkeypatch: pytest.MonkeyPatch) -> None:
    """A filter that leaves few does not read the whole trail; both ways nothing is lost."""
    monkeypatch.setattr(store, "LOOKED_AT", 3)
    for way in ("unapplied", "accept") * 4:
        await olga.post(ana.path + "/settings", {"late_payments": way})
    entries = (await olga.get("/v1/operator/audit")).json["data"]
    trail = [entry["id"] for entry in entries]
    assert len(trail) > 8, "without a filter nothing is rare"
    first = (await olga.get("/v1/operator/audit?action=merchant.created")).json
    assert (first["data"], first["has_more"]) == ([], True), "three were looked at, and none is it"
    found, page = list[str](), first
    while page["has_more"]:
        page = (await olga.get(f"/v1/operator/audit?action=merchant.created&after={page['next']}")).json
        found += [entry["id"] for entry in page["data"]]
    assert found and found == [id for id in trail if id in found]
    oldest = (await olga.get(f"/v1/operator/audit?limit={len(trail) - 1}")).json["next"]
    path, back = "/v1/operator/audit?action=merchant.changed&limit=2", list[str]()
    page = (await olga.get(f"{path}&before={oldest}")).json
    while page["previous"] is not None:
        back = [entry["id"] for entry in page["data"]] + back
        page = (await olga.get(f"{path}&before={page['previous']}")).json
    back = [entry["id"] for entry in page["data"]] + back
    assert back == [entry["id"] for entry in entries if entry["action"] == "merchant.changed"] and len(back) == 8


async def test_an_operators_key_is_looked_at_in_the_batch(context: Context, olga: Desk, olga_key: str) -> None:
    """Revoked between the door and the decision: nothing is written, not even the idempotency key."""
    row = await context.row("select id, name from operator where digest = %s", (digest_of(olga_key),))
    assert row is not None
    operator = Operator(id=row[0], name=row[1], digest=digest_of(olga_key), shard=0)
    async with context.pool.connection() as connection:
        await connection.execute("update operator set revoked_at = now(), version = version + 1")
    result = await create_merchant(context, Asking(operator=operator), name="Caro", country="MX")
    assert result.outcome.code == "unauthenticated"
    assert await context.row("select count(*) from merchant") == (0,)
    assert (await olga.get(MERCHANTS)).code == "unauthenticated"


async def test_an_operators_secret_is_not_at_rest(context: Context) -> None:
    made = await create_operator(context, CLI, "Olga")
    assert made.secret is not None and made.secret.startswith("op_") and len(made.secret) == 46
    assert made.secret not in str(await context.rows("select * from operator"))
