"""What has no outcome: operators see it with all that is known of it, have it asked now, or say what became of it."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from caudal.kernel.context import Context
from caudal.kernel.due import ClaimDue, run_job
from caudal.payins import JOBS, overdue
from caudal.payins.decide import unresolved as judged
from caudal.payins.http import waiting
from tests.payins.books import assert_in_order, rows
from tests.payins.cast import Merchant, key_of
from tests.payins.desk import Desk
from tests.payins.test_late_success import ended

PATH = "/v1/operator/unresolved"


async def tried(context: Context, *kinds: str) -> int:
    """A worker takes up what asks a provider, as if it were due; how much came to its end."""
    await rows(context, "update due set at = now() where kind = any(%s) returning 1", list(kinds))
    claimed = (await context.commit(0, ClaimDue(lease_s=60.0))).outcome
    return sum([await run_job(context, 0, due, JOBS) for due in claimed])


async def listed(ana: Merchant, **asked: object) -> list[dict[str, Any]]:
    query = "&".join(f"{name}={value}" for name, value in {"older_than_s": 0, "limit": 100, **asked}.items())
    answered = await ana.get(f"{PATH}?{query}", key=ana.olga)
    assert answered.status == 200, answered.body
    found: list[dict[str, Any]] = answered.json["data"]
    return found


async def settled(ana: Merchant, id: str, outcome: str, **more: Any) -> Any:
    asked = {"outcome": outcome, "reason": "it stands in the provider's statement"}
    return await ana.post(f"{PATH}/{id}/settlements", asked, key=more.pop("key", ana.olga), **more)


@pytest.fixture
async def lost(ana: Merchant, desk: Desk, context: Context) -> dict[str, Any]:
    """A card payin of which nobody knows what became of it: asked twice, in vain."""
    desk.says["submit"] = ["lost"]
    payin = await ana.card()
    desk.says["payment"] = ["nothing", "busy"]
    for _ in range(2):
        assert await tried(context, "payin.submit") == 0
    return payin


@pytest.fixture
async def several(ana: Merchant, desk: Desk, context: Context) -> dict[str, dict[str, Any]]:
    """One of every kind."""
    held, paid, closing = await ana.card(capture="manual"), await ana.card(), await ana.card(capture="manual")
    desk.says["submit"] = ["nothing"]
    found = {"payin": await ana.card()}
    for verb in ("capture", "refund", "void"):
        desk.says[verb] = ["nothing"]
    found["capture"] = (await ana.capture(held, 3_000)).json
    found["refund"] = (await ana.refund(paid, 4_000)).json
    found["void"] = (await ana.cancel(closing)).json
    late = await ended(ana, desk, "declined")
    desk.pay(key_of(late))
    await ana.told("mpesa", "payment", desk.told(key_of(late)))
    paid_too = await ana.asked("mpesa")
    desk.pay(key_of(paid_too))
    await ana.told("mpesa", "payment", desk.told(key_of(paid_too)))
    told = desk.told(key_of(paid_too), status="declined", captured=0)
    await ana.told("mpesa", "payment", told)
    [case] = [one for one in await ana.odd() if one["kind"] == "contradicts_final_state"]
    asked = {"correction": "ask_again", "facts": case["proposals"][0]["facts"]}
    await ana.post(f"/v1/operator/discrepancies/{case['id']}/corrections", asked, key=ana.olga)
    for verb in ("payment", "operation", "capture", "refund", "void"):
        desk.says[verb] = ["nothing"] * 9
    kinds = ("payin.submit", "payin.operate", "deposit.return", "discrepancy.ask")
    assert await tried(context, *kinds) == 0
    desk.says.clear()
    return found


async def test_everything_that_waits_is_listed_with_what_is_known(
    ana: Merchant, several: dict[str, dict[str, Any]], context: Context
) -> None:
    found = await listed(ana)
    kinds = [one["kind"] for one in found]
    assert (kinds[0], sorted(kinds[1:4]), kinds[4:]) == (
        "payin",
        ["capture", "refund", "void"],
        ["return", "discrepancy"],
    )
    by = {one["kind"]: one for one in found}
    payin = by["payin"]
    assert (payin["id"], payin["status"], payin["amount"]) == (several["payin"]["id"], "submitting", 10_000)
    assert (payin["provider"], payin["provider_key"]) == ("sandbox", key_of(several["payin"]))
    assert (payin["times_asked"], payin["mode"]) == (1, "test")
    assert payin["last_answer"] == "no outcome of this payment yet: a reset"
    assert (by["capture"]["id"], by["capture"]["amount"]) == (several["capture"]["id"], 3_000)
    assert (by["refund"]["id"], by["refund"]["amount"]) == (several["refund"]["id"], 4_000)
    assert (by["void"]["payin"], by["return"]["status"]) == (several["void"]["id"], "returning")
    assert {one["mode"] for one in found} == {"test"} and all(one["since"] <= one["next_ask_at"] for one in found)
    counted = await overdue(context, older_than_s=0)
    ages = sorted(one["age_seconds"] for one in found)
    assert counted.count == 6 and counted.oldest_s >= ages[-1], "asked a moment later, the same one is the oldest"
    assert (await overdue(context)).count == 0, "nothing is old yet"


async def test_behind_many_that_are_young_nothing_is_counted(
    several: dict[str, dict[str, Any]], context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, body_of = list[str](), waiting.body_of

    def noted(found: waiting.Found, now: datetime) -> Any:
        looked.append(found.due.kind)
        return body_of(found, now)

    monkeypatch.setattr(waiting, "body_of", noted)
    assert (await overdue(context)).count == 0 and len(looked) == 6
    looked.clear()
    monkeypatch.setattr(waiting, "_YOUNG", 1)
    assert (await overdue(context)).count == 0 and len(looked) == len(set(looked)) < 6


async def test_the_list_is_narrowed_and_goes_by_pages(ana: Merchant, several: dict[str, dict[str, Any]]) -> None:
    everything = [one["id"] for one in await listed(ana)]
    assert [one["kind"] for one in await listed(ana, kind="refund")] == ["refund"]
    assert [one["id"] for one in await listed(ana, mode="test", provider="sandbox")] == everything
    for nothing in ({"mode": "live"}, {"provider": "other"}, {"older_than_s": 3_600}):
        assert await listed(ana, **nothing) == []
    pages, after = list[str](), ""
    while True:
        page = (await ana.get(f"{PATH}?older_than_s=0&limit=2{after}", key=ana.olga)).json
        pages += [one["id"] for one in page["data"]]
        if not page["has_more"]:
            break
        after = f"&after={page['next']}"
    assert pages == everything
    assert (await ana.get(f"{PATH}?after=x", key=ana.olga)).fields == {"?after": "invalid_cursor"}
    assert (await ana.get(f"{PATH}?kind=x", key=ana.olga)).status == 422


async def test_one_is_shown_with_its_history(ana: Merchant, lost: dict[str, Any]) -> None:
    one = (await ana.get(f"{PATH}/{lost['id']}", key=ana.olga)).json
    assert (one["times_asked"], one["last_answer"]) == (2, "no outcome of this payment yet: busy")
    assert one["not_found_counts_from"] > one["submitted_until"] and one["history"] == []
    assert one["discrepancies"] == [] and one["provider_reference"] is None


async def test_it_is_asked_now(ana: Merchant, desk: Desk, context: Context, lost: dict[str, Any]) -> None:
    path = f"{PATH}/{lost['id']}/inquiries"
    assert (await ana.post(path, key=ana.olga)).status == 201
    assert await rows(context, "select count(*) from due where kind = 'payin.submit' and at <= now()") == [(1,)]
    claimed = (await context.commit(0, ClaimDue(lease_s=60.0))).outcome
    assert [await run_job(context, 0, due, JOBS) for due in claimed] == [True]
    assert (await ana.seen(lost))["status"] == "paid"
    assert await listed(ana) == [] and (await ana.post(path, key=ana.olga)).status == 404
    assert ("provider.asked", lost["id"]) in await rows(context, "select action, subject from audit")
    await assert_in_order(context)


async def test_what_happened_is_settled_by_hand(
    ana: Merchant, desk: Desk, context: Context, lost: dict[str, Any]
) -> None:
    answered = await settled(ana, lost["id"], "happened", idempotency="s")
    assert (answered.status, answered.json["outcome"]) == (201, "happened")
    assert (await settled(ana, lost["id"], "happened", idempotency="s")).body == answered.body
    seen = await ana.seen(lost)
    assert (seen["status"], seen["amount_received"]) == ("paid", 10_000)
    assert [event["type"] for event in await ana.events(types="payin.paid")] == ["payin.paid"]
    assert await listed(ana) == [] and (await settled(ana, lost["id"], "happened")).status == 404
    assert (await ana.told("card", "payment", desk.told(key_of(lost)))).status == 200
    assert await ana.odd() == [], "the provider says the same now, by a reference of its own"
    [detail] = await rows(context, "select convert_from(detail, 'UTF8') from audit where action = 'outcome.settled'")
    assert "the provider's statement" in detail[0]
    await assert_in_order(context)


async def test_what_may_still_happen_did_not_not_happen(
    ana: Merchant, desk: Desk, context: Context, lost: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = await settled(ana, lost["id"], "did_not_happen")
    assert (refused.status, refused.code) == (409, "forbidden_transition")
    assert "may still come to know it" in refused.json["detail"]
    monkeypatch.setattr(judged, "MARGIN", timedelta(hours=-2))
    assert (await settled(ana, lost["id"], "did_not_happen")).status == 201
    assert (await ana.seen(lost))["status"] == "failed"
    # And what the provider says otherwise afterwards is the payer's again.
    assert (await ana.told("card", "payment", desk.told(key_of(lost)))).status == 200
    assert await ana.work("deposit.return") == 1
    assert desk.payments[key_of(lost)].refunded_minor == 10_000
    await assert_in_order(context)


@pytest.mark.parametrize("outcome", ["happened", "did_not_happen"])
async def test_operations_and_returns_are_settled_by_hand(
    ana: Merchant, several: dict[str, dict[str, Any]], context: Context, outcome: str
) -> None:
    done = outcome == "happened"
    for one in await listed(ana):
        if one["kind"] not in ("payin", "discrepancy"):
            answered = await settled(ana, one["id"], outcome)
            assert answered.status == 201, answered.body
    status = "succeeded" if done else "failed"
    assert (await ana.get(f"/v1/captures/{several['capture']['id']}")).json["status"] == status
    assert (await ana.get(f"/v1/refunds/{several['refund']['id']}")).json["status"] == status
    assert (await ana.seen(several["void"]))["status"] == ("cancelled" if done else "authorized")
    deposits = await rows(context, "select returned_minor, unapplied_minor from deposit")
    assert deposits == [(10_000, 0) if done else (0, 10_000)]
    assert [one["kind"] for one in await listed(ana)] == ["payin", "discrepancy"]
    await assert_in_order(context)


async def test_about_a_void_the_provider_is_asked_for_the_payment(ana: Merchant, desk: Desk, context: Context) -> None:
    payin, desk.says["void"] = await ana.pix(), [{"status": "pending"}]
    await ana.cancel(payin)
    desk.pay(key_of(payin))
    await ana.told("pix", "payment", desk.told(key_of(payin)))
    [void] = desk.operations
    desk.settle(void, "succeeded")
    await ana.told("pix", "operation", desk.told_of_operation(void))
    [case] = await ana.odd()
    asked = {"correction": "ask_again", "facts": case["proposals"][0]["facts"]}
    assert (await ana.post(f"/v1/operator/discrepancies/{case['id']}/corrections", asked, key=ana.olga)).status == 201
    desk.says["payment"] = ["nothing"]
    assert await tried(context, "discrepancy.ask") == 0
    [one] = await listed(ana, kind="discrepancy")
    assert ("payment", one["provider_key"]) == desk.asked[-1]


async def test_a_question_has_no_outcome(ana: Merchant, several: dict[str, dict[str, Any]]) -> None:
    [one] = await listed(ana, kind="discrepancy")
    assert "resolve the discrepancy" in (await settled(ana, one["id"], "happened")).json["detail"]


async def test_what_has_come_to_an_outcome_meanwhile_is_refused(
    ana: Merchant, desk: Desk, context: Context, lost: dict[str, Any]
) -> None:
    assert (await ana.told("card", "payment", desk.told(key_of(lost)))).status == 200
    refused = await settled(ana, lost["id"], "did_not_happen")
    assert (refused.status, refused.json["detail"]) == (409, "it has come to an outcome meanwhile")
    assert (await ana.seen(lost))["status"] == "paid"


@pytest.mark.parametrize(
    ("asked", "fields"),
    [
        ({}, {"/outcome": "missing", "/reason": "missing"}),
        ({"outcome": "maybe", "reason": "said so"}, {"/outcome": "invalid_value"}),
        ({"outcome": "happened", "reason": "so"}, {"/reason": "invalid_value"}),
        ({"outcome": "happened", "reason": "said so", "by": "me"}, {"/by": "unknown_field"}),
    ],
    ids=lambda value: str(value)[:24],
)
async def test_fields(ana: Merchant, lost: dict[str, Any], asked: dict[str, Any], fields: dict[str, str]) -> None:
    answered = await ana.post(f"{PATH}/{lost['id']}/settlements", asked, key=ana.olga)
    assert (answered.status, answered.fields) == (422, fields)


async def test_nobody_says_that_a_transfer_came(ana: Merchant, context: Context) -> None:
    payin = await ana.payin()
    await rows(context, "update due set attempt = 2 where kind = 'payin.expire' returning 1")  # a worker died over it
    assert [one["kind"] for one in await listed(ana)] == ["expiry"]
    refused = await settled(ana, payin["id"], "happened")
    assert (refused.status, refused.code) == (409, "forbidden_transition"), refused.body
    assert "its bank reports it" in refused.json["detail"]
    assert (await ana.seen(payin))["status"] == "pending"


async def test_only_operators_see_and_settle_it(ana: Merchant, lost: dict[str, Any]) -> None:
    assert (await ana.get(PATH)).status in (401, 403)
    for verb in ("inquiries", "settlements"):
        assert (await ana.post(f"{PATH}/{lost['id']}/{verb}", {})).status in (401, 403)
    for id in ("payin_" + "0" * 32, "refund_" + lost["id"][6:], "x"):
        assert (await ana.get(f"{PATH}/{id}", key=ana.olga)).status == 404
        assert (await settled(ana, id, "happened")).status == 404
