"""The sandbox bank at its worst, against a whole caudal: what is wrong is refused, what is put right is paid once."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.whole import Whole

NUMBERS = itertools.count(1)
AMOUNT = 10_000
ASKED = {"amount": AMOUNT, "currency": "MXN", "country": "MX", "method": "spei"}
WITHIN_S = 60.0
pytestmark = pytest.mark.server
REFUSED = ("unsigned", "tampered", "forged", "stale")


class Payer:
    """Somebody who has a payin made and pays it through the bank."""

    def __init__(self, whole: Whole) -> None:
        self._api, self._bank, self._key = whole.api_url, whole.sandbox_url, whole.key
        self.session = requests.Session()
        self.name = f"W{whole.pid}N{next(NUMBERS)}"
        self.payin = self._called("POST", f"{self._api}/v1/payins", ASKED)

    def pay(self, deliver: dict[str, Any]) -> None:
        """Orders a transfer, to be told in this way."""
        clabe = self.payin["next_action"]["clabe"]
        order = {"clabe": clabe, "amount": AMOUNT, "currency": "MXN", "payer_name": "Beto Ruiz"}
        self._called(
            "POST", f"{self._bank}/v1/bank/transfers", {**order, "tracking_key": self.name, "deliver": deliver}
        )

    def redeliver(self) -> None:
        self._called("POST", f"{self._bank}/v1/bank/transfers/{self.name}/redeliver", {})

    @property
    def transfer(self) -> dict[str, Any]:
        return self._called("GET", f"{self._bank}/v1/bank/transfers/{self.name}")

    @property
    def seen(self) -> tuple[str, int]:
        """The payin's status, and what it has received."""
        payin = self._called("GET", f"{self._api}/v1/payins/{self.payin['id']}")
        return payin["status"], payin["amount_received"]

    def until(self, status: str) -> dict[str, Any]:
        """Waits until the bank has done with the transfer; how it was delivered."""
        until(lambda: self.transfer["status"] == status, f"{self.name} is {status}")
        delivery: dict[str, Any] = self.transfer["delivery"]
        return delivery

    def _called(self, method: str, url: str, body: Any = None) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {self._key}", "Idempotency-Key": f"{self.name}-{method}"}
        answer = self.session.request(method, url, json=body, headers=headers, timeout=10)
        assert answer.ok, answer.text
        found: dict[str, Any] = answer.json()
        return found


def until(true: Callable[[], bool], what: str) -> None:
    """Waits for something that is true."""
    end = time.monotonic() + WITHIN_S
    while not true():
        assert time.monotonic() < end, f"not within {WITHIN_S:g} s: {what}"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def whole(open_tmp: Path) -> Iterator[Whole]:
    """One that nobody else uses: its books and the bank's are compared."""
    started = Whole(open_tmp / "misbehaves")
    started.start()
    yield started
    started.stop()


@pytest.fixture
def payer(whole: Whole) -> Payer:
    return Payer(whole)


@pytest.mark.parametrize("fault", REFUSED)
def test_a_wrong_callback_is_refused_and_the_right_one_after_it_pays(payer: Payer, fault: str) -> None:
    payer.pay({"fault": fault})
    assert payer.until("refused")["answer_status"] == 401
    assert payer.seen == ("pending", 0)
    payer.redeliver()
    assert payer.until("delivered")["answer_status"] == 200
    assert payer.seen == ("paid", AMOUNT)


def test_money_that_the_bank_holds_back_is_paid_when_it_tells(payer: Payer) -> None:
    payer.pay({"fault": "hold"})
    payer.until("held")
    assert payer.seen == ("pending", 0)
    payer.redeliver()
    payer.until("delivered")
    assert payer.seen == ("paid", AMOUNT)


def test_seven_copies_are_one_payment(payer: Payer) -> None:
    payer.pay({"copies": 7})
    assert payer.until("delivered")["copies_delivered"] == 7
    assert payer.seen == ("paid", AMOUNT)
    payer.redeliver()
    until(lambda: payer.transfer["delivery"]["round"] == 2 and payer.transfer["status"] == "delivered", "told again")
    assert payer.seen == ("paid", AMOUNT)


def test_a_late_callback_pays_late(payer: Payer) -> None:
    payer.pay({"delay_s": 1.0})
    assert payer.seen == ("pending", 0)
    payer.until("delivered")
    assert payer.seen == ("paid", AMOUNT)


def test_afterwards_the_books_are_right_and_those_of_the_bank_the_same(whole: Whole) -> None:
    for fault in (*REFUSED, "hold"):
        payer = Payer(whole)
        payer.pay({"fault": fault})
        payer.until("held" if fault == "hold" else "refused")
        payer.redeliver()
        payer.until("delivered")
    checked = whole.caudal("check", "--replay", "--against-sandbox")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert "all is well" in checked.stdout
