"""CLABEs: Banco de México's check digit, one for each number, none for another bank's."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caudal.connectors import spei

PREFIX = "646180"
NUMBERS = st.integers(0, 10**11 - 1)


@given(NUMBERS)
def test_a_number_comes_back_from_its_clabe(number: int) -> None:
    clabe = spei.of_number(PREFIX, number)
    assert len(clabe) == 18 and clabe.startswith(PREFIX)
    assert spei.number_of(PREFIX, clabe) == number


@given(NUMBERS)
def test_the_check_digit_is_the_one_of_the_standard(number: int) -> None:
    digits = [int(digit) for digit in spei.of_number(PREFIX, number)]
    products = [digit * weight % 10 for digit, weight in zip(digits[:17], [3, 7, 1] * 6, strict=False)]
    assert (sum(products) + digits[17]) % 10 == 0


def test_a_clabe_of_the_wild_has_a_right_check_digit() -> None:
    assert spei.number_of("032180", "032180000118359719") is not None
    assert spei.number_of("032180", "032180000118359718") is None


def test_no_two_numbers_share_a_clabe() -> None:
    numbers = [*range(20_000), *(10**11 - 1 - n for n in range(20_000))]
    assert len({spei.of_number(PREFIX, number) for number in numbers}) == len(numbers)


def test_neighbours_do_not_look_like_neighbours() -> None:
    first, second = spei.of_number(PREFIX, 1000), spei.of_number(PREFIX, 1001)
    assert sum(a != b for a, b in zip(first[6:17], second[6:17], strict=True)) >= 5


def test_one_wrong_digit_is_noticed() -> None:
    clabe = spei.of_number(PREFIX, random.Random(7).randrange(10**11))
    for place in range(18):
        for digit in "0123456789":
            changed = clabe[:place] + digit + clabe[place + 1 :]
            assert (spei.number_of(PREFIX, changed) is None) == (changed != clabe)


@pytest.mark.parametrize("text", ["", "x", "6461800000000000", "٦٤٦١٨٠٠٠٠٠٠٠٠٠٠٠٠٠", "6461801234567890123", " " * 18])
def test_what_is_no_clabe_carries_no_number(text: str) -> None:
    assert spei.number_of(PREFIX, text) is None


def test_a_right_clabe_of_another_bank_carries_no_number_of_ours() -> None:
    assert spei.number_of(PREFIX, spei.of_number("002180", 7)) is None
