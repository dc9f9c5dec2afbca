"""Money of PSE and of a boleto that pays nothing: it waits, and goes to the account that an operator names."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest

from tests.payins.cast import ASKED, TO, key_of
from tests.whole import Whole

WITHIN_S = 60.0
COLOMBIAN = {"account": "12345678901", "bank": "1007", "kind": "savings"}
COLOMBIAN |= {"holder_name": "Carlos Ruiz", "holder_document": "1020304050"}


def call(address: str, key: str, body: Any = None) -> tuple[int, Any]:
    raw = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", "Idempotency-Key": str(uuid4())}
    try:
        with urllib.request.urlopen(urllib.request.Request(address, raw, headers), timeout=10) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as refused:
        return refused.code, json.load(refused)


def until(found: Callable[[], Any]) -> Any:
    end = time.monotonic() + WITHIN_S
    while not (value := found()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return value


def deposit_of(running: Whole, payin: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """The deposit of a payin, once it has these fields."""
    address = f"{running.api_url}/v1/operator/deposits?limit=100&unapplied=false&payin={payin['id']}&mode=test"

    def found() -> Any:
        rows = call(address, running.operator_key)[1]["data"]
        return [row for row in rows if fields.items() <= row.items()]

    [deposit] = until(found)
    return dict(deposit)


def pay(running: Whole, payin: dict[str, Any], amount: int) -> None:
    body = {} if amount == payin["amount"] else {"amount": amount}
    told = call(f"{running.sandbox_url}/v1/provider/payers/{key_of(payin)}/pay", running.key, body)
    assert told[0] == 200, told


@pytest.mark.parametrize("method, off, to", [("pse", 0, COLOMBIAN), ("boleto", 1, TO), ("boleto", -1, TO)])
def test_it_goes_back_to_the_account_that_an_operator_names(
    running: Whole, method: str, off: int, to: dict[str, Any]
) -> None:
    asked = {"amount": 12_050, "method": method, **ASKED[method]}
    status, payin = call(f"{running.api_url}/v1/payins", running.key, asked)
    assert (status, payin["status"]) == (201, "pending"), payin
    if method == "pse":
        cancelled = call(f"{running.api_url}/v1/payins/{payin['id']}/cancellations", running.key, {})
        assert cancelled[1]["status"] == "cancelled", cancelled
    pay(running, payin, payin["amount"] + off)
    deposit = deposit_of(running, payin)
    amount = payin["amount"] + off
    assert (deposit["amount_unapplied"], deposit["reason"]) == (amount, "other_amount" if off else "closed")
    path = f"{running.api_url}/v1/operator/deposits/{deposit['id']}/returns"
    status, refused = call(path, running.operator_key, {})
    assert (status, refused["errors"][0]["field"], refused["errors"][0]["code"]) == (422, "/destination", "missing")
    status, returning = call(path, running.operator_key, {"destination": to})
    assert (status, returning["amount_returning"]) == (201, amount), returning
    assert deposit_of(running, payin, amount_returned=amount)["amount_unapplied"] == 0
    checked = running.caudal("check", "--replay")
    assert checked.returncode == 0, checked.stdout
