"""Countries and methods: the tables beside the code hold together."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from caudal.catalogue import BANKS, BRANDS, COUNTRIES, METHODS, near_method
from caudal.kernel.money import CURRENCIES

# Country and method, currency, least and greatest amount, minutes until it expires, family, flow
SIX = """
MX spei    MXN      800   40000000   4320  instant_transfer  bank_details
BR card    BRL       50    5000000     60  card              direct
BR pix     BRL       10    5000000    120  instant_transfer  qr
BR boleto  BRL      500    1500000  43200  cash_voucher      voucher
CO pse     COP   100000  300000000   1440  bank_redirect     redirect
KE mpesa   KES      100   25000000      5  mobile_money      push_prompt
"""


@pytest.mark.parametrize("line", SIX.strip().splitlines())
def test_a_method_takes_what_its_source_says(line: str) -> None:
    country, name, currency, least, most, minutes, family, flow = line.split()
    method = METHODS[country, name]
    assert (method.currency, method.min_minor, method.max_minor) == (currency, int(least), int(most))
    assert (method.expiry_minutes, method.family, method.flow) == (int(minutes), family, flow)


def test_every_method_is_of_a_country_and_takes_a_currency_that_there_is() -> None:
    assert len(METHODS) == len(SIX.strip().splitlines())
    for method in METHODS.values():
        assert method.country in COUNTRIES and method.currency in CURRENCIES, method
        assert 0 < method.min_minor <= method.max_minor, method
        assert 0 < method.expiry_minutes <= method.expiry_minutes_max, method
        assert method.refundable in ("yes", "partial", "no", "unknown"), method
        assert method.source, method


def test_every_country_has_a_currency_a_time_and_a_calling_code() -> None:
    for country in COUNTRIES.values():
        assert len(country.country) == 2 and country.country.isupper(), country
        assert country.currency in CURRENCIES, country
        assert ZoneInfo(country.timezone), country
        assert country.calling_code.startswith("+") and country.calling_code[1:].isdigit(), country


def test_every_brand_and_bank_is_of_a_country_and_has_a_source() -> None:
    for row in BRANDS.values():
        assert row.country in COUNTRIES and row.name and row.source, row
    for (country, system), banks in BANKS.items():
        assert country in COUNTRIES, country
        assert {len(code) for code in banks} == {4 if system in ("PSE", "ACH") else 3}, system
        assert all(bank.name and bank.source for bank in banks.values()), system


def test_a_method_that_a_country_does_not_have_gets_the_nearest_one() -> None:
    assert near_method("MX", "spie") == "did you mean spei?"
    assert near_method("BR", "bolto") == "did you mean boleto?"
    assert near_method("MX", "carrier_pigeon") == "methods in MX: spei"
    assert near_method("AR", "pix") == "no method is offered in AR yet"
    assert near_method(None, "spie") == "did you mean spei?"
