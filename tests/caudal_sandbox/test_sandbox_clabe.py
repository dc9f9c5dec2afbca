"""The check digit of a CLABE, against numbers published by others and every single mistyped digit."""

import pytest

from caudal_sandbox.bank.clabe import check_digit, complaint
from tests.caudal_sandbox.rig import clabe_of


@pytest.mark.parametrize("number", ["032180000118359719", "002010077777777771", "646180110400000007"])
def test_a_published_clabe_is_valid(number: str) -> None:
    assert complaint(number) is None
    assert check_digit(number[:17]) == number[17]


def test_every_single_mistyped_digit_is_noticed() -> None:
    number = clabe_of(98_765_432_101)
    assert complaint(number) is None
    for place in range(18):
        for digit in set("0123456789") - {number[place]}:
            assert complaint(number[:place] + digit + number[place + 1 :]) is not None


@pytest.mark.parametrize(
    "number", ["", "64618011040000000", "6461801104000000070", "64618011040000000x", "٦٤٦١٨٠١١٠٤٠٠٠٠٠٠٠٧"]
)
def test_what_is_not_18_digits_is_refused(number: str) -> None:
    assert complaint(number) is not None
