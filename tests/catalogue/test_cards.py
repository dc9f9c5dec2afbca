"""Cards: brand by first digits, length, check digit, expiry, security code; and no message that repeats a number."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from caudal.catalogue import (
    CARD_BRANDS,
    bin_of,
    brand_error,
    brand_of,
    card_expiry_error,
    card_number_error,
    digits_of,
    holder_name_error,
    security_code_error,
)

# The number, its brand, and what of its beginning may be shown
NUMBERS = """
4111111111111111     visa        41111111
4000000000000002     visa        40000000
4222222222222        visa        422
4000000000000000006  visa        40000000
5555555555554444     mastercard  55555555
2221000000000009     mastercard  22210000
2720990000000007     mastercard  27209900
378282246310005      amex        378282
341111111111111      amex        341111
6362970000457013     elo         636297
5067310000000010     elo         506731
6550000000000001     elo         655000
4011780000000006     elo         401178
6062826786276634     hipercard   606282
30569309025904       diners      3056
36006666333344       diners      3600
6011000990139424     discover    60110009
6500000000000002     discover    65000000
3530111333300000     jcb         35301113
5078601870000127985  aura        507860
5038146897157992     maestro     503814
6759649826438453     maestro     675964
"""

# A number and what is said of it
WRONG = """
4111111111111112     check digit
411111111111111      Visa has 13 or 16 or 18 or 19 digits
3782822463100050     American Express has 15 digits
2720990000000006     check digit
2721000000000004     not the number of a card brand
2220999999999998     not the number of a card brand
9999999999999995     not the number of a card brand
4111-1111x1111-1111  digits
٤١١١١١١١١١١١١١١١     digits
4111--111111111111   digits
"""
JUNE = datetime(2026, 6, 15, 12, tzinfo=UTC)


@pytest.mark.parametrize("line", NUMBERS.strip().splitlines())
def test_a_number_is_of_the_brand_with_its_longest_prefix(line: str) -> None:
    number, name, beginning = line.split()
    brand = brand_of(number)
    assert brand is not None and brand.brand == name
    assert card_number_error(number) is None
    assert bin_of(number) == beginning


@pytest.mark.parametrize("line", WRONG.strip().splitlines())
def test_a_wrong_number_is_told_why_and_never_repeated(line: str) -> None:
    number, reason = line.split(maxsplit=1)
    said = card_number_error(number) or ""
    assert reason in said
    assert number not in said and number[:6] not in said


@pytest.mark.parametrize("text", ["", " ", "-", "\x00", "1" * 10_000, "4111 1111 1111 1111\n", "4111  1111"])
def test_no_text_breaks_the_check(text: str) -> None:
    assert card_number_error(text) is not None


def test_spaces_and_dashes_between_groups_are_taken_away() -> None:
    assert digits_of("4111 1111 1111 1111") == digits_of(" 4111-1111-1111-1111 ") == "4111111111111111"
    assert card_number_error("3782 822463 10005") is None


def test_no_range_belongs_to_two_brands() -> None:
    ends = [(low, high) for brand in CARD_BRANDS.values() for low, high in brand.ranges]
    assert all(len(low) == len(high) and low <= high for low, high in ends)
    for one, (low, high) in enumerate(ends):
        for low2, high2 in ends[one + 1 :]:
            assert len(low) != len(low2) or high < low2 or high2 < low, f"{low}-{high} and {low2}-{high2}"


@pytest.mark.parametrize(
    ("month", "year", "said"),
    [
        (6, 2026, None),
        (7, 2026, None),
        (6, 2046, None),
        (5, 2026, "expired"),
        (12, 2025, "expired"),
        (1, 2047, "at most 20 ahead"),
        (1, 26, "expired"),
        (0, 2027, "1 to 12"),
        (13, 2027, "1 to 12"),
    ],
)
def test_a_card_counts_until_its_month_has_ended(month: int, year: int, said: str | None) -> None:
    reason = card_expiry_error(month, year, JUNE)
    assert reason is None if said is None else said in (reason or "")


def test_a_month_ends_where_it_ends_last() -> None:
    assert card_expiry_error(5, 2026, datetime(2026, 6, 1, 11, 59, tzinfo=UTC)) is None
    assert card_expiry_error(5, 2026, datetime(2026, 6, 1, 12, 0, tzinfo=UTC)) == "the card has expired"


@pytest.mark.parametrize(
    ("number", "code", "right"),
    [
        ("4111111111111111", "123", True),
        ("4111111111111111", "1234", False),
        ("4111111111111111", "12", False),
        ("4111111111111111", "12a", False),
        ("4111111111111111", "١٢٣", False),
        ("378282246310005", "1234", True),
        ("378282246310005", "123", False),
        ("9999999999999995", "123", True),
        ("9999999999999995", "12345", False),
    ],
)
def test_a_security_code_has_the_length_of_its_brand(number: str, code: str, right: bool) -> None:
    assert (security_code_error(number, code) is None) == right


@pytest.mark.parametrize(
    ("name", "right"),
    [("ANA PEREZ", True), ("José Ñandú 3º", True), ("A", False), ("", False), ("A" * 101, False), ("A\nB", False)],
)
def test_a_holder_has_a_printable_name(name: str, right: bool) -> None:
    assert (holder_name_error(name) is None) == right


def test_a_number_is_not_taken_for_a_name() -> None:
    assert holder_name_error("4111 1111 1111 1111") == "a name, not a card number"


def test_an_unknown_brand_gets_the_nearest_one() -> None:
    assert brand_error("BR", "elo") is None
    assert brand_error("BR", "hypercard") == "no such brand of cards in BR; did you mean hipercard?"
    assert "in KE: mastercard, mastercard_debit, visa, visa_debit" in (brand_error("KE", "xyzzy") or "")
    assert brand_error("AR", "visa") == "no brand of cards is known in AR yet"
