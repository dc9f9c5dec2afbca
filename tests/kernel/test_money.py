"""Money: ISO 4217, shares half up, amounts for people."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from caudal.kernel.money import BASIS_POINTS, CURRENCIES, CURRENCY_BY_NUMERIC, format_amount, share_half_up

SHARES = """
amount    basis points   share
10000     100            100
12050     290            349     349.45
50        100            1       0.50 goes up
49        100            0       0.49
150       100            2       1.50
-50       100            -1      away from zero
-49       100            0
0         10000          0
1         0              0
99        10000          99
10000000  1              1000
"""

WRITTEN = """
amount   currency  text
12050    MXN       120.50 MXN
5        MXN       0.05 MXN
0        MXN       0.00 MXN
-1       MXN       -0.01 MXN
1500     CLP       1,500 CLP
1500     BHD       1.500 BHD
123456789  MXN     1,234,567.89 MXN
-100000  BHD       -100.000 BHD
"""


def rows(table: str) -> list[list[str]]:
    return [line.split(maxsplit=2) for line in table.strip().splitlines()[1:]]


@pytest.mark.parametrize(("amount", "points", "rest"), rows(SHARES))
def test_a_share_is_rounded_half_away_from_zero(amount: str, points: str, rest: str) -> None:
    assert share_half_up(int(amount), int(points)) == int(rest.split()[0])


@given(st.integers(-(10**15), 10**15), st.integers(0, BASIS_POINTS))
def test_a_share_is_never_further_than_half_a_unit_from_the_exact_one(amount: int, points: int) -> None:
    exact = Fraction(amount * points, BASIS_POINTS)
    assert abs(share_half_up(amount, points) - exact) <= Fraction(1, 2)


@given(st.integers(0, 10**12), st.integers(0, BASIS_POINTS))
def test_a_share_of_money_back_is_the_share_of_the_money(amount: int, points: int) -> None:
    assert share_half_up(-amount, points) == -share_half_up(amount, points)


@pytest.mark.parametrize(("amount", "currency", "text"), rows(WRITTEN))
def test_people_read_amounts_with_the_digits_of_their_currency(amount: str, currency: str, text: str) -> None:
    assert format_amount(int(amount), currency) == text


def test_currencies_are_those_of_iso_4217() -> None:
    known = {"MXN": (484, 2), "BRL": (986, 2), "CLP": (152, 0), "BHD": (48, 3), "JPY": (392, 0), "USD": (840, 2)}
    assert {code: (CURRENCIES[code].numeric, CURRENCIES[code].exponent) for code in known} == known


def test_a_currency_has_one_code_and_one_number() -> None:
    assert len(CURRENCY_BY_NUMERIC) == len(CURRENCIES)
    assert all(CURRENCY_BY_NUMERIC[currency.numeric] is currency for currency in CURRENCIES.values())
    assert all(0 < currency.numeric < 1024 for currency in CURRENCIES.values()), "ten bits of an account's id"
