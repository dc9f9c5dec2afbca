"""The bank's books: every statement of SQL, each function one step inside a transaction that the journal holds.

A function decides before it writes, and what it raises has changed nothing. The rules of the money: a transfer is
booked once per tracking key; what goes back to payers never exceeds what that transfer brought.
"""

import secrets
import sqlite3
from pathlib import Path

from caudal_sandbox.bank.model import (
    CURRENCY,
    Delivery,
    Fault,
    Payment,
    PaymentAsk,
    ReturnAsk,
    Returned,
    Totals,
    Transfer,
    TransferAsk,
)
from caudal_sandbox.delivery import Outcome, Status

SCHEMA = (Path(__file__).parent / "schema.sql").read_text(encoding="utf-8")

SELECT_TRANSFER = """
select t.seq, t.tracking_key, t.clabe, t.amount_minor, t.currency, t.payer_name, t.paid_ms,
       coalesce((select sum(r.amount_minor) from return_transfer r where r.transfer_seq = t.seq), 0),
       t.copies, t.delay_ms, t.fault,
       d.status, d.round, d.copies, d.fault, d.copies_delivered, d.attempts, d.failures, d.next_attempt_ms,
       d.delivered_ms, d.answer_status, d.answer_detail, d.answered_ms
from transfer t join callback_delivery d on d.transfer_seq = t.seq
"""

SELECT_RETURN = """
select r.seq, r.return_key, t.tracking_key, r.amount_minor, r.returned_ms
from return_transfer r join transfer t on t.seq = r.transfer_seq
"""

SELECT_PAYMENT = "select seq, payment_key, clabe, amount_minor, beneficiary_name, sent_ms from payment "

NEXT_SEQ = """
select 1 + max(
    coalesce((select max(seq) from transfer), 0),
    coalesce((select max(seq) from return_transfer), 0),
    coalesce((select max(seq) from payment), 0)
)
"""


Line = Transfer | Returned | Payment


class BookRefusal(Exception):
    """The books say no; nothing has changed."""


class TransferUnknown(BookRefusal):
    """No transfer has this tracking key."""


class TrackingKeyReused(BookRefusal):
    """A transfer with this tracking key exists and differs; `args` are the names of the differing fields."""


class ReturnKeyReused(BookRefusal):
    """A return with this key exists and differs; `args` are the names of the differing fields."""


class PaymentKeyReused(BookRefusal):
    """A payment with this key exists and differs; `args` are the names of the differing fields."""


class ReturnTooLarge(BookRefusal):
    """More would go back than the transfer brought; the argument is what is left, in centavos."""


def book_transfer(books: sqlite3.Connection, ask: TransferAsk, now_ms: int) -> tuple[Transfer, bool]:
    """Book a transfer and its callback; True if it is new, False if the same order was booked before."""
    key = ask.tracking_key or new_tracking_key()
    known = find_transfer(books, key)
    if known is not None:
        if differing := _differing_fields(known, ask):
            raise TrackingKeyReused(*differing)
        return known, False
    seq: int = books.execute(NEXT_SEQ).fetchone()[0]
    how = ask.delivery
    money = (ask.clabe, ask.amount_minor, ask.currency, ask.payer_name)
    books.execute(
        "insert into transfer (seq, tracking_key, clabe, amount_minor, currency, payer_name, paid_ms, copies, delay_ms,"
        " fault) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (seq, key, *money, now_ms, how.copies, how.delay_ms, how.fault),
    )
    status, due_ms = _opening(how, now_ms)
    books.execute(
        "insert into callback_delivery (transfer_seq, status, copies, fault, next_attempt_ms) values (?, ?, ?, ?, ?)",
        (seq, status, how.copies, how.fault, due_ms),
    )
    return get_transfer(books, key), True


def new_tracking_key() -> str:
    """Make a tracking key (clave de rastreo): at most 30 letters and digits, never met before."""
    return "SBX" + secrets.token_hex(12).upper()


def redeliver(books: sqlite3.Connection, tracking_key: str, how: Delivery, now_ms: int) -> Transfer:
    """Order the callback anew, whatever became of it; an attempt still on its way no longer counts."""
    transfer = get_transfer(books, tracking_key)
    status, due_ms = _opening(how, now_ms)
    books.execute(
        "update callback_delivery set status = ?, next_attempt_ms = ?, round = round + 1, copies = ?, fault = ?,"
        " copies_delivered = 0, failures = 0 where transfer_seq = ?",
        (status, due_ms, how.copies, how.fault, transfer.seq),
    )
    return get_transfer(books, tracking_key)


