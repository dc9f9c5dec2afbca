"""GET /v1/events: what happened to a merchant's objects, in the order of the commits, and nobody else's."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from caudal.contracts.payins import EVENTS
from caudal.kernel.context import Context
from tests.payins.books import assert_in_order, rows
from tests.payins.cast import Merchant


async def test_a_life_in_events(ana: Merchant) -> None:
    payin = await ana.payin()
    await ana.paid(payin, 4000)
    await ana.advance()
    deposit = await ana.paid(payin, 7000)
    other = await ana.payin()
    await ana.cancel(other)
    assert [(event["type"], event["subject"]) for event in await ana.events()] == [
        ("payin.created", payin["id"]),
        ("payin.received", payin["id"]),
        ("payin.expired", payin["id"]),
        ("payin.paid", payin["id"]),
        ("deposit.unapplied", deposit),
        ("payin.created", other["id"]),
        ("payin.cancelled", other["id"]),
    ]


async def test_an_event_is_a_cloudevent(ana: Merchant) -> None:
    payin = await ana.payin()
    [event] = await ana.events()
    assert event.pop("id").startswith("evt_")
    assert abs(datetime.fromisoformat(event.pop("time")) - datetime.now(UTC)) < timedelta(seconds=5)
    assert int(event.pop("sequence")) > 0
    assert event == {
        "specversion": "1.0",
        "source": "/caudal",
        "type": "payin.created",
        "subject": payin["id"],
        "datacontenttype": "application/json",
        "data": payin,
    }


async def test_an_event_is_read_by_its_id_as_the_list_has_it(ana: Merchant, caro: Merchant) -> None:
    payin = await ana.payin()
    await ana.paid(payin)
    listed = await ana.events()
    assert [(await ana.get(f"/v1/events/{event['id']}")).json for event in listed] == listed
    id = listed[0]["id"]
    other_time = "evt_" + f"{int(id[4:16], 16) + 1:012x}" + id[16:]
    await caro.payin()
    for unknown in (other_time, id[:-3] + "fff", payin["id"], "evt_1", (await caro.events())[0]["id"]):
        assert (await ana.get(f"/v1/events/{unknown}")).code == "not_found", unknown
    assert (await caro.get(f"/v1/events/{id}")).code == "not_found"
    assert (await ana.get(f"/v1/events/{id}?limit=1")).fields == {"?limit": "unknown_field"}


async def test_data_is_the_object_right_after_the_event_without_its_payer(ana: Merchant) -> None:
    payin = await ana.payin(payer={"name": "Ana Pérez"})
    await ana.paid(payin)
    seen = await ana.seen(payin)
    seen.pop("payer")
    created, paid = await ana.events()
    assert (created["data"], paid["data"]) == (payin, seen)


async def test_every_event_is_what_its_contract_says(ana: Merchant, context: Context) -> None:
    payin = await ana.payin()
    await ana.paid(payin, 4000)
    await ana.advance()
    await ana.paid(payin, 7000)
    await ana.cancel(await ana.payin())
    for event in await ana.events():
        msgspec.convert(event["data"], EVENTS[event["type"]])
        assert set(event["data"]) == {field.name for field in msgspec.structs.fields(EVENTS[event["type"]])}


async def test_events_are_read_on_from_the_last_one_seen(ana: Merchant) -> None:
    await asyncio.gather(*(ana.payin() for _ in range(25)))
    everything, seen, after = await ana.events(), list[Any](), None
    for size in (10, 10, 5):
        answered = await ana.get("/v1/events?limit=10" + (f"&after={after}" if after else ""))
        assert (len(answered.json["data"]), answered.json["has_more"]) == (size, size == 10)
        seen, after = seen + answered.json["data"], answered.json["next"]
    assert seen == everything
    rest = (await ana.get(f"/v1/events?after={after}")).json
    assert rest == {"data": [], "has_more": False, "next": after}
    new = await ana.payin()
    assert [event["subject"] for event in await ana.events(after=after)] == [new["id"]]


async def test_events_of_some_types_only(ana: Merchant) -> None:
    payin = await ana.payin()
    deposit = await ana.paid(payin, 10_950)
    assert [event["subject"] for event in await ana.events(types="payin.paid")] == [payin["id"]]
    both = await ana.events(types="deposit.unapplied,%20payin.created")
    assert [event["subject"] for event in both] == [payin["id"], deposit]
    unknown = await ana.get("/v1/events?types=payin.lost")
    assert (unknown.status, unknown.fields) == (422, {"?types": "unknown_type"})


async def test_events_since_a_time(ana: Merchant) -> None:
    await ana.payin()
    second = await ana.payin()
    at = (await ana.events())[1]["time"]
    assert [event["subject"] for event in await ana.events(since=at)] == [second["id"]]
    assert await ana.events(since="2099-01-01T00:00:00Z") == []


async def test_nobody_reads_another_merchants_modes_or_the_houses_events(ana: Merchant, caro: Merchant) -> None:
    mine, hers = await ana.payin(), await caro.payin()
    last = (await ana.events())[-1]["id"]
    assert {event["subject"] for event in await ana.events()} == {mine["id"]}
    assert {event["subject"] for event in await caro.events(after=last)} == {hers["id"]}
    ana.key = await ana.key_of("live")
    assert await ana.events() == []


async def test_sequences_of_a_shard_have_no_gap_whoever_acts(ana: Merchant, caro: Merchant, context: Context) -> None:
    payins = await asyncio.gather(*(who.payin() for who in (ana, caro) for _ in range(30)))
    await asyncio.gather(*(ana.paid(payin) for payin in payins), *(ana.cancel(payin) for payin in payins[:10]))
    numbers = [seq for (seq,) in await rows(context, "select seq from event order by seq")]
    assert numbers == list(range(1, len(numbers) + 1))
    for who in (ana, caro):
        sequences = [int(event["sequence"]) for event in await who.events()]
        assert sequences == sorted(set(sequences))
    await assert_in_order(context)


async def test_ids_of_events_are_unique_and_order_like_the_events(ana: Merchant) -> None:
    for _ in range(3):
        await asyncio.gather(*(ana.payin() for _ in range(20)))
    ids = [event["id"] for event in await ana.events()]
    assert len(set(ids)) == 60
    assert [id[:16] for id in ids] == sorted(id[:16] for id in ids)


async def test_the_platforms_own_events_go_on_beside(ana: Merchant, context: Context) -> None:
    await ana.price(1, 1)
    types = {type for (type,) in await rows(context, "select type from event where book = 0")}
    assert {"merchant.created", "api_key.created", "operator.created", "fee_plan.changed"} <= types
