"""Ana pays by API: what is booked, what is refused and how, what the same order twice does."""

from typing import Any

import pytest

from tests.caudal_sandbox.rig import Bank

PATH = "/v1/bank/transfers"


def order(clabe: str, **changed: object) -> dict[str, Any]:
    return {"clabe": clabe, "amount": 12050, "currency": "MXN", "payer_name": "Ana Pérez"} | changed


def test_a_transfer_is_booked_and_shown(bank: Bank, clabe: str) -> None:
    answer = bank.pay(clabe, 12050)
    assert answer.status == 201
    booked = answer.json
    assert booked["tracking_key"].isalnum() and len(booked["tracking_key"]) <= 30
    assert answer.headers["Location"] == f"{PATH}/{booked['tracking_key']}"
    shown = bank.becomes(booked["tracking_key"], "delivered")
    assert {name: shown[name] for name in ("clabe", "amount", "returned", "payer_name")} == {
        "clabe": clabe,
        "amount": 12050,
        "returned": 0,
        "payer_name": "Ana Pérez",
    }


def test_the_same_order_twice_is_booked_once(bank: Bank, clabe: str) -> None:
    first = bank.pay(clabe, tracking_key=f"TWICE{clabe}")
    second = bank.pay(clabe, tracking_key=f"TWICE{clabe}")
    assert (first.status, second.status) == (201, 200)
    assert len(bank.get(PATH, clabe=clabe).json["data"]) == 1


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": 12051}, "/amount"),
        ({"payer_name": "Beto"}, "/payer_name"),
        ({"deliver": {"copies": 2}}, "/deliver"),
    ],
)
def test_another_order_with_a_used_tracking_key_conflicts(
    bank: Bank, clabe: str, change: dict[str, Any], field: str
) -> None:
    key = f"USED{clabe}"
    assert bank.pay(clabe, tracking_key=key).status == 201
    refused = bank.post(PATH, order(clabe, tracking_key=key) | change)
    assert (refused.status, refused.json["code"]) == (409, "tracking_key_reused")
    assert refused.wrong == {field: "differs"}


WRONG: list[tuple[dict[str, Any], dict[str, str]]] = [
    ({"clabe": "646180110400000008"}, {"/clabe": "invalid_clabe"}),
    ({"clabe": 646180110400000007}, {"/clabe": "wrong_type"}),
    ({"amount": 0}, {"/amount": "out_of_range"}),
    ({"amount": -1}, {"/amount": "out_of_range"}),
    ({"amount": 100_000_000_000}, {"/amount": "out_of_range"}),
    ({"amount": 120.5}, {"/amount": "wrong_type"}),
    ({"amount": "12050"}, {"/amount": "wrong_type"}),
    ({"amount": True}, {"/amount": "wrong_type"}),
    ({"currency": "USD"}, {"/currency": "unsupported_currency"}),
    ({"currency": None}, {"/currency": "wrong_type"}),
    ({"payer_name": "  "}, {"/payer_name": "malformed"}),
    ({"payer_name": "x" * 41}, {"/payer_name": "malformed"}),
    ({"payer_name": "Ana\u0000"}, {"/payer_name": "malformed"}),
    ({"payer_name": "Ana\ud800"}, {"/payer_name": "malformed"}),
    ({"tracking_key": ""}, {"/tracking_key": "malformed"}),
    ({"tracking_key": "A" * 31}, {"/tracking_key": "malformed"}),
    ({"tracking_key": "with-dash"}, {"/tracking_key": "malformed"}),
    ({"deliver": []}, {"/deliver": "wrong_type"}),
    (
        {"deliver": {"copies": 0, "fault": "smudged"}},
        {"/deliver/copies": "out_of_range", "/deliver/fault": "unknown_fault"},
    ),
    (
        {"deliver": {"delay_s": -1, "fault": []}},
        {"/deliver/delay_s": "out_of_range", "/deliver/fault": "unknown_fault"},
    ),
    ({"payer/name~": "Ana"}, {"/payer~1name~0": "unknown_field"}),
]


