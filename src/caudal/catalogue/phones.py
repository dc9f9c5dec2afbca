"""Payers' telephones: E.164, by the numbering plans of Google's libphonenumber."""

from __future__ import annotations

import re
from typing import Final

import phonenumbers
from phonenumbers import PhoneNumberType

from caudal.catalogue.methods import COUNTRIES

_E164: Final = re.compile(r"\+[1-9][0-9]{6,14}")
_MOBILE: Final = (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE_OR_MOBILE)


def phone_error(text: str, country: str | None = None) -> str | None:
    """Why a text is no telephone of the world, or no mobile one of a country where one is named, or None."""
    if not _E164.fullmatch(text):
        return "a number of E.164: + and 7 to 15 digits"
    try:
        number = phonenumbers.parse(text, None)
    except phonenumbers.NumberParseException:
        return "no country has this calling code"
    if not phonenumbers.is_possible_number(number):
        return "too short or too long for its country"
    if country is None:
        return None
    of = COUNTRIES[country]
    if phonenumbers.region_code_for_number(number) != country:
        return f"not a number of {of.name} ({of.calling_code})"
    if phonenumbers.number_type(number) not in _MOBILE:
        return f"not a mobile number of {of.name}"
    return None
