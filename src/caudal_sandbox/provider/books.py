"""The provider's books: every statement of SQL, each function one step inside a transaction that the journal holds."""

import sqlite3
from pathlib import Path
from typing import TypeVar

import msgspec

from caudal_sandbox.delivery import Outcome, Status
from caudal_sandbox.provider.model import Callback, Dispute, Evidence, Operation, Payment

# Books that were begun when a payment had one attempt take longer keys from now on.
LONGER_KEYS = """
pragma writable_schema = on;
update sqlite_schema set sql = replace(sql, 'check (length(key) = 32)', 'check (length(key) between 32 and 35)')
where name = 'payment' and sql like '%check (length(key) = 32)%';
pragma writable_schema = reset;
"""
SCHEMA = (Path(__file__).parent / "schema.sql").read_text(encoding="utf-8") + LONGER_KEYS

S = TypeVar("S", bound=msgspec.Struct)
# What changes in a row; the rest is written once.
PAYMENT_MOVES = (
    "status", "code", "authorized_minor", "captured_minor", "refunded_minor", "refunding_minor", "disputed_minor",
    "released", "sequence", "updated_ms",
)  # fmt: skip


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A callback in the outbox; `lane` is its payment's number."""

    seq: int
    lane: int
    method: str
    body: str
    forged: int
    copies: int
    copies_delivered: int
    failures: int
    next_attempt_ms: int | None


