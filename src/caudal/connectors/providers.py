"""Which providers there are: their names, addresses, secrets, and what each may be asked for; from CAUDAL_PROVIDERS.

The file is TOML, one `[[provider]]` an entry; docs/providers.md shows one. Without it there is one test provider, the
sandbox's, by the settings of before. A name may stand there twice, for test and for live money: callbacks of both come
to one address, and the secret that verifies says which it is.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from caudal.connectors.model import Mode
from caudal.kernel.money import CURRENCIES
from caudal.kernel.settings import PREFIX, SettingError, Settings

# Whose the payments are that were made when providers had no names.
FIRST: Final = "sandbox"
BANK: Final = "spei"  # says who reported a transfer, so no provider is called so
PROTOCOLS: Final = ("sandbox",)
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")

_AtLeastOne = Annotated[int, Meta(ge=1)]


class Cost(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a payment by a method in a currency costs at a provider: a fixed part in minor units, and basis points."""

    method: str
    currency: str
    fixed_minor: Annotated[int, Meta(ge=0)] = 0
    basis_points: Annotated[int, Meta(ge=0, le=10_000)] = 0

    def of(self, amount_minor: int) -> int:
        """The cost of a payment, minor units, a half of one rounded up."""
        return self.fixed_minor + (amount_minor * self.basis_points + 5_000) // 10_000


class Provider(msgspec.Struct, frozen=True, kw_only=True):
    """A provider in one mode. No `url`: nobody can be asked. No `methods` and no `countries`: all.

    `slow_ms` is the time from which on an answer counts as slow.
    """

    name: str
    mode: Mode
    url: str | None
    secret: str
    protocol: str
    methods: tuple[str, ...]
    countries: tuple[str, ...]
    concurrency: int
    connect_timeout_ms: int
    timeout_ms: int
    tries: int
    slow_ms: int
    breaker_failures: int
    breaker_open_s: float
    costs: tuple[Cost, ...]

    def __repr__(self) -> str:
        return f"Provider({self.name}, {self.mode})"

    def takes(self, method: str, country: str) -> bool:
        """Whether it may be asked for a payment by this method from this country."""
        return (not self.methods or method in self.methods) and (not self.countries or country in self.countries)

    def cost(self, method: str, currency: str) -> Cost | None:
        """What such a payment costs there, where the configuration says so."""
        return next((cost for cost in self.costs if (cost.method, cost.currency) == (method, currency)), None)


class _Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[provider]]` as it stands in the file."""

    name: str
    url: str
    mode: Mode = "test"
    secret: str | None = None
    secret_env: str | None = None
    protocol: str = "sandbox"
    methods: tuple[str, ...] = ()
    countries: tuple[str, ...] = ()
    concurrency: _AtLeastOne | None = None
    connect_timeout_ms: _AtLeastOne | None = None
    timeout_ms: _AtLeastOne | None = None
    tries: Annotated[int, Meta(ge=1, le=10)] | None = None
    slow_ms: _AtLeastOne | None = None
    breaker_failures: _AtLeastOne | None = None
    breaker_open_s: Annotated[float, Meta(gt=0)] | None = None
    cost: tuple[Cost, ...] = ()


def providers_of(
    settings: Settings, methods: frozenset[str], environment: Mapping[str, str] | None = None
) -> tuple[Provider, ...]:
    """The providers in the order of the configuration. Raises SettingError naming entry and field.

    `methods` are those that have a connector; `environment` holds the secrets that an entry names, this process's.
    """
    if settings.providers is None:
        secret = settings.provider_secret_test  # the world without a file: the sandbox alone
        return (_filled(_Entry(name=FIRST, url=settings.sandbox_url or ""), settings, secret),) if secret else ()
    entries = _entries(Path(settings.providers))
    found: list[Provider] = []
    for number, given in enumerate(entries, start=1):
        name = given.get("name") if isinstance(given, dict) else None
        shown = f"CAUDAL_PROVIDERS={settings.providers}: provider {name if isinstance(name, str) else number}"
        provider = _provider(given, settings, methods, os.environ if environment is None else environment, shown)
        for other in found:
            if (other.name, other.mode) == (provider.name, provider.mode):
                raise SettingError(f"{shown}: name: there is a {provider.mode} provider of this name already")
            if other.name == provider.name and other.secret == provider.secret:
                raise SettingError(f"{shown}: secret: the same for test and live: play money would count as real")
        found.append(provider)
    return tuple(found)


def bank_of(settings: Settings, *, live: bool) -> tuple[str, str] | None:
    """The address and the secret of the bank of a mode; None where none is connected."""
    if live:
        url, secret = settings.spei_url_live, settings.spei_secret_live
    else:
        url, secret = settings.sandbox_url, settings.spei_secret_test
    return None if url is None or secret is None else (url, secret)


def banks_of(settings: Settings) -> Iterator[Provider]:
    """The banks that are connected, one a mode, with the settings of every provider."""
    modes: tuple[Mode, ...] = ("test", "live")
    for mode in modes:
        found = bank_of(settings, live=mode == "live")
        if found is not None:
            url, secret = found
            yield _filled(_Entry(name=BANK, url=url, mode=mode, protocol=BANK, methods=(BANK,)), settings, secret)


def _entries(path: Path) -> list[Any]:
    try:
        told = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"CAUDAL_PROVIDERS={path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingError(f"CAUDAL_PROVIDERS={path} is not TOML: {error}") from error
    entries = told.pop("provider", None)
    if told:
        raise SettingError(f"CAUDAL_PROVIDERS={path}: {next(iter(told))}: only [[provider]] stands there")
    if not isinstance(entries, list) or not entries:
        raise SettingError(f"CAUDAL_PROVIDERS={path}: there is no [[provider]]")
    return entries


def _provider(
    given: Any, settings: Settings, methods: frozenset[str], environment: Mapping[str, str], shown: str
) -> Provider:
    try:
        entry = msgspec.convert(given, _Entry)
    except msgspec.ValidationError as error:
        said, _, place = str(error).partition(" - at `$.")
        raise SettingError(f"{shown}: {place.rstrip('`') + ': ' if place else ''}{said}") from error
    for field, what in _wrong(entry, methods):
        raise SettingError(f"{shown}: {field}: {what}")
    secret = entry.secret
    if entry.secret_env is not None:
        secret = environment.get(entry.secret_env)
        if not secret:
            raise SettingError(f"{shown}: secret_env: {entry.secret_env} is not set")
    assert secret, "checked above"
    return _filled(entry, settings, secret)


