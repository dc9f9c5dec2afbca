"""Statements of other forms than the house's three, written out, each under its name in its service's SQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from caudal.app.worker import SQL as APP
from caudal.kernel.commit.tables import SQL as KERNEL
from caudal.ledger.rows import SQL as LEDGER
from caudal.merchants.rows import SQL as MERCHANTS
from caudal.payins.rows import SQL as PAYINS
from caudal.webhooks.rows import SQL as WEBHOOKS
from caudal_simulation.database.byhand import app, kernel, ledger, merchants, payins, webhooks
from caudal_simulation.database.engine import Statement
from caudal_simulation.database.forms import compiled

SERVICES: Final[tuple[tuple[Mapping[str, str], Mapping[str, Statement]], ...]] = (
    (APP, app.STATEMENTS),
    (KERNEL, kernel.STATEMENTS),
    (LEDGER, ledger.STATEMENTS),
    (MERCHANTS, merchants.STATEMENTS),
    (PAYINS, payins.STATEMENTS),
    (WEBHOOKS, webhooks.STATEMENTS),
)
_KNOWN: Final[dict[str, Statement]] = {
    sql[name]: statement for sql, statements in SERVICES for name, statement in statements.items()
} | dict(kernel.UNNAMED)
UNKNOWN: Final[list[str]] = []  # what was asked for and is not simulated


class Unsimulated(Exception):
    """A statement that is in none of the forms and not written out: a history cannot use it."""


def statement_of(text: str) -> Statement:
    """What a statement does. Raises Unsimulated."""
    found = _KNOWN.get(text)
    if found is None:
        found = compiled(text)
        if found is None:
            UNKNOWN.append(text)
            raise Unsimulated(text)
        _KNOWN[text] = found
    return found
