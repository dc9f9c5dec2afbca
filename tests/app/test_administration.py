"""`caudal operator …` and `caudal merchant …` against a real database."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
import typer
from typer.testing import CliRunner, Result

from caudal.app import administration
from tests.conftest import KEK

Caudal = Callable[..., Result]


@pytest.fixture
def caudal(database_url: str, monkeypatch: pytest.MonkeyPatch) -> Caudal:
    monkeypatch.setenv("CAUDAL_DATABASE_URL", database_url)
    monkeypatch.setenv("CAUDAL_KEK", KEK)
    app = typer.Typer()
    app.add_typer(administration.operator, name="operator")
    app.add_typer(administration.merchant, name="merchant")
    return lambda *words: CliRunner().invoke(app, list(words), catch_exceptions=False)


def made(result: Result) -> Any:
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_an_operators_key_is_printed_once(caudal: Caudal, database_url: str) -> None:
    created = caudal("operator", "create", "--name", " Olga ")
    key = created.stdout.strip()
    assert key.startswith("op_") and len(key) == 46
    assert "keep it now" in created.stderr and key not in created.stderr
    shown = caudal("operator", "list").stdout
    assert "Olga" in shown and key not in shown
    (operator,) = made(caudal("operator", "list", "--json"))
    assert made(caudal("operator", "revoke", operator["id"], "--json"))["revoked_at"] is not None
    with psycopg.connect(database_url) as connection:
        actions = connection.execute("select actor like 'cli:%', action from audit order by at").fetchall()
    assert actions == [(True, "operator.created"), (True, "operator.revoked")]


def test_a_merchants_life(caudal: Caudal) -> None:
    line = "instant_transfer:MXN:300:100"
    created = made(
        caudal("merchant", "create", "--name", "Ana", "--country", "MX", "--fee", line, "--key", "test", "--json")
    )
    merchant, key = created["merchant"], created["key"]
    assert key["secret"].startswith("sk_test_")
    assert line in caudal("merchant", "show", merchant["id"]).stdout
    assert merchant["id"] in caudal("merchant", "list").stdout
    cheaper = "instant_transfer:MXN:0:50"
    merchant = made(caudal("merchant", "fees", merchant["id"], "--fee", cheaper, "--json"))
    assert (merchant["fee_plan"]["version"], merchant["fee_plan"]["lines"][0]["basis_points"]) == (2, 50)
    merchant = made(caudal("merchant", "settings", merchant["id"], "--late-payments", "unapplied", "--json"))
    assert (merchant["late_payments"], merchant["fee_plan"]["version"]) == ("unapplied", 2)
    live = caudal("merchant", "key", "create", merchant["id"], "--mode", "live", "--scope", "payins:read")
    assert live.stdout.startswith("sk_live_")
    rotated = made(caudal("merchant", "key", "rotate", key["id"], "--overlap-s", "0", "--json"))
    assert rotated["secret"] not in ("", key["secret"])
    assert made(caudal("merchant", "key", "revoke", rotated["id"], "--json"))["revoked_at"] is not None
    keys = made(caudal("merchant", "key", "list", merchant["id"], "--json"))
    assert [(found["mode"], found["secret"]) for found in keys] == [("test", None), ("live", None), ("test", None)]
    assert made(caudal("merchant", "show", merchant["id"], "--json")) == {"merchant": merchant, "keys": keys}
    assert caudal("merchant", "key", "rotate", key["id"]).exit_code == 2


def test_a_merchant_is_placed_on_the_shard_that_is_named(caudal: Caudal, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("insert into shard (id) values (1)")
    create = ("merchant", "create", "--name", "Ana", "--country", "MX", "--json")
    chosen = made(caudal(*create, "--shard", "1"))["merchant"]
    emptier = made(caudal(*create))["merchant"]
    assert (chosen["shard"], emptier["shard"]) == (1, 0)
    assert {one["id"]: one["shard"] for one in made(caudal("merchant", "list", "--json"))} == {
        chosen["id"]: 1,
        emptier["id"]: 0,
    }
    changed = made(caudal("merchant", "settings", chosen["id"], "--late-payments", "unapplied", "--json"))
    assert changed["shard"] == 1
    assert made(caudal("merchant", "fees", chosen["id"], "--fee", "card:MXN:0:50", "--json"))["shard"] == 1


REFUSED = [
    ("merchant create --name Ana --country MX --shard 7", ["/shard", "there are the shards 0"]),
    ("merchant create --name Ana --country MX --shard -1", ["/shard"]),
    ("merchant create --name Ana --country XX --fee barter:MXN:1:1", ["/country", "/fee_plan/0/family"]),
    ("merchant create --name Ana --country MX --fee instant_transfer:MXN", ["FAMILY:CURRENCY"]),
    ("merchant create --name Ana --country MX --key both", ["/mode"]),
    ("merchant show mer_1", ["no id"]),
    ("merchant fees mer_00000000000000000000000000000000 --fee instant_transfer:MXN:0:50", ["no such merchant"]),
    ("merchant fees mer_00000000000000000000000000000000 --fee cart:MXN:0:50", ["/fee_plan/0/family"]),
    ("merchant fees mer_00000000000000000000000000000000", ["--fee"]),
    ("merchant settings mer_00000000000000000000000000000000 --late-payments perhaps", ["/late_payments"]),
    ("merchant settings mer_00000000000000000000000000000000", ["--late-payments"]),
    ("merchant show mer_00000000000000000000000000000000", ["no such merchant"]),
    ("merchant key list mer_00000000000000000000000000000000", ["no such merchant"]),
    ("merchant key create mer_00000000000000000000000000000000", ["no such merchant"]),
    ("merchant key revoke key_00000000000000000000000000000000", ["no such API key"]),
    ("merchant key rotate key_00000000000000000000000000000000 --overlap-s 700000", ["/overlap_s"]),
    ("operator revoke operator_00000000000000000000000000000000", ["no such operator"]),
    ("operator create", ["--name"]),
]


def test_errors_go_to_standard_error_with_status_2(caudal: Caudal) -> None:
    for line, words in REFUSED:
        result = caudal(*line.split())
        assert (result.exit_code, result.stdout) == (2, ""), line
        for word in words:
            assert word in result.stderr, (line, result.stderr)
    assert caudal("merchant", "list", "--json").stdout == "[]\n"


def test_without_a_database_it_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    monkeypatch.delenv("CAUDAL_DATABASE_URL", raising=False)
    monkeypatch.setenv("CAUDAL_VAR", str(tmp_path))
    result = CliRunner().invoke(administration.operator, ["list"])
    assert (result.exit_code, result.stdout) == (2, "")
    assert "CAUDAL_DATABASE_URL is not set" in result.stderr
