"""Captures, voids and refunds: asked for, settled, or left when a request can wait no longer."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from caudal import ledger
from caudal.connectors import Declined, OperationState
from caudal.contracts.problems import answer_of
from caudal.kernel.commit import KEYS, Answer, Decision, Due, Key, Lane, Table, View
from caudal.kernel.errors import Refused
from caudal.merchants import API_KEYS, BOOKS, FEE_PLANS
from caudal.payins import decide, postings
from caudal.payins.commands.provider import Facts, with_stored
from caudal.payins.model import Kind
from caudal.payins.rows import OPERATIONS, PAYINS
from caudal.settlement import needs as release_needs

Need = tuple[Table[Any, Any], Any]


class BeginOperation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A capture, a void or a refund: what is durable before the provider is asked.

    Refuses: an ended key, not_found, forbidden_transition, amount_too_large, not_refundable, insufficient_funds.
    """

    kind: Kind
    asked: decide.Intent
    facts: Facts
    key: Key
    request_id: str
    amount_minor: int | None = None
    final: bool = False
    note: str | None = None
    metadata: dict[str, str] = {}
    sealed: bytes | None = None
    lane: Lane = Lane.NORMAL
    recorded: bool = False

    @property
    def book(self) -> int:
        return self.asked.book

    def needs(self) -> Iterable[Need]:
        yield API_KEYS, self.asked.key_digest
        yield PAYINS, self.asked.payin
        yield BOOKS, self.book
        if self.kind == "refund":
            yield FEE_PLANS, (self.book, self.facts.fee_plan)
            yield from _money(self.facts)

    def decide(self, view: View) -> Decision | Refused:
        match self.kind:
            case "capture":
                return decide.begin_capture(view, self.asked, amount_minor=self.amount_minor, final=self.final)
            case "void":
                return decide.begin_void(view, self.asked)
            case "refund":
                wanted = decide.RefundAsked(
                    amount_minor=self.amount_minor, note=self.note, metadata=self.metadata, sealed=self.sealed
                )
                return decide.begin_refund(view, self.asked, wanted)

    def render(self, outcome: Any) -> Answer:
        if isinstance(outcome, Refused):
            return answer_of(outcome, self.request_id)
        return answer_to(outcome)


class SettleOperation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What came of an operation: an answer, a query's result, a callback, or that it never came to be."""

    id: UUID
    facts: Facts
    said: OperationState | Declined
    asked: Key | None = None
    due: Due | None = None
    key: None = None
    lane: Lane = Lane.URGENT
    recorded: bool = True

    @property
    def book(self) -> int:
        return self.facts.book

    def needs(self) -> Iterable[Need]:
        yield OPERATIONS, self.id
        yield from self.facts.needs()
        yield from _money(self.facts)

    def decide(self, view: View) -> Decision:
        decision = decide.settle(view, id=self.id, said=self.said, due=self.due)
        return with_stored(view, decision, self.asked)

    def render(self, outcome: Any) -> Answer:
        return answer_to(outcome.outcome)


class SendOperation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An operation is ordered for the first time by whoever waits for this commit. The outcome is whether it may be."""

    id: UUID
    book: int
    within: timedelta
    key: None = None
    lane: Lane = Lane.URGENT
    recorded: bool = True

    def needs(self) -> Iterable[Need]:
        return ((OPERATIONS, self.id),)

    def decide(self, view: View) -> Decision:
        return decide.send_operation(view, id=self.id, within=self.within)

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("not stored")


class LeaveOperation(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A request can wait no longer: its key gets the operation as it is."""

    id: UUID
    facts: Facts
    asked: Key | None = None
    key: None = None
    lane: Lane = Lane.URGENT
    recorded: bool = True

    @property
    def book(self) -> int:
        return self.facts.book

    def needs(self) -> Iterable[Need]:
        yield OPERATIONS, self.id
        yield PAYINS, self.facts.id
        if self.facts.waiting is not None:
            yield KEYS, (self.facts.book, self.facts.waiting)

    def decide(self, view: View) -> Decision:
        return with_stored(view, decide.leave_operation(view, id=self.id), self.asked)

    def render(self, outcome: Any) -> Answer:
        return answer_to(outcome.outcome)


def answer_to(begun: decide.Begun) -> Answer:
    """A capture and a refund are made; a void changes the payin."""
    return Answer(200 if begun.operation.kind == "void" else 201, begun.body)


def _money(facts: Facts) -> Iterable[Need]:
    """What a refund moves."""
    for day in {*facts.days, *(() if facts.day is None else (facts.day,))}:
        yield from release_needs(facts.book, facts.currency, day)
    for account in postings.accounts_of_refund(facts.book, facts.currency):
        yield ledger.ACCOUNTS, account
