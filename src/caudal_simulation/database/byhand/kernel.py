"""Of the write path."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

from caudal_simulation.database.engine import Session, Statement
from caudal_simulation.database.forms import guarded
from caudal_simulation.database.schema import Row, relations, taking

Rows = tuple[list[Row], int]

_SHARD, _KEY, _DUE = (relations()[name].at for name in ("shard", "key", "due"))
_OF_KEY: Final = taking(
    [
        _KEY[column]
        for column in (
            "book",
            "digest",
            "fingerprint",
            "subject",
            "status",
            "answer",
            "deadline",
            "version",
            "created_at",
        )
    ]
)
_OF_DUE: Final = taking([_DUE[column] for column in ("at", "kind", "subject", "book", "attempt", "said")])
_DIGEST, _BOOK, _CREATED, _KIND, _DUE_AT = _KEY["digest"], _KEY["book"], _KEY["created_at"], _DUE["kind"], _DUE["at"]


def lock_shard(session: Session, given: Sequence[Any]) -> Rows:
    (id,) = given
    row = session.get("shard", (id,))
    if row is None:
        return [], 0
    session.lock("shard", (id,))
    row = session.get("shard", (id,))
    assert row is not None
    now, last_at = session.database.now(), row[_SHARD["last_at"]]
    head = (row[_SHARD["event_seq"]], row[_SHARD["posting_seq"]], row[_SHARD["chain"]])
    return [(*head, now, max(now, last_at), now - session.now)], 1


def read_keys(session: Session, given: Sequence[Any]) -> Rows:
    books, digests, shard, _ = given
    head = session.get("shard", (shard,))
    assert head is not None
    until = max(session.now, head[_SHARD["last_at"]]) + timedelta(days=1)
    asked = set(zip(books, digests, strict=True))
    found = [
        _OF_KEY(row)
        for row in session.all("key")
        if row[_DIGEST] in digests
        and (row[_BOOK], row[_DIGEST]) in asked
        and row[_KEY["shard"]] == shard
        and row[_CREATED] < until
    ]
    return found, len(found)


def delete_due(session: Session, given: Sequence[Any]) -> Rows:
    ats, kinds, subjects, shard = given
    count = 0
    for key in zip([shard] * len(ats), ats, kinds, subjects, strict=True):
        if session.get("due", key) is not None:
            session.delete("due", key)
            count += 1
    return [], count


def read_due_now(session: Session, given: Sequence[Any]) -> Rows:
    shard, without, limit = given
    now = session.database.now()
    found = [
        _OF_DUE(row)
        for row in session.all("due")
        if row[_DUE_AT] <= now and row[_DUE["shard"]] == shard and row[_KIND] not in without
    ]
    found.sort(key=lambda row: row[0])
    return found[:limit], len(found[:limit])


def read_due(session: Session, given: Sequence[Any]) -> Rows:
    ats, kinds, subjects, shard = given
    rows = [session.get("due", (shard, *place)) for place in zip(ats, kinds, subjects, strict=True)]
    found = [_OF_DUE(row) for row in rows if row is not None]
    return found, len(found)


def advance_shard(session: Session, given: Sequence[Any]) -> Rows:
    *batch, event_seq, posting_seq, chain, last_at, shard, read_events, read_postings = given
    session.insert("batch", tuple(batch))
    row = session.get("shard", (shard,))
    at = _SHARD
    same = row is not None and (row[at["event_seq"]], row[at["posting_seq"]]) == (read_events, read_postings)
    if row is not None and same:
        session.changed("shard", row, event_seq=event_seq, posting_seq=posting_seq, chain=chain, last_at=last_at)
    guarded(int(same), 1)
    return [], 1


def nothing(session: Session, given: Sequence[Any]) -> Rows:
    return [], 0


STATEMENTS: Final[Mapping[str, Statement]] = {
    "begin": nothing,
    "commit": nothing,
    "discard_plans": nothing,
    "lock_shard": lock_shard,
    "read_keys": read_keys,
    "delete_due": delete_due,
    "read_due": read_due,
    "read_due_now": read_due_now,
    "advance_shard": advance_shard,
}


def clock(session: Session, given: Sequence[Any]) -> Rows:
    return [(session.database.now(),)], 1


UNNAMED: Final[Mapping[str, Statement]] = {"select clock_timestamp()": clock}
