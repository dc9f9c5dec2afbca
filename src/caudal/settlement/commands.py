"""The story of settlement: money becomes available."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from caudal import ledger
from caudal.kernel.commit import Answer, Decision, Due, Lane, Table, View
from caudal.merchants import BOOKS
from caudal.settlement import decide
from caudal.settlement.model import accounts_of_release
from caudal.settlement.rows import RELEASES


class ReleaseFunds(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A day has begun: what was earned for it becomes available. The outcome is the amount, minor units."""

    due: Due
    key: None = None
    lane: Lane = Lane.BULK
    recorded: bool = True

    @property
    def book(self) -> int:
        return self.due.book

    def needs(self) -> Iterable[tuple[Table[Any, Any], Any]]:
        yield RELEASES, self.due.subject
        yield BOOKS, self.due.book
        for account in accounts_of_release(self.due.subject):
            yield ledger.ACCOUNTS, account

    def decide(self, view: View) -> Decision:
        return decide.release(view, due=self.due)

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("not stored")
