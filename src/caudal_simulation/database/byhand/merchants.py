"""Of merchants: who calls, where they are, what they pay."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from caudal.merchants.rows import SQL
from caudal_simulation.database.engine import Session, Statement
from caudal_simulation.database.schema import Row, relations, taking

Rows = tuple[list[Row], int]

_LINES: Final = re.findall(r"array_agg\(p\.(\w+)\)", SQL["read_fee_plans"])
_SETTINGS: Final = re.findall(r"b\.(\w+),", SQL["callers"].partition("k.scopes,")[2].partition("f.families")[0])
_AT: Final = {
    name: relations()[name].at for name in ("directory", "api_key", "book", "merchant", "fee_plan", "operator")
}


_OF_PLAN: Final = taking([_AT["fee_plan"][column] for column in ("shard", "book", "version")])
_LINE: Final = taking([_AT["fee_plan"][column] for column in (*_LINES, "created_at")])
_OF_BOOK: Final = taking([_AT["book"][column] for column in _SETTINGS])


def _value(name: str, row: Row, column: str) -> Any:
    return row[_AT[name][column]]


def _plan(session: Session, shard: int, book: int, version: int) -> list[list[Any]]:
    asked = (shard, book, version)
    lines = [_LINE(row) for row in session.all("fee_plan") if _OF_PLAN(row) == asked]
    return [list(column) for column in zip(*lines, strict=True)] or [[]] * (len(_LINES) + 1)


def callers(session: Session, given: Sequence[Any]) -> Rows:
    found: list[Row] = []
    now = session.database.now()
    for digest in given[0]:
        place = session.get("directory", ("api_key", digest))
        if place is None:
            continue
        shard = _value("directory", place, "shard")
        key = session.get("api_key", (shard, digest))
        if key is None or _value("api_key", key, "revoked_at") is not None:
            continue
        ends_at = _value("api_key", key, "ends_at")
        book = session.get("book", (shard, _value("api_key", key, "book")))
        assert book is not None
        merchant = session.get("merchant", (shard, _value("book", book, "merchant")))
        if merchant is None or _value("merchant", merchant, "status") != "active":
            continue
        if ends_at is not None and ends_at <= now:
            continue
        number, version = _value("book", book, "book"), _value("book", book, "fee_plan")
        lines = [column or None for column in _plan(session, shard, number, version)[:-1]]
        scopes = _value("api_key", key, "scopes")
        who = (digest, _value("directory", place, "slot"), shard, _value("book", book, "merchant"), number, scopes)
        found.append((*who, *_OF_BOOK(book), *lines))
    return found, len(found)


def operator(session: Session, given: Sequence[Any]) -> Rows:
    (digest,) = given
    place = session.get("directory", ("operator", digest))
    row = place and session.get("operator", (_value("directory", place, "shard"), digest))
    if not row or _value("operator", row, "revoked_at") is not None:
        return [], 0
    return [tuple([_value("operator", row, column) for column in ("id", "name", "digest", "shard")])], 1


def read_fee_plans(session: Session, given: Sequence[Any]) -> Rows:
    books, versions, shard = given
    found: list[Row] = []
    for book, version in zip(books, versions, strict=True):
        *lines, created = _plan(session, shard, book, version)
        if created:
            found.append((book, version, *lines, min(created)))
    return found, len(found)


def next_slot(session: Session, given: Sequence[Any]) -> Rows:
    return [(max([row[0] for row in session.all("placement")], default=0) + 1,)], 1


def place_merchant(session: Session, given: Sequence[Any]) -> Rows:
    slot, merchant, shard = given
    if session.get("placement", (slot,)) is not None:
        return [], 0
    session.insert("placement", (slot, merchant, shard))
    return [(slot,)], 1


def enter_digest(session: Session, given: Sequence[Any]) -> Rows:
    kind, digest, slot, shard = given
    if session.get("directory", (kind, digest)) is not None:
        return [], 0
    session.insert("directory", (kind, digest, slot, shard))
    return [], 1


STATEMENTS: Final[Mapping[str, Statement]] = {
    "callers": callers,
    "operator": operator,
    "read_fee_plans": read_fee_plans,
    "next_slot": next_slot,
    "place_merchant": place_merchant,
    "enter_digest": enter_digest,
}
