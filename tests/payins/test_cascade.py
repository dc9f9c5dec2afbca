"""The next provider is asked where nothing came of the first, each attempt durable, and never where nobody knows."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from caudal.app.check import SQL
from caudal.connectors import Declined
from caudal.kernel.context import Context
from caudal.kernel.ids import slot_of
from caudal.payins.calls import payments
from tests.payins.books import broken_laws
from tests.payins.cast import Merchant, key_of
from tests.payins.desk import Desk
from tests.payins.disputing import RESPOND_BY
from tests.payins.several import NAMES, merchant, routed, rule, three_providers

SOFT, HARD = {"status": "declined", "reason": "do_not_honor"}, {"status": "declined", "reason": "lost_or_stolen"}
NONE = {"captured_minor": 0, "authorized_minor": 0}
DECLINED: dict[str, Any] = {**SOFT, **NONE}


@pytest.fixture
async def context(database_url: str, tmp_path: Path) -> AsyncIterator[Context]:
    """A process with three providers, whose sweeps hold their work for no longer than a call may take."""
    async with three_providers(database_url, tmp_path, lease_s=0.5) as opened:
        yield opened


@pytest.fixture
async def ana(context: Context) -> Merchant:
    return await merchant(context)


async def attempts(ana: Merchant, payin: dict[str, Any]) -> list[str]:
    """Provider, status and reason of each attempt."""
    listed = (await ana.get(f"/v1/payins/{payin['id']}/attempts")).json
    assert listed["payin"] == payin["id"]
    assert [one["number"] for one in listed["data"]] == list(range(1, len(listed["data"]) + 1))
    return [f"{one['provider']} {one['status']} {one['status_reason']}" for one in listed["data"]]


# What the providers say one after the other, what becomes of the payin, and its attempts.
TABLE: dict[str, tuple[list[Any], str, list[str]]] = {
    "the first takes it": ([], "paid", ["acme paid None"]),
    "a soft decline goes on": ([DECLINED], "paid", ["acme declined do_not_honor", "bravo paid None"]),
    "an outage goes on": (["busy"], "paid", ["acme unavailable None", "bravo paid None"]),
    "a refusal that is soft goes on": (
        [Declined(reason="amount_not_allowed", detail="")],
        "paid",
        ["acme declined amount_not_allowed", "bravo paid None"],
    ),
    "one after the other": (
        ["busy", DECLINED],
        "paid",
        ["acme unavailable None", "bravo declined do_not_honor", "corto paid None"],
    ),
    "the last word is the last provider's": (
        [DECLINED, DECLINED, {**DECLINED, "reason": "processing_error"}],
        "declined",
        ["acme declined do_not_honor", "bravo declined do_not_honor", "corto declined processing_error"],
    ),
    "a hard decline ends it": ([HARD | NONE], "declined", ["acme declined lost_or_stolen"]),
    "a hard decline later ends it": (
        [DECLINED, HARD | NONE],
        "declined",
        ["acme declined do_not_honor", "bravo declined lost_or_stolen"],
    ),
    "an outcome that nobody knows ends it": (["lost"], "submitting", ["acme submitting None"]),
    "and silence": (["nothing"], "submitting", ["acme submitting None"]),
    "and later silence": (
        [DECLINED, "nothing"],
        "submitting",
        ["acme declined do_not_honor", "bravo submitting None"],
    ),
    "whoever waits for its payer has it": (
        [DECLINED, {"status": "pending", **NONE}],
        "pending",
        ["acme declined do_not_honor", "bravo pending None"],
    ),
    "nobody is there": (
        ["busy"] * 3,
        "submitting",
        [*[f"{n} unavailable None" for n in NAMES[:2]], "corto submitting None"],
    ),
}


@pytest.mark.parametrize(("says", "status", "expected"), TABLE.values(), ids=TABLE)
async def test_the_table_of_cascades(
    ana: Merchant, desk: Desk, says: list[Any], status: str, expected: list[str]
) -> None:
    desk.says["submit"] = says
    payin = await ana.card()
    assert (payin["status"], payin["provider"]) == (status, expected[-1].partition(" ")[0])
    assert await attempts(ana, payin) == expected
    key = key_of(payin)
    assert desk.sent == [(n, key if i == 1 else f"{key}-{i}") for i, n in enumerate(NAMES[: len(expected)], 1)]
    assert (await ana.seen(payin))["status"] == status


async def test_a_provider_that_is_away_is_passed_over(ana: Merchant, desk: Desk) -> None:
    desk.away = {"acme"}
    assert await attempts(ana, await ana.pix()) == ["bravo pending None"]
    desk.away = set(NAMES)
    assert (await ana.ask("pix")).code == "provider_unavailable"


async def test_each_attempt_is_durable_before_its_call(ana: Merchant, desk: Desk) -> None:
    seen: list[Any] = []

    async def look() -> None:
        rows = await ana.context.rows("select status, version, detail from payin")
        seen.append((*rows[0][:2], bytes(rows[0][2])))

    desk.says["submit"] = [DECLINED, look]
    await ana.card()
    [(status, version, detail)] = seen
    assert (status, version) == ("submitting", 2)
    assert b'"ended":"declined","reason":"do_not_honor"' in detail and b'"provider":"bravo"' in detail
    history = await ana.context.rows("select event from payin_change order by number")
    assert [row[0] for row in history] == ["next_attempt", "all_received"]


async def test_a_profile_says_how_many_and_in_which_order(ana: Merchant, desk: Desk) -> None:
    profile = await routed(ana, rule("back to front", "order", providers=["corto", "acme"]), max_attempts=2)
    desk.says["submit"] = [DECLINED, DECLINED]
    payin = await ana.card()
    assert payin["status"] == "declined"
    assert await attempts(ana, payin) == ["corto declined do_not_honor", "acme declined do_not_honor"]
    listed = (await ana.get(f"/v1/payins/{payin['id']}/attempts")).json
    assert listed["routing_profile"] == profile
    assert [(one["rule"], one["reason"]) for one in listed["data"]] == [
        ("back to front", "number 1 of the rule's list"),
        ("back to front", "number 2 of the rule's list"),
    ]


async def test_a_rule_on_the_card_looks_at_its_first_digits(ana: Merchant, desk: Desk) -> None:
    await routed(ana, rule("visa", "order", {"bins": ["4111"]}, providers=["bravo"]))
    assert (await ana.card())["provider"] == "bravo"
    assert (await ana.pix())["provider"] == "acme"


async def test_a_rule_on_risk_looks_at_the_merchants_score(ana: Merchant, desk: Desk) -> None:
    await routed(ana, rule("risky", "order", {"risk_from": 70}, providers=["corto"]))
    assert (await ana.card())["provider"] == "acme"
    desk.says["submit"] = [DECLINED, DECLINED]
    payin = await ana.card(risk_score=70)
    assert await attempts(ana, payin) == [
        "corto declined do_not_honor",
        "acme declined do_not_honor",
        "bravo paid None",
    ]
    listed = (await ana.get(f"/v1/payins/{payin['id']}/attempts")).json
    assert (listed["risk_score"], [one["rule"] for one in listed["data"]]) == (70, ["risky", "default", "default"])
    for wrong, code in ((-1, "out_of_range"), (101, "out_of_range"), ("high", "invalid_type"), (7.5, "invalid_type")):
        answer = await ana.ask("card", risk_score=wrong)
        assert [(error["field"], error["code"]) for error in answer.json["errors"]] == [("/risk_score", code)]


# What the request could not do


async def test_the_sweep_goes_on_where_the_request_stopped(
    ana: Merchant, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(payments, "WORTH_S", 1e9)  # no time is left
    desk.says["submit"] = [DECLINED]
    payin = await ana.card()
    assert (payin["status"], await attempts(ana, payin)) == ("submitting", ["acme submitting None"])
    monkeypatch.undo()
    monkeypatch.setattr("caudal.connectors.registry._client", desk.counter)
    assert await ana.work("payin.submit") == 1
    assert await attempts(ana, payin) == ["acme declined do_not_honor", "bravo paid None"]
    assert (await ana.seen(payin))["status"] == "paid"
    assert not await ana.work("payin.submit")


async def test_the_sweep_never_goes_on_where_nobody_knows(ana: Merchant, desk: Desk) -> None:
    desk.says["submit"] = ["lost"]
    payin = await ana.card()
    desk.says["payment"] = ["nothing"]
    assert await ana.work("payin.submit") == 0
    assert await attempts(ana, payin) == ["acme submitting None"]
    assert await ana.work("payin.submit") == 1
    assert await attempts(ana, payin) == ["acme paid None"]
    assert len(desk.sent) == 1


async def test_a_callback_that_is_faster_than_the_answer_leaves_the_cascade_alone(ana: Merchant, desk: Desk) -> None:
    async def told() -> None:
        [key] = desk.payments
        answered = await tell(ana, desk, key, code="05")
        assert answered.status == 200, answered.body
        assert await ana.context.rows("select status from payin") == [("submitting",)]

    desk.says["submit"] = [(DECLINED, told)]
    payin = await ana.card()
    assert await attempts(ana, payin) == ["acme declined do_not_honor", "bravo paid None"]
    assert (await tell(ana, desk, key_of(payin), code="05")).status == 200
    assert ((await ana.seen(payin))["status"], await ana.odd()) == ("paid", [])


async def tell(ana: Merchant, desk: Desk, key: str, **changed: Any) -> Any:
    provider = next(name for name, sent in desk.sent if sent == key)
    return await ana.told(desk.methods[key], "payment", desk.told(key, **changed), provider=provider, secret=provider)


# Money of an attempt that had come to nothing


@pytest.mark.parametrize("end", ["paid", "declined", "submitting"])
async def test_money_of_an_earlier_attempt_goes_back(ana: Merchant, desk: Desk, end: str) -> None:
    last: dict[str, list[Any]] = {"paid": [], "declined": [HARD | NONE], "submitting": ["nothing"]}
    desk.says["submit"] = [DECLINED, *last[end]]
    payin = await ana.card(amount=7_000)
    assert payin["status"] == end
    first = key_of(payin)
    desk.change(first, status="paid", reason=None, authorized_minor=7_000, captured_minor=7_000)
    assert (await tell(ana, desk, first)).status == 200
    assert (await tell(ana, desk, first)).status == 200
    assert (await ana.seen(payin))["status"] == end, "the payin's own state stays right"
    [odd] = await ana.odd()
    assert (odd["kind"], odd["provider"], odd["payin"]) == ("late_success", "acme", payin["id"])
    assert await ana.work("deposit.return") == 1
    assert [(order.payment_key, order.amount_minor) for order in desk.refunds] == [(first, 7_000)]
    assert desk.payments[first].refunded_minor == 7_000
    assert await laws(ana) == []
    # As `caudal check --against-sandbox` compares it with the provider's own books.
    books = {row[0]: row[1:] for row in await ana.context.rows(SQL["payins_for_provider"])}
    account = str(ana_slot(payin))
    assert books[first] == ("acme", account, "BRL", 0, 7_000, 7_000, 0)
    assert books[f"{first}-2"] == ("bravo", account, "BRL", 0, 7_000 if end == "paid" else 0, 0, 0)


def ana_slot(payin: dict[str, Any]) -> int:
    return slot_of(UUID(hex=key_of(payin)))


async def test_what_an_earlier_attempt_holds_is_given_back(ana: Merchant, desk: Desk) -> None:
    desk.says["submit"] = [DECLINED]
    payin = await ana.card(amount=7_000, capture="manual")
    first = key_of(payin)
    desk.change(first, status="authorized", reason=None, authorized_minor=7_000)
    assert (await tell(ana, desk, first)).status == 200
    assert await ana.work("payin.operate") == 1
    assert (desk.payments[first].status, desk.held(f"{first}-2")) == ("cancelled", 7_000)
    assert (await ana.seen(payin))["status"] == "authorized"
    assert (await ana.capture(payin)).status == 201
    assert desk.payments[f"{first}-2"].captured_minor == 7_000
    assert await laws(ana) == []


async def test_what_is_only_told_of_an_earlier_attempt_is_asked(ana: Merchant, desk: Desk) -> None:
    desk.says["submit"] = [DECLINED]
    payin = await ana.card(amount=7_000)
    first = key_of(payin)
    paid = {"status": "paid", "authorized": 7_000, "captured": 7_000}
    assert (await tell(ana, desk, first, **paid)).status == 200
    assert [odd["kind"] for odd in await ana.odd()] == ["contradicts_final_state"], "the provider says otherwise"
    assert not desk.refunds and (await ana.seen(payin))["amount_received"] == 7_000


async def test_an_earlier_attempt_is_asked_again_until_its_provider_answers(ana: Merchant, desk: Desk) -> None:
    desk.says["submit"] = [DECLINED]
    payin = await ana.card(amount=7_000)
    first = key_of(payin)
    desk.change(first, status="paid", reason=None, authorized_minor=7_000, captured_minor=7_000)
    desk.says["payment"] = ["nothing", "nothing"]
    assert (await tell(ana, desk, first)).status == 200
    assert await ana.work("discrepancy.ask") == 0
    assert await ana.work("discrepancy.ask") == 1
    assert await ana.work("deposit.return") == 1
    assert desk.payments[first].refunded_minor == 7_000


async def test_refunds_go_to_whoever_carries_the_payment(ana: Merchant, desk: Desk) -> None:
    desk.says["submit"] = ["busy"]
    payin = await ana.card()
    assert (await ana.refund(payin, 500)).status == 201
    [order] = desk.refunds
    assert order.payment_key == f"{key_of(payin)}-2"


async def test_a_dispute_of_an_earlier_attempt_takes_nothing_from_the_payin(ana: Merchant, desk: Desk) -> None:
    desk.says["submit"] = [DECLINED]
    payin = await ana.card(amount=7_000)
    dispute = {"reference": "d1", "account": str(ana_slot(payin)), "status": "opened", "amount": 7_000}
    dispute |= {"currency": "BRL", "code": "10.4", "respond_by": RESPOND_BY}
    for key, provider in ((key_of(payin), "acme"), (f"{key_of(payin)}-2", "bravo")):
        told = dispute | {"payment_key": key}
        answered = await ana.told("card", "dispute", told, provider=provider, secret=provider)
        assert answered.status == 200, answered.body
        assert (await ana.seen(payin))["amount_disputed"] == (7_000 if provider == "bravo" else 0)
    assert [odd["kind"] for odd in await ana.odd()] == ["contradicts_final_state"]


async def laws(ana: Merchant) -> list[str]:
    async with ana.context.pool.connection() as connection:
        return await broken_laws(connection)


async def test_attempts_of_nobody_are_refused(ana: Merchant, desk: Desk) -> None:
    assert (await ana.get("/v1/payins/payin_x/attempts")).code == "not_found"
    payin = await ana.pix()
    assert (await ana.get(f"/v1/payins/{payin['id']}/attempts", key=await ana.key_of("live"))).code == "not_found"
    spei = await ana.payin()
    assert (await ana.get(f"/v1/payins/{spei['id']}/attempts")).json["data"] == []
