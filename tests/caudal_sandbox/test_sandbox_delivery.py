"""How caudal hears of money: signed, again until it answers, in order, and wrong when a test asks for that."""

import hashlib
import hmac
import json
import time
from collections.abc import Callable

import pytest

from caudal_sandbox.delivery import backoff_ms, judge
from tests.caudal_sandbox.rig import SECRET, Bank, Call, Receiver, a_transfer, free_port, until


def fits(call: Call, secret: bytes = SECRET) -> bool:
    """Check a signature the way the protocol describes it, sharing nothing with the bank."""
    assert call.signature is not None
    at, _, digest = call.signature.removeprefix("t=").partition(",v1=")
    return hmac.new(secret, f"{at}.".encode() + call.raw, hashlib.sha256).hexdigest() == digest


def age_s(call: Call) -> float:
    assert call.signature is not None
    return call.at_s - int(call.signature[2:].split(",")[0])


def test_a_callback_carries_the_transfer_and_a_fresh_signature(bank: Bank, receiver: Receiver, clabe: str) -> None:
    booked = bank.pay(clabe, 12050).json
    bank.becomes(booked["tracking_key"], "delivered")
    (call,) = receiver.calls[clabe]
    assert (call.path, call.content_type) == ("/v1/callbacks/spei", "application/json")
    names = ("tracking_key", "clabe", "amount", "currency", "payer_name", "payer_bank", "paid_at")
    assert call.body == {name: booked[name] for name in names}
    assert fits(call)
    assert -1 <= age_s(call) <= 60


def test_it_is_sent_again_until_it_is_accepted(bank: Bank, receiver: Receiver, clabe: str) -> None:
    receiver.scripts[clabe] = [503, 302, 429]
    key = bank.pay(clabe).json["tracking_key"]
    shown = bank.becomes(key, "delivered")
    assert shown["delivery"]["attempts"] == 4
    assert len({call.raw for call in receiver.calls[clabe]}) == 1
    gaps = [b.at_s - a.at_s for a, b in zip(receiver.calls[clabe], receiver.calls[clabe][1:], strict=False)]
    assert all(gap >= 0.15 * 2**place for place, gap in enumerate(gaps))


@pytest.mark.parametrize("status", [408, 425, 429, 500, 503, 302, None])
def test_these_answers_are_not_final(status: int | None) -> None:
    outcome = judge(a_transfer(), status, "", 1_000, 0.0)
    assert (outcome.status, outcome.next_attempt_ms, outcome.failures) == ("waiting", 1_200, 1)


@pytest.mark.parametrize("luck", [0.0, 0.5, 0.999])
def test_the_pause_doubles_to_five_seconds(luck: float) -> None:
    full = [200, 400, 800, 1600, 3200, 5000, 5000]
    pauses = [backoff_ms(failures, luck) for failures in range(1, 8)]
    assert all(0.75 * most <= pause <= most for pause, most in zip(pauses, full, strict=True))
    assert backoff_ms(10_000, luck) <= 5000


@pytest.mark.parametrize("status", [400, 401, 404, 422])
def test_a_final_refusal_stays_visible(bank: Bank, receiver: Receiver, clabe: str, status: int) -> None:
    receiver.scripts[clabe] = [status]
    shown = bank.becomes(bank.pay(clabe).json["tracking_key"], "refused")
    assert shown["delivery"]["answer_status"] == status
    assert shown["delivery"]["next_attempt_at"] is None
    assert bank.get("/v1/bank/transfers", clabe=clabe, status="refused").json["data"] == [shown]


def test_copies_follow_each_other(bank: Bank, receiver: Receiver, clabe: str) -> None:
    receiver.scripts[clabe] = [200, 503, 200, 200]
    shown = bank.becomes(bank.pay(clabe, deliver={"copies": 3}).json["tracking_key"], "delivered")
    assert (shown["delivery"]["copies_delivered"], len(receiver.calls[clabe])) == (3, 4)
    assert len({call.raw for call in receiver.calls[clabe]}) == 1


def test_a_delay_is_kept(bank: Bank, receiver: Receiver, clabe: str) -> None:
    before = time.time()
    key = bank.pay(clabe, deliver={"delay_s": 0.4}).json["tracking_key"]
    assert bank.transfer(key)["status"] == "waiting"
    bank.becomes(key, "delivered")
    assert receiver.calls[clabe][0].at_s - before >= 0.4


def test_an_unsigned_callback_has_no_signature(bank: Bank, receiver: Receiver, clabe: str) -> None:
    receiver.scripts[clabe] = [401]
    bank.becomes(bank.pay(clabe, deliver={"fault": "unsigned"}).json["tracking_key"], "refused")
    assert receiver.calls[clabe][0].signature is None


