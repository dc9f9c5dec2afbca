"""What a provider says of a payment; what is said of it when a request can wait no longer."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from caudal import ledger
from caudal.connectors import Declined, PaymentState
from caudal.kernel.commit import KEYS, Answer, Decision, Due, Key, Lane, Table, View
from caudal.merchants import BOOKS, FEE_PLANS
from caudal.payins import decide, postings
from caudal.payins.model import Attempt, Ended
from caudal.payins.rows import DEPOSITS, PAYINS
from caudal.settlement import needs as release_needs

Need = tuple[Table[Any, Any], Any]


class Facts(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What of a payin says which rows its decision looks at; `day` is when its money is likely to be available, `days`
    when what was captured is, `waiting` the key of the request that waits."""

    id: UUID
    book: int
    currency: str
    fee_plan: int
    day: date | None
    waiting: bytes | None
    method: str
    days: tuple[date, ...] = ()

    def needs(self) -> Iterable[Need]:
        """The rows of a payment of this payin."""
        yield PAYINS, self.id
        yield BOOKS, self.book
        yield FEE_PLANS, (self.book, self.fee_plan)
        for account in postings.accounts_with_provider(self.book, self.currency):
            yield ledger.ACCOUNTS, account
        if self.day is not None:
            yield from release_needs(self.book, self.currency, self.day)
        if self.waiting is not None:
            yield KEYS, (self.book, self.waiting)


class Noted(NamedTuple):
    """What came of it: the decision's own outcome, and what the waiting request's key had been answered with before."""

    outcome: Any
    stored: Answer | None

    @property
    def body(self) -> bytes:
        """The payin as it is now."""
        body: bytes = self.outcome.body
        return body


def with_stored(view: View, decision: Decision, asked: Key | None) -> Decision:
    """The decision, knowing what somebody else has answered the waiting request with meanwhile."""
    stored = None
    if asked is not None:
        record = view.get(KEYS, asked.place)
        if record is not None and record.status is not None and record.answer is not None:
            stored = Answer(record.status, record.answer)
    return msgspec.structs.replace(decision, outcome=Noted(decision.outcome, stored))


class NotePayment(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How a payment stands: `confirmed` by the provider's answer, or told by its callback alone.

    `asked` is the key of the request that waits.
    """

    facts: Facts
    live: bool
    provider: str
    state: PaymentState
    sealed: bytes
    confirmed: bool
    asked: Key | None = None
    due: Due | None = None
    key: None = None
    lane: Lane = Lane.URGENT
    recorded: bool = True

    @property
    def book(self) -> int:
        return self.facts.book

    def needs(self) -> Iterable[Need]:
        yield from self.facts.needs()
        if self.state.status == "paid":  # which may be for a payin that has ended, or another amount
            yield DEPOSITS, decide.late_deposit(self.facts.method, self.state.key)
            for account in postings.accounts_of_late(self.facts.book, self.facts.currency):
                yield ledger.ACCOUNTS, account

    def decide(self, view: View) -> Decision:
        decision = decide.note(
            view,
            id=self.facts.id,
            live=self.live,
            provider=self.provider,
            state=self.state,
            sealed=self.sealed,
            confirmed=self.confirmed,
            due=self.due,
        )
        return with_stored(view, decision, self.asked)

    def render(self, outcome: Any) -> Answer:
        return Answer(201, outcome.body)


class RefusePayment(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The provider of an attempt refuses a payment for good, or it never came to be (`failed`).

    `until` is when the last submission ended that was waited for: one that was sent again since may yet come to be.
    """

    facts: Facts
    attempt: int
    declined: Declined
    failed: bool
    until: datetime | None = None
    asked: Key | None = None
    due: Due | None = None
    key: None = None
    lane: Lane = Lane.URGENT
    recorded: bool = True

    @property
    def book(self) -> int:
        return self.facts.book

    def needs(self) -> Iterable[Need]:
        return self.facts.needs()

    def decide(self, view: View) -> Decision:
        decision = decide.refuse(
            view,
            id=self.facts.id,
            attempt=self.attempt,
            declined=self.declined,
            failed=self.failed,
            until=self.until,
            due=self.due,
        )
        return with_stored(view, decision, self.asked)

    def render(self, outcome: Any) -> Answer:
        return Answer(201, outcome.body)


class NextAttempt(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An attempt came to nothing, and another provider is asked next, by whoever waits for this commit, `within` a time
    that counts from before it. The outcome is the payin, if that is so still, or None."""

    id: UUID
    book: int
    ended: Ended
    next: Attempt
    within: timedelta
    key: None = None
    lane: Lane = Lane.URGENT
    recorded: bool = True

    def needs(self) -> Iterable[Need]:
        return ((PAYINS, self.id),)

    def decide(self, view: View) -> Decision:
        return decide.next_attempt(view, id=self.id, ended=self.ended, next=self.next, within=self.within)

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("not stored")


class SubmitAgain(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The payment is sent to its provider once more, by whoever waits for this commit, `within` a time that counts from
    before it. The outcome is whether it may be."""

    id: UUID
    attempt: int
    book: int
    within: timedelta
    key: None = None
    lane: Lane = Lane.URGENT
    recorded: bool = True

    def needs(self) -> Iterable[Need]:
        return ((PAYINS, self.id),)

    def decide(self, view: View) -> Decision:
        return decide.submit_again(view, id=self.id, attempt=self.attempt, within=self.within)

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("not stored")


class LeavePayment(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request can wait no longer: its key gets the payin as it is."""

    facts: Facts
    asked: Key | None = None
    key: None = None
    lane: Lane = Lane.URGENT
    recorded: bool = True

    @property
    def book(self) -> int:
        return self.facts.book

    def needs(self) -> Iterable[Need]:
        yield PAYINS, self.facts.id
        if self.facts.waiting is not None:
            yield KEYS, (self.facts.book, self.facts.waiting)

    def decide(self, view: View) -> Decision:
        return with_stored(view, decide.leave(view, id=self.facts.id), self.asked)

    def render(self, outcome: Any) -> Answer:
        return Answer(201, outcome.body)
