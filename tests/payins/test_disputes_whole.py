"""A dispute from its beginning to its end, in a running caudal with its sandbox."""

from __future__ import annotations

import json
import time
import urllib.request
from typing import Any
from uuid import uuid4

import pytest

from tests.payins.disputing import CARD, PDF
from tests.whole import Whole

DISPUTED = "4000000000000259"
WITHIN_S = 60.0


def call(running: Whole, path: str, body: Any = None, *, of: str = "", content_type: str = "application/json") -> Any:
    """One request; a POST where there is a body, with a key of its own."""
    raw = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {running.key}", "Content-Type": content_type, "Idempotency-Key": str(uuid4())}
    request = urllib.request.Request((of or running.api_url) + path, raw, headers)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def until(running: Whole, path: str, field: str, value: Any = ...) -> Any:
    """The object, once a field has this value, or any."""
    end = time.monotonic() + WITHIN_S
    while True:
        found = call(running, path)
        if found[field] == value or (value is ... and found[field] is not None):
            return found
        assert time.monotonic() < end, found
        time.sleep(0.05)


def sold(running: Whole, amount: int = 12_050, number: str = "4111111111111111") -> dict[str, Any]:
    card = call(running, "/v1/instruments", {"type": "card", "card": {**CARD, "number": number}})
    asked = {"amount": amount, "currency": "BRL", "country": "BR", "method": "card", "instrument": {"id": card["id"]}}
    payin: dict[str, Any] = call(running, "/v1/payins", asked)
    assert payin["status"] == "paid", payin
    return payin


def disputed(running: Whole, payin: dict[str, Any]) -> dict[str, Any]:
    id = until(running, f"/v1/payins/{payin['id']}", "dispute")["dispute"]
    dispute: dict[str, Any] = call(running, f"/v1/disputes/{id}")
    return dispute


def decide(running: Whole, dispute: dict[str, Any], end: str) -> None:
    reference = dispute["provider_reference"]
    call(running, f"/v1/provider/payers/disputes/{reference}/{end}", {}, of=running.sandbox_url)


@pytest.mark.parametrize("end, status", [("win", "won"), ("lose", "lost")])
def test_a_dispute_is_opened_answered_and_decided(running: Whole, end: str, status: str) -> None:
    payin = sold(running)
    assert call(running, f"/v1/sandbox/payins/{payin['id']}/dispute", {})["status"] == "played"
    dispute = disputed(running, payin)
    assert (dispute["status"], dispute["amount"], dispute["fees"]) == ("needs_response", 12_050, 5_000)
    path = f"/v1/disputes/{dispute['id']}"
    file = call(running, path + "/evidence?kind=receipt", PDF, content_type="application/pdf")
    until(running, path, "status", "under_review")
    [taken] = call(running, path + "/evidence")["data"]
    assert (taken["id"], taken["status"]) == (file["id"], "taken")
    decide(running, dispute, end)
    assert until(running, path, "status", status)["closed_at"] is not None
    seen = call(running, f"/v1/payins/{payin['id']}")
    assert seen["amount_disputed"] == (0 if status == "won" else 12_050)


def test_magic_disputes_by_amount_and_by_card(running: Whole) -> None:
    for payin in (sold(running, 19_304), sold(running, number=DISPUTED)):
        assert disputed(running, payin)["amount"] == payin["amount"]


def test_what_nobody_answers_expires_when_the_clock_is_moved_and_the_books_agree(running: Whole) -> None:
    payin = sold(running, 19_304)
    dispute = disputed(running, payin)
    call(running, "/v1/sandbox/clock/advances", {"seconds": 60 * 86_400})
    assert call(running, f"/v1/disputes/{dispute['id']}")["status"] == "expired"
    decide(running, dispute, "win")
    until(running, f"/v1/disputes/{dispute['id']}", "status", "won")
    checked = running.caudal("check", "--replay", "--against-sandbox")
    # Other tests tell this caudal of deposits that no bank has made.
    wrong = [line for line in checked.stdout.splitlines() if "WRONG" in line and "sandbox bank" not in line]
    assert wrong == [] and "sandbox's provider compared" in checked.stdout, checked.stdout
