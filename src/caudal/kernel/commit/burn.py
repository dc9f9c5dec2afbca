"""Withdrawing a key: an unused one is refused for ever after, a used one says what came of it, to be reversed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from uuid import UUID

import msgspec

from caudal.kernel.commit.model import Answer, Decision, Lane, Put, Table, View
from caudal.kernel.commit.tables import KEYS, KeyRecord


class BurnKey(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome is None when the key was unused and is burned now, otherwise its effect's subject.

    `refusal` is what whoever comes with the key later is answered with.
    """

    place: tuple[int, bytes]
    refusal: Answer
    key: None = None
    lane: Lane = Lane.NORMAL
    recorded: bool = True

    @property
    def book(self) -> int:
        return self.place[0]

    def needs(self) -> Iterable[tuple[Table[Any, Any], Any]]:
        return ((KEYS, self.place),)

    def decide(self, view: View) -> Decision:
        used = view.get(KEYS, self.place)
        if used is not None:
            subject: UUID | None = used.subject
            return Decision(outcome=subject)
        book, digest = self.place
        burned = KeyRecord(
            book=book,
            digest=digest,
            fingerprint=None,
            subject=None,
            status=self.refusal.status,
            answer=self.refusal.body,
            deadline=None,
            version=1,
        )
        return Decision(outcome=None, puts=(Put(KEYS, burned),))

    def render(self, outcome: Any) -> Answer:
        raise AssertionError("burning has no key of its own")
