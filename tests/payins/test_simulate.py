"""What a profile would do, with one payin and with those that there are; nothing is written."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from caudal.catalogue import METHODS
from caudal.connectors import CAPABILITIES, Unresolved, links
from caudal.kernel.clock import wall_clock
from caudal.kernel.context import Context
from caudal.merchants.commands.callers import KeyCache
from caudal.payins import simulation
from tests.api import Answered
from tests.payins.cast import ASKED, Merchant
from tests.payins.desk import Desk
from tests.payins.several import merchant, routed, rule, three_providers

PAYIN = {"amount": 5_000, "currency": "BRL", "country": "BR", "method": "card"}
PIX = PAYIN | {"method": "pix"}


@pytest.fixture
async def context(database_url: str, tmp_path: Path) -> AsyncIterator[Context]:
    async with three_providers(database_url, tmp_path) as opened:
        yield opened


@pytest.fixture
async def ana(context: Context) -> Merchant:
    return await merchant(context)


def draft(*rules: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"name": "draft", "rules": list(rules), **more}


VISA = draft(rule("visa", "order", {"bins": ["4111"]}, providers=["corto"]))


async def simulate(ana: Merchant, **asked: Any) -> Answered:
    return await ana.post("/v1/routing/simulate", asked, idempotency=None)


async def test_a_draft_says_who_would_be_asked_and_why(ana: Merchant, desk: Desk) -> None:
    desk.away = {"bravo"}
    rules = draft(rule("mexico", "order", {"countries": ["MX"]}, providers=["corto"]), rule("cheap", "least_cost"))
    instrument = {"id": await ana.instrument()}
    found = (await simulate(ana, payin=PAYIN | {"instrument": instrument}, profile=rules)).json
    assert (found["provider"], found["max_attempts"], found["replay"]) == ("acme", 3, None)
    assert found["candidates"] == [
        {"provider": "acme", "rule": "cheap", "reason": "it takes 165"},
        {"provider": "corto", "rule": "cheap", "reason": "no cost of it is configured"},
    ]
    told = [(one["rule"], one["provider"], one["place"]) for one in found["considered"]]
    assert told[:4] == [("mexico", None, None), ("cheap", "bravo", None), ("cheap", "acme", 1), ("cheap", "corto", 2)]
    assert [one["reason"] for one in found["considered"][:2]] == [
        "the country is BR",
        "it does not answer at the moment",
    ]


async def test_who_may_not_be_asked_is_told_with_the_reason_and_its_end(ana: Merchant, context: Context) -> None:
    path, until = "/v1/operator/providers", "2090-01-01T06:00:00Z"
    forced = {"breaker": "open", "reason": "incident", "until": until}
    assert (await ana.post(f"{path}/acme/forcings", forced, key=ana.olga)).status == 201
    assert (
        await ana.post(f"{path}/bravo/drains", {"drained": True, "reason": "maintenance"}, key=ana.olga)
    ).status == 201
    corto = links(context).of("corto", "test")
    assert corto is not None
    before = wall_clock()
    for _ in range(corto.provider.breaker_failures):
        await corto.around.call(silence, None, deduplicates=False)
    found = (await simulate(ana, payin=PIX)).json
    assert found["provider"] is None and [one["provider"] for one in found["considered"]] == ["acme", "bravo", "corto"]
    acme, bravo, third = (one["reason"] for one in found["considered"])
    assert acme == "an operator holds its breaker open until 2090-01-01T06:00:00.000000Z"
    assert bravo == "an operator drains it until that is ended: nothing new begins there"
    said = re.fullmatch("its breaker is open until (.+): calls failed, or were slow", third)
    assert said is not None, third
    open_s = timedelta(seconds=corto.provider.breaker_open_s)
    assert before + open_s <= datetime.fromisoformat(said[1]) <= wall_clock() + open_s


async def silence(_: float) -> Unresolved:
    return Unresolved(kind="unknown", detail="nothing came")


async def test_a_card_that_could_not_pay_is_refused(ana: Merchant, desk: Desk) -> None:
    deleted, kept = await ana.instrument(), await ana.instrument()
    assert (await ana.post(f"/v1/instruments/{deleted}/deletions", idempotency=None)).status == 200
    live, test = await ana.key_of("live"), ana.key
    ana.key = live
    others = await ana.instrument()
    ana.key = test
    for draft_of in (draft(rule("any", "order", providers=["corto"])), VISA):
        for id in ("instr_" + "0" * 32, deleted, others):
            answered = await simulate(ana, payin=PAYIN | {"instrument": {"id": id}}, profile=draft_of)
            assert (answered.status, answered.fields) == (422, {"/payin/instrument/id": "not_found"}), answered.body
    another = await simulate(ana, payin=PAYIN | {"instrument": {"id": kept, "brand": "mastercard"}}, profile=VISA)
    assert another.fields == {"/payin/instrument/brand": "contradiction"}
    today = wall_clock()
    short = {"id": await ana.instrument(expiry_month=today.month, expiry_year=today.year)}
    assert (await simulate(ana, payin=PAYIN | {"instrument": short}, profile=VISA)).json["provider"] == "corto"
    assert (await ana.advance(90 * 86_400)).status == 200
    ana.context.once(KeyCache)._known.clear()  # what a second does otherwise
    late = await simulate(ana, payin=PAYIN | {"instrument": short}, profile=VISA)
    assert late.fields == {"/payin/instrument/id": "expired_card"}, "by the book's own clock, as when it is created"


async def test_without_a_draft_it_is_the_active_profile_or_a_kept_one(ana: Merchant, desk: Desk) -> None:
    assert (await simulate(ana, payin=PIX)).json["candidates"][0]["rule"] == "default"
    kept = await routed(ana, rule("first", "order", providers=["bravo"]))
    await routed(ana, rule("second", "order", providers=["corto"]), max_attempts=1)
    active, named = await simulate(ana, payin=PIX), await simulate(ana, payin=PIX, profile_id=kept)
    assert (active.json["provider"], active.json["max_attempts"]) == ("corto", 1)
    assert (named.json["provider"], named.json["max_attempts"]) == ("bravo", 3)


async def test_a_draft_looks_at_the_card(ana: Merchant, desk: Desk) -> None:
    asked = PAYIN | {"instrument": {"id": await ana.instrument()}}
    assert (await simulate(ana, payin=asked, profile=VISA)).json["provider"] == "corto"


async def test_a_replay_counts_where_payins_went_and_would_go(ana: Merchant, desk: Desk) -> None:
    for amount in (1_000, 100_000, 100_000):
        await ana.card(amount=amount)
    desk.away = {"acme"}
    await ana.card(amount=1_000)
    await ana.payin()  # goes to no provider
    found = (await simulate(ana, replay={"days": 7}, profile=draft(rule("cheap", "least_cost")))).json
    replay = found["replay"]
    assert (found["provider"], found["candidates"]) == (None, [])
    assert {name: replay[name] for name in ("payins", "cut", "moved", "unroutable")} == {
        "payins": 4,
        "cut": False,
        "moved": 1,
        "unroutable": 0,
    }
    # Who is away now counts as there: the small payins go to bravo, the large ones to acme.
    assert replay["providers"] == [
        {"provider": "acme", "went": 3, "would": 2},
        {"provider": "bravo", "went": 1, "would": 2},
    ]
    large, small = 2 * (40 + 2_500), (10 + 30)
    assert replay["costs"] == [{"currency": "BRL", "went": large + 65 + small, "would": large + 2 * small}]
    assert replay["expected_success_went"] > 0.6


async def test_a_replay_of_the_same_split_moves_nobody(ana: Merchant, desk: Desk) -> None:
    shares = rule("split", "split", shares={"acme": 40, "bravo": 30, "corto": 30})
    await routed(ana, shares)
    went = {(await ana.pix())["provider"] for _ in range(12)}
    replay = (await simulate(ana, replay={"days": 1}, profile=draft(shares))).json["replay"]
    assert (replay["payins"], replay["moved"], len(went) > 1) == (12, 0, True)


async def test_a_replay_of_a_card_rule_reads_the_cards(ana: Merchant, desk: Desk) -> None:
    await ana.card()
    assert (await simulate(ana, replay={"days": 1}, profile=VISA)).json["replay"]["moved"] == 1


async def test_a_long_replay_is_cut_at_the_oldest_that_was_looked_at(
    ana: Merchant, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simulation, "_PAGE", 2)
    monkeypatch.setattr(simulation, "REPLAYED_MAX", 4)
    made = [(await ana.pix())["created_at"] for _ in range(5)]
    replay = (await simulate(ana, replay={"days": 1})).json["replay"]
    assert (replay["payins"], replay["cut"], replay["replayed_from"]) == (4, True, made[1])
    window = {"created_from": made[0], "created_to": made[2]}
    replay = (await simulate(ana, replay=window)).json["replay"]
    assert (replay["payins"], replay["cut"]) == (2, False)


async def test_nothing_is_written(ana: Merchant, desk: Desk) -> None:
    await ana.pix()
    counts = "select (select count(*) from batch), (select count(*) from key), (select count(*) from payin)"
    before = await ana.context.rows(counts)
    for asked in ({"payin": PIX}, {"replay": {"days": 7}}):
        assert (await simulate(ana, **asked, profile=draft(rule("cheap", "least_cost")))).status == 200
    assert await ana.context.rows(counts) == before


RULES = draft(rule("cheap", "least_cost"))
SPEI = {"currency": "MXN", "country": "MX", "method": "spei"}
WRONG: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({}, {"/replay": "contradiction"}),
    ({"payin": PIX, "replay": {"days": 7}}, {"/replay": "contradiction"}),
    ({"payin": PIX, "profile": RULES, "profile_id": "rprof_" + "0" * 32}, {"/profile_id": "contradiction"}),
    ({"payin": PIX, "profile_id": "x"}, {"/profile_id": "invalid_value"}),
    ({"payin": PIX | {"amount": 0}}, {"/payin/amount": "amount_out_of_range"}),
    ({"payin": PIX | {"method": "pixx"}}, {"/payin/method": "unknown_method"}),
    ({"payin": PIX | SPEI}, {"/payin/method": "not_supported"}),
    ({"payin": PIX | SPEI | {"country": "BR"}}, {"/payin/method": "unknown_method"}),
    ({"payin": {"amount": 5}}, {f"/payin/{name}": "missing" for name in ("currency", "country", "method")}),
    ({"payin": PIX, "profile": draft()}, {"/profile/rules": "missing"}),
    (
        {"payin": PIX, "profile": draft(rule("a", "order", providers=["akme"]))},
        {"/profile/rules/0/choose/providers/0": "unknown_provider"},
    ),
    ({"replay": {}}, {"/replay/days": "contradiction"}),
    ({"replay": {"days": 0}}, {"/replay/days": "out_of_range"}),
    ({"replay": {"days": 32}}, {"/replay/days": "out_of_range"}),
    ({"replay": {"days": 7, "created_from": "2026-11-01T00:00:00Z"}}, {"/replay/days": "contradiction"}),
    ({"replay": {"days": 7, "created_to": "2026-11-01T00:00:00Z"}}, {"/replay/created_to": "contradiction"}),
    (
        {"replay": {"created_from": "2026-11-02T00:00:00Z", "created_to": "2026-11-01T00:00:00Z"}},
        {"/replay/created_to": "contradiction"},
    ),
    (
        {"replay": {"created_from": "2026-01-01T00:00:00Z", "created_to": "2026-11-01T00:00:00Z"}},
        {"/replay/created_from": "too_far"},
    ),
    ({"replay": {"days": 7}, "profil": RULES}, {"/profil": "unknown_field"}),
]


async def test_what_is_wrong_with_a_simulation_is_told(ana: Merchant, desk: Desk) -> None:
    for asked, fields in WRONG:
        answered = await simulate(ana, **asked)
        assert (answered.status, answered.fields) == (422, fields), asked


async def test_every_method_that_goes_to_a_provider_is_tried(ana: Merchant, desk: Desk) -> None:
    for (country, method), of in METHODS.items():
        asked = {"country": country, "currency": of.currency, "amount": of.max_minor}
        asked |= ASKED.get(method, {}) | {"method": method}
        if method == "card":
            asked["instrument"] = {"id": await ana.instrument()}
        answered = await simulate(ana, payin=asked, profile=RULES)
        expected = ("acme", 200) if method in CAPABILITIES else (None, 422)
        assert (answered.json.get("provider"), answered.status) == expected, answered.body


async def test_whose_profile_it_is_and_who_may_ask(ana: Merchant, desk: Desk) -> None:
    kept = await routed(ana, rule("first", "order", providers=["bravo"]))
    other = "rprof_" + "0" * 32
    assert (await simulate(ana, payin=PIX, profile_id=other)).code == "not_found"
    ana.key, mine = await ana.key_of("live"), ana.key
    assert (await simulate(ana, replay={"days": 1}, profile_id=kept)).code == "not_found"
    ana.key = mine
    ana.key = await ana.key_of("test", scopes=("payins:read",))
    assert (await simulate(ana, payin=PIX)).code == "forbidden"
