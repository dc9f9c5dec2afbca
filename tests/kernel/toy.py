"""A toy service for the write path's tests: commands that write an event, a piece of due work and a key."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import timedelta
from hashlib import blake2b
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import msgspec

from caudal.kernel.commit import Answer, Decision, Due, Event, Key, Lane, Limits, PostgresPort, Shard, Table, View
from caudal.kernel.errors import Refused


def key(text: str, fingerprint: bytes = b"f" * 16, book: int = 2) -> Key:
    return Key(book=book, digest=blake2b(text.encode(), digest_size=16).digest(), fingerprint=fingerprint)


class Note(msgspec.Struct, frozen=True, kw_only=True):
    """Writes an event whose data is `text`, and the key, if there is one."""

    text: str
    type: str = "note.written"
    book: int = 2
    key: Key | None = None
    lane: Lane = Lane.NORMAL
    recorded: bool = False
    refuse: bool = False
    subject: UUID = msgspec.field(default_factory=uuid4)
    wants: tuple[tuple[Table[Any, Any], Any], ...] = ()
    looks: Callable[[View], None] | None = None

    def needs(self) -> Iterable[tuple[Table[Any, Any], Any]]:
        return self.wants

    def decide(self, view: View) -> Decision | Refused:
        if self.looks is not None:
            self.looks(view)
        if self.refuse:
            return Refused("forbidden_transition", "the note does not want to be written")
        due = Due(at=view.at + timedelta(days=1), kind="note.due", subject=self.subject, book=self.book)
        event = Event(type=self.type, subject=self.subject, book=self.book, data=self.text.encode())
        return Decision(outcome=self.text, events=(event,), due=(due,), subject=self.subject)

    def render(self, outcome: Any) -> Answer:
        if isinstance(outcome, Refused):
            return Answer(409, outcome.code.encode())
        return Answer(201, str(outcome).encode())


def shard(database_url: str, id: int = 0, port: PostgresPort | None = None, **limits: Any) -> Shard:
    """A started shard."""
    started = Shard(id, port or PostgresPort(database_url), Limits(**limits))
    started.start()
    return started


def soon(seconds: float = 10.0) -> float:
    return monotonic() + seconds