def _wrong(entry: _Entry, methods: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Field and error of what is wrong in an entry."""
    if not _NAME.fullmatch(entry.name):
        yield "name", "a lower-case letter, then at most 31 letters, digits, _ or -"
    if entry.name == BANK or entry.name in methods:
        yield "name", f"{entry.name} is a method's name"
    parts = urlsplit(entry.url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        yield "url", "it must look like https://provider.example"
    if (entry.secret is None) == (entry.secret_env is None):
        yield "secret", "either secret or secret_env is needed"
    if entry.secret == "":
        yield "secret", "it is empty"
    if (entry.secret_env or "").startswith(PREFIX):
        yield "secret_env", f"a variable whose name begins with {PREFIX} is a setting of caudal's"
    if entry.protocol not in PROTOCOLS:
        yield "protocol", f"{entry.protocol} is none of {', '.join(PROTOCOLS)}"
    for method in (*entry.methods, *(cost.method for cost in entry.cost)):
        if method not in methods:
            near = difflib.get_close_matches(method, methods, n=1)
            hint = f"; did you mean {near[0]}?" if near else ""
            yield "methods" if method in entry.methods else "cost", f"{method} has no connector{hint}"
    for country in entry.countries:
        if not _COUNTRY.fullmatch(country):
            yield "countries", f"{country} is no code of ISO 3166-1 alpha-2"
    seen = set[tuple[str, str]]()
    for cost in entry.cost:
        if cost.currency not in CURRENCIES:
            yield "cost", f"{cost.currency} is no currency of ISO 4217"
        if (cost.method, cost.currency) in seen:
            yield "cost", f"{cost.method} in {cost.currency} is there twice"
        seen.add((cost.method, cost.currency))


def _filled(entry: _Entry, settings: Settings, secret: str) -> Provider:
    """The entry with the settings for what it does not say."""
    timeout_ms = entry.timeout_ms or settings.provider_timeout_ms
    return Provider(
        name=entry.name,
        mode=entry.mode,
        url=entry.url.rstrip("/") or None,
        secret=secret,
        protocol=entry.protocol,
        methods=entry.methods,
        countries=entry.countries,
        concurrency=entry.concurrency or settings.provider_concurrency,
        connect_timeout_ms=entry.connect_timeout_ms or settings.provider_connect_timeout_ms,
        timeout_ms=timeout_ms,
        tries=entry.tries or settings.provider_tries,
        slow_ms=entry.slow_ms or max(1, timeout_ms // 2),
        breaker_failures=entry.breaker_failures or settings.provider_breaker_failures,
        breaker_open_s=entry.breaker_open_s or settings.provider_breaker_open_s,
        costs=entry.cost,
    )
