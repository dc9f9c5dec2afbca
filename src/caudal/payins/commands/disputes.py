"""Disputes: what a provider says of one, files against it, its end by the calendar."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from caudal import ledger
from caudal.connectors import DisputeState
from caudal.contracts.problems import answer_of
from caudal.kernel.commit import Answer, Decision, Due, Key, Lane, Table, View
from caudal.kernel.errors import Refused
from caudal.merchants import API_KEYS, BOOKS
from caudal.payins import decide, postings
from caudal.payins.commands.provider import Facts
from caudal.payins.model import Evidence
from caudal.payins.rows import DISPUTES, EVIDENCE

Need = tuple[Table[Any, Any], Any]


class NoteDispute(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How a dispute stands at its provider. The dispute's id is made of provider and reference."""

    facts: Facts
    id: UUID
    live: bool
    provider: str
    state: DisputeState
    respond_by: datetime
    key: None = None
    lane: Lane = Lane.URGENT
    recorded: bool = True

    @property
    def book(self) -> int:
        return self.facts.book

    def needs(self) -> Iterable[Need]:
        yield DISPUTES, self.id
        yield from self.facts.needs()
        for account in postings.accounts_of_dispute(self.facts.book, self.facts.currency):
            yield ledger.ACCOUNTS, account

    def decide(self, view: View) -> Decision:
        return decide.note_dispute(
            view,
            id=self.id,
            payin_id=self.facts.id,
            live=self.live,
            provider=self.provider,
            state=self.state,
            respond_by=self.respond_by,
        )

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("not stored")


class ExpireDispute(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Time passed: the dispute is lost, unless somebody has answered it."""

    due: Due
    currency: str
    key: None = None
    lane: Lane = Lane.BULK
    recorded: bool = True

    @property
    def book(self) -> int:
        return self.due.book

    def needs(self) -> Iterable[Need]:
        yield DISPUTES, self.due.subject
        yield BOOKS, self.due.book
        for account in postings.accounts_of_dispute(self.due.book, self.currency):
            yield ledger.ACCOUNTS, account

    def decide(self, view: View) -> Decision:
        return decide.expire_dispute(view, due=self.due)

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("not stored")


class AddEvidence(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Answer a dispute with a file, whose content is kept already. Refuses: not_found, forbidden_transition."""

    evidence: Evidence
    key_digest: bytes
    key: Key
    request_id: str
    lane: Lane = Lane.NORMAL
    recorded: bool = False

    @property
    def book(self) -> int:
        return self.evidence.book

    def needs(self) -> Iterable[Need]:
        yield API_KEYS, self.key_digest
        yield BOOKS, self.book
        yield DISPUTES, self.evidence.dispute
        yield EVIDENCE, self.evidence.id

    def decide(self, view: View) -> Decision | Refused:
        return decide.add_evidence(view, evidence=self.evidence, key_digest=self.key_digest)

    def render(self, outcome: Any) -> Answer:
        if isinstance(outcome, Refused):
            return answer_of(outcome, self.request_id)
        return Answer(201, decide.body_of_evidence(outcome))


class SettleEvidence(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The provider has taken a file, or will never: `refused` says why."""

    due: Due
    dispute: UUID
    refused: str | None
    key: None = None
    lane: Lane = Lane.URGENT
    recorded: bool = True

    @property
    def book(self) -> int:
        return self.due.book

    def needs(self) -> Iterable[Need]:
        return ((EVIDENCE, self.due.subject), (DISPUTES, self.dispute), (BOOKS, self.due.book))

    def decide(self, view: View) -> Decision:
        return decide.settle_evidence(view, id=self.due.subject, refused=self.refused, due=self.due)

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("not stored")
