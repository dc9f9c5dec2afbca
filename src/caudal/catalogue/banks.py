"""Banks by the codes of their country, and the bank accounts that refunds are sent to. Pure.

Codes: PSE and ACH Colombia share one numbering of four digits; COMPE (Banco Central do Brasil) and the first three
digits of a CLABE (Banco de México) have three. Fields of an account: dLocal's payout reference for Brazil and Colombia
(api-documentation/payout-api-reference/payouts in fmazzoli-dlocal/documentation); the CLABE: Banco de México, Circular
1/2006, with its check digit.
"""

from __future__ import annotations

import difflib
import re
from typing import Final

import msgspec

from caudal.catalogue.documents import document_error
from caudal.catalogue.methods import table

ACCOUNT_KINDS: Final = ("checking", "savings")
_HOLDER_MAX: Final = 100
_CLABE: Final = re.compile("[0-9]{18}")
_CLABE_WEIGHTS: Final = ((3, 7, 1) * 6)[:17]
_BRAZILIAN: Final = re.compile("[0-9]{4}(-[0-9X])?/[0-9]{1,13}(-[0-9X])?")
_COLOMBIAN: Final = re.compile("[0-9]{8,18}")


class Bank(msgspec.Struct, frozen=True, kw_only=True):
    """A bank's code in one system: PSE, ACH, COMPE or CLABE."""

    country: str
    system: str
    code: str
    name: str
    source: str


class BankAccount(msgspec.Struct, frozen=True, kw_only=True):
    """A payer's account as it was asked for; in Brazil `account` is branch and number: `0001-9/1234567-8`."""

    country: str
    bank: str | None
    account: str
    kind: str | None
    holder_name: str
    holder_document: str | None


def _by_system() -> dict[tuple[str, str], dict[str, Bank]]:
    found: dict[tuple[str, str], dict[str, Bank]] = {}
    for bank in table("banks.csv", Bank):
        found.setdefault((bank.country, bank.system), {})[bank.code] = bank
    # Who takes payments by PSE can be paid, too.
    found["CO", "ACH"] = {**found["CO", "PSE"], **found["CO", "ACH"]}
    return found


BANKS: Final = _by_system()


def bank_error(country: str, system: str, code: str) -> str | None:
    """Why there is no bank with this code in a system, or None, with the bank that was probably meant."""
    there = BANKS.get((country, system), {})
    if code in there:
        return None
    names = {_plain(bank.name): bank for bank in there.values()} | {bank.code: bank for bank in there.values()}
    near = difflib.get_close_matches(_plain(code), names, n=1, cutoff=0.6)
    if near:
        bank = names[near[0]]
        return f"no bank of {system} has this code; did you mean {bank.code} ({bank.name})?"
    digits = len(next(iter(there), ""))
    return f"no bank of {system} has this code of {digits} digits" if there else f"no banks of {system} in {country}"


def _plain(text: str) -> str:
    return text.strip().lower().removeprefix("pse_").replace("_", " ")


def clabe_error(text: str) -> str | None:
    """Why a text is no CLABE, or None."""
    if not _CLABE.fullmatch(text):
        return "a CLABE has 18 digits"
    total = sum(int(digit) * weight for digit, weight in zip(text, _CLABE_WEIGHTS, strict=False))
    if int(text[17]) != -total % 10:
        return "the check digit of the CLABE is wrong"
    if text[:3] not in BANKS["MX", "CLABE"]:
        return "no bank of Mexico has the first three digits of this CLABE"
    return None


def bank_account_errors(asked: BankAccount) -> dict[str, str]:
    """What is wrong with an account that money is to be sent to, by field; empty when nothing is."""
    checks = {"BR": _brazilian, "CO": _colombian, "MX": _mexican}
    check = checks.get(asked.country)
    if check is None:
        return {"country": f"caudal sends money to bank accounts in {', '.join(checks)} only"}
    errors = check(asked)
    if not 2 <= len(asked.holder_name.strip()) <= _HOLDER_MAX or not asked.holder_name.isprintable():
        errors["holder_name"] = f"2 to {_HOLDER_MAX} printable characters"
    if asked.holder_document is not None:
        reason = document_error(asked.country, asked.holder_document)
        if reason is not None:
            errors["holder_document"] = reason
    elif asked.country != "MX":
        errors["holder_document"] = "the bank asks for the holder's document"
    return errors


def _mexican(asked: BankAccount) -> dict[str, str]:
    errors = {}
    reason = clabe_error(asked.account)
    if reason is not None:
        errors["account"] = reason
    elif asked.bank not in (None, asked.account[:3]):
        errors["bank"] = f"the CLABE says bank {asked.account[:3]}; leave this out"
    if asked.kind is not None:
        errors["kind"] = "a CLABE needs no kind; leave this out"
    return errors


def _brazilian(asked: BankAccount) -> dict[str, str]:
    errors = _bank_and_kind(asked, "COMPE")
    if not _BRAZILIAN.fullmatch(asked.account):
        errors["account"] = "branch and account, each with its check digit if it has one: 0001-9/1234567-8"
    return errors


def _colombian(asked: BankAccount) -> dict[str, str]:
    errors = _bank_and_kind(asked, "ACH")
    if not _COLOMBIAN.fullmatch(asked.account):
        errors["account"] = "8 to 18 digits"
    return errors


def _bank_and_kind(asked: BankAccount, system: str) -> dict[str, str]:
    errors = {}
    reason = "this field is needed" if asked.bank is None else bank_error(asked.country, system, asked.bank)
    if reason is not None:
        errors["bank"] = reason
    if asked.kind not in ACCOUNT_KINDS:
        errors["kind"] = " or ".join(ACCOUNT_KINDS)
    return errors