def record_outcome(books: sqlite3.Connection, sent: Transfer, outcome: Outcome) -> None:
    """Record what became of an attempt, unless delivery was ordered anew meanwhile."""
    answered = outcome.copies_delivered > sent.copies_delivered
    books.execute(
        "update callback_delivery set status = ?, copies_delivered = ?, attempts = attempts + 1, failures = ?,"
        " next_attempt_ms = ?, answer_status = ?, answer_detail = ?, answered_ms = ?,"
        " delivered_ms = coalesce(delivered_ms, ?) where transfer_seq = ? and round = ?",
        (
            outcome.status,
            outcome.copies_delivered,
            outcome.failures,
            outcome.next_attempt_ms,
            outcome.answer_status,
            outcome.answer_detail,
            outcome.answered_ms,
            outcome.answered_ms if answered else None,
            sent.seq,
            sent.round,
        ),
    )


def give_back(books: sqlite3.Connection, ask: ReturnAsk, now_ms: int) -> tuple[Returned, bool]:
    """Give money back to the payer; True if it is new, False if the same return was made before."""
    known = _find_return(books, ask.return_key)
    if known is not None:
        names = ("tracking_key", "amount_minor", "currency")
        if differing := [name for name in names if getattr(known, name) != getattr(ask, name)]:
            raise ReturnKeyReused(*differing)
        return known, False
    transfer = get_transfer(books, ask.tracking_key)
    left_minor = transfer.amount_minor - transfer.returned_minor
    if ask.amount_minor > left_minor:
        raise ReturnTooLarge(left_minor)
    seq: int = books.execute(NEXT_SEQ).fetchone()[0]
    books.execute(
        "insert into return_transfer (seq, return_key, transfer_seq, amount_minor, returned_ms) values (?, ?, ?, ?, ?)",
        (seq, ask.return_key, transfer.seq, ask.amount_minor, now_ms),
    )
    returned = _find_return(books, ask.return_key)
    assert returned is not None
    return returned, True


def send(books: sqlite3.Connection, ask: PaymentAsk, now_ms: int) -> tuple[Payment, bool]:
    """Send money to a CLABE; True if it is new, False if the same payment was made before."""
    known = _find_payment(books, ask.payment_key)
    if known is not None:
        names = ("clabe", "amount_minor", "currency", "beneficiary_name")
        if differing := [name for name in names if getattr(known, name) != getattr(ask, name)]:
            raise PaymentKeyReused(*differing)
        return known, False
    seq: int = books.execute(NEXT_SEQ).fetchone()[0]
    books.execute(
        "insert into payment (seq, payment_key, clabe, amount_minor, beneficiary_name, sent_ms)"
        " values (?, ?, ?, ?, ?, ?)",
        (seq, ask.payment_key, ask.clabe, ask.amount_minor, ask.beneficiary_name, now_ms),
    )
    sent = _find_payment(books, ask.payment_key)
    assert sent is not None
    return sent, True


def get_transfer(books: sqlite3.Connection, tracking_key: str) -> Transfer:
    """Find a transfer by its tracking key or raise `TransferUnknown`."""
    transfer = find_transfer(books, tracking_key)
    if transfer is None:
        raise TransferUnknown(tracking_key)
    return transfer


def find_transfer(books: sqlite3.Connection, tracking_key: str) -> Transfer | None:
    """Find a transfer by its tracking key."""
    row = books.execute(SELECT_TRANSFER + "where t.tracking_key = ?", (tracking_key,)).fetchone()
    return None if row is None else _transfer(row)


def list_transfers(
    books: sqlite3.Connection, *, clabe: str | None, status: Status | None, before_seq: int | None, limit: int
) -> list[Transfer]:
    """List transfers, newest first, older than `before_seq`."""
    where: list[str] = ["true"]
    given: list[str | int] = []
    for condition, value in (("t.clabe = ?", clabe), ("d.status = ?", status), ("t.seq < ?", before_seq)):
        if value is not None:
            where.append(condition)
            given.append(value)
    order = f"where {' and '.join(where)} order by t.seq desc limit ?"
    return [_transfer(row) for row in books.execute(SELECT_TRANSFER + order, (*given, limit))]


def next_due(books: sqlite3.Connection, limit: int) -> list[Transfer]:
    """List the waiting callbacks that are due first, due already or not."""
    order = "where d.status = 'waiting' order by d.next_attempt_ms limit ?"
    return [_transfer(row) for row in books.execute(SELECT_TRANSFER + order, (limit,))]


