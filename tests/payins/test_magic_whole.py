"""The magic amounts through a whole caudal: however a provider tells it, our books and its own agree in the end."""

from __future__ import annotations

import time
from typing import Any

import pytest

from tests.payins.cast import ASKED, CARD
from tests.payins.test_disputes_whole import WITHIN_S, call, sold
from tests.whole import Whole

# Callbacks that are wrong in one way or another, and answers that get lost behind the effect.
MAGIC = (9_201, 9_202, 9_203, 9_204, 9_205, 9_206, 9_207, 9_103, 9_105)
ENDS = {"pay": "paid", "decline": "declined", "expire": "expired"}


def asked(running: Whole, method: str, magic: int) -> dict[str, Any]:
    payin: dict[str, Any] = call(running, "/v1/payins", {**ASKED[method], "method": method, "amount": 120_000 + magic})
    return payin


def reached(running: Whole, payin: dict[str, Any], statuses: set[str]) -> str:
    end = time.monotonic() + WITHIN_S
    while (status := str(call(running, f"/v1/payins/{payin['id']}")["status"])) not in statuses:
        assert time.monotonic() < end, (payin["id"], status, statuses)
        time.sleep(0.05)
    return status


def wrong_in(running: Whole) -> list[str]:
    checked = running.caudal("check", "--replay", "--against-sandbox")
    assert "sandbox's provider compared" in checked.stdout, checked.stdout + checked.stderr
    # Other tests tell this caudal of deposits that no bank has made.
    return [line for line in checked.stdout.splitlines() if "WRONG" in line and "sandbox bank" not in line]


@pytest.mark.parametrize("method", ["pix", "mpesa", "boleto"])
def test_every_end_under_every_magic_amount(running: Whole, method: str) -> None:
    played = []
    for magic in MAGIC:
        for verb in ENDS:
            payin = asked(running, method, magic)
            reached(running, payin, {"pending"})
            assert call(running, f"/v1/sandbox/payins/{payin['id']}/{verb}", {})["status"] == "played"
            played.append((payin, ENDS[verb]))
    for payin, end in played:
        reached(running, payin, {end})
    time.sleep(1.0)  # what contradicts an end comes 0.3 s after it
    for payin, end in played:
        assert call(running, f"/v1/payins/{payin['id']}")["status"] == end
    assert wrong_in(running) == []


def test_cards_under_every_magic_amount(running: Whole) -> None:
    for magic in MAGIC[:-2]:
        sold(running, 120_000 + magic)
    time.sleep(1.0)
    assert wrong_in(running) == []


def test_the_rest_of_an_authorization_is_given_back_in_both_books(running: Whole) -> None:
    kept = call(running, "/v1/instruments", {"type": "card", "card": CARD})
    asked = {**ASKED["card"], "method": "card", "capture": "manual", "instrument": {"id": kept["id"]}}
    for magic in MAGIC[:-2]:
        payin = call(running, "/v1/payins", {**asked, "amount": 120_000 + magic})
        assert call(running, f"/v1/payins/{payin['id']}/captures", {"amount": 4_000})["status"] == "succeeded"
        assert call(running, f"/v1/payins/{payin['id']}/cancellations", {})["status"] == "paid"
    left = call(running, "/v1/payins", {**asked, "amount": 12_050})
    call(running, f"/v1/payins/{left['id']}/captures", {"amount": 4_000})
    assert wrong_in(running) == [], "what is held still is held in both"
    call(running, "/v1/sandbox/clock/advances", {"seconds": 8 * 86_400})
    end = time.monotonic() + WITHIN_S
    while wrong := wrong_in(running):
        assert time.monotonic() < end, wrong
