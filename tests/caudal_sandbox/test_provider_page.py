"""Ana pays on the provider's page, without JavaScript: a challenge, a Pix, a boleto, her bank, her phone."""

import re
from typing import Any

import pytest
import segno

from caudal_sandbox.provider.pages import money
from tests.caudal_sandbox.payer import METHODS, Caller, order
from tests.caudal_sandbox.rig import Answer

TITLES = {
    "card": "Is it you who pays?",
    "pix": "Pay with Pix",
    "boleto": "Pay the boleto",
    "pse": "Pay from your account",
    "mpesa": "Your phone asks",
}


def waiting(provider: Caller, method: str, **more: Any) -> str:
    asked = order(method, three_ds="demanded", **more)
    provider.pay(asked, method)
    return str(asked["key"])


def page(provider: Caller, key: str) -> Answer:
    return provider.bank.call("GET", f"/pay/{key}")


def press(provider: Caller, key: str, act: str, **fields: str) -> Answer:
    return provider.bank.form(f"/pay/{key}/{act}", **fields)


@pytest.mark.parametrize("method", METHODS)
def test_the_page_says_what_is_to_be_paid_and_how(provider: Caller, method: str) -> None:
    key = waiting(provider, method)
    shown = page(provider, key)
    currency = {"pse": "COP", "mpesa": "KES"}.get(method, "BRL")
    assert TITLES[method] in shown.text and f"{currency} 120.50" in shown.text
    assert "no real money" in shown.text and "Order 7" in shown.text
    assert "<script" not in shown.text
    assert "default-src 'none'" in shown.headers["Content-Security-Policy"]


def test_the_page_shows_what_the_method_needs(provider: Caller) -> None:
    pix, boleto = waiting(provider, "pix"), waiting(provider, "boleto")
    assert provider.find(pix, "pix")["action"]["payload"] in page(provider, pix).text
    typed = re.search(r"<code>([0-9. ]+)</code>", page(provider, boleto).text)
    assert typed is not None
    assert re.sub(r"\D", "", typed[1]) == provider.find(boleto, "boleto")["action"]["line"]
    assert "Visa ending in 1111" in page(provider, waiting(provider, "card")).text
    assert "+254712345678" in page(provider, waiting(provider, "mpesa")).text


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("act", "status"), [("pay", "paid"), ("decline", "declined"), ("expire", "expired")])
def test_each_button_does_what_it_says(provider: Caller, method: str, act: str, status: str) -> None:
    key = waiting(provider, method)
    answer = press(provider, key, act)
    assert (answer.status, answer.headers["Location"]) == (303, f"/pay/{key}")
    assert provider.find(key, method)["status"] == status
    assert status.capitalize() in page(provider, key).text
    again = press(provider, key, "decline")
    assert again.status == 409 and "waits for nobody" in again.text


def test_the_code_of_a_pix_is_a_picture_while_it_can_be_paid(provider: Caller) -> None:
    key, before = waiting(provider, "pix"), waiting(provider, "boleto")
    drawn = page(provider, key).text
    payload = provider.find(key, "pix")["action"]["payload"]
    code = segno.make(payload, error="m", micro=False)
    side = code.symbol_size(border=4)[0]
    assert f'viewBox="0 0 {side} {side}"' in drawn and drawn.count("<svg") == 1
    press(provider, key, "pay")
    assert "<svg" not in page(provider, key).text and "<svg" not in page(provider, before).text


@pytest.mark.parametrize(("method", "goes"), [("card", True), ("pse", True), ("pix", False)])
@pytest.mark.parametrize("act", ["pay", "decline"])
def test_a_payer_who_was_redirected_goes_back(provider: Caller, method: str, goes: bool, act: str) -> None:
    back = "https://shop.example:8443/done?order=7"
    key = waiting(provider, method, return_url=back)
    assert (
        page(provider, key).headers["Content-Security-Policy"].endswith("form-action 'self' https://shop.example:8443")
    )
    answer = press(provider, key, act)
    assert (answer.status, answer.headers["Location"]) == (303, back if goes else f"/pay/{key}")
    assert 'href="https://shop.example:8443/done?order=7"' in page(provider, key).text


def test_an_address_cannot_loosen_the_policy(provider: Caller) -> None:
    key = waiting(provider, "pse", return_url="https://shop.example;script-src/back")
    assert page(provider, key).headers["Content-Security-Policy"].endswith("form-action 'self'")


def test_the_bank_declines_for_a_reason_of_the_list(provider: Caller) -> None:
    key = waiting(provider, "mpesa")
    assert press(provider, key, "decline", code="nonsense").status == 409
    press(provider, key, "decline", code="2001")
    assert "wrong PIN" in page(provider, key).text


def test_a_dispute_is_opened_and_decided_on_the_page(provider: Caller) -> None:
    key = waiting(provider, "card")
    press(provider, key, "pay")
    provider.operate(key, "refunds", amount=50)
    press(provider, key, "dispute")
    shown = page(provider, key).text
    assert "Refund <strong>BRL 0.50" in shown and "Dispute <strong>BRL 120.00" in shown
    found = re.search(r"disputes/(dp_[0-9a-f]+)/lose", shown)
    assert found is not None
    press(provider, key, f"disputes/{found[1]}/lose")
    assert "lost by the merchant" in page(provider, key).text
    assert press(provider, key, f"disputes/{found[1]}/win").status == 409


@pytest.mark.parametrize("method", METHODS)
def test_only_a_cardholder_and_a_pix_payer_are_offered_to_dispute(provider: Caller, method: str) -> None:
    key = waiting(provider, method)
    press(provider, key, "pay")
    assert ("Dispute this payment" in page(provider, key).text) == (method in ("card", "pix"))


def test_what_the_merchant_says_is_text_not_markup(provider: Caller) -> None:
    key = waiting(provider, "pix", description="<b>Order</b>", payer={"name": '<i>"Ana"'})
    shown = page(provider, key).text
    assert "<b>Order" not in shown and "&lt;b&gt;Order" in shown and "<i>" not in shown.replace("<i></i>", "")


def test_an_unknown_payment_has_no_page(provider: Caller) -> None:
    assert page(provider, "0" * 32).status == 404
    assert page(provider, "nothing").status == 404


@pytest.mark.parametrize(
    ("amount_minor", "currency", "shown"),
    [
        (5, "BRL", "BRL 0.05"),
        (123_456, "COP", "COP 1,234.56"),
        (123, "CLP", "CLP 123"),
        (1_234, "BHD", "BHD 1.234"),
    ],
)
def test_money_is_written_in_its_currency(amount_minor: int, currency: str, shown: str) -> None:
    assert money(amount_minor, currency) == shown