@pytest.mark.parametrize(("change", "wrong"), WRONG, ids=lambda value: str(value)[:40])
def test_a_wrong_field_is_named(bank: Bank, clabe: str, change: dict[str, Any], wrong: dict[str, str]) -> None:
    refused = bank.post(PATH, order(clabe) | change)
    assert (refused.status, refused.json["code"]) == (422, "invalid_request")
    assert refused.wrong == wrong
    assert bank.get(PATH, clabe=clabe).json["data"] == []


def test_all_wrong_fields_are_named_at_once_and_a_slip_gets_a_hint(bank: Bank) -> None:
    refused = bank.post(PATH, {"clabe": "1", "amuont": 5, "currency": "EUR", "deliver": {"copies": "2"}})
    assert refused.wrong == {
        "/amuont": "unknown_field",
        "/clabe": "invalid_clabe",
        "/amount": "required",
        "/currency": "unsupported_currency",
        "/payer_name": "required",
        "/deliver/copies": "wrong_type",
    }
    assert "Did you mean amount?" in refused.json["errors"][0]["detail"]


MALFORMED = [b"", b"{", b"[]", b"null", b'{"amount":NaN}', b'{"a":1,"a":2}', b"\xff", b"[" * 60_000, b"9" * 5_000]


@pytest.mark.parametrize("body", MALFORMED, ids=lambda body: repr(body[:16]))
def test_what_is_not_a_json_object_is_refused(bank: Bank, body: bytes) -> None:
    refused = bank.call("POST", PATH, body, {"Content-Type": "application/json"})
    assert (refused.status, refused.json["code"]) == (400, "malformed_json")


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status", "code"),
    [
        ("POST", PATH, {"Content-Type": "text/plain"}, b"{}", 415, "unsupported_media_type"),
        ("POST", PATH, {"Content-Type": "application/json"}, b" " * 70_000, 413, "body_too_large"),
        ("PUT", PATH, {}, None, 405, "method_not_allowed"),
        ("GET", "/v1/bank", {}, None, 404, "not_found"),
        ("GET", f"{PATH}/NOBODY", {}, None, 404, "transfer_unknown"),
        ("POST", f"{PATH}/NOBODY/redeliver", {}, None, 404, "transfer_unknown"),
        ("GET", f"{PATH}?status=lost&limit=0&color=red", {}, None, 422, "invalid_request"),
        ("GET", f"{PATH}?after=NOBODY", {}, None, 422, "invalid_request"),
    ],
)
def test_other_refusals_are_problems_too(
    bank: Bank, method: str, path: str, headers: dict[str, str], body: bytes | None, status: int, code: str
) -> None:
    refused = bank.call(method, path, body, headers)
    assert (refused.status, refused.json["code"]) == (status, code)
    assert refused.headers["Content-Type"] == "application/problem+json"


def test_the_list_is_newest_first_and_goes_on_after_a_key(bank: Bank, clabe: str) -> None:
    keys = [bank.pay(clabe, amount).json["tracking_key"] for amount in (1, 2, 3, 4, 5)]
    first = bank.get(PATH, clabe=clabe, limit=2).json
    assert [shown["tracking_key"] for shown in first["data"]] == [keys[4], keys[3]]
    assert first["has_more"]
    rest = bank.get(PATH, clabe=clabe, limit=3, after=keys[3]).json
    assert [shown["tracking_key"] for shown in rest["data"]] == [keys[2], keys[1], keys[0]]
    assert not rest["has_more"]


def test_the_list_filters_by_status(bank: Bank, clabe: str) -> None:
    held = bank.pay(clabe, deliver={"fault": "hold"}).json["tracking_key"]
    delivered = bank.pay(clabe).json["tracking_key"]
    bank.becomes(delivered, "delivered")
    found = {
        status: [shown["tracking_key"] for shown in bank.get(PATH, clabe=clabe, status=status).json["data"]]
        for status in ("held", "delivered", "waiting", "refused")
    }
    assert found == {"held": [held], "delivered": [delivered], "waiting": [], "refused": []}
