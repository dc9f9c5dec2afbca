"""CAUDAL_PROVIDERS: what the file says, what the settings say for it, and every error by its entry and field."""

from __future__ import annotations

from pathlib import Path

import pytest

from caudal.connectors import Cost, Links, Provider
from caudal.connectors.links import METHODS
from caudal.connectors.providers import providers_of
from caudal.kernel.settings import SettingError, Settings
from tests.connectors import orders

NORTE = """
[[provider]]
name = "norte"
url = "https://norte.example/api/"
secret = "quiet"
"""
WHOLE = """
[[provider]]
name = "norte"
mode = "test"
url = "https://norte.example/api/"
secret_env = "NORTE_SECRET"
protocol = "sandbox"
methods = ["card", "pix"]
countries = ["BR"]
concurrency = 7
connect_timeout_ms = 200
timeout_ms = 3000
tries = 2
slow_ms = 900
breaker_failures = 4
breaker_open_s = 2.5
cost = [{ method = "card", currency = "BRL", fixed_minor = 30, basis_points = 250 }]

[[provider]]
name = "norte"
mode = "live"
url = "http://127.0.0.1:9"
secret = "loud"

[[provider]]
name = "sur"
url = "http://127.0.0.1:9"
secret = "quiet"
"""


def read(folder: Path, text: str, **settings: object) -> tuple[Provider, ...]:
    path = folder / "providers.toml"
    path.write_text(text)
    changed = Settings(**{"providers": str(path), **settings})  # type: ignore[arg-type]
    return providers_of(changed, frozenset(METHODS), {"NORTE_SECRET": "hushed", "CAUDAL_KEK": "x"})


def test_an_entry_says_everything_and_the_settings_what_it_does_not(tmp_path: Path) -> None:
    norte, live, sur = read(tmp_path, WHOLE, provider_timeout_ms=2000, provider_concurrency=9)
    assert (norte.name, norte.mode, norte.url, norte.secret) == ("norte", "test", "https://norte.example/api", "hushed")
    assert (norte.concurrency, norte.connect_timeout_ms, norte.timeout_ms, norte.tries) == (7, 200, 3000, 2)
    assert (norte.slow_ms, norte.breaker_failures, norte.breaker_open_s) == (900, 4, 2.5)
    assert norte.costs == (Cost(method="card", currency="BRL", fixed_minor=30, basis_points=250),)
    assert (live.name, live.mode, live.secret) == ("norte", "live", "loud")
    assert (sur.concurrency, sur.timeout_ms, sur.slow_ms, sur.tries, sur.breaker_open_s) == (9, 2000, 1000, 3, 5.0)
    assert (sur.methods, sur.countries, sur.costs) == ((), (), ())


def test_a_provider_takes_what_it_names_and_everything_where_it_names_nothing(tmp_path: Path) -> None:
    norte, live, _ = read(tmp_path, WHOLE)
    assert norte.takes("card", "BR") and not norte.takes("boleto", "BR") and not norte.takes("card", "KE")
    assert live.takes("boleto", "KE")


@pytest.mark.parametrize(("amount", "cost"), [(0, 30), (1, 30), (20, 31), (10_000, 280), (10_020, 281), (10_019, 280)])
def test_a_cost_is_a_fixed_part_and_basis_points_half_a_unit_rounded_up(tmp_path: Path, amount: int, cost: int) -> None:
    norte = read(tmp_path, WHOLE)[0]
    found = norte.cost("card", "BRL")
    assert found is not None and found.of(amount) == cost
    assert norte.cost("card", "USD") is None and norte.cost("pix", "BRL") is None


def test_a_secret_is_not_shown(tmp_path: Path) -> None:
    assert "hushed" not in repr(read(tmp_path, WHOLE))


def test_without_a_file_there_is_the_sandbox_and_without_a_secret_nobody() -> None:
    [sandbox] = providers_of(orders.settings("http://127.0.0.1:1/"), frozenset(METHODS))
    assert (sandbox.name, sandbox.mode, sandbox.url) == ("sandbox", "test", "http://127.0.0.1:1")
    assert providers_of(orders.settings("http://127.0.0.1:1", provider_secret_test=None), frozenset(METHODS)) == ()


def test_both_modes_of_a_name_have_one_address_for_callbacks(tmp_path: Path) -> None:
    read(tmp_path, WHOLE.replace('secret_env = "NORTE_SECRET"', 'secret = "hushed"'))
    links = Links(Settings(providers=str(tmp_path / "providers.toml")))
    assert links.secrets("norte") == ("hushed", "loud", 300) and links.secrets("sur") == ("quiet", None, 300)
    assert links.secrets("sandbox") is None and links.of("sur", "live") is None and links.of("norte", "live")


