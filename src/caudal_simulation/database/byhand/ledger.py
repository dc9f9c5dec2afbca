"""Of the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from caudal_simulation.database.engine import Session, Statement
from caudal_simulation.database.schema import Row, refused, relations

_COLUMNS: Final = (
    "account_id",
    "version",
    "seq",
    "side",
    "kind",
    "amount_minor",
    "debits_pending",
    "debits_posted",
    "credits_pending",
    "credits_posted",
    "fact",
    "flags",
)
_ENTRY: Final = relations()["entry"]
_ACCOUNT: Final = relations()["account"].at
_COUNTERS: Final = ("debits_pending", "debits_posted", "credits_pending", "credits_posted", "flags")


def insert_entries(session: Session, given: Sequence[Any]) -> tuple[list[Row], int]:
    """With all of its guards: sums of zero, versions one by one, and the account's row as the last of them says."""
    shard, *columns = given[:13]
    written = [dict(zip(_COLUMNS, values, strict=True)) for values in zip(*columns, strict=True)]
    order = [None if column == "shard" else _COLUMNS.index(column) for column in _ENTRY.columns]
    for values in zip(*columns, strict=True):
        session.insert("entry", tuple([shard if at is None else values[at] for at in order]))
    if len(written) != given[-1] or _unbalanced(written) or _out_of_line(session, shard, written):
        raise refused("22012", "division by zero")
    return [], len(written)


def _unbalanced(written: list[dict[str, Any]]) -> bool:
    sums: dict[tuple[int, int], list[int]] = {}
    for entry in written:
        sums.setdefault((entry["seq"], entry["account_id"] & 65472), []).append(entry["side"] * entry["amount_minor"])
    return any(sum(parts) != 0 or len(parts) != 2 for parts in sums.values())


def _out_of_line(session: Session, shard: int, written: list[dict[str, Any]]) -> bool:
    of: dict[int, list[dict[str, Any]]] = {}
    for entry in written:
        of.setdefault(entry["account_id"], []).append(entry)
    for id, entries in of.items():
        last, first = max(entries, key=lambda e: e["version"]), min(e["version"] for e in entries)
        account = session.get("account", (shard, id))
        if account is None or account[_ACCOUNT["version"]] != last["version"]:
            return True
        if any(account[_ACCOUNT[name]] != last[name] for name in _COUNTERS):
            return True
        if last["version"] - first + 1 != len(entries):
            return True
        if first > 1 and session.get("entry", (shard, id, first - 1)) is None:
            return True
    return False


STATEMENTS: Final[Mapping[str, Statement]] = {"insert_entries": insert_entries}
