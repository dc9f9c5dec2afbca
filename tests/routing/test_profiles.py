"""Profiles: kept for ever, one of them active, each of them checked whole."""

from __future__ import annotations

import json
from typing import Any

import pytest

from caudal.kernel.errors import Invalid
from caudal.routing.asked import LIST_MAX, RULES_MAX, profile_asked
from tests.payins.cast import Merchant

PATH = "/v1/routing/profiles"
NAMES = ("acme", "bravo", "corto")


def rule(name: str = "a", by: Any = "least_cost", when: Any = None, **choose: Any) -> dict[str, Any]:
    return {"name": name, "choose": {"by": by, **choose}} | ({} if when is None else {"when": when})


def asked(*rules: Any, **more: Any) -> dict[str, Any]:
    return {"name": "by cost", "rules": list(rules) or [rule()], **more}


async def test_a_profile_is_kept_numbered_and_not_active(ana: Merchant) -> None:
    first = await ana.post(PATH, asked(rule("cheap", when={"countries": ["BR"]}), max_attempts=2))
    second = await ana.post(PATH, asked())
    assert (first.status, second.status) == (201, 201), first.body
    body = first.json
    assert {name: body[name] for name in ("object", "mode", "version", "name", "active", "max_attempts")} == {
        "object": "routing_profile",
        "mode": "test",
        "version": 1,
        "name": "by cost",
        "active": False,
        "max_attempts": 2,
    }
    [kept] = body["rules"]
    assert (kept["name"], kept["when"]["countries"], kept["when"]["bins"]) == ("cheap", ["BR"], [])
    assert kept["choose"] == {"by": "least_cost", "providers": [], "shares": {}}
    assert (second.json["version"], second.json["max_attempts"]) == (2, 3)
    assert (await ana.get(f"{PATH}/{body['id']}")).json == body


async def test_one_profile_is_active_and_all_are_listed(ana: Merchant) -> None:
    made = [(await ana.post(PATH, asked(rule(name)))).json["id"] for name in "abc"]
    for id in (made[0], made[2]):
        assert (await ana.post(f"{PATH}/{id}/activations")).json["active"] is True
    listed = (await ana.get(f"{PATH}?limit=2")).json
    assert [(one["id"], one["active"]) for one in listed["data"]] == [(made[2], True), (made[1], False)]
    rest = (await ana.get(f"{PATH}?limit=2&after={listed['next']}")).json
    assert [(one["id"], one["active"]) for one in rest["data"]] == [(made[0], False)]
    assert (rest["has_more"], (await ana.get(f"{PATH}/{made[2]}")).json["active"]) == (False, True)
    assert (await ana.post(f"{PATH}/{made[2]}/deactivations")).json["active"] is False
    assert not any(one["active"] for one in (await ana.get(PATH)).json["data"])


async def test_who_activates_what_is_in_the_audit_trail(ana: Merchant) -> None:
    id = (await ana.post(PATH, asked())).json["id"]
    await ana.post(f"{PATH}/{id}/activations")
    await ana.post(f"{PATH}/{id}/deactivations")
    entries = (await ana.get(f"/v1/operator/audit?subject={id}", key=ana.olga)).json["data"]
    assert [entry["action"] for entry in entries] == [
        "routing_profile.deactivated",
        "routing_profile.activated",
        "routing_profile.created",
    ]
    assert all(entry["actor"].startswith("key_") for entry in entries)


async def test_a_repetition_makes_one_profile(ana: Merchant) -> None:
    first, again = [await ana.post(PATH, asked(), idempotency="one") for _ in range(2)]
    assert (first.body, again.headers["idempotent-replayed"]) == (again.body, "true")
    assert (await ana.post(PATH, asked(), idempotency=None)).json["version"] == 2


async def test_what_is_refused(ana: Merchant, caro: Merchant) -> None:
    id = (await ana.post(PATH, asked())).json["id"]
    for path in (f"{PATH}/{id}/activations", f"{PATH}/{id}/deactivations"):
        assert (await caro.post(path)).code == "not_found"
        assert (await ana.post(path, key=await ana.key_of("live"))).code == "not_found"
        assert (await ana.post(path, key=await ana.key_of("test", scopes=("routing:read",)))).code == "forbidden"
        assert (await ana.post(path.replace(id, "rprof_x"))).code == "not_found"
        assert (await ana.post(path, {"name": "x"}, idempotency=None)).status == 422
    assert (await caro.get(f"{PATH}/{id}")).code == "not_found"
    assert (await ana.get(f"{PATH}/rprof_x")).code == "not_found"
    assert (await ana.get(PATH, key=await ana.key_of("test", scopes=("payins:read",)))).code == "forbidden"
    assert (await ana.post(f"{PATH}/{id}/deactivations", idempotency=None)).code == "forbidden_transition"
    assert (await ana.post(f"{PATH}/{id}/activations")).status == 200
    assert (await ana.post(f"{PATH}/{id}/activations")).code == "forbidden_transition"
    assert (await ana.get(f"{PATH}?after=x")).fields == {"?after": "invalid_cursor"}


async def test_a_key_that_has_ended_changes_nothing(ana: Merchant) -> None:
    id = (await ana.post(PATH, asked())).json["id"]
    listed = (await ana.get(f"{ana.path}/keys", key=ana.olga)).json["data"]
    assert (await ana.post(f"/v1/operator/keys/{listed[0]['id']}/revocations", key=ana.olga)).status == 200
    assert (await ana.post(f"{PATH}/{id}/activations")).code == "unauthenticated"
    assert (await ana.post(PATH, asked())).code == "unauthenticated"