# What is changed in the file of one provider, and what is said
WRONG = {
    "name: Object missing": ('name = "norte"', ""),
    "name: a lower-case letter": ('"norte"', '"Norte"'),
    "name: spei is a method's name": ('"norte"', '"spei"'),
    "name: pix is a method's name": ('"norte"', '"pix"'),
    "name: Expected `str`": ('"norte"', "7"),
    "url: it must look like": ("https://norte.example/api/", "norte.example"),
    "url: it must look": ("/api/", "/api/?a=1"),
    "mode: Invalid enum value 'both'": ('secret = "quiet"', 'secret = "quiet"\nmode = "both"'),
    "secret: either secret or secret_env": ('secret = "quiet"', ""),
    "secret: either": ('secret = "quiet"', 'secret = "quiet"\nsecret_env = "NORTE_SECRET"'),
    "secret: it is empty": ('"quiet"', '""'),
    "secret_env: SUR_SECRET is not set": ('secret = "quiet"', 'secret_env = "SUR_SECRET"'),
    "secret_env: a variable whose name begins with CAUDAL_": ('secret = "quiet"', 'secret_env = "CAUDAL_KEK"'),
    "protocol: soap is none of sandbox": ('secret = "quiet"', 'secret = "quiet"\nprotocol = "soap"'),
    "methods: cards has no connector; did you mean card?": ('"quiet"', '"quiet"\nmethods = ["cards"]'),
    "countries: Brazil is no code": ('secret = "quiet"', 'secret = "quiet"\ncountries = ["Brazil"]'),
    "timeout_ms: Expected `int` >= 1": ('secret = "quiet"', 'secret = "quiet"\ntimeout_ms = 0'),
    "tries: Expected `int` <= 10": ('secret = "quiet"', 'secret = "quiet"\ntries = 11'),
    "concurrency: Expected": ('secret = "quiet"', 'secret = "quiet"\nconcurrency = "many"'),
    "breaker_open_s: Expected `float` > 0.0": ('secret = "quiet"', 'secret = "quiet"\nbreaker_open_s = 0.0'),
    "Object contains unknown field `timeout`": ('secret = "quiet"', 'secret = "quiet"\ntimeout = 1'),
    "cost: check has no connector": ("quiet\"", 'quiet"\ncost = [{ method = "check", currency = "BRL" }]'),
    "cost: XXQ is no currency": ("quiet\"", 'quiet"\ncost = [{ method = "pix", currency = "XXQ" }]'),
    "cost: pix in BRL is there twice": ("quiet\"", 'quiet"\ncost = [{ method = "pix", currency = "BRL" }, '
                                        '{ method = "pix", currency = "BRL" }]'),
    "cost[0].basis_points: Expected `int` <= 10000": (
        "quiet\"", 'quiet"\ncost = [{ method = "pix", currency = "BRL", basis_points = 10001 }]'
    ),
}  # fmt: skip


@pytest.mark.parametrize("said", WRONG)
def test_an_error_names_the_entry_and_the_field(tmp_path: Path, said: str) -> None:
    old, new = WRONG[said]
    assert old in NORTE
    with pytest.raises(SettingError) as error:
        read(tmp_path, NORTE.replace(old, new))
    assert str(error.value).startswith(f"CAUDAL_PROVIDERS={tmp_path / 'providers.toml'}: provider ")
    assert said.removeprefix("name: Object missing") in str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (NORTE + NORTE, "provider norte: name: there is a test provider of this name already"),
        (NORTE + NORTE.replace("url", 'mode = "live"\nurl'), "provider norte: secret: the same for test and live"),
        ("", "there is no [[provider]]"),
        ("provider = 7", "there is no [[provider]]"),
        ("provider = []", "there is no [[provider]]"),
        ("provider = [7]", "provider 1: Expected `object`"),
        ("[providers]", "providers: only [[provider]] stands there"),
        ("[[", "is not TOML"),
    ],
)
def test_a_file_that_is_wrong_as_a_whole_says_so(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(SettingError) as error:
        read(tmp_path, text)
    assert said in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"CAUDAL_PROVIDERS=.*none\.toml: No such file"):
        providers_of(Settings(providers=str(tmp_path / "none.toml")), frozenset(METHODS))
