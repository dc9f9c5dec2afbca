"""Of payins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from caudal_simulation.database.engine import Session, Statement
from caudal_simulation.database.forms import guarded
from caudal_simulation.database.schema import Row, relations

Rows = tuple[list[Row], int]

_AT: Final = {
    name: relations()[name].at
    for name in ("payin", "payer", "book", "fee_plan", "deposit_account", "deposit", "discrepancy")
}
_OF_DISCREPANCY: Final = (
    "id",
    "book",
    "version",
    "provider",
    "kind",
    "payin",
    "detail",
    "created_at",
    "resolved_at",
    "resolution",
    "held",
    "answer",
    "correction",
)
_OF_DEPOSIT: Final = (
    "id",
    "book",
    "version",
    "provider",
    "tracking_key",
    "account",
    "currency",
    "amount_minor",
    "applied_minor",
    "unapplied_minor",
    "returning_minor",
    "returned_minor",
    "payin",
    "reason",
    "sealed",
    "created_at",
    "paid_at",
    "destination",
    "sent_until",
)
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


def open_discrepancies_before(session: Session, given: Sequence[Any]) -> Rows:
    shard, before_at, before_id, end_at, end_id, kind, _, provider, _, limit = given
    at = _AT["discrepancy"]
    found: list[Row] = []
    for row in session.all("discrepancy"):
        place = (row[at["created_at"]], row[at["id"]])
        within = (end_at, end_id) <= place < (before_at, before_id) and row[at["shard"]] == shard
        told = kind in (None, row[at["kind"]]) and provider in (None, row[at["provider"]])
        if within and told and row[at["resolved_at"]] is None:
            found.append(tuple([row[at[column]] for column in _OF_DISCREPANCY]))
    found.sort(key=lambda row: (row[7], row[0]), reverse=True)
    return found[:limit], len(found[:limit])


def unapplied_deposits_before(session: Session, given: Sequence[Any]) -> Rows:
    shard, before_at, before_id, limit = given
    at = _AT["deposit"]
    found = [
        tuple([row[at[column]] for column in _OF_DEPOSIT])
        for row in session.all("deposit")
        if row[at["shard"]] == shard
        and row[at["unapplied_minor"]] > 0
        and (row[at["created_at"]], row[at["id"]]) < (before_at, before_id)
    ]
    found.sort(key=lambda row: (row[15], row[0]), reverse=True)
    return found[:limit], len(found[:limit])


def keep_file(session: Session, given: Sequence[Any]) -> Rows:
    shard, id, sealed = given
    before = session.get("dispute_file", (shard, id))
    if before is None:
        session.insert("dispute_file", (shard, id, sealed, session.now))
    else:
        session.changed("dispute_file", before, kept_at=session.now)
    return [], 1


def drop_file(session: Session, given: Sequence[Any]) -> Rows:
    shard, id = given
    known = session.get("dispute_file", (shard, id)) is not None
    if known and session.get("dispute_evidence", (shard, id)) is None:
        session.delete("dispute_file", (shard, id))
    return [], int(known)


STATEMENTS: Final[Mapping[str, Statement]] = {
    "insert_deposit_accounts": insert_deposit_accounts,
    "payin_of_number": payin_of_number,
    "payins_by_id": payins_by_id,
    "payins_to_expire": payins_to_expire,
    "open_discrepancies_before": open_discrepancies_before,
    "unapplied_deposits_before": unapplied_deposits_before,
    "keep_file": keep_file,
    "drop_file": drop_file,
}
