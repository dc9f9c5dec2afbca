"""Cards: which brand a number is of, and what a right number, expiry and security code look like. Pure.

A number is of the brand with the longest prefix that it begins with. Ranges and lengths:
- Visa, Mastercard, American Express, Diners Club, Discover, JCB, Elo, Hipercard: braintree/credit-card-type
  (src/lib/card-types.ts), which follows the brands' own publications; Visa's 13 digits: renatovico/bin-cc.
- Maestro: only the ranges that its brand issues (renatovico/bin-cc: data/compiled/BRANDS.md), because it shares its
  first digit with half of the others.
- Aura (Brazil): renatovico/bin-cc, the same page; not published by the brand.
Check digit: Luhn (ISO/IEC 7812-1, annex B). No message contains what was given.
"""

from __future__ import annotations

import difflib
import re
from datetime import datetime, timedelta
from typing import Final

import msgspec
from stdnum import luhn

from caudal.catalogue.methods import table

YEARS_AHEAD_MAX: Final = 20
HOLDER_NAME_MAX: Final = 100
_DIGITS: Final = re.compile("[0-9]+")
_SPACED: Final = re.compile(r"[0-9]+(?:[ -][0-9]+)*")
_NUMBER_INSIDE: Final = re.compile(r"[0-9](?:[ -]?[0-9]){11}")
_WESTMOST: Final = timedelta(hours=12)


class CardBrand(msgspec.Struct, frozen=True, kw_only=True):
    """A brand of cards: ranges of first digits (both ends included), lengths, length of the security code.

    `bin_digits`: how much of a number of 16 digits or more may be shown at its beginning beside the last four: eight
    for the brands whose ranges have eight digits, six for the others (developer.cybersource.com, includeCardPrefix).
    """

    brand: str
    name: str
    ranges: tuple[tuple[str, str], ...]
    lengths: tuple[int, ...]
    security_code_digits: int = 3
    bin_digits: int = 6


class BrandRow(msgspec.Struct, frozen=True, kw_only=True):
    """A brand of cards as payers choose it in one country; debit counts apart where its source lists it apart."""

    country: str
    brand: str
    name: str
    scheme: str
    refundable: str
    source: str


def _ranges(text: str) -> tuple[tuple[str, str], ...]:
    """`51-55 2720` → (("51", "55"), ("2720", "2720"))."""
    pairs = (part.partition("-") for part in text.split())
    return tuple((low, high or low) for low, _, high in pairs)


_ELO: Final = """401178-401179 431274 438935 451416 457393 457631-457632 504175 506699-506778 509000-509999 627780
    636297 636368 650031-650033 650035-650051 650405-650439 650485-650538 650541-650598 650700-650718 650720-650727
    650901-650978 651652-651679 655000-655019 655021-655058"""

CARD_BRANDS: Final[dict[str, CardBrand]] = {
    row.brand: row
    for row in (
        CardBrand(brand="visa", name="Visa", ranges=_ranges("4"), lengths=(13, 16, 18, 19), bin_digits=8),
        CardBrand(
            brand="mastercard", name="Mastercard", ranges=_ranges("51-55 2221-2720"), lengths=(16,), bin_digits=8
        ),
        CardBrand(
            brand="amex", name="American Express", ranges=_ranges("34 37"), lengths=(15,), security_code_digits=4
        ),
        CardBrand(brand="elo", name="Elo", ranges=_ranges(_ELO), lengths=(16,)),
        CardBrand(brand="hipercard", name="Hipercard", ranges=_ranges("606282"), lengths=(16,)),
        CardBrand(brand="diners", name="Diners Club", ranges=_ranges("300-305 36 38-39"), lengths=(14, 16, 19)),
        CardBrand(brand="discover", name="Discover", ranges=_ranges("6011 644-649 65"), lengths=(16, 19), bin_digits=8),
        CardBrand(
            brand="jcb", name="JCB", ranges=_ranges("1800 2131 3528-3589"), lengths=(16, 17, 18, 19), bin_digits=8
        ),
        CardBrand(brand="aura", name="Aura", ranges=_ranges("50"), lengths=(16, 17, 18, 19)),
        CardBrand(
            brand="maestro",
            name="Maestro",
            ranges=_ranges("5018 5020 5038 5893 6304 6706 6759 6761-6763"),
            lengths=tuple(range(12, 20)),
        ),
    )
}

