"""The verbs of routing: make a profile, activate it, take it back. Choosing is `decide.choose`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import msgspec

from caudal.contracts.problems import answer_of
from caudal.kernel.commit import Answer, Decision, Key, Lane, Table, View
from caudal.kernel.errors import Refused
from caudal.kernel.http import encode
from caudal.merchants import API_KEYS, BOOKS
from caudal.routing import decide
from caudal.routing.model import Profile
from caudal.routing.rows import PROFILES

Need = tuple[Table[Any, Any], Any]


class CreateProfile(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Keep another version of a book's rules. Refuses: an ended key, too many profiles."""

    profile: Profile
    key_digest: bytes
    entry: UUID
    key: Key | None
    request_id: str
    lane: Lane = Lane.NORMAL
    recorded: bool = False

    @property
    def book(self) -> int:
        return self.profile.book

    def needs(self) -> Iterable[Need]:
        return ((API_KEYS, self.key_digest), (BOOKS, self.book))

    def decide(self, view: View) -> Decision | Refused:
        return decide.create(view, profile=self.profile, key_digest=self.key_digest, entry=self.entry)

    def render(self, outcome: Any) -> Answer:
        if isinstance(outcome, Refused):
            return answer_of(outcome, self.request_id)
        return Answer(201, encode(outcome))


class ActivateProfile(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Route a book's new payins by a profile, or by it no more. Refuses: not_found, forbidden_transition."""

    id: UUID
    book: int
    active: bool
    key_digest: bytes
    entry: UUID
    key: Key | None
    request_id: str
    lane: Lane = Lane.NORMAL
    recorded: bool = False

    def needs(self) -> Iterable[Need]:
        return ((API_KEYS, self.key_digest), (BOOKS, self.book), (PROFILES, self.id))

    def decide(self, view: View) -> Decision | Refused:
        return decide.activate(
            view, id=self.id, book=self.book, key_digest=self.key_digest, entry=self.entry, active=self.active
        )

    def render(self, outcome: Any) -> Answer:
        if isinstance(outcome, Refused):
            return answer_of(outcome, self.request_id)
        return Answer(200, encode(outcome))
