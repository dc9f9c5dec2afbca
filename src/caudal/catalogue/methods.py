"""Countries and payment methods, from the tables beside this file; limits are as their sources say.

A method is named by its scheme (`card`, `pse`); brands and banks are rows of tables of their own. Where a source names
no time (cards, M-Pesa's prompt) or no longest one, it is caudal's: the payer stands before a page, a prompt or a code.
"""

from __future__ import annotations

import csv
import difflib
from pathlib import Path
from typing import Any, Final, TypeVar

import msgspec

T = TypeVar("T")


class Country(msgspec.Struct, frozen=True, kw_only=True):
    """A country in which payers pay."""

    country: str
    name: str
    currency: str
    timezone: str
    calling_code: str


class Method(msgspec.Struct, frozen=True, kw_only=True):
    """A payment method in one country. Amounts in minor units of its currency, times in minutes."""

    country: str
    method: str
    name: str
    family: str
    flow: str
    currency: str
    min_minor: int
    max_minor: int
    expiry_minutes: int
    expiry_minutes_max: int
    refundable: str
    source: str


def table(name: str, kind: type[T]) -> list[T]:
    """The rows of a table beside this file."""
    with Path(__file__).with_name(name).open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file))
    return [msgspec.convert(row, kind, strict=False) for row in rows]


COUNTRIES: Final[dict[str, Country]] = {row.country: row for row in table("countries.csv", Country)}
METHODS: Final[dict[tuple[str, str], Method]] = {(m.country, m.method): m for m in table("methods.csv", Method)}


def near_method(country: str | None, method: str) -> str:
    """What to say about a method that a country, or with None the whole catalogue, does not have."""
    there = sorted({name for of, name in METHODS if country in (None, of)})
    if not there:
        return f"no method is offered in {country} yet"
    where = "methods" if country is None else f"methods in {country}"
    elsewhere = sorted(of for of, name in METHODS if name == method.lower())
    if elsewhere and method.lower() not in there:
        return f"{method.lower()} is offered in {', '.join(elsewhere)}; {where}: {', '.join(there)}"
    near = difflib.get_close_matches(method.lower(), there, n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else f"{where}: {', '.join(there)}"


def spoken(minutes: int) -> str:
    """A time in the largest unit of which it is a whole number: `7 days`, `1 hour`, `90 minutes`."""
    unit, size = next((unit, size) for unit, size in (("day", 1440), ("hour", 60), ("minute", 1)) if not minutes % size)
    return f"{minutes // size} {unit}{'' if minutes == size else 's'}"
