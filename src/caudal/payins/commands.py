"""The story of payins: one command a verb. A command carries what was asked and what the decision needs to see."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from caudal import ledger
from caudal.connectors import DepositReport
from caudal.contracts.problems import answer_of
from caudal.kernel.commit import Answer, Decision, Due, Key, Lane, Table, View
from caudal.kernel.errors import Refused
from caudal.kernel.http import encode
from caudal.merchants import API_KEYS, BOOKS, FEE_PLANS, OPERATORS, Operator
from caudal.payins import decide, postings
from caudal.payins.model import Detail, Payin, deposit_body
from caudal.payins.rows import DEPOSITS, PAYINS

Need = tuple[Table[Any, Any], Any]


class CreatePayin(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Take a payment by bank transfer. Refuses: an ended key, a time that has passed."""

    payin: Payin
    detail: Detail
    expires_in: timedelta | None
    clabe_prefix: str
    sealed: bytes | None
    key_digest: bytes
    key: Key
    request_id: str
    payer_page: str | None
    lane: Lane = Lane.NORMAL
    recorded: bool = False

    @property
    def book(self) -> int:
        return self.payin.book

    def needs(self) -> Iterable[Need]:
        yield API_KEYS, self.key_digest
        if not self.book & 1:  # whose clock may have been moved, a moment ago and by another process
            yield BOOKS, self.book

    def decide(self, view: View) -> Decision | Refused:
        return decide.create(
            view,
            payin=self.payin,
            detail=self.detail,
            expires_in=self.expires_in,
            clabe_prefix=self.clabe_prefix,
            sealed=self.sealed,
            key_digest=self.key_digest,
            payer_page=self.payer_page,
        )

    def render(self, outcome: Any) -> Answer:
        if isinstance(outcome, Refused):
            return answer_of(outcome, self.request_id)
        return Answer(201, outcome.body)


class CancelPayin(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Give a pending payin up. Refuses: not_found, forbidden_transition."""

    id: UUID
    book: int
    key_digest: bytes
    key: Key
    request_id: str
    lane: Lane = Lane.NORMAL
    recorded: bool = False

    def needs(self) -> Iterable[Need]:
        return ((API_KEYS, self.key_digest), (PAYINS, self.id))

    def decide(self, view: View) -> Decision | Refused:
        return decide.cancel(view, id=self.id, book=self.book, key_digest=self.key_digest)

    def render(self, outcome: Any) -> Answer:
        if isinstance(outcome, Refused):
            return answer_of(outcome, self.request_id)
        return Answer(200, outcome.body)


class RecordDeposit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Money has arrived. The deposit's id is made of provider and tracking key: one report counts once, for ever.

    Refuses: contradiction.
    """

    id: UUID
    book: int
    payin: UUID | None
    fee_plan: int
    report: DepositReport
    sealed: bytes
    key: None = None
    lane: Lane = Lane.URGENT
    recorded: bool = True

    def needs(self) -> Iterable[Need]:
        yield DEPOSITS, self.id
        for account in postings.accounts_of(self.book, self.report.currency):
            yield ledger.ACCOUNTS, account
        if self.payin is not None:
            yield from ((PAYINS, self.payin), (BOOKS, self.book), (FEE_PLANS, (self.book, self.fee_plan)))

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
    """Send unapplied money back. Refuses: not_found, forbidden_transition, insufficient_funds."""

    id: UUID
    book: int
    payin: UUID | None
    currency: str
    operator: Operator
    entry: UUID
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
        return decide.request_return(view, id=self.id, operator=self.operator, entry=self.entry)

    def render(self, outcome: Any) -> Answer:
        if isinstance(outcome, Refused):
            return answer_of(outcome, self.request_id)
        return Answer(201, encode(deposit_body(outcome)))


class AdvanceClock(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Move a test book's clock."""

    book: int
    seconds: int
    key_digest: bytes
    key: None = None
    lane: Lane = Lane.NORMAL
    recorded: bool = False

    def needs(self) -> Iterable[Need]:
        return ((BOOKS, self.book), (API_KEYS, self.key_digest))

    def decide(self, view: View) -> Decision | Refused:
        return decide.advance_clock(view, book=self.book, seconds=self.seconds, key_digest=self.key_digest)

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("not stored")


class ExpirePayin(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Time passed: the payin expires, unless it has come to something else."""

    due: Due
    key: None = None
    lane: Lane = Lane.BULK
    recorded: bool = True

    @property
    def book(self) -> int:
        return self.due.book

    def needs(self) -> Iterable[Need]:
        return ((PAYINS, self.due.subject), (BOOKS, self.due.book))

    def decide(self, view: View) -> Decision | Refused:
        return decide.expire(view, due=self.due)

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("not stored")


class SettleReturn(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The bank has answered to the return that the deposit's `version` asked for."""

    due: Due
    version: int
    done: bool
    currency: str
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
        return decide.settle_return(view, due=self.due, version=self.version, done=self.done)

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("not stored")
