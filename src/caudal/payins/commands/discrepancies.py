"""What does not fit: written down, asked about, put right, looked after."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import msgspec

from caudal import ledger
from caudal.connectors import BANK, OperationState, PaymentState
from caudal.contracts.problems import answer_of
from caudal.kernel.commit import Answer, Decision, Due, Key, Lane, Table, View
from caudal.kernel.errors import Refused
from caudal.kernel.http import encode
from caudal.merchants import OPERATORS, Operator
from caudal.payins import decide, postings
from caudal.payins.commands.provider import Facts
from caudal.payins.model import Discrepancy, DiscrepancyKind, discrepancy_body
from caudal.payins.rows import DEPOSITS, DISCREPANCIES, OPERATIONS, PAYINS
from caudal.settlement import needs as release_needs

Need = tuple[Table[Any, Any], Any]


class NoteOdd(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A provider speaks of something that we do not know, or know otherwise. `operation` or `deposit` is what it is
    about, if not the payin itself; `answer` is what it says otherwise when it is asked.
    """

    book: int
    provider: str
    said: msgspec.Struct
    kind: DiscrepancyKind = "unknown_payment"
    payin: UUID | None = None
    operation: UUID | None = None
    deposit: UUID | None = None
    answer: msgspec.Struct | None = None
    key: None = None
    lane: Lane = Lane.URGENT
    recorded: bool = True

    def needs(self) -> Iterable[Need]:
        named = ((PAYINS, self.payin), (OPERATIONS, self.operation), (DEPOSITS, self.deposit))
        return [(table, id) for table, id in named if id is not None]

    def decide(self, view: View) -> Decision:
        held = decide.held_of(
            None if self.payin is None else view.get(PAYINS, self.payin),
            operation=None if self.operation is None else view.get(OPERATIONS, self.operation),
            deposit=None if self.deposit is None else view.get(DEPOSITS, self.deposit),
        )
        return decide.odd(
            view,
            self.book,
            self.provider,
            self.kind,
            self.said,
            (),
            held=held,
            payin=self.payin,
            outcome=None,
            answer=self.answer,
        )

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("not stored")


class NoteAnswer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the provider says of a discrepancy, asked about it; `facts` are its payin's, `version` and `refunded_minor`
    as for `answered`."""

    found: Discrepancy
    facts: Facts
    answer: decide.Answer
    version: int
    sealed: bytes
    due: Due
    refunded_minor: int | None = None
    key: None = None
    lane: Lane = Lane.URGENT
    recorded: bool = True

    @property
    def book(self) -> int:
        return self.facts.book

    def needs(self) -> Iterable[Need]:
        yield DISCREPANCIES, self.found.id
        yield from self.facts.needs()
        yield from decide.needs_of(self.found, self.facts.method)
        yield from _accounts(self.facts)
        if isinstance(self.answer, PaymentState):
            yield DEPOSITS, decide.late_deposit(self.facts.method, self.answer.key)
        elif isinstance(self.answer, OperationState):
            yield OPERATIONS, UUID(hex=self.answer.key)

    def decide(self, view: View) -> Decision:
        return decide.answered(
            view,
            id=self.found.id,
            answer=self.answer,
            version=self.version,
            refunded_minor=self.refunded_minor,
            sealed=self.sealed,
            due=self.due,
        )

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("not stored")


class CorrectDiscrepancy(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An operator carries out what is proposed. Refuses: not_found, forbidden_transition, insufficient_funds."""

    found: Discrepancy
    facts: Facts | None
    chosen: decide.Chosen
    key: Key
    request_id: str
    book: int = 0
    lane: Lane = Lane.NORMAL
    recorded: bool = False

    def needs(self) -> Iterable[Need]:
        yield OPERATORS, self.chosen.operator.digest
        yield DISCREPANCIES, self.found.id
        yield from decide.needs_of(self.found, None if self.facts is None else self.facts.method)
        if self.facts is not None:
            yield from self.facts.needs()
            yield from _accounts(self.facts)
        currency = decide.said_of(self.found.detail).currency
        if self.found.provider == BANK and currency is not None:  # a deposit may be of no payin, or not in its currency
            for account in postings.accounts_of_return(self.found.book, currency):
                yield ledger.ACCOUNTS, account

    def decide(self, view: View) -> Decision | Refused:
        return decide.correct(view, id=self.found.id, chosen=self.chosen)

    def render(self, outcome: Any) -> Answer:
        return _resolved(outcome, self.request_id)


class ResolveDiscrepancy(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An operator has looked after a discrepancy. Refuses: not_found, forbidden_transition."""

    id: UUID
    operator: Operator
    resolution: str
    entry: UUID
    key: Key
    request_id: str
    book: int = 0
    lane: Lane = Lane.NORMAL
    recorded: bool = False

    def needs(self) -> Iterable[Need]:
        return ((OPERATORS, self.operator.digest), (DISCREPANCIES, self.id))

    def decide(self, view: View) -> Decision | Refused:
        return decide.resolve(view, id=self.id, operator=self.operator, resolution=self.resolution, entry=self.entry)

    def render(self, outcome: Any) -> Answer:
        return _resolved(outcome, self.request_id)


def _resolved(outcome: Any, request_id: str) -> Answer:
    if isinstance(outcome, Refused):
        return answer_of(outcome, request_id)
    return Answer(201, encode(discrepancy_body(outcome)))


def _accounts(facts: Facts) -> Iterable[Need]:
    """Everything that an answer or a correction may move."""
    for day in facts.days:
        yield from release_needs(facts.book, facts.currency, day)
    for accounts in (postings.accounts_of_refund, postings.accounts_of_late):
        for account in accounts(facts.book, facts.currency):
            yield ledger.ACCOUNTS, account
