"""The magic values: amounts and card numbers that order an outcome, a delay or a fault. The table is magic.csv.

An amount orders by its last four digits. Beside it stands codes.csv: each method's raw codes and what they mean.
"""

import csv
from pathlib import Path

import msgspec

HERE = Path(__file__).parent


class Magic(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table: a value orders `what` of a `part`."""

    value: str
    part: str
    what: str
    says: str


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """A raw code of a method, what it means in one word, and in a sentence."""

    method: str
    code: str
    means: str
    says: str


def _rows(name: str) -> list[dict[str, str]]:
    with (HERE / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


TABLE = [Magic(**row) for row in _rows("magic.csv")]
CODES = [Code(**row) for row in _rows("codes.csv")]
_AMOUNTS = {int(row.value): row for row in TABLE if row.part != "card"}
_CARDS = {row.value: row.what for row in TABLE if row.part == "card"}
_KNOWN = {(row.method, row.code) for row in CODES}
# The first code of a method with a meaning is the one that the provider itself uses.
_BY_MEANING = {(row.method, row.means): row.code for row in reversed(CODES)}
DECLINED_BY_PAYER = {"card": "1A", "pix": "CUST", "boleto": "PAYER_REFUSED", "pse": "CANCELLED", "mpesa": "1032"}


def of_amount(amount_minor: int, part: str) -> str | None:
    """Return what an amount orders for a part, if anything."""
    row = _AMOUNTS.get(amount_minor % 10_000)
    return row.what if row is not None and row.part == part else None


def of_card(number: str) -> str:
    """Return what a card number orders; a number that is not in the table is approved."""
    return _CARDS.get(number, "approved")


def code(method: str, means: str) -> str:
    """Return a method's own code for a meaning."""
    return _BY_MEANING[method, means]


def is_code(method: str, given: str) -> bool:
    """Say whether a method has this code."""
    return (method, given) in _KNOWN
