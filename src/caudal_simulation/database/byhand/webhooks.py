"""Of webhooks: transactions of their own, without the shard's lock, over rows that they lock one by one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from operator import itemgetter
from typing import Any, Final

from caudal_simulation.database.engine import Session, Statement
from caudal_simulation.database.schema import Row, relations

Rows = tuple[list[Row], int]

_E, _Q, _D, _EVENT = (
    relations()[name].at for name in ("webhook_endpoint", "webhook_queue", "webhook_delivery", "event")
)


def _locked(session: Session, shard: int, endpoints: Iterable[Any]) -> list[Row]:
    """Rows of the queue, locked in one order."""
    found = []
    for endpoint in sorted(set(endpoints)):
        if session.get("webhook_queue", (shard, endpoint)) is not None:
            session.lock("webhook_queue", (shard, endpoint))
            row = session.get("webhook_queue", (shard, endpoint))
            assert row is not None
            found.append(row)
    return found


def count_endpoints(session: Session, given: Sequence[Any]) -> Rows:
    _, books = given
    rows = [row for row in session.all("webhook_endpoint") if row[_E["status"]] != "deleted"]
    return [(book, sum(row[_E["book"]] == book for row in rows)) for book in books], len(books)


def begin_again(session: Session, given: Sequence[Any]) -> Rows:
    shard, _, endpoints = given
    for row in _locked(session, shard, endpoints):
        session.changed("webhook_queue", row, due_at=session.now, failing_since=None)
    return [], 0


def wake(session: Session, given: Sequence[Any]) -> Rows:
    shard, _, endpoints = given
    for row in _locked(session, shard, endpoints):
        due_at = row[_Q["due_at"]]
        session.changed("webhook_queue", row, due_at=session.now if due_at is None else min(due_at, session.now))
    return [], 0


def fan_out_begin(session: Session, given: Sequence[Any]) -> Rows:
    (shard,) = given
    if session.get("consumer", (shard, "webhooks")) is None:
        session.insert("consumer", (shard, "webhooks", 0))
    return [], 0


def fan_out_mark(session: Session, given: Sequence[Any]) -> Rows:
    (shard,) = given
    key = (shard, "webhooks")
    if session.get("consumer", key) is None or not session.is_free("consumer", key):
        return [], 0
    session.lock("consumer", key)
    row, head = session.get("consumer", key), session.get("shard", (shard,))
    assert row is not None and head is not None
    return [(session.value("consumer", row, "seq"), session.value("shard", head, "event_seq"))], 1


def fan_out_source(session: Session, given: Sequence[Any]) -> Rows:
    _, low, high, most = given
    endpoints = [row for row in session.all("webhook_endpoint") if row[_E["status"]] == "enabled"]
    found: list[Row] = []
    at_seq = _EVENT["seq"]
    for event in sorted([row for row in session.all("event") if low < row[at_seq] <= high], key=itemgetter(at_seq)):
        if event[_EVENT["book"]] <= 1 or event[_EVENT["type"]] == "webhook_endpoint.tested":
            continue
        if len(found) >= most:
            break
        seq, at, book, type, subject = (event[_EVENT[column]] for column in ("seq", "at", "book", "type", "subject"))
        for endpoint in endpoints:
            wanted = not endpoint[_E["types"]] or type in endpoint[_E["types"]]
            if endpoint[_E["book"]] == book and endpoint[_E["created_at"]] <= at and wanted:
                found.append((seq, at, book, type, subject, endpoint[_E["id"]]))
    return found, len(found)


def fan_out_advance(session: Session, given: Sequence[Any]) -> Rows:
    seq, shard = given
    row = session.get("consumer", (shard, "webhooks"))
    assert row is not None
    session.lock("consumer", (shard, "webhooks"))
    session.changed("consumer", row, seq=seq)
    return [], 1


def claim(session: Session, given: Sequence[Any]) -> Rows:
    holder, lease, shard, _, limit = given
    now = session.now
    due = [
        row
        for row in session.all("webhook_queue")
        if row[_Q["due_at"]] is not None
        and row[_Q["due_at"]] <= now
        and (row[_Q["lease_until"]] is None or row[_Q["lease_until"]] <= now)
        and session.is_free("webhook_queue", (shard, row[_Q["endpoint"]]))
    ]
    due.sort(key=lambda row: row[_Q["due_at"]])
    for row in due[:limit]:
        session.lock("webhook_queue", (shard, row[_Q["endpoint"]]))
        session.changed("webhook_queue", row, holder=holder, lease_until=now + lease)
    return [(row[_Q["endpoint"]], row[_Q["failing_since"]]) for row in due[:limit]], len(due[:limit])


def renew(session: Session, given: Sequence[Any]) -> Rows:
    lease, shard, endpoints, holder = given
    kept = [row for row in _locked(session, shard, endpoints) if row[_Q["holder"]] == holder]
    for row in kept:
        session.changed("webhook_queue", row, lease_until=session.now + lease)
    return [(row[_Q["endpoint"]],) for row in kept], len(kept)


def _put_off(row: Row) -> bool:
    due_at, attempts = row[_D["due_at"]], row[_D["attempts"]]
    return due_at is not None and (1 <= attempts <= 2 or (attempts == 0 and due_at > row[_D["created_at"]]))


def read_held(session: Session, given: Sequence[Any]) -> Rows:
    shard, endpoints = given
    columns: tuple[str, ...] = (
        "id",
        "book",
        "version",
        "url",
        "types",
        "description",
        "status",
        "reason",
        "sealed",
        "former_sealed",
    )
    columns += ("former_until", "created_at", "disabled_at", "deleted_at")
    put_off = {row[_D["endpoint"]] for row in session.all("webhook_delivery") if _put_off(row)}
    found: list[Row] = []
    for id in endpoints:
        row = session.get("webhook_endpoint", (shard, id))
        if row is not None:
            found.append((*(row[_E[column]] for column in columns), id in put_off))
    return found, len(found)


def read_due(session: Session, given: Sequence[Any]) -> Rows:
    endpoints, most, shard = given
    found: list[Row] = []
    for endpoint, limit in zip(endpoints, most, strict=True):
        due = [
            row
            for row in session.all("webhook_delivery")
            if row[_D["endpoint"]] == endpoint and row[_D["due_at"]] is not None and row[_D["due_at"]] <= session.now
        ]
        due.sort(key=lambda row: (row[_D["due_at"]], row[_D["event_seq"]]))
        found += due[:limit]
    found.sort(key=lambda row: (row[_D["due_at"]], row[_D["event_seq"]]))
    columns = ("id", "created_at", "book", "endpoint", "event_seq", "event_at", "type", "subject", "attempts")
    rows: list[Row] = []
    for row in found:
        event = session.get("event", (shard, row[_D["event_seq"]], row[_D["event_at"]]))
        rows.append((*(row[_D[column]] for column in columns), None if event is None else event[_EVENT["data"]]))
    return rows, len(rows)


def read_changed(session: Session, given: Sequence[Any]) -> Rows:
    ids, versions, shard = given
    found: list[Row] = []
    for id, version in zip(ids, versions, strict=True):
        row = session.get("webhook_endpoint", (shard, id))
        if row is not None and row[_E["version"]] != version:
            found.append((id,))
    return found, len(found)


def read_put_off(session: Session, given: Sequence[Any]) -> Rows:
    endpoints, subjects, _ = given
    asked = set(zip(endpoints, subjects, strict=True))
    found = [
        tuple(row[_D[column]] for column in ("id", "endpoint", "subject", "event_seq", "due_at"))
        for row in session.all("webhook_delivery")
        if _put_off(row) and (row[_D["endpoint"]], row[_D["subject"]]) in asked
    ]
    return found, len(found)


def finish(session: Session, given: Sequence[Any]) -> Rows:
    ids, created, statuses, attempts, dues, delays, shard, _ = given
    count = 0
    for id, at, status, tried, due_at, delay in zip(ids, created, statuses, attempts, dues, delays, strict=True):
        row = session.get("webhook_delivery", (shard, id, at))
        if row is None or row[_D["status"]] not in ("pending", "cancelled") or row[_D["attempts"]] > tried:
            continue
        before = row[_D["status"]]
        due = None
        if before == status == "pending":
            due = due_at if due_at is not None else session.now + timedelta(microseconds=delay)
        new = status if before == "pending" or status == "delivered" else before
        session.changed("webhook_delivery", row, attempts=tried, status=new, due_at=due)
        count += 1
    return [], count


def insert_attempts(session: Session, given: Sequence[Any]) -> Rows:
    shard, *columns = given
    for delivery, number, at, url, signature, duration, status, error, answer in zip(*columns, strict=True):
        if session.get("webhook_attempt", (shard, delivery, number, at)) is None:
            row = (shard, delivery, number, at, url, signature, duration, status, error, answer)
            session.insert("webhook_attempt", row)
    return [], 0


def mark_failing(session: Session, given: Sequence[Any]) -> Rows:
    endpoints, since, shard, _, holder = given
    for endpoint, at in zip(endpoints, since, strict=True):
        for row in _locked(session, shard, [endpoint]):
            if row[_Q["holder"]] == holder:
                session.changed("webhook_queue", row, failing_since=at)
    return [], 0


def cancel(session: Session, given: Sequence[Any]) -> Rows:
    status, _, endpoints, limit, _ = given
    waiting = [
        row
        for row in session.all("webhook_delivery")
        if row[_D["endpoint"]] in endpoints and row[_D["due_at"]] is not None
    ][:limit]
    for row in waiting:
        session.changed("webhook_delivery", row, status=status, due_at=None)
    return [], len(waiting)


def hold(session: Session, given: Sequence[Any]) -> Rows:
    shard, endpoints, holder = given
    held: list[Row] = [
        (row[_Q["endpoint"]],) for row in _locked(session, shard, endpoints) if row[_Q["holder"]] == holder
    ]
    return held, len(held)


def release(session: Session, given: Sequence[Any]) -> Rows:
    shard, endpoints, holder = given
    for row in _locked(session, shard, endpoints):
        if row[_Q["holder"]] == holder:
            endpoint = row[_Q["endpoint"]]
            waits = [
                delivery[_D["due_at"]]
                for delivery in session.all("webhook_delivery")
                if delivery[_D["endpoint"]] == endpoint and delivery[_D["due_at"]] is not None
            ]
            session.changed("webhook_queue", row, holder=None, lease_until=None, due_at=min(waits, default=None))
    return [], 0


STATEMENTS: Final[Mapping[str, Statement]] = {
    "count_endpoints": count_endpoints,
    "begin_again": begin_again,
    "wake": wake,
    "fan_out_begin": fan_out_begin,
    "fan_out_mark": fan_out_mark,
    "fan_out_source": fan_out_source,
    "fan_out_advance": fan_out_advance,
    "claim": claim,
    "renew": renew,
    "read_held": read_held,
    "read_due": read_due,
    "read_changed": read_changed,
    "read_put_off": read_put_off,
    "finish": finish,
    "insert_attempts": insert_attempts,
    "mark_failing": mark_failing,
    "cancel": cancel,
    "hold": hold,
    "release": release,
}
