"""What a bank reports, and what is sent back to it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import msgspec

from caudal import ledger
from caudal.connectors import DepositReport, OperationState
from caudal.contracts.problems import answer_of
from caudal.kernel.commit import Answer, Decision, Due, Key, Lane, Table, View
from caudal.kernel.errors import Refused
from caudal.kernel.http import encode
from caudal.merchants import BOOKS, FEE_PLANS, OPERATORS, Operator
from caudal.payins import decide, postings
from caudal.payins.model import RefusedOperation, ReturnEnd, deposit_body
from caudal.payins.rows import DEPOSITS, PAYINS
from caudal.settlement import needs as release_needs

Need = tuple[Table[Any, Any], Any]


class RecordDeposit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Money has arrived. The deposit's id is made of provider and tracking key: one report counts once, for ever.

    `day` is when the money of the payin is going to be available: where that turns out otherwise, the other day is read
    for the next batch. Refuses: contradiction.
    """

    id: UUID
    book: int
    payin: UUID | None
    fee_plan: int
    report: DepositReport
    sealed: bytes
    day: date | None
    key: None = None
    lane: Lane = Lane.URGENT
    recorded: bool = True

    def needs(self) -> Iterable[Need]:
        yield DEPOSITS, self.id
        for account in postings.accounts_of(self.book, self.report.currency):
            yield ledger.ACCOUNTS, account
        if self.payin is not None:
            yield from ((PAYINS, self.payin), (BOOKS, self.book), (FEE_PLANS, (self.book, self.fee_plan)))
            if self.day is not None:
                yield from release_needs(self.book, self.report.currency, self.day)

    def decide(self, view: View) -> Decision | Refused:
        return decide.deposit(
            view,
            id=self.id,
            book=self.book,
            payin_id=self.payin,
            fee_plan=self.fee_plan,
            report=self.report,
            sealed=self.sealed,
        )

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("a callback's answer is not stored: the deposit itself says that it is known")


class RequestReturn(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Send unapplied money back, to `destination` (sealed) where it cannot go back the way it came.

    Refuses: not_found, forbidden_transition, insufficient_funds.
    """

    id: UUID
    book: int
    payin: UUID | None
    currency: str
    operator: Operator
    entry: UUID
    destination: bytes | None
    key: Key
    request_id: str
    lane: Lane = Lane.NORMAL
    recorded: bool = False

    def needs(self) -> Iterable[Need]:
        yield OPERATORS, self.operator.digest
        yield DEPOSITS, self.id
        if self.payin is not None:
            yield PAYINS, self.payin
        for account in postings.accounts_of(self.book, self.currency):
            yield ledger.ACCOUNTS, account

    def decide(self, view: View) -> Decision | Refused:
        return decide.request_return(
            view, id=self.id, operator=self.operator, entry=self.entry, destination=self.destination
        )

    def render(self, outcome: Any) -> Answer:
        if isinstance(outcome, Refused):
            return answer_of(outcome, self.request_id)
        return Answer(201, encode(deposit_body(outcome)))


class ConfirmReturn(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An operator knows that a return which has failed here was carried out after all.

    Refuses: not_found, forbidden_transition.
    """

    id: UUID
    book: int
    currency: str
    by: decide.ByHand
    key: Key
    request_id: str
    lane: Lane = Lane.NORMAL
    recorded: bool = False

    def needs(self) -> Iterable[Need]:
        yield OPERATORS, self.by.operator.digest
        yield DEPOSITS, self.id
        for account in postings.accounts_of_return(self.book, self.currency):
            yield ledger.ACCOUNTS, account

    def decide(self, view: View) -> Decision | Refused:
        return decide.return_by_hand(view, self.id, self.by)

    def render(self, outcome: Any) -> Answer:
        if isinstance(outcome, Refused):
            return answer_of(outcome, self.request_id)
        return Answer(201, encode(deposit_body(outcome)))


class SendReturn(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A return is ordered for the first time by whoever waits for this commit. The outcome is whether it may be."""

    id: UUID
    book: int
    version: int
    within: timedelta
    key: None = None
    lane: Lane = Lane.URGENT
    recorded: bool = True

    def needs(self) -> Iterable[Need]:
        return ((DEPOSITS, self.id),)

    def decide(self, view: View) -> Decision:
        return decide.send_return(view, id=self.id, version=self.version, within=self.within)

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("not stored")


class SettleReturn(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What became of the return that the deposit's `version` asked for; `said` is the answer that tells it."""

    due: Due
    version: int
    end: ReturnEnd
    currency: str
    said: OperationState | RefusedOperation | None = None
    key: None = None
    lane: Lane = Lane.URGENT
    recorded: bool = True

    @property
    def book(self) -> int:
        return self.due.book

    def needs(self) -> Iterable[Need]:
        yield DEPOSITS, self.due.subject
        for account in postings.accounts_of(self.due.book, self.currency):
            yield ledger.ACCOUNTS, account

    def decide(self, view: View) -> Decision | Refused:
        return decide.settle_return(view, due=self.due, version=self.version, end=self.end, said=self.said)

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("not stored")


class NoteReturn(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A provider's callback speaks of a return."""

    id: UUID
    book: int
    payin: UUID | None
    live: bool
    provider: str
    said: OperationState
    key: None = None
    lane: Lane = Lane.URGENT
    recorded: bool = True

    def needs(self) -> Iterable[Need]:
        yield DEPOSITS, self.id
        if self.payin is not None:
            yield PAYINS, self.payin

    def decide(self, view: View) -> Decision:
        return decide.note_return(view, id=self.id, live=self.live, provider=self.provider, said=self.said)

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("not stored")