# What is wrong with a rule, and where the error stands: below /rules/0 unless it begins with a slash.
WRONG = [
    (rule(by="order"), {"choose/providers": "missing"}),
    (rule(by="order", providers=["akme"]), {"choose/providers/0": "unknown_provider"}),
    (rule(by="order", providers=["acme", "acme"]), {"choose/providers/1": "repeated"}),
    (rule(by="order", providers=["acme"], shares={"acme": 100}), {"choose/shares": "not_supported"}),
    (rule(by="split"), {"choose/shares": "not_all"}),
    (rule(by="split", shares={"acme": 60, "bravo": 30}), {"choose/shares": "not_all"}),
    (rule(by="split", shares={"acme": 110, "bravo": -10}), {f"choose/shares/{n}": "out_of_range" for n in NAMES[:2]}),
    (rule(by="split", shares={"akme": 100}), {"choose/shares/akme": "unknown_provider"}),
    (rule(by="split", shares={"acme": 100}, providers=["acme"]), {"choose/providers": "not_supported"}),
    (rule(by="cheapest"), {"choose/by": "invalid_value"}),
    (rule(when={"countries": ["BR", "XX"]}), {"when/countries/1": "unknown_country"}),
    (rule(when={"methods": ["pixx"]}), {"when/methods/0": "unknown_method"}),
    (rule(when={"currencies": ["BRR"]}), {"when/currencies/0": "unknown_currency"}),
    (rule(when={"currencies": ["BRL", "BRL"]}), {"when/currencies/1": "repeated"}),
    (rule(when={"countries": ["BR"], "currencies": ["MXN"]}), {"when": "contradiction"}),
    (rule(when={"countries": ["MX"], "methods": ["pix"]}), {"when": "contradiction"}),
    (rule(when={"amount_from": 5}), {"when/amount_from": "needs_currency"}),
    (rule(when={"amount_to": 5, "currencies": ["BRL", "MXN"]}), {"when/amount_to": "needs_currency"}),
    (rule(when={"amount_from": 0, "currencies": ["BRL"]}), {"when/amount_from": "out_of_range"}),
    (rule(when={"amount_from": 9, "amount_to": 8, "currencies": ["BRL"]}), {"when/amount_to": "contradiction"}),
    (rule(when={"bins": ["4x"]}), {"when/bins/0": "invalid_value"}),
    (rule(when={"bins": ["41"], "methods": ["pix"]}), {"when/bins": "contradiction"}),
    (rule(when={"metadata": {"shop": []}}), {"when/metadata/shop": "missing"}),
    (rule(when={"metadata": {"shop": ["a", "a"]}}), {"when/metadata/shop/1": "repeated"}),
    (rule(when={"risk_from": -1, "risk_to": 101}), {"when/risk_from": "out_of_range", "when/risk_to": "out_of_range"}),
    (rule(when={"risk_from": 50, "risk_to": 49}), {"when/risk_to": "contradiction"}),
    (rule(when={"risk_from": "high"}), {"when/risk_from": "invalid_type"}),
    (rule(when={"countries": ["BR"] * (LIST_MAX + 1)}), {"when/countries": "too_many"}),
    (rule(when={"country": ["BR"]}), {"when/country": "unknown_field"}),
    (rule(name=" "), {"name": "invalid_length"}),
    (rule(name="default"), {"name": "invalid_value"}),
]


@pytest.mark.parametrize(("wrong", "errors"), WRONG, ids=[" ".join(errors) for _, errors in WRONG])
def test_a_wrong_rule_is_told_of(wrong: dict[str, Any], errors: dict[str, str]) -> None:
    assert fields_of(asked(wrong)) == {f"/rules/0/{field}": code for field, code in errors.items()}


def fields_of(body: dict[str, Any]) -> dict[str, str]:
    with pytest.raises(Invalid) as refused:
        profile_asked(json.dumps(body).encode(), NAMES)
    return {error.field: error.code for error in refused.value.errors}


def test_all_that_is_wrong_with_a_profile_is_told_at_once() -> None:
    twice = rule("a", by="order", providers=["acme"])
    assert fields_of({"name": "", "max_attempts": 6, "rules": []}) == {
        "/name": "invalid_length",
        "/max_attempts": "out_of_range",
        "/rules": "missing",
    }
    assert fields_of(asked(twice, twice)) == {"/rules/1/name": "repeated", "/rules/1": "repeated"}
    assert fields_of(asked(*[rule(str(n)) for n in range(RULES_MAX + 1)])) == {"/rules": "too_many"}
    assert fields_of({"name": "x", "rules": [rule(by=7), rule("b", when={"bins": ["x"]})]}) == {
        "/rules/0/choose/by": "invalid_type",
        "/rules/1/when/bins/0": "invalid_value",
    }
    assert fields_of({"name": 7, "max_attempts": 9, "rules": [7, {"name": "", "choose": {"by": "order"}}]}) == {
        "/name": "invalid_type",
        "/max_attempts": "out_of_range",
        "/rules/0": "invalid_type",
        "/rules/1/name": "invalid_length",
        "/rules/1/choose/providers": "missing",
    }
    assert fields_of({"name": "x"}) == {"/rules": "missing"}


def test_a_misspelt_provider_is_named_with_the_nearest_one() -> None:
    with pytest.raises(Invalid) as refused:
        profile_asked(json.dumps(asked(rule(by="order", providers=["akme"]))).encode(), NAMES)
    assert "did you mean acme?" in refused.value.errors[0].detail
