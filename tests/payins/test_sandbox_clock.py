"""POST /v1/sandbox/clock/advances: test time runs ahead, for one merchant, never back, never in live mode."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from caudal.kernel.context import Context
from caudal.payins import store
from tests.api import Answered
from tests.conftest import settings_of
from tests.payins.books import assert_in_order, rows
from tests.payins.cast import DAY_S, WAITS_S, Merchant


async def test_the_clock_says_what_it_shows_and_what_expired(ana: Merchant) -> None:
    await asyncio.gather(*(ana.payin() for _ in range(5)))
    early, late = await ana.advance(DAY_S), await ana.advance(WAITS_S)
    assert (early.status, early.json["offset_seconds"], early.json["expired"]) == (200, DAY_S, 0)
    assert (late.json["offset_seconds"], late.json["expired"]) == (DAY_S + WAITS_S, 5)
    ahead = datetime.fromisoformat(late.json["now"]) - datetime.now(UTC)
    assert abs(ahead - timedelta(seconds=DAY_S + WAITS_S)) < timedelta(seconds=5)


async def test_the_same_key_moves_the_clock_once_and_hears_the_same_again(ana: Merchant, context: Context) -> None:
    await ana.payin()

    async def ask(seconds: int, key: str) -> Answered:
        return await ana.post("/v1/sandbox/clock/advances", {"seconds": seconds}, idempotency=key)

    first, again = await ask(WAITS_S, "k"), await ask(WAITS_S, "k")
    assert (first.status, first.json["expired"]) == (200, 1)
    assert (again.status, again.body) == (200, first.body)
    assert (first.headers.get("idempotent-replayed"), again.headers["idempotent-replayed"]) == (None, "true")
    assert (await ask(WAITS_S + 1, "k")).code == "key_reused"
    at_once = await asyncio.gather(*(ask(60, "l") for _ in range(5)))
    assert len({one.body for one in at_once}) == 1
    assert await rows(context, "select clock_offset_s from book where book = 2") == [(WAITS_S + 60,)]


async def test_without_a_key_every_request_moves_the_clock(ana: Merchant) -> None:
    for count in (1, 2):
        moved = await ana.post("/v1/sandbox/clock/advances", {"seconds": 60}, idempotency=None)
        assert (moved.status, moved.json["offset_seconds"]) == (200, count * 60)


async def test_a_key_that_was_used_for_a_payin_moves_no_clock(ana: Merchant, context: Context) -> None:
    await ana.create("k")
    refused = await ana.post("/v1/sandbox/clock/advances", {"seconds": 60}, idempotency="k")
    assert (refused.status, refused.code) == (422, "key_reused")
    assert await rows(context, "select max(clock_offset_s) from book") == [(0,)]


async def test_a_crash_after_the_clock_moved_is_made_good_by_asking_again(
    ana: Merchant, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ana.payin()
    body = {"seconds": WAITS_S}

    async def broken(*_: object) -> list[object]:
        raise OSError("the process ends here")

    with monkeypatch.context() as patched:
        patched.setattr(store, "open_payins", broken)
        assert (await ana.post("/v1/sandbox/clock/advances", body, idempotency="k")).status == 500
    again = await ana.post("/v1/sandbox/clock/advances", body, idempotency="k")
    assert (again.status, again.json["offset_seconds"], again.json["expired"]) == (200, WAITS_S, 1)
    await assert_in_order(context)


async def test_more_payins_than_a_page_expire_at_once(ana: Merchant, context: Context) -> None:
    await asyncio.gather(*(ana.payin() for _ in range(450)))
    assert (await ana.advance()).json["expired"] == 450
    assert await rows(context, "select count(*) from payin where status = 'expired'") == [(450,)]
    await assert_in_order(context)


async def test_a_payin_made_right_after_lives_on_the_new_time(ana: Merchant, database_url: str) -> None:
    async with Context(settings_of(database_url), name="other") as context:
        other = Merchant(context, ana.merchant, ana.key, ana.olga)
        for asker in (ana, other):
            await asker.payin()  # both processes remember the key
        now = datetime.fromisoformat((await ana.advance(10 * DAY_S)).json["now"])
        for asker in (ana, other):
            payin = await asker.payin()
            created = datetime.fromisoformat(payin["created_at"])
            assert now <= created < now + timedelta(seconds=5)
            assert datetime.fromisoformat(payin["expires_at"]) == created + timedelta(days=3)
        assert (await ana.advance(2 * DAY_S)).json["expired"] == 0
        assert (await ana.advance(DAY_S)).json["expired"] == 2


async def test_a_payin_that_still_waits_is_due_at_its_new_real_time(ana: Merchant, context: Context) -> None:
    payin = await ana.payin()
    for days in (1, 2):
        await ana.advance(DAY_S)
        at = datetime.fromisoformat(payin["expires_at"]) - timedelta(days=days)
        assert await rows(context, "select at, attempt from due") == [(at, 0)]


async def test_payments_carry_the_time_of_the_moved_clock(ana: Merchant) -> None:
    await ana.advance(DAY_S)
    payin = await ana.payin()
    await ana.paid(payin)
    seen = await ana.seen(payin)
    assert seen["created_at"] < seen["paid_at"] < seen["expires_at"]


async def test_another_merchants_time_stands_still(ana: Merchant, caro: Merchant) -> None:
    payin = await caro.payin()
    await ana.advance(30 * DAY_S)
    assert (await caro.seen(payin))["status"] == "pending"
    assert (await caro.advance(60)).json["offset_seconds"] == 60


async def test_live_money_has_no_clock(ana: Merchant, context: Context) -> None:
    live = await ana.key_of("live")
    answered = await ana.post("/v1/sandbox/clock/advances", {"seconds": 60}, key=live)
    assert (answered.status, answered.code) == (404, "not_found")
    assert await rows(context, "select distinct clock_offset_s from book") == [(0,)]


async def test_time_never_goes_back_or_too_far(ana: Merchant, context: Context) -> None:
    for seconds in (0, -1, 90 * DAY_S + 1, 1.5, "60", None, True, 10**30):
        answered = await ana.post("/v1/sandbox/clock/advances", {"seconds": seconds})
        assert (answered.status, list(answered.fields)) == (422, ["/seconds"]), seconds
    assert (await ana.post("/v1/sandbox/clock/advances", {})).fields == {"/seconds": "missing"}
    assert (await ana.post("/v1/sandbox/clock/advances", {"days": 1})).fields["/days"] == "unknown_field"
    assert await rows(context, "select distinct clock_offset_s from book") == [(0,)]


async def test_clocks_that_are_moved_at_once_add_up(ana: Merchant, context: Context) -> None:
    await asyncio.gather(*(ana.payin() for _ in range(30)))
    moving = [asyncio.create_task(ana.advance(3600)) for _ in range(5)]
    await asyncio.gather(*(ana.payin() for _ in range(20)))
    assert [(await one).status for one in moving] == [200] * 5
    assert await rows(context, "select max(clock_offset_s) from book") == [(5 * 3600,)]
    query = "select count(*) from payin p where not exists (select from due d where d.subject = p.id)"
    assert await rows(context, query) == [(0,)]
    assert (await ana.advance()).json["expired"] == 50
    await assert_in_order(context)