def test_a_tampered_callback_has_another_amount_than_was_signed(bank: Bank, receiver: Receiver, clabe: str) -> None:
    receiver.scripts[clabe] = [401]
    bank.becomes(bank.pay(clabe, 500, deliver={"fault": "tampered"}).json["tracking_key"], "refused")
    (call,) = receiver.calls[clabe]
    assert call.body["amount"] == 501
    assert not fits(call)
    honest = json.dumps(call.body | {"amount": 500}, ensure_ascii=False, separators=(",", ":")).encode()
    assert fits(Call(path="", signature=call.signature, content_type=None, raw=honest, at_s=0))


def test_a_forged_callback_is_fresh_but_signed_with_another_secret(bank: Bank, receiver: Receiver, clabe: str) -> None:
    receiver.scripts[clabe] = [401]
    bank.becomes(bank.pay(clabe, deliver={"fault": "forged"}).json["tracking_key"], "refused")
    (call,) = receiver.calls[clabe]
    assert not fits(call)
    assert age_s(call) <= 60


def test_a_stale_callback_is_rightly_signed_ten_minutes_ago(bank: Bank, receiver: Receiver, clabe: str) -> None:
    receiver.scripts[clabe] = [401]
    bank.becomes(bank.pay(clabe, deliver={"fault": "stale"}).json["tracking_key"], "refused")
    (call,) = receiver.calls[clabe]
    assert fits(call)
    assert 599 <= age_s(call) <= 660


def test_a_held_callback_waits_for_redelivery(bank: Bank, receiver: Receiver, clabe: str) -> None:
    key = bank.pay(clabe, deliver={"fault": "hold"}).json["tracking_key"]
    other = bank.pay(clabe).json["tracking_key"]
    bank.becomes(other, "delivered")
    assert bank.transfer(key)["status"] == "held"
    assert bank.call("POST", f"/v1/bank/transfers/{key}/redeliver").status == 202
    bank.becomes(key, "delivered")
    assert [call.body["tracking_key"] for call in receiver.calls[clabe]] == [other, key]


def test_redelivery_is_right_unless_it_asks_for_a_fault(bank: Bank, receiver: Receiver, clabe: str) -> None:
    receiver.scripts[clabe] = [401, 401]
    key = bank.pay(clabe, deliver={"fault": "forged"}).json["tracking_key"]
    bank.becomes(key, "refused")
    path = f"/v1/bank/transfers/{key}/redeliver"
    assert bank.post(path, {"deliver": {"fault": "unsigned"}}).json["delivery"]["round"] == 2
    bank.becomes(key, "refused")
    assert bank.post(path, {"deliver": {"speed": 9}}).wrong == {"/deliver/speed": "unknown_field"}
    bank.post(path, {})
    assert bank.becomes(key, "delivered")["delivery"]["attempts"] == 3
    forged, unsigned, right = receiver.calls[clabe]
    assert not fits(forged) and unsigned.signature is None and fits(right)


def test_redelivery_during_an_attempt_sends_once_more_and_never_at_once(
    bank: Bank, receiver: Receiver, clabe: str
) -> None:
    receiver.pause_s[clabe] = 0.3
    key = bank.pay(clabe).json["tracking_key"]
    until(lambda: len(receiver.calls[clabe]) == 1)
    bank.post(f"/v1/bank/transfers/{key}/redeliver", {})
    bank.becomes(key, "delivered")
    first, second = receiver.calls[clabe]
    assert second.at_s - first.at_s >= 0.3


def test_callbacks_outlive_a_caudal_that_is_down_and_a_bank_that_is_stopped(
    new_bank: Callable[[str], Bank], clabe: str
) -> None:
    port = free_port()
    bank = new_bank(f"http://127.0.0.1:{port}")
    keys = [bank.pay(clabe, amount).json["tracking_key"] for amount in range(1, 41)]
    until(lambda: bank.transfer(keys[0])["delivery"]["attempts"] >= 1)
    assert bank.get("/v1/bank/books").json["undelivered"] == 40
    assert bank.end() == 0
    with Receiver(port=port) as receiver:
        bank.start()
        until(lambda: bool(bank.get("/v1/bank/books").json["undelivered"] == 0))
        assert sorted(call.body["tracking_key"] for call in receiver.calls[clabe]) == sorted(keys)


def test_a_silent_caudal_is_asked_by_one_callback_at_a_time(new_bank: Callable[[str], Bank], clabe: str) -> None:
    bank = new_bank(f"http://127.0.0.1:{free_port()}")
    for amount in range(1, 31):
        bank.pay(clabe, amount)
    time.sleep(1.0)
    shown = bank.get("/v1/bank/transfers", clabe=clabe, limit=100).json["data"]
    assert 1 <= sum(transfer["delivery"]["attempts"] for transfer in shown) <= 30