def totals(books: sqlite3.Connection) -> Totals:
    """Add up the books; `undelivered` counts the transfers whose callback caudal has never accepted."""
    transfers, received, clabes = books.execute(
        "select count(*), coalesce(sum(amount_minor), 0), count(distinct clabe) from transfer"
    ).fetchone()
    returns, returned = books.execute("select count(*), coalesce(sum(amount_minor), 0) from return_transfer").fetchone()
    payments, sent = books.execute("select count(*), coalesce(sum(amount_minor), 0) from payment").fetchone()
    by_status = dict(books.execute("select status, count(*) from callback_delivery group by status"))
    undelivered = books.execute("select count(*) from callback_delivery where delivered_ms is null").fetchone()[0]
    return Totals(
        received_minor=received,
        returned_minor=returned,
        sent_minor=sent,
        transfers=transfers,
        returns=returns,
        payments=payments,
        clabes=clabes,
        undelivered=undelivered,
        deliveries={status: by_status.get(status.value, 0) for status in Status},
    )


def last_seq(books: sqlite3.Connection) -> int:
    """Return the number of the newest line of the statement, 0 if there is none."""
    seq: int = books.execute(NEXT_SEQ).fetchone()[0]
    return seq - 1


def statement(books: sqlite3.Connection, *, after_seq: int, to_seq: int, limit: int) -> list[Line]:
    """Read the next lines of the statement in the order in which they were booked."""
    span = (after_seq, to_seq, limit)
    came = books.execute(SELECT_TRANSFER + "where t.seq > ? and t.seq <= ? order by t.seq limit ?", span)
    went = books.execute(SELECT_RETURN + "where r.seq > ? and r.seq <= ? order by r.seq limit ?", span)
    sent = books.execute(SELECT_PAYMENT + "where seq > ? and seq <= ? order by seq limit ?", span)
    lines: list[Line] = [*map(_transfer, came), *map(_returned, went), *map(_payment, sent)]
    return sorted(lines, key=lambda line: line.seq)[:limit]


def _opening(how: Delivery, now_ms: int) -> tuple[Status, int | None]:
    return (Status.HELD, None) if how.fault is Fault.HOLD else (Status.WAITING, now_ms + how.delay_ms)


def _differing_fields(known: Transfer, ask: TransferAsk) -> list[str]:
    names = ("clabe", "amount_minor", "currency", "payer_name")
    differing = [name for name in names if getattr(known, name) != getattr(ask, name)]
    return differing if known.asked == ask.delivery else [*differing, "deliver"]


def _find_return(books: sqlite3.Connection, return_key: str) -> Returned | None:
    row = books.execute(SELECT_RETURN + "where r.return_key = ?", (return_key,)).fetchone()
    return None if row is None else _returned(row)


def _returned(row: tuple[int, str, str, int, int]) -> Returned:
    seq, return_key, tracking_key, amount_minor, returned_ms = row
    return Returned(
        seq=seq,
        return_key=return_key,
        tracking_key=tracking_key,
        amount_minor=amount_minor,
        currency=CURRENCY,
        returned_ms=returned_ms,
    )


def _find_payment(books: sqlite3.Connection, payment_key: str) -> Payment | None:
    row = books.execute(SELECT_PAYMENT + "where payment_key = ?", (payment_key,)).fetchone()
    return None if row is None else _payment(row)


def _payment(row: tuple[int, str, str, int, str, int]) -> Payment:
    seq, payment_key, clabe, amount_minor, beneficiary_name, sent_ms = row
    return Payment(
        seq=seq,
        payment_key=payment_key,
        clabe=clabe,
        amount_minor=amount_minor,
        currency=CURRENCY,
        beneficiary_name=beneficiary_name,
        sent_ms=sent_ms,
    )


def _transfer(row: sqlite3.Row) -> Transfer:
    return Transfer(
        seq=row[0],
        tracking_key=row[1],
        clabe=row[2],
        amount_minor=row[3],
        currency=row[4],
        payer_name=row[5],
        paid_ms=row[6],
        returned_minor=row[7],
        asked=Delivery(copies=row[8], delay_ms=row[9], fault=_fault(row[10])),
        status=Status(row[11]),
        round=row[12],
        copies=row[13],
        fault=_fault(row[14]),
        copies_delivered=row[15],
        attempts=row[16],
        failures=row[17],
        next_attempt_ms=row[18],
        delivered_ms=row[19],
        answer_status=row[20],
        answer_detail=row[21],
        answered_ms=row[22],
    )


def _fault(text: str | None) -> Fault | None:
    return None if text is None else Fault(text)
