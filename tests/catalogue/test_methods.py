"""Countries and methods: the tables beside the code hold together."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from caudal.catalogue import COUNTRIES, METHODS, near_method
from caudal.kernel.money import CURRENCIES


def test_spei_takes_pesos_from_eight_to_four_hundred_thousand() -> None:
    spei = METHODS["MX", "spei"]
    assert (spei.currency, spei.min_minor, spei.max_minor) == ("MXN", 800, 40_000_000)
    assert (spei.family, spei.expiry_minutes, spei.expiry_minutes_max) == ("instant_transfer", 3 * 1440, 30 * 1440)


def test_every_method_is_of_a_country_and_takes_a_currency_that_there_is() -> None:
    for method in METHODS.values():
        assert method.country in COUNTRIES and method.currency in CURRENCIES, method
        assert 0 < method.min_minor <= method.max_minor, method
        assert 0 < method.expiry_minutes <= method.expiry_minutes_max, method
        assert method.source, method


def test_every_country_has_a_currency_a_time_and_a_calling_code() -> None:
    for country in COUNTRIES.values():
        assert len(country.country) == 2 and country.country.isupper(), country
        assert country.currency in CURRENCIES, country
        assert ZoneInfo(country.timezone), country
        assert country.calling_code.startswith("+") and country.calling_code[1:].isdigit(), country


def test_a_method_that_a_country_does_not_have_gets_the_nearest_one() -> None:
    assert near_method("MX", "spie") == "did you mean spei?"
    assert near_method("MX", "carrier_pigeon") == "methods in MX: spei"
    assert near_method("BR", "pix") == "no method is offered in BR yet"
