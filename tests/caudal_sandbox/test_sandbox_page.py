"""Ana pays in her browser, without JavaScript: what the page shows, what it refuses, what a double click does."""

import re

import pytest

from caudal_sandbox.bank.typed import Form, order
from tests.caudal_sandbox.rig import Bank, Receiver


def key_of(html: str) -> str:
    found = re.search(r'name="tracking_key" value="([A-Za-z0-9]+)"', html)
    assert found is not None
    return found[1]


def amounts(bank: Bank, clabe: str) -> list[int]:
    return [shown["amount"] for shown in bank.get("/v1/bank/transfers", clabe=clabe).json["data"]]


def test_the_front_door_leads_to_the_counter(bank: Bank) -> None:
    answer = bank.get("/")
    assert (answer.status, answer.headers["Location"]) == (302, "/pay")


def test_the_form_is_filled_in_from_the_address(bank: Bank, clabe: str) -> None:
    page = bank.get("/pay", clabe=clabe, amount=1234550)
    assert page.status == 200
    assert "Sandbox bank – no real money" in page.text
    assert f'value="{clabe}"' in page.text and 'value="12,345.50"' in page.text
    assert "<script" not in page.text
    assert bank.get("/pay.css").headers["Content-Type"].startswith("text/css")


@pytest.mark.parametrize(("button", "paid"), [("exact", 12050), ("less", 6025), ("more", 13255)])
def test_each_button_pays_its_amount(bank: Bank, receiver: Receiver, clabe: str, button: str, paid: int) -> None:
    key = key_of(bank.get("/pay", clabe=clabe, amount=12050).text)
    fields = {"tracking_key": key, "requested": "12050", "clabe": clabe, "pesos": "120.50", "payer_name": "Ana Pérez"}
    answer = bank.form("/pay", **fields, pay=button)
    assert (answer.status, amounts(bank, clabe)) == (303, [paid])
    after = bank.call("GET", answer.headers["Location"])
    assert f"You sent ${paid // 100}.{paid % 100:02d} MXN" in after.text
    assert 'value="120.50"' in after.text
    assert "Received" in after.text and key in after.text
    assert receiver.calls[clabe][0].body["payer_name"] == "Ana Pérez"


def test_a_double_click_pays_once_and_a_second_payment_asks_first(bank: Bank, clabe: str) -> None:
    key = key_of(bank.get("/pay", clabe=clabe, amount=100).text)
    fields = {"clabe": clabe, "pesos": "1", "payer_name": "Ana"}
    assert [bank.form("/pay", **fields, tracking_key=key).status for _ in range(2)] == [303, 303]
    assert amounts(bank, clabe) == [100]
    asked = bank.form("/pay", **fields, tracking_key=key, pay="more")
    assert (asked.status, amounts(bank, clabe)) == (422, [100])
    assert "already been paid" in asked.text
    assert bank.form("/pay", **fields, tracking_key=key_of(asked.text), pay="more").status == 303
    assert amounts(bank, clabe) == [110, 100]


def test_errors_stand_beside_their_fields(bank: Bank) -> None:
    page = bank.form(
        "/pay", clabe="646180110400000008", pesos="ten", payer_name=" ", copies="0", delay_s="x", fault="?"
    )
    assert page.status == 422
    for field in ("clabe", "pesos", "payer_name", "copies", "delay_s", "fault"):
        assert f'id="{field}-error"' in page.text
        assert f'aria-describedby="{field}-error"' in page.text
    assert 'value="646180110400000008"' in page.text


def test_a_wrong_link_is_said_so(bank: Bank) -> None:
    page = bank.get("/pay", clabe="123", amount="12.5")
    assert "this one has 3" in page.text and "not a number of centavos" in page.text


def test_what_people_type_is_text_not_markup(bank: Bank, clabe: str) -> None:
    bank.pay(clabe, payer_name='<b>Ana</b> & "Beto"')
    page = bank.get("/pay", clabe=clabe, amount="<i>")
    assert "<b>Ana" not in page.text and "&lt;b&gt;Ana" in page.text
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]


def test_a_refused_transfer_can_be_delivered_again_from_the_page(bank: Bank, receiver: Receiver, clabe: str) -> None:
    receiver.scripts[clabe] = [401]
    fields = {"clabe": clabe, "pesos": "5", "payer_name": "Ana", "copies": "1", "delay_s": "0", "fault": "forged"}
    after = bank.call("GET", bank.form("/pay", **fields).headers["Location"])
    assert "Refused" in after.text and "a message that was made forged" in after.text
    key = bank.get("/v1/bank/transfers", clabe=clabe).json["data"][0]["tracking_key"]
    assert bank.form("/pay/redeliver", tracking_key=key).status == 303
    assert bank.transfer(key)["status"] == "delivered"
    assert bank.form("/pay/redeliver", tracking_key="NOBODY").status == 404


@pytest.mark.parametrize(
    ("pesos", "pay", "centavos"),
    [
        ("120.50", "exact", 12050),
        ("120.5", "exact", 12050),
        ("$ 1,234", "exact", 123400),
        ("0.01", "more", 2),
        ("0.01", "less", None),
        ("0", "exact", None),
        ("12.345", "exact", None),
        ("1,23", "exact", None),
        ("-5", "exact", None),
        ("999999999.99", "exact", 99_999_999_999),
        ("999999999.99", "more", None),
        ("5", "steal", None),
    ],
)
def test_pesos_become_centavos(clabe: str, pesos: str, pay: str, centavos: int | None) -> None:
    ask, errors = order(Form(clabe=clabe, pesos=pesos, pay=pay, tracking_key="T1"))
    assert (ask.amount_minor if ask else None) == centavos
    assert set(errors) == (set() if centavos else {"pesos"})


def test_a_clabe_may_be_typed_with_blanks(clabe: str) -> None:
    ask, _ = order(Form(clabe=f" {clabe[:3]} {clabe[3:6]}-{clabe[6:]} ", pesos="1", tracking_key="T1"))
    assert ask is not None and ask.clabe == clabe
