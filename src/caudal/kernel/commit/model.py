"""The nouns of the write path: commands, what they need, what they decide, and the rows that come of it."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from datetime import datetime, timedelta
from enum import IntEnum
from typing import Any, Generic, LiteralString, Protocol, TypeVar
from uuid import UUID

import msgspec

from caudal.kernel.errors import Refused

R = TypeVar("R")
K = TypeVar("K", bound=Hashable)

Statement = tuple[LiteralString, tuple[object, ...]]
Row = tuple[Any, ...]


class Lane(IntEnum):
    """Who goes first. Bulk work never keeps the others waiting twice."""

    URGENT = 0  # answers of providers, authorizations
    NORMAL = 1
    BULK = 2  # expiry storms, settlement, mass payouts


class Head(msgspec.Struct, kw_only=True):
    """Where a shard stands: read with its lock, advanced by the batch, written with the commit.

    `at` is the batch's time, which decides an expiry or an `at` and never goes back; `clock` is the server's, which
    decides what is due now and how long a lease is. They differ only where the server's clock was set back. `waited`
    says how long others held the lock.
    """

    shard: int
    event_seq: int
    posting_seq: int
    chain: bytes
    at: datetime
    clock: datetime
    waited: timedelta = timedelta(0)


class Table(Generic[K, R]):
    """A table whose rows commands read and write: brings its SQL, so that the kernel knows no service's table.

    A row is a frozen record. Rows that change carry `version` (1 when new); an update is written where the version
    still is what was read. Append-only tables leave `reading` and `updating` as they are.
    """

    name: str = ""

    def reading(self, shard: int, keys: Sequence[K]) -> Statement:
        """One statement that reads the rows of these keys."""
        raise NotImplementedError(f"{self.name} is never read in a batch")

    def load(self, row: Row) -> tuple[K, R]:
        """A row as it was read: its key and its record."""
        raise NotImplementedError(f"{self.name} is never read in a batch")

    def key(self, record: R) -> K:
        """The record's key."""
        raise NotImplementedError(f"{self.name} has no key in a batch")

    def inserting(self, head: Head, records: Sequence[R]) -> Iterable[Statement]:
        """Statements that insert these records, each with its own guard. May number them and advance the head."""
        raise NotImplementedError

    def updating(self, head: Head, changes: Sequence[tuple[int, R]]) -> Iterable[Statement]:
        """Statements that write (version that was read, record), each with its own guard."""
        raise NotImplementedError(f"rows of {self.name} never change")


class Put(msgspec.Struct, frozen=True, gc=False):
    """A decision's row: new, or changed. The kernel knows which, from what it has read."""

    table: Table[Any, Any]
    record: Any


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """What happened, for whoever listens. `data` is JSON; the batch numbers it."""

    type: str
    subject: UUID
    book: int
    data: bytes


class Due(msgspec.Struct, frozen=True, kw_only=True):
    """Work that becomes due: at that time a worker claims it with a lease and runs the job named `kind`.

    `said` is why it did not end when it was last tried, for people.
    """

    at: datetime
    kind: str
    subject: UUID
    book: int
    attempt: int = 0
    said: str | None = None


class Key(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The identity of a command in its shard: scope and 16-byte digest; the fingerprint of what was asked.

    `former` are the fingerprints of the same under former secrets. `prefix` is that of its object's public id, so that
    whoever comes while it is in progress learns the object.
    """

    book: int
    digest: bytes
    fingerprint: bytes
    former: tuple[bytes, ...] = ()
    prefix: str = ""

    @property
    def place(self) -> tuple[int, bytes]:
        return self.book, self.digest


class Answer(msgspec.Struct, frozen=True, gc=False):
    """What a request is answered with, byte for byte, now and at each replay."""

    status: int
    body: bytes
    replayed: bool = False


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """Rows, events and due work that commit together, and the outcome from which the answer is rendered.

    `pending_until`: the command is the first of several; its key stays in progress until then. `finishes`: the key
    of an earlier command that this one completes. `done` are pieces of due work that nothing waits for any more; they
    go before `due` comes.
    """

    outcome: Any = None
    puts: tuple[Put, ...] = ()
    events: tuple[Event, ...] = ()
    due: tuple[Due, ...] = ()
    done: tuple[Due, ...] = ()
    pending_until: datetime | None = None
    finishes: Key | None = None
    subject: UUID | None = None


class View(Protocol):
    """What a decision may look at: what was read, plus what earlier commands of the batch decided."""

    @property
    def at(self) -> datetime: ...

    @property
    def clock(self) -> datetime: ...

    @property
    def next_event_seq(self) -> int: ...

    def get(self, table: Table[K, R], key: K) -> R | None:
        """The row, or None where there is none. A key nobody asked for is read for the next batch."""
        ...

    def get_all(self, table: Table[K, R], keys: Sequence[K]) -> list[R | None]:
        """The rows of all these keys. Those that nobody asked for are read for the next batch at once."""
        ...


class Command(Protocol):
    """Something that is asked of a shard.

    `decide` is pure: it may be called again with another view. `recorded` marks what has already happened in the
    world (an answer, a callback, a release): it is never refused, dropped or rate-limited.
    """

    @property
    def book(self) -> int: ...
    @property
    def lane(self) -> Lane: ...
    @property
    def recorded(self) -> bool: ...
    @property
    def key(self) -> Key | None: ...

    def needs(self) -> Iterable[tuple[Table[Any, Any], Any]]:
        """Rows that the decision is going to look at."""
        ...

    def decide(self, view: View) -> Decision | Refused:
        """The judgement."""
        ...

    def render(self, outcome: Any | Refused) -> Answer:
        """The answer that is stored under the key: of the decision's outcome, or of the refusal."""
        ...


class Missing(Exception):
    """A decision looked at rows that were not read; the command goes first in the next batch."""

    def __init__(self, table: Table[Any, Any], keys: Sequence[Any]) -> None:
        super().__init__(f"{table.name} {', '.join(map(repr, keys))}")
        self.needs = tuple((table, key) for key in keys)


class Result(msgspec.Struct, frozen=True):
    """What the caller of a command gets after the commit."""

    outcome: Any
    answer: Answer | None
