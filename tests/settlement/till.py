"""A till without a database: a view that decisions look at and change, and what stands in its books afterwards."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from caudal import ledger
from caudal.kernel.commit import Due, Put, Table
from caudal.kernel.errors import Refused
from caudal.ledger import FACT, Purpose, Transfer, account_id, house_book, transfer_id
from caudal.merchants import BOOKS, BookRecord
from caudal.settlement import GivenBack, Movement, Parts, Split, available_on, earned, given_back, line, taken
from caudal.settlement.decide import release
from caudal.settlement.model import BalanceTransaction, Release

BOOK = 2
OPENS_AT = datetime(2026, 11, 23, 10, 0, tzinfo=UTC)


def id_of(number: int) -> UUID:
    return UUID(int=0x01938F2C << 96 | 0x7 << 76 | 0b10 << 62 | number)


class Till:
    """Book 2's money in MXN and BRL. `day` is how many days after today money is available; time only goes on."""

    def __init__(self) -> None:
        self.at = OPENS_AT
        self.offset = timedelta()
        self.due: dict[tuple[datetime, UUID], Due] = {}
        self.lines: list[BalanceTransaction] = []
        self._rows: dict[Table[Any, Any], dict[Any, Any]] = {}
        self.looked: set[tuple[str, Any]] = set()
        self._numbers = 0

    # What a decision looks at

    next_event_seq = 1

    @property
    def clock(self) -> datetime:
        return self.at

    def get(self, table: Table[Any, Any], key: Any) -> Any:
        self.looked.add((table.name, key))
        if table is BOOKS:
            return BookRecord(
                book=BOOK,
                merchant=id_of(0),
                version=1,
                late_payments="accept",
                fee_plan=1,
                clock_offset_s=int(self.offset.total_seconds()),
            )
        return self._rows.get(table, {}).get(key)

    def get_all(self, table: Table[Any, Any], keys: Any) -> list[Any]:
        return [self.get(table, key) for key in keys]

    # What is done with it

    @property
    def now(self) -> datetime:
        return self.at + self.offset

    def earn(self, gross: int, fee: int = 0, *, days: int = 1, currency: str = "MXN") -> Movement:
        told: dict[str, Any] = {"kind": "payment", "day": available_on(self.now, days), **self._told(currency)}
        moved = earned(self, gross_minor=gross, fee_minor=fee, **told)
        self._move(currency, gross, Purpose.PROVIDER_RECEIVABLE, Purpose.PENDING)
        self._move(currency, moved.fee_from_pending_minor, Purpose.PENDING, Purpose.FEES)
        self._move(currency, moved.fee_from_available_minor, Purpose.AVAILABLE, Purpose.FEES)
        self._take(moved.puts, moved.due)
        return moved

    def take(
        self, amount: int, fee: int = 0, *, day: date | list[date], beyond: bool = False, **more: str
    ) -> Split | Refused:
        kind, currency = more.get("kind", "refund"), more.get("currency", "MXN")
        days = day if isinstance(day, list) else [day]
        told: dict[str, Any] = {"kind": kind, "days": days, **self._told(currency)}
        split = taken(self, amount_minor=amount, fee_minor=fee, beyond_balance=beyond, **told)
        if isinstance(split, Refused):
            return split
        to, fact = Purpose.DISPUTED if kind == "dispute" else Purpose.CLEARING, beyond
        self._move(currency, split.from_pending_minor, Purpose.PENDING, to, fact=fact)
        self._move(currency, split.from_available_minor, Purpose.AVAILABLE, to, fact=fact)
        self._move(currency, split.fee_from_pending_minor, Purpose.PENDING, Purpose.FEES, fact=fact)
        self._move(currency, split.fee_from_available_minor, Purpose.AVAILABLE, Purpose.FEES, fact=fact)
        self._take(split.puts)
        return split

    def give_back(
        self, amount: int, fee: int = 0, *, parts: Parts, kind: str = "refund_failure", currency: str = "MXN"
    ) -> GivenBack:
        told: dict[str, Any] = {"kind": kind, **self._told(currency)}
        back = given_back(self, amount_minor=amount, fee_minor=fee, parts=parts, **told)
        whence = Purpose.DISPUTED if kind == "dispute_won" else Purpose.CLEARING
        self._move(currency, back.to_pending_minor, whence, Purpose.PENDING)
        self._move(currency, back.to_available_minor, whence, Purpose.AVAILABLE)
        self._move(currency, back.fee_to_pending_minor, Purpose.FEES, Purpose.PENDING)
        self._move(currency, back.fee_to_available_minor, Purpose.FEES, Purpose.AVAILABLE)
        self._take(back.puts, back.due)
        return back

    def lose(self, amount: int, currency: str = "MXN") -> None:
        """A dispute is lost: what was held goes to the payer."""
        self._move(currency, amount, Purpose.DISPUTED, Purpose.PROVIDER_RECEIVABLE)
        told: dict[str, Any] = {"kind": "dispute_lost", "gross_minor": -amount, **self._told(currency)}
        self._take((line(**told),))

    def work(self) -> int:
        """Runs all that is due; the amount that has become available."""
        released = 0
        for due in [due for due in self.due.values() if due.at <= self.at]:
            released += self.look(due)
        return released

    def look(self, due: Due) -> int:
        decision = release(self, due=due)
        for done in decision.done:
            self.due.pop((done.at, done.subject), None)
        self._take(decision.puts, decision.due)
        return int(decision.outcome)

    # What stands in the books

    def balance(self, purpose: Purpose, currency: str = "MXN") -> int:
        account = self.get(ledger.ACCOUNTS, account_id(BOOK, currency, purpose))
        return 0 if account is None else int(account.credit_balance_minor)

    @property
    def pending(self) -> int:
        return self.balance(Purpose.PENDING)

    @property
    def available(self) -> int:
        return self.balance(Purpose.AVAILABLE)

    def releases(self, currency: str = "MXN") -> list[Release]:
        rows = [row for table, of in self._rows.items() if table.name == "release" for row in of.values()]
        return sorted((row for row in rows if row.currency == currency), key=lambda row: row.day)

    def _told(self, currency: str) -> dict[str, Any]:
        self._numbers += 1
        subject = id_of(self._numbers)
        return {
            "id": subject,
            "book": BOOK,
            "currency": currency,
            "subject": subject,
            "subject_kind": "payin",
            "payin": subject,
            "at": self.now,
        }

    def _move(self, currency: str, amount: int, debit: Purpose, credit: Purpose, *, fact: bool = True) -> None:
        if not amount:
            return
        self._numbers += 1
        debited, credited = (
            account_id(BOOK if purpose <= Purpose.UNAPPLIED else house_book(BOOK), currency, purpose)
            for purpose in (debit, credit)
        )
        transfer = Transfer(
            id=transfer_id(id_of(self._numbers), "test"),
            debit_account=debited,
            credit_account=credited,
            amount_minor=amount,
            flags=FACT if fact else 0,
            code="test",
        )
        posted = ledger.post(self, [transfer])
        assert isinstance(posted, ledger.Posted), posted
        self._take(ledger.puts(posted))

    def _take(self, puts: tuple[Put, ...], due: tuple[Due, ...] = ()) -> None:
        for put in puts:
            if put.table.name == "balance_transaction":
                self.lines.append(put.record)
            elif put.table.name != "transfer":
                self._rows.setdefault(put.table, {})[put.table.key(put.record)] = put.record
        for piece in due:
            assert (piece.at, piece.subject) not in self.due, "the same work stands once"
            self.due[piece.at, piece.subject] = piece
