"""Several providers in one sandbox: secrets and books of their own, payers that find them all, outages."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from caudal_sandbox.provider import books
from tests.caudal_sandbox.payer import METHODS, Caller, new_key, order, signature
from tests.caudal_sandbox.rig import NORTE_SECRET, Answer, Receiver

NORTE = "/providers/norte"


def send(provider: Caller, verb: str, path: str, given: Any = None, secret: bytes = NORTE_SECRET) -> Answer:
    """Calls norte as caudal does: what is signed is what comes behind its address."""
    body = b"" if given is None else json.dumps(given).encode()
    headers = {"Content-Type": "application/json", "Provider-Signature": signature(verb, path, body, secret=secret)}
    return provider.bank.call(verb, NORTE + path, body, headers)


def test_each_has_a_secret_and_books_of_its_own(provider: Caller) -> None:
    asked = order()
    assert send(provider, "POST", "/v1/provider/card/payments", asked, b"still-lake").status == 401
    assert send(provider, "POST", "/v1/provider/card/payments", asked).status == 201
    path = f"/v1/provider/card/payments/{asked['key']}"
    assert send(provider, "GET", path).json["status"] == "paid"
    assert provider.send("GET", path).status == 404, "the first one has never heard of it"
    own = [json.loads(line) for line in provider.bank.get(NORTE + "/v1/provider/statement").text.splitlines()]
    assert {line["provider"] for line in own} == {"norte"} and asked["key"] in {line["key"] for line in own}
    assert provider.statement()[asked["key"]]["provider"] == "norte", "the first one's statement has them all"


def test_it_calls_back_in_its_own_name_and_its_payers_find_it_where_all_do(
    provider: Caller, receiver: Receiver
) -> None:
    asked = order("pix")
    told = send(provider, "POST", "/v1/provider/pix/payments", asked).json
    assert told["payer_page"].endswith(f"/pay/{asked['key']}") and NORTE not in told["payer_page"]
    assert provider.bank.get(f"/pay/{asked['key']}").status == 200
    assert provider.payer(asked["key"], "pay").json["status"] == "paid"
    provider.heard(receiver, asked["key"])
    (call,) = receiver.calls[asked["key"]]
    at_s = int(str(call.signature).partition(",")[0].removeprefix("t="))
    assert call.path == "/v1/callbacks/norte/pix"
    assert call.signature == signature("POST", call.path, call.raw, secret=NORTE_SECRET, at_s=at_s)


def test_a_dispute_is_ended_where_it_is(provider: Caller) -> None:
    asked = order()
    send(provider, "POST", "/v1/provider/card/payments", asked)
    reference = provider.payer(asked["key"], "dispute").json["reference"]
    assert provider.bank.post(f"/v1/provider/payers/disputes/{reference}/win", {}).json["status"] == "won"


@pytest.mark.parametrize("method", METHODS)
def test_a_key_may_name_the_attempt(provider: Caller, method: str) -> None:
    asked = order(method, key=new_key() + "-2")
    assert provider.pay(asked, method).status == 201
    assert provider.find(asked["key"], method)["status"] == ("paid" if method == "card" else "pending")


def test_a_key_does_not_name_it_otherwise(provider: Caller) -> None:
    for wrong in ("-0", "-100", "-", "2"):
        assert provider.pay(order(key=new_key() + wrong)).wrong == {"/key": "malformed"}


def test_books_of_before_take_such_keys_from_now_on(tmp_path: Path) -> None:
    old = books.SCHEMA.replace("between 32 and 35", "= 32").partition("pragma writable_schema")[0]
    path = tmp_path / "provider.sqlite3"
    with sqlite3.connect(path) as before:
        before.executescript(old)
    before.close()
    with sqlite3.connect(path) as now:
        now.executescript(books.SCHEMA)
        now.executescript(books.SCHEMA)
    now.close()
    with sqlite3.connect(path) as after:
        [sql] = after.execute("select sql from sqlite_schema where name = 'payment'").fetchone()
        assert "between 32 and 35" in sql and after.execute("pragma integrity_check").fetchone() == ("ok",)
        [sql] = after.execute("select sql from sqlite_schema where name = 'operation'").fetchone()
        assert "length(key) = 32" in sql
    after.close()


# Outages


@pytest.fixture
def norte(provider: Caller) -> Iterator[Caller]:
    """The caller; norte fares well again afterwards."""
    yield provider
    provider.bank.post(NORTE + "/v1/provider/conditions", {})


def fares(provider: Caller, **conditions: Any) -> Any:
    return provider.bank.post(NORTE + "/v1/provider/conditions", conditions).json


def test_one_that_is_down_says_so_and_the_others_go_on(norte: Caller) -> None:
    assert fares(norte, down=True)["down"] is True
    asked = order()
    answer = send(norte, "POST", "/v1/provider/card/payments", asked)
    assert (answer.status, answer.json["code"]) == (503, "busy")
    assert norte.pay(order()).status == 201
    assert fares(norte) == {
        "down": False,
        "black_hole": False,
        "latency_ms": 0,
        "error_share": 0.0,
        "decline_share": 0.0,
    }
    assert send(norte, "GET", f"/v1/provider/card/payments/{asked['key']}").status == 404, "nothing happened"


def test_errors_leave_open_what_happened(norte: Caller) -> None:
    fares(norte, error_share=1)
    asked = [order() for _ in range(40)]
    assert {send(norte, "POST", "/v1/provider/card/payments", one).status for one in asked} == {500}
    fares(norte)
    found = {send(norte, "GET", f"/v1/provider/card/payments/{one['key']}").status for one in asked}
    assert found == {200, 404}, "some took effect, some did not"


def test_one_that_declines_does_so_whatever_is_asked_and_says_the_same_of_the_same_key(norte: Caller) -> None:
    fares(norte, decline_share=1)
    asked = [order(), order("pix")]
    for one in asked:
        path = f"/v1/provider/{'card' if one['card'] else 'pix'}/payments"
        told = send(norte, "POST", path, one).json
        assert (told["status"], told["captured"]) == ("declined", 0) and told["code"] in ("05", "DS04")
        fares(norte)
        assert send(norte, "POST", path, one).json == told
        fares(norte, decline_share=1)


def test_payers_and_statements_are_there_whatever_happens(norte: Caller) -> None:
    asked = order("pix")
    send(norte, "POST", "/v1/provider/pix/payments", asked)
    fares(norte, down=True)
    assert norte.payer(asked["key"], "pay").json["status"] == "paid"
    assert norte.bank.get(NORTE + "/v1/provider/statement").status == 200
    assert norte.bank.get(NORTE + "/v1/provider/conditions").json["down"] is True


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"down": "yes"}, {"/down": "wrong_type"}),
        ({"black_hole": 1}, {"/black_hole": "wrong_type"}),
        ({"latency_ms": -1}, {"/latency_ms": "out_of_range"}),
        ({"latency_ms": 60_001}, {"/latency_ms": "out_of_range"}),
        ({"error_share": 1.1}, {"/error_share": "wrong_type"}),
        ({"decline_share": "all"}, {"/decline_share": "wrong_type"}),
        ({"error_share": True, "up": True}, {"/error_share": "wrong_type", "/up": "unknown_field"}),
    ],
)
def test_conditions_that_are_none_are_refused(norte: Caller, given: Any, wrong: Any) -> None:
    answer = norte.bank.post(NORTE + "/v1/provider/conditions", given)
    assert (answer.status, answer.wrong) == (422, wrong)
    assert fares(norte)["down"] is False


@pytest.mark.parametrize("text", ["norte", "=x", "Norte=x", "sandbox=x", "norte=x,norte=y"])
def test_a_list_of_providers_that_is_wrong_stops_the_start(text: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "caudal_sandbox"],
        env={**os.environ, "CAUDAL_SANDBOX_SPEI_SECRET": "x", "CAUDAL_SANDBOX_PROVIDERS": text},
        timeout=60,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and "CAUDAL_SANDBOX_PROVIDERS" in done.stderr
