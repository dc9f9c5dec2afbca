"""What merchants ask: a payin, created at once or started at its provider, and its cancellation."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec

from caudal.contracts.problems import answer_of
from caudal.kernel.commit import Answer, Decision, Key, Lane, Table, View
from caudal.kernel.errors import Refused
from caudal.merchants import API_KEYS, BOOKS
from caudal.payins import decide
from caudal.payins.model import Attempt, Detail, Payin, Waiting
from caudal.payins.rows import PAYINS
from caudal.vault import INSTRUMENTS

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


class StartPayin(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Take a payment through a provider: what is durable before the provider is asked.

    Refuses: an ended key, a time that has passed, an instrument that is not there.
    """

    payin: Payin
    detail: Detail
    expires_in: timedelta | None
    brands: frozenset[str]
    sealed: bytes | None
    key_digest: bytes
    key: Key
    request_id: str
    attempt: Attempt
    within: timedelta
    sweep_in: timedelta
    lane: Lane = Lane.NORMAL
    recorded: bool = False

    @property
    def book(self) -> int:
        return self.payin.book

    def needs(self) -> Iterable[Need]:
        yield API_KEYS, self.key_digest
        if not self.book & 1:
            yield BOOKS, self.book
        chosen = self.detail.chosen
        if chosen is not None and chosen.instrument is not None:
            yield INSTRUMENTS, chosen.instrument

    def decide(self, view: View) -> Decision | Refused:
        return decide.start(
            view,
            payin=self.payin,
            detail=self.detail,
            expires_in=self.expires_in,
            brands=self.brands,
            sealed=self.sealed,
            key_digest=self.key_digest,
            attempt=self.attempt,
            waiting=Waiting(key=self.key.digest, request_id=self.request_id),
            within=self.within,
            sweep_in=self.sweep_in,
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
