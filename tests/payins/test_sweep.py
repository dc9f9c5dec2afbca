"""Nobody came back with an outcome: the worker asks by the key, submits again while it may, records what it finds."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from caudal.connectors import CAPABILITIES, Declined
from caudal.kernel.context import Context
from caudal.payins import calls, store
from tests.payins.books import assert_in_order, balances, rows
from tests.payins.cast import ASKED, DAY_S, Merchant, key_of
from tests.payins.desk import Desk
from tests.payins.test_late_success import hours_later, seconds_later

WAYS: dict[str, tuple[Any, list[Any], Any]] = {
    "the effect was there and the answer was lost": ("lost", [{}], 0),
    "nothing had happened": ("nothing", [{}], 1),
    "the provider was busy": ("busy", [{}], 1),
    "nobody knows at first": ("lost", ["nothing", "busy", {}], 0),
}


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("method", ["card", "pix"])
async def test_it_finds_out(ana: Merchant, desk: Desk, context: Context, method: str, name: str) -> None:
    word, queries, again = WAYS[name]
    desk.says["submit"] = [word]
    payin = await ana.asked(method)
    assert (payin["status"], payin["status_reason"], payin["next_action"]) == ("submitting", None, None)
    await assert_in_order(context)
    desk.says["payment"] = list(queries)
    for _ in queries[:-1]:
        assert await ana.work("payin.submit") == 0, "no outcome yet: the work stays"
        assert (await ana.seen(payin))["status"] == "submitting"
    assert await ana.work("payin.submit") == 1
    seen = await ana.seen(payin)
    assert seen["status"] == ("paid" if method == "card" else "pending")
    assert (seen["next_action"] is None) == (method == "card")
    assert desk.count("submit") == 1 + again and len(desk.payments) == 1
    assert {order.key for order in desk.orders} == {key_of(payin)}, "always by the same key"
    assert await ana.work("payin.submit") == 0, "it is done"
    await assert_in_order(context)


async def test_whoever_died_between_intent_and_call_is_taken_over(
    ana: Merchant, desk: Desk, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*_: Any, **__: Any) -> Any:
        raise asyncio.CancelledError

    with monkeypatch.context() as dying:
        dying.setattr(calls, "submit", dies)
        with pytest.raises(asyncio.CancelledError):
            await ana.ask("card", "k", reference="r")
    [(status,)] = await rows(context, "select status from payin")
    assert status == "submitting" and desk.asked == []
    assert await ana.work("payin.submit") == 1
    [payin] = (await ana.get("/v1/payins")).json["data"]
    assert payin["status"] == "paid" and desk.count("submit") == 1
    await assert_in_order(context)


async def test_whoever_died_between_call_and_outcome_is_taken_over(
    ana: Merchant, desk: Desk, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def dies(*_: Any, **__: Any) -> Any:
        raise asyncio.CancelledError

    with monkeypatch.context() as dying:
        dying.setattr(calls.payments, "record", dies)
        with pytest.raises(asyncio.CancelledError):
            await ana.ask("card", "k", instrument={"id": await ana.instrument()})
    assert len(desk.payments) == 1
    assert await ana.work("payin.submit") == 1
    [payin] = (await ana.get("/v1/payins")).json["data"]
    assert payin["status"] == "paid" and desk.count("submit") == 1, "it was there already"
    assert await balances(ana) == {"BRL": {"pending": 10_000 - 390}}
    await assert_in_order(context)


async def test_what_is_submitted_again_is_what_was_submitted_but_for_the_spent_code(ana: Merchant, desk: Desk) -> None:
    desk.says["submit"] = ["nothing"]
    await ana.card(payer={"name": "Ana"}, return_url="https://shop.example/", three_ds="demanded", capture="manual")
    assert await ana.work("payin.submit") == 1
    first, second = desk.orders
    assert first.card is not None and second.card is not None
    assert (first.card.security_code, second.card.security_code) == ("123", None)
    assert first.card.number == second.card.number
    for name in ("payer", "return_url", "three_ds", "capture", "expires_at", "amount_minor", "account", "country"):
        assert getattr(first, name) == getattr(second, name), name


async def test_a_deleted_instrument_is_not_sent_again(
    ana: Merchant, desk: Desk, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.says["submit"] = ["nothing"]
    instrument = await ana.instrument()
    payin = await ana.card(instrument={"id": instrument})
    await ana.post(f"/v1/instruments/{instrument}/deletions", idempotency=None)
    assert await ana.work("payin.submit") == 0
    assert desk.count("submit") == 1 and (await ana.seen(payin))["status"] == "submitting"
    await hours_later(context, monkeypatch)
    assert await ana.work("payin.submit") == 1
    assert (await ana.seen(payin))["status"] == "failed"
    await assert_in_order(context)


async def test_not_found_is_an_outcome_only_when_nothing_can_appear_any_more(
    ana: Merchant, desk: Desk, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.says["submit"] = ["nothing", "nothing", "nothing"]
    payin = await ana.card()
    for _ in range(2):
        assert await ana.work("payin.submit") == 0
    await hours_later(context, monkeypatch)
    assert await ana.work("payin.submit") == 1
    seen = await ana.seen(payin)
    assert (seen["status"], seen["status_reason"]) == ("failed", "processing_error")
    assert desk.count("submit") == 3, "it is not submitted again then"
    types = [event["type"] for event in await ana.events(types="payin.created,payin.failed")]
    assert types == ["payin.created", "payin.failed"]
    await assert_in_order(context)


async def test_each_submission_may_become_a_payment_for_a_while(
    ana: Merchant, desk: Desk, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.says["submit"] = ["nothing", "nothing"]
    payin = await ana.card()
    appears_s = CAPABILITIES["card"].late_until_s + calls.MARGIN_S
    tries_s = context.settings.provider_tries * context.settings.provider_timeout_ms / 1000
    with monkeypatch.context() as late:
        await seconds_later(context, late, appears_s)
        assert await ana.work("payin.submit") == 0, "it was just sent again"
    assert desk.count("submit") == 2
    with monkeypatch.context() as later:
        await seconds_later(context, later, appears_s + tries_s - 1)
        assert await ana.work("payin.submit") == 0
    assert desk.count("submit") == 2, "there is an end to it"
    assert (await ana.seen(payin))["status"] == "submitting"
    with monkeypatch.context() as much_later:
        await seconds_later(context, much_later, appears_s + tries_s + 1)
        assert await ana.work("payin.submit") == 1
    assert (await ana.seen(payin))["status"] == "failed"
    await assert_in_order(context)


async def test_a_request_that_waits_long_may_be_sending_all_the_while(
    ana: Merchant, desk: Desk, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.says["submit"] = ["nothing", "nothing"]
    asked = {"amount": 10_000, "method": "pix", **ASKED["pix"]}
    payin = (await ana.post("/v1/payins", asked, headers={"request-timeout-ms": "60000"})).json
    await seconds_later(context, monkeypatch, 60 + CAPABILITIES["pix"].late_until_s)
    assert await ana.work("payin.submit") == 0
    assert (await ana.seen(payin))["status"] == "submitting"


async def test_the_sandboxs_clock_does_not_move_what_a_provider_does(
    ana: Merchant, desk: Desk, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = await store.now(context)
    await ana.advance(60 * DAY_S)
    desk.says["submit"] = ["nothing"]
    payin = await ana.pix()
    [order] = desk.orders
    assert datetime.fromisoformat(order.expires_at) - before < timedelta(days=30), "it waits by its own clock"
    await hours_later(context, monkeypatch)
    assert await ana.work("payin.submit") == 1
    assert (await ana.seen(payin))["status"] == "failed"


async def test_a_refusal_of_the_second_submission_ends_it(ana: Merchant, desk: Desk, context: Context) -> None:
    desk.says["submit"] = ["nothing", Declined(reason="invalid_card", detail="no")]
    payin = await ana.card()
    assert await ana.work("payin.submit") == 1
    assert (await ana.seen(payin))["status_reason"] == "invalid_card"
    await assert_in_order(context)


async def test_the_callback_may_be_quicker_than_the_sweep(ana: Merchant, desk: Desk, context: Context) -> None:
    desk.says["submit"] = ["lost"]
    payin = await ana.card()
    assert (await ana.told("card", "payment", desk.told(key_of(payin)))).status == 200
    assert (await ana.seen(payin))["status"] == "paid"
    assert await ana.work("payin.submit") == 1
    assert await balances(ana) == {"BRL": {"pending": 10_000 - 390}}
    await assert_in_order(context)


async def test_sweep_and_callback_at_once_count_once(ana: Merchant, desk: Desk, context: Context) -> None:
    desk.says["submit"] = ["lost"]
    payin = await ana.card()
    told = desk.told(key_of(payin))
    await asyncio.gather(
        *(ana.work("payin.submit") for _ in range(3)), *(ana.told("card", "payment", told) for _ in range(3))
    )
    assert await balances(ana) == {"BRL": {"pending": 10_000 - 390}}
    await assert_in_order(context)


async def test_an_operation_that_was_never_ordered_is_ordered_by_the_sweep(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    payin = await ana.card()
    await ana.card()
    for word in ("nothing", "lost"):
        desk.says["refund"] = [word]
        refund = (await ana.refund(payin, 1_000)).json
        assert refund["status"] == "pending"
        assert await ana.work("payin.operate") == 1
        assert (await ana.get(f"/v1/refunds/{refund['id']}")).json["status"] == "succeeded"
    assert desk.payments[key_of(payin)].refunded_minor == 2_000
    assert desk.count("refund") == 3, "what was there is not ordered again"
    await assert_in_order(context)


async def test_an_operation_that_is_settled_at_once_leaves_no_work(ana: Merchant, desk: Desk) -> None:
    payin = await ana.card(capture="manual")
    await ana.capture(payin, 9_000, final=True)
    await ana.refund(payin, 10)
    assert await ana.work("payin.operate", "payin.submit", "payin.expire") == 0
    assert desk.count("operation") == 0


async def test_while_an_operation_is_pending_it_is_asked_for_again_and_again(
    ana: Merchant, desk: Desk, context: Context
) -> None:
    payin = await ana.card()
    await ana.card()
    desk.says["refund"] = [{"status": "pending"}]
    refund = (await ana.refund(payin, 1_000)).json
    for _ in range(2):
        assert await ana.work("payin.operate") == 0
    desk.settle(key_of(refund), "succeeded")
    assert await ana.work("payin.operate") == 1
    await assert_in_order(context)
