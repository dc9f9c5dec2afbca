"""Time passed, or was moved."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from caudal.contracts.problems import answer_of
from caudal.kernel.commit import Answer, Decision, Due, Key, Lane, Table, View
from caudal.kernel.errors import Refused
from caudal.kernel.http import encode
from caudal.merchants import API_KEYS, BOOKS
from caudal.payins import decide
from caudal.payins.model import ClockBody
from caudal.payins.rows import PAYINS

Need = tuple[Table[Any, Any], Any]


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


class AdvanceClock(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Move a test book's clock."""

    book: int
    seconds: int
    key_digest: bytes
    key: Key | None = None
    request_id: str = ""
    lane: Lane = Lane.NORMAL
    recorded: bool = False

    def needs(self) -> Iterable[Need]:
        return ((BOOKS, self.book), (API_KEYS, self.key_digest))

    def decide(self, view: View) -> Decision | Refused:
        return decide.advance_clock(view, book=self.book, seconds=self.seconds, key_digest=self.key_digest)

    def render(self, outcome: Any) -> Answer:
        if isinstance(outcome, Refused):
            return answer_of(outcome, self.request_id)
        return Answer(200, encode(outcome))


class AdvancedClock(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Everything has looked at the clock: what the merchant hears, kept under its key."""

    clock: ClockBody
    key: Key
    lane: Lane = Lane.NORMAL
    recorded: bool = True

    @property
    def book(self) -> int:
        return self.key.book

    def needs(self) -> Iterable[Need]:
        return ()

    def decide(self, view: View) -> Decision | Refused:
        return Decision(outcome=self.clock)

    def render(self, outcome: Any) -> Answer:
        return Answer(200, encode(outcome))
