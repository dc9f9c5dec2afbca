"""Banks and bank accounts: every field of where a refund goes."""

from __future__ import annotations

import pytest

from caudal.catalogue import BANKS, BankAccount, bank_account_errors, bank_error, clabe_error

# Country | bank | account | kind | holder's document | the fields that are wrong
ACCOUNTS = """
MX | -    | 646180110412345679     | -        | -              |
MX | 646  | 646180110412345679     | -        | GODE561231GR8  |
MX | 002  | 646180110412345679     | -        | -              | bank
MX | -    | 646180110412345670     | -        | -              | account
MX | -    | 64618011041234567      | savings  | -              | account kind
MX | -    | 646180110412345679     | -        | 39053344705    | holder_document
BR | 001  | 0001-9/1234567-8       | checking | 39053344705    |
BR | 260  | 0001/123456            | savings  | 16727230000197 |
BR | 260  | 0001/123456-X          | savings  | 16727230000197 |
BR | 999  | 0001/123456            | savings  | 39053344705    | bank
BR | -    | 0001/123456            | -        | -              | bank holder_document kind
BR | 001  | 1234567-8              | checking | 39053344705    | account
BR | 001  | 01/1234567-8           | current  | 39053344704    | account holder_document kind
CO | 1007 | 12345678901            | savings  | 1023456789     |
CO | 1059 | 12345678901            | checking | 213123432-1    |
CO | 1805 | 12345678               | checking | 213123432-1    |
CO | 007  | 1234567                | savings  | 1023456789     | account bank
CO | 1007 | 1234567890123456789    | savings  | 12345          | account holder_document
"""


@pytest.mark.parametrize("line", ACCOUNTS.strip().splitlines())
def test_every_wrong_field_of_an_account_is_named(line: str) -> None:
    country, bank, account, kind, document, wrong = (part.strip() for part in line.split("|"))
    asked = BankAccount(
        country=country,
        bank=None if bank == "-" else bank,
        account=account,
        kind=None if kind == "-" else kind,
        holder_name="Ana Pérez",
        holder_document=None if document == "-" else document,
    )
    assert sorted(bank_account_errors(asked)) == wrong.split()


@pytest.mark.parametrize("name", ["", " ", "A", "A" * 101, "Ana\nPérez"])
def test_an_account_has_a_holder(name: str) -> None:
    asked = BankAccount(
        country="MX", bank=None, account="646180110412345679", kind=None, holder_name=name, holder_document=None
    )
    assert list(bank_account_errors(asked)) == ["holder_name"]


def test_money_goes_to_bank_accounts_of_three_countries() -> None:
    asked = BankAccount(country="KE", bank=None, account="1", kind=None, holder_name="Ana", holder_document=None)
    assert bank_account_errors(asked) == {"country": "caudal sends money to bank accounts in BR, CO, MX only"}


def test_an_unknown_bank_gets_the_nearest_one() -> None:
    assert bank_error("CO", "PSE", "1007") is None
    assert bank_error("CO", "PSE", "bancolombia") == ("no bank of PSE has this code; did you mean 1007 (Bancolombia)?")
    assert "did you mean 1051 (Banco Davivienda)?" in (bank_error("CO", "PSE", "pse_banco_davivenda") or "")
    assert bank_error("CO", "PSE", "") == "no bank of PSE has this code of 4 digits"
    assert bank_error("AR", "PSE", "1007") == "no banks of PSE in AR"
    assert len(BANKS["CO", "PSE"]) == 44


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("646180110412345679", None),
        ("646180110412345670", "check digit"),
        ("999180110412345672", "no bank of Mexico"),
        ("64618011041234567", "18 digits"),
        ("64618011041234567٢", "18 digits"),
        ("646180110412345679\n", "18 digits"),
    ],
)
def test_a_clabe_has_a_check_digit_and_a_bank(text: str, said: str | None) -> None:
    reason = clabe_error(text)
    assert reason is None if said is None else said in (reason or "")
