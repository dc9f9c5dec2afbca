"""What has no outcome yet: asked about now, or settled by hand."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

import msgspec

from caudal.contracts.problems import answer_of
from caudal.kernel import ids
from caudal.kernel.clock import rfc3339
from caudal.kernel.commit import DUE_WORK, KEYS, Answer, Decision, Due, Key, Lane, Put, Table, View
from caudal.kernel.errors import Refused
from caudal.kernel.http import encode
from caudal.merchants import AUDIT, OPERATORS, AuditRecord, refuse_revoked
from caudal.payins import decide
from caudal.payins.model import Inquiry

Need = tuple[Table[Any, Any], Any]


class Answering(Protocol):
    """The command that an answer of the provider's would be."""

    def needs(self) -> Iterable[Need]: ...

    def decide(self, view: View) -> Decision | Refused: ...


class AskNow(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The provider is asked as soon as a worker looks, not when it was to be asked next."""

    due: Due
    by: decide.ByHand
    key: Key
    request_id: str
    book: int = 0
    lane: Lane = Lane.NORMAL
    recorded: bool = False

    @property
    def _place(self) -> tuple[datetime, str, UUID]:
        return self.due.at, self.due.kind, self.due.subject

    def needs(self) -> Iterable[Need]:
        return ((OPERATORS, self.by.operator.digest), (DUE_WORK, self._place))

    def decide(self, view: View) -> Decision | Refused:
        refusal = refuse_revoked(view, self.by.operator.digest)
        if refusal is not None:
            return refusal
        told = Inquiry(id=self.by.subject, next_ask_at=rfc3339(view.clock))
        audit = AuditRecord(
            id=self.by.entry,
            at=view.at,
            actor=ids.public("operator", self.by.operator.id),
            action="provider.asked",
            subject=self.by.subject,
            detail=encode(told),
        )
        # A worker that is at it loses nothing: both find the same, and the second finds nothing left to do.
        piece = view.get(DUE_WORK, self._place)
        moved = () if piece is None else (piece,)
        now = tuple(msgspec.structs.replace(one, at=view.clock) for one in moved)
        return Decision(outcome=told, puts=(Put(AUDIT, audit),), done=moved, due=now)

    def render(self, outcome: Any) -> Answer:
        return _answer(outcome, self.request_id)


class SettleByHand(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An operator knows what became of it, from the provider's statement or a person there.

    `answering` is what the provider's answer would be. Refuses: forbidden_transition.
    """

    due: Due
    by: decide.ByHand
    answering: Answering
    key: Key
    request_id: str
    version: int | None = None
    book: int = 0
    lane: Lane = Lane.NORMAL
    recorded: bool = False

    def needs(self) -> Iterable[Need]:
        yield OPERATORS, self.by.operator.digest
        yield from self.answering.needs()

    def decide(self, view: View) -> Decision | Refused:
        refusal = decide.refuse_by_hand(view, self.due, self.by, self.version)
        if refusal is not None:
            return refusal
        decision = self.answering.decide(view)
        if isinstance(decision, Refused):
            return decision
        waiting = None if decision.finishes is None else view.get(KEYS, decision.finishes.place)
        if waiting is not None and waiting.answer is None:
            return Refused("forbidden_transition", "whoever asked for it has no answer yet: the worker gives it first")
        return decide.settled_by_hand(view, decision, self.by)

    def render(self, outcome: Any) -> Answer:
        return _answer(outcome, self.request_id)


def _answer(outcome: Any, request_id: str) -> Answer:
    return answer_of(outcome, request_id) if isinstance(outcome, Refused) else Answer(201, encode(outcome))
