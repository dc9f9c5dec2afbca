"""GET /v1/payins: pages both ways, filters, and search by what only its own merchant knows."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from caudal.kernel.context import Context
from caudal.payins import project_search, store
from tests.payins.books import rows
from tests.payins.cast import DAY_S, Merchant

CURP, RFC = "BOXW310820HNERXN09", "GODE561231GR8"


async def page(ana: Merchant, **asked: object) -> dict[str, Any]:
    query = "&".join(f"{name}={quote(str(value))}" for name, value in asked.items())
    answered = await ana.get(f"/v1/payins?{query}")
    assert answered.status == 200, answered.body
    found: dict[str, Any] = answered.json
    return found


async def walk(ana: Merchant, way: str, start: str | None = None, **asked: object) -> list[list[str]]:
    """The ids of every page from here on, following `next` (older) or `previous` (newer)."""
    pages, cursor = [], start
    while True:
        turn = {} if cursor is None else {"after" if way == "next" else "before": cursor}
        found = await page(ana, **asked, **turn)
        pages.append([payin["id"] for payin in found["data"]])
        assert found["has_more"] is (found["next"] is not None)
        if found[way] is None:
            return pages
        cursor = found[way]


def flat(pages: list[list[str]]) -> list[str]:
    return [id for page in pages for id in page]


async def many(ana: Merchant, context: Context, count: int) -> list[str]:
    """Ids of so many payins, newest first as the list has them."""
    await asyncio.gather(*(ana.payin(reference=f"order {i % 7}") for i in range(count)))
    query = "select id from payin where book = 2 order by created_at desc, id desc"
    return [f"payin_{id.hex}" for (id,) in await rows(context, query)]


# Pages


async def test_a_list_is_walked_there_and_back_without_loss(ana: Merchant, caro: Merchant, context: Context) -> None:
    await caro.payin()
    everything = await many(ana, context, 250)
    for limit in (7, 50, 100):
        pages = await walk(ana, "next", limit=limit)
        assert flat(pages) == everything and {len(one) for one in pages[:-1]} == {limit}
    last = (await page(ana, limit=100, after=(await page(ana, limit=100))["next"]))["next"]
    oldest = await page(ana, limit=100, after=last)
    back = await walk(ana, "previous", start=oldest["previous"], limit=70)
    assert flat(back[::-1]) == everything[:200]


async def test_a_page_says_whether_there_is_more_on_either_side(ana: Merchant, context: Context) -> None:
    await many(ana, context, 5)
    first = await page(ana, limit=2)
    middle = await page(ana, limit=2, after=first["next"])
    last = await page(ana, limit=2, after=middle["next"])
    assert [len(one["data"]) for one in (first, middle, last)] == [2, 2, 1]
    assert [one["has_more"] for one in (first, middle, last)] == [True, True, False]
    assert (first["previous"], last["next"]) == (None, None)
    assert await page(ana, limit=2, before=last["previous"]) == middle
    front = await page(ana, limit=2, before=middle["previous"])
    assert (front["data"], front["previous"], front["next"]) == (first["data"], None, first["next"])
    assert (await page(ana, limit=5))["next"] is None


async def test_an_empty_list_is_empty(ana: Merchant) -> None:
    assert await page(ana) == {"data": [], "has_more": False, "next": None, "previous": None}


async def test_what_is_made_while_somebody_walks_is_not_in_the_way(ana: Merchant, context: Context) -> None:
    everything = await many(ana, context, 20)
    first = await page(ana, limit=10)
    new = [(await ana.payin())["id"] for _ in range(3)]
    assert flat(await walk(ana, "next", first["next"], limit=10)) == everything[10:]
    newer = await page(ana, limit=100, before=first["next"])
    assert [payin["id"] for payin in newer["data"]] == new[::-1] + everything[:9]


async def test_twenty_unless_asked_otherwise_and_a_hundred_at_most(ana: Merchant, context: Context) -> None:
    await many(ana, context, 101)
    assert len((await page(ana))["data"]) == 20
    assert len((await page(ana, limit=100))["data"]) == 100


async def test_both_ways_at_once_is_none(ana: Merchant, context: Context) -> None:
    await many(ana, context, 3)
    cursor = (await page(ana, limit=1))["next"]
    answered = await ana.get(f"/v1/payins?after={cursor}&before={cursor}")
    assert (answered.status, answered.fields) == (422, {"?before": "contradiction"})
    for wrong in ("x", cursor[:-4], "%00", "é"):
        for way in ("after", "before"):
            answered = await ana.get(f"/v1/payins?{way}={wrong}")
            assert answered.status == 422, wrong


# Filters


async def test_filters_narrow_together(ana: Merchant) -> None:
    paid, cancelled, pending = await ana.payin(), await ana.payin(), await ana.payin()
    await ana.paid(paid)
    await ana.cancel(cancelled)

    async def found(**asked: object) -> list[str]:
        return [payin["id"] for payin in (await page(ana, **asked))["data"]]

    assert await found(status="paid") == [paid["id"]]
    assert await found(status="cancelled") == [cancelled["id"]]
    assert await found(status="pending", method="spei", country="MX", currency="MXN") == [pending["id"]]
    for nothing in ({"status": "expired"}, {"country": "BR"}, {"currency": "USD"}):
        assert await found(**nothing) == []


async def test_a_range_of_time_is_from_inclusive_to_exclusive(ana: Merchant) -> None:
    made = []
    for _ in range(3):
        made.append(await ana.payin())
        await ana.advance(DAY_S)
    times = [datetime.fromisoformat(payin["created_at"]) for payin in made]

    async def found(**asked: datetime) -> list[str]:
        bounds = {f"created_{name}": at.isoformat() for name, at in asked.items()}
        return [payin["id"] for payin in (await page(ana, **bounds))["data"]]

    ids = [payin["id"] for payin in made]
    assert await found(**{"from": times[1]}) == [ids[2], ids[1]]
    assert await found(to=times[1]) == [ids[0]]
    assert await found(**{"from": times[1], "to": times[2]}) == [ids[1]]
    assert await found(**{"from": times[2] + timedelta(microseconds=1)}) == []
    bound: dict[str, Any] = {"limit": 1, "created_to": times[2].isoformat()}
    assert await walk(ana, "next", **bound) == [[ids[1]], [ids[0]]]
    assert await walk(ana, "previous", (await page(ana, limit=2))["next"], **bound) == [[]]


async def test_a_filtered_list_is_walked_without_loss(ana: Merchant, context: Context) -> None:
    everything = await many(ana, context, 60)
    for id in everything[::3]:
        await ana.post(f"/v1/payins/{id}/cancellations")
    pages = await walk(ana, "next", limit=7, status="cancelled")
    assert flat(pages) == everything[::3]
    back = await walk(ana, "previous", (await page(ana, limit=58))["next"], status="cancelled", limit=7)
    assert flat(back[::-1]) == everything[:57:3]


# Search


@pytest.mark.parametrize("looked_at", [3, 10, 59, 60, 61])
async def test_a_rare_filter_looks_at_so_many_a_page_and_loses_nothing(
    ana: Merchant, context: Context, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    monkeypatch.setattr(store, "LOOKED_AT", looked_at)
    everything = await many(ana, context, 60)
    rare = [everything[5], everything[33], everything[57]]
    for id in rare:
        await ana.cancel({"id": id})
    pages = await walk(ana, "next", limit=2, status="cancelled")
    assert flat(pages) == rare
    if looked_at < 30:
        assert [] in pages[:-1], "a page may hold nothing though there are more"
    first_after = (await page(ana, limit=59))["next"]
    back = await walk(ana, "previous", first_after, limit=2, status="cancelled")
    assert flat(back[::-1]) == rare
    assert flat(await walk(ana, "next", limit=50)) == everything, "without a filter nothing is rare"


async def projected(context: Context) -> None:
    """Everything findable, as the worker makes it."""
    while await project_search(context, 0):
        pass


async def test_a_payin_is_found_by_reference_email_and_document(ana: Merchant, context: Context) -> None:
    first = await ana.payin(reference="Order 7", payer={"email": "Ana@Example.com", "document": CURP})
    second = await ana.payin(reference="Order 8", payer={"email": "ana@example.com", "document": RFC})
    await ana.payin()
    await projected(context)

    async def found(**asked: object) -> list[str]:
        return [payin["id"] for payin in (await page(ana, **asked))["data"]]

    both = [second["id"], first["id"]]
    assert await found(reference="Order 7") == await found(reference=" order 7 ") == [first["id"]]
    assert await found(email="ANA@example.com") == both
    assert await found(document=CURP.lower()) == [first["id"]]
    assert await found(email="ana@example.com", document=RFC) == [second["id"]]
    assert await found(email="ana@example.com", document=RFC, reference="Order 7") == []
    assert await found(reference="Order") == await found(reference="") == []
    await ana.paid(first)
    assert await found(email="ana@example.com", status="paid") == [first["id"]]
    assert await found(email="ana@example.com", currency="USD") == []


async def test_what_is_found_is_walked_there_and_back(ana: Merchant, context: Context) -> None:
    await many(ana, context, 70)
    await projected(context)
    query = "select id from payin where reference = 'order 3' order by id desc"
    everything = [f"payin_{id.hex}" for (id,) in await rows(context, query)]
    assert flat(await walk(ana, "next", reference="order 3", limit=3)) == everything
    last = await page(ana, reference="order 3", limit=8)
    oldest = await page(ana, reference="order 3", limit=8, after=last["next"])
    back = await walk(ana, "previous", oldest["previous"], reference="order 3", limit=3)
    assert flat(back[::-1]) == everything[:8]


@pytest.mark.parametrize("looked_at", [4, 30])
async def test_what_is_found_among_very_many_is_walked_without_loss(
    ana: Merchant, context: Context, monkeypatch: pytest.MonkeyPatch, looked_at: int
) -> None:
    """One e-mail pays for more than a page looks at; the filters come after that."""
    monkeypatch.setattr(store, "LOOKED_AT", looked_at)
    made = [await ana.payin(payer={"email": "ana@example.com"}, reference=f"order {i % 2}") for i in range(30)]
    newest_first = [payin["id"] for payin in made][::-1]
    for id in (newest_first[9], newest_first[27]):
        await ana.cancel({"id": id})
    await projected(context)
    asked: dict[str, Any] = {"email": "ana@example.com", "limit": 3}
    assert flat(await walk(ana, "next", **asked)) == newest_first
    assert flat(await walk(ana, "next", **asked, status="cancelled")) == [newest_first[9], newest_first[27]]
    assert flat(await walk(ana, "next", **asked, reference="order 0")) == newest_first[1::2]
    oldest = (await page(ana, limit=29))["next"]
    assert flat((await walk(ana, "previous", oldest, **asked, status="cancelled"))[::-1]) == [
        newest_first[9],
        newest_first[27],
    ]


async def test_nobody_finds_what_is_another_merchants(ana: Merchant, caro: Merchant, context: Context) -> None:
    await ana.payin(reference="order 7", payer={"email": "ana@example.com"})
    await projected(context)
    assert (await page(caro, reference="order 7"))["data"] == []
    assert (await page(caro, email="ana@example.com"))["data"] == []


async def test_what_is_searched_by_is_kept_as_a_digest(ana: Merchant, context: Context) -> None:
    await ana.payin(reference="order 7", payer={"email": "ana@example.com"})
    await projected(context)
    assert await rows(context, "select distinct length(term), count(*) over () from payin_search") == [(16, 2)]


async def test_the_projection_goes_on_where_it_stopped_and_counts_each_event_once(
    ana: Merchant, context: Context
) -> None:
    await asyncio.gather(*(ana.payin(reference="order 7") for _ in range(520)))
    steps = [await project_search(context, 0) for _ in range(3)]
    assert steps[0] == 500 and steps[1] > 0 and steps[2] == 0
    assert await rows(context, "select count(*) from payin_search") == [(520,)]
    await rows(context, "update consumer set seq = 0 returning 1")
    await projected(context)
    assert await rows(context, "select count(*) from payin_search") == [(520,)]


async def test_a_page_of_unapplied_deposits_looks_at_so_many(ana: Merchant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "LOOKED_AT", 2)
    first = await ana.payin()
    wanted = await ana.paid(first, 1_000)
    for _ in range(2):
        await ana.paid(await ana.payin())
    path = f"/v1/operator/deposits?merchant=mer_{ana.merchant.hex}"
    page = (await ana.get(path, key=ana.olga)).json
    assert (page["data"], page["has_more"]) == ([], True), "two were looked at, and neither is unapplied"
    rest = (await ana.get(f"{path}&after={page['next']}", key=ana.olga)).json
    assert ([one["id"] for one in rest["data"]], rest["has_more"]) == ([wanted], False)
