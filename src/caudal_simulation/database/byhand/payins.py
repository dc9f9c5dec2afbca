"""Of payins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from caudal_simulation.database.engine import Session, Statement
from caudal_simulation.database.forms import guarded
from caudal_simulation.database.schema import Row, relations

Rows = tuple[list[Row], int]

_AT: Final = {name: relations()[name].at for name in ("payin", "payer", "book", "fee_plan", "deposit_account")}
_UNENDED: Final = ("submitting", "pending", "authorized")
_OPEN: Final = ("pending", "authorized")


def insert_deposit_accounts(session: Session, given: Sequence[Any]) -> Rows:
    shard, numbers, payins, books, expected = given
    count = 0
    for number, payin, book in zip(numbers, payins, books, strict=True):
        before = session.get("deposit_account", (shard, number))
        new = (shard, number, payin, book)
        if before is None:
            session.insert("deposit_account", new)
        else:
            holder = session.get("payin", (shard, before[_AT["deposit_account"]["payin"]]))
            if holder is not None and holder[_AT["payin"]["status"]] in _UNENDED:
                continue
            session.replace("deposit_account", before, new)
        count += 1
    guarded(count, expected)
    return [], count


def payin_of_number(session: Session, given: Sequence[Any]) -> Rows:
    family, shard, number = given
    account = session.get("deposit_account", (shard, number))
    payin = account and session.get("payin", (shard, account[_AT["deposit_account"]["payin"]]))
    if not payin:
        return [], 0
    at = _AT["payin"]
    id, number, plan, currency = (payin[at[column]] for column in ("id", "book", "fee_plan", "currency"))
    book = session.get("book", (shard, number))
    line = session.get("fee_plan", (shard, number, plan, family, currency))
    days = 1 if line is None else line[_AT["fee_plan"]["settlement_days"]]
    assert book is not None
    return [(id, number, plan, days, book[_AT["book"]["clock_offset_s"]])], 1


def payins_by_id(session: Session, given: Sequence[Any]) -> Rows:
    ids, books, shard, _ = given
    found = list[Row]()
    for id, book in zip(ids, books, strict=True):
        payin, payer = session.get("payin", (shard, id)), session.get("payer", (shard, id))
        if payin is not None and book in (None, payin[_AT["payin"]["book"]]):
            found.append((*payin[1:], None if payer is None else payer[_AT["payer"]["sealed"]]))
    return found, len(found)


def payins_to_expire(session: Session, given: Sequence[Any]) -> Rows:
    shard, book, created_at, id, limit = given
    at = _AT["payin"]
    found: list[Row] = []
    for row in session.all("payin"):
        part = row[at["status"]] == "paid" and row[at["captured_minor"]] < row[at["authorized_minor"]]
        behind = (row[at["created_at"]], row[at["id"]]) > (created_at, id)
        ours = (row[at["shard"]], row[at["book"]]) == (shard, book)
        if ours and behind and (row[at["status"]] in _OPEN or part):
            found.append((row[at["id"]], row[at["expires_at"]], row[at["created_at"]]))
    found.sort(key=lambda row: (row[2], row[0]))
    return found[:limit], len(found[:limit])


STATEMENTS: Final[Mapping[str, Statement]] = {
    "insert_deposit_accounts": insert_deposit_accounts,
    "payin_of_number": payin_of_number,
    "payins_by_id": payins_by_id,
    "payins_to_expire": payins_to_expire,
}