BRANDS: Final[dict[tuple[str, str], BrandRow]] = {
    (row.country, row.brand): row for row in table("brands.csv", BrandRow)
}


def digits_of(number: str) -> str | None:
    """A card number without its spaces or dashes; None when there is anything else in it."""
    text = number.strip(" ")
    return re.sub("[ -]", "", text) if _SPACED.fullmatch(text) else None


def brand_of(digits: str) -> CardBrand | None:
    """The brand of a number, by its first digits."""
    best: tuple[int, CardBrand | None] = (0, None)
    for brand in CARD_BRANDS.values():
        for low, high in brand.ranges:
            if len(low) > best[0] and low <= digits[: len(low)] <= high:
                best = len(low), brand
    return best[1]


def bin_of(digits: str) -> str:
    """What of a number's beginning may be shown beside its last four digits.

    PCI DSS 3.4.1 allows eight digits of 16 and more, else six; of less than 15 digits fewer, so that six stay hidden.
    """
    brand = brand_of(digits)
    if len(digits) < 15:
        return digits[: len(digits) - 10]
    return digits[: brand.bin_digits if brand is not None and len(digits) >= 16 else 6]


def card_number_error(number: str) -> str | None:
    """Why a number is no card's, or None."""
    digits = digits_of(number)
    if digits is None:
        return "digits, in groups with spaces or in one piece"
    brand = brand_of(digits)
    if brand is None:
        return "not the number of a card brand that caudal knows"
    if len(digits) not in brand.lengths:
        lengths = " or ".join(map(str, brand.lengths))
        return f"a number of {brand.name} has {lengths} digits, this one has {len(digits)}"
    if not luhn.is_valid(digits):
        return "the check digit is wrong: a digit was mistyped"
    return None


def has_expired(month: int, year: int, at: datetime) -> bool:
    """Whether a card's month has ended everywhere on earth."""
    now = at - _WESTMOST
    return (year, month) < (now.year, now.month)


def is_of_brand(brand: str, asked: str) -> bool:
    """Whether a card of this brand may be what a payer calls so: a number does not say whether it is a debit card."""
    return asked in (brand, f"{brand}_debit")


def card_expiry_error(month: int, year: int, at: datetime) -> str | None:
    """Why a card does not count any more, or None; it counts until its month has ended everywhere on earth."""
    if not 1 <= month <= 12:
        return "a month is 1 to 12"
    if has_expired(month, year, at):
        return "the card has expired"
    if year > (at - _WESTMOST).year + YEARS_AHEAD_MAX:
        return f"a year of four digits, at most {YEARS_AHEAD_MAX} ahead"
    return None


def security_code_error(number: str, code: str) -> str | None:
    """Why a security code does not go with a number, or None. A number that is none is not told of again."""
    brand = brand_of(digits_of(number) or "")
    wanted = (3, 4) if brand is None else (brand.security_code_digits,)
    if not _DIGITS.fullmatch(code) or len(code) not in wanted:
        name = "a card" if brand is None else brand.name
        return f"the security code of {name} has {' or '.join(map(str, wanted))} digits"
    return None


def holder_name_error(name: str) -> str | None:
    """Why a text is no name on a card, or None."""
    text = name.strip()
    if not 2 <= len(text) <= HOLDER_NAME_MAX or not text.isprintable():
        return f"2 to {HOLDER_NAME_MAX} printable characters"
    if _NUMBER_INSIDE.search(text):
        return "a name, not a card number"
    return None


def brand_error(country: str, brand: str) -> str | None:
    """Why payers of a country do not choose this brand of cards, or None, with the nearest one they do."""
    if (country, brand) in BRANDS:
        return None
    there = {name: row.name for (of, name), row in BRANDS.items() if of == country}
    if not there:
        return f"no brand of cards is known in {country} yet"
    near = difflib.get_close_matches(brand.lower(), there, n=1, cutoff=0.5)
    if near:
        return f"no such brand of cards in {country}; did you mean {near[0]}?"
    return f"no such brand of cards; in {country}: {', '.join(sorted(there))}"