class Timer(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happens by itself at a moment."""

    seq: int
    at_ms: int
    what: str
    subject: str


def _columns(kind: type[msgspec.Struct]) -> str:
    return ", ".join(kind.__struct_fields__)


def _insert(table: str, kind: type[msgspec.Struct]) -> str:
    places = ", ".join("?" * len(kind.__struct_fields__))
    return f"insert into {table} ({_columns(kind)}) values ({places}) on conflict do nothing"


INSERT_PAYMENT = _insert("payment", Payment)
INSERT_OPERATION = _insert("operation", Operation)
INSERT_DISPUTE = _insert("dispute", Dispute)
INSERT_EVIDENCE = _insert("evidence", Evidence)
SELECT_PAYMENT = f"select {_columns(Payment)} from payment "
SELECT_OPERATION = f"select {_columns(Operation)} from operation "
SELECT_DISPUTE = f"select {_columns(Dispute)} from dispute "
MOVE_PAYMENT = f"update payment set {', '.join(f'{name} = ?' for name in PAYMENT_MOVES)} where key = ?"
INSERT_CALLBACK = (
    "insert into callback (payment_key, method, body, forged, copies, next_attempt_ms) values (?, ?, ?, ?, ?, ?)"
)
# The first of each lane only: a payment's callbacks follow each other.
SELECT_DUE = """
select c.seq, p.seq, c.method, c.body, c.forged, c.copies, c.copies_delivered, c.failures, c.next_attempt_ms
from callback c join payment p on p.key = c.payment_key
where c.status = 'waiting' and not exists (
    select 1 from callback e where e.payment_key = c.payment_key and e.seq < c.seq and e.status = 'waiting'
)
order by c.next_attempt_ms limit ?
"""


def add_payment(books: sqlite3.Connection, payment: Payment) -> bool:
    """Book a new payment; False if its key is taken."""
    return books.execute(INSERT_PAYMENT, msgspec.structs.astuple(payment)).rowcount == 1


def move_payment(books: sqlite3.Connection, payment: Payment) -> None:
    """Write how a payment stands now."""
    books.execute(MOVE_PAYMENT, (*(getattr(payment, name) for name in PAYMENT_MOVES), payment.key))


def find_payment(books: sqlite3.Connection, key: str) -> Payment | None:
    """Find a payment by its key."""
    return _one(Payment, books.execute(SELECT_PAYMENT + "where key = ?", (key,)))


def add_operation(books: sqlite3.Connection, operation: Operation) -> None:
    """Book a new operation."""
    books.execute(INSERT_OPERATION, msgspec.structs.astuple(operation))


def move_operation(books: sqlite3.Connection, operation: Operation) -> None:
    """Write how an operation stands now."""
    books.execute(
        "update operation set status = ?, code = ?, updated_ms = ? where key = ?",
        (operation.status, operation.code, operation.updated_ms, operation.key),
    )


def find_operation(books: sqlite3.Connection, key: str) -> Operation | None:
    """Find an operation by its key."""
    return _one(Operation, books.execute(SELECT_OPERATION + "where key = ?", (key,)))


def list_operations(books: sqlite3.Connection, payment_key: str) -> list[Operation]:
    """List the operations on a payment, oldest first."""
    return _all(Operation, books.execute(SELECT_OPERATION + "where payment_key = ? order by seq", (payment_key,)))


def add_dispute(books: sqlite3.Connection, dispute: Dispute) -> None:
    """Book a new dispute."""
    books.execute(INSERT_DISPUTE, msgspec.structs.astuple(dispute))


def move_dispute(books: sqlite3.Connection, dispute: Dispute) -> None:
    """Write how a dispute stands now."""
    books.execute(
        "update dispute set status = ?, updated_ms = ? where reference = ?",
        (dispute.status, dispute.updated_ms, dispute.reference),
    )


def find_dispute(books: sqlite3.Connection, reference: str) -> Dispute | None:
    """Find a dispute by its reference."""
    return _one(Dispute, books.execute(SELECT_DISPUTE + "where reference = ?", (reference,)))


def list_disputes(books: sqlite3.Connection, payment_key: str) -> list[Dispute]:
    """List the disputes of a payment, oldest first."""
    return _all(Dispute, books.execute(SELECT_DISPUTE + "where payment_key = ? order by seq", (payment_key,)))


def add_evidence(books: sqlite3.Connection, evidence: Evidence) -> bool:
    """Note a file against a dispute; False if its key is taken."""
    return books.execute(INSERT_EVIDENCE, msgspec.structs.astuple(evidence)).rowcount == 1


def find_evidence(books: sqlite3.Connection, key: str) -> Evidence | None:
    """Find what is known of a file."""
    return _one(Evidence, books.execute(f"select {_columns(Evidence)} from evidence where key = ?", (key,)))


def has_evidence(books: sqlite3.Connection, reference: str) -> bool:
    """Say whether anything was brought against a dispute."""
    return books.execute("select 1 from evidence where reference = ? limit 1", (reference,)).fetchone() is not None


def add_callbacks(books: sqlite3.Connection, payment_key: str, callbacks: list[Callback], now_ms: int) -> None:
    """Put callbacks into the outbox, in the transaction of what they tell."""
    for told in callbacks:
        due_ms = now_ms + told.delay_ms
        books.execute(INSERT_CALLBACK, (payment_key, told.method, told.body, told.forged, told.copies, due_ms))


def next_due(books: sqlite3.Connection, limit: int) -> list[Letter]:
    """List the waiting callbacks that are due first, due already or not, one a payment."""
    return _all(Letter, books.execute(SELECT_DUE, (limit,)))


def waits(books: sqlite3.Connection, payment_key: str) -> bool:
    """Say whether callbacks of a payment are on their way."""
    found = books.execute("select 1 from callback where payment_key = ? and status = 'waiting' limit 1", (payment_key,))
    return found.fetchone() is not None


def record_outcome(books: sqlite3.Connection, sent: Letter, outcome: Outcome) -> None:
    """Record what became of an attempt: what is delivered leaves the outbox."""
    if outcome.status is Status.DELIVERED:
        books.execute("delete from callback where seq = ?", (sent.seq,))
        return
    books.execute(
        "update callback set status = ?, copies_delivered = ?, failures = ?, next_attempt_ms = ?, answer_status = ?,"
        " answer_detail = ? where seq = ?",
        (
            outcome.status,
            outcome.copies_delivered,
            outcome.failures,
            outcome.next_attempt_ms,
            outcome.answer_status,
            outcome.answer_detail,
            sent.seq,
        ),
    )


def add_timer(books: sqlite3.Connection, at_ms: int, what: str, subject: str) -> None:
    """Let something happen by itself at a moment."""
    books.execute("insert into timer (at_ms, what, subject) values (?, ?, ?)", (at_ms, what, subject))


def take_timers(books: sqlite3.Connection, now_ms: int, limit: int) -> list[Timer]:
    """Take the timers that are due out of the books."""
    due = _all(
        Timer,
        books.execute(
            "select seq, at_ms, what, subject from timer where at_ms <= ? order by at_ms limit ?", (now_ms, limit)
        ),
    )
    books.executemany("delete from timer where seq = ?", [(timer.seq,) for timer in due])
    return due


def overdue(books: sqlite3.Connection, now_ms: int, limit: int) -> list[Payment]:
    """List payments that wait although their time is over."""
    order = "where status = 'pending' and expires_ms <= ? order by expires_ms limit ?"
    return _all(Payment, books.execute(SELECT_PAYMENT + order, (now_ms, limit)))


def next_moment(books: sqlite3.Connection) -> int | None:
    """Return when something will happen by itself, if ever."""
    moments = books.execute(
        "select (select min(at_ms) from timer), (select min(expires_ms) from payment where status = 'pending')"
    ).fetchone()
    return min((moment for moment in moments if moment is not None), default=None)


def totals(books: sqlite3.Connection) -> dict[str, int]:
    """Count the callbacks by where they stand."""
    found = dict(books.execute("select status, count(*) from callback group by status"))
    return {status: found.get(status, 0) for status in ("waiting", "refused")}


def last_seq(books: sqlite3.Connection) -> int:
    """Return the number of the newest payment, 0 if there is none."""
    found: int = books.execute("select coalesce(max(seq), 0) from payment").fetchone()[0]
    return found


def statement(books: sqlite3.Connection, *, after_seq: int, to_seq: int) -> list[Payment]:
    """Read the payments with these numbers, in the order of booking."""
    return _all(Payment, books.execute(SELECT_PAYMENT + "where seq > ? and seq <= ? order by seq", (after_seq, to_seq)))


def _one(kind: type[S], found: sqlite3.Cursor) -> S | None:
    row = found.fetchone()
    return None if row is None else kind(**dict(zip(kind.__struct_fields__, row, strict=True)))


def _all(kind: type[S], found: sqlite3.Cursor) -> list[S]:
    return [kind(**dict(zip(kind.__struct_fields__, row, strict=True))) for row in found]
