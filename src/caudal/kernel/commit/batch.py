"""One batch without its database: which rows to read, every command decided in order, which statements to send.

Pure: the same commands over the same rows give the same statements, so that a batch of n is n batches of one (a test
compares every table). A command that is refused leaves no row but its key; a command whose decision breaks leaves
nothing and stops nobody.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from caudal.kernel import ids
from caudal.kernel.commit.model import (
    Answer,
    Command,
    Decision,
    Due,
    Event,
    Head,
    Key,
    Missing,
    Put,
    Result,
    Row,
    Statement,
    Table,
)
from caudal.kernel.commit.tables import (
    DUE_NOW,
    KEYS,
    KeyRecord,
    advancing,
    deleting_due,
    inserting_due,
    inserting_events,
)
from caudal.kernel.errors import CaudalError, Fault, Invalid, Refused, Retry

K = TypeVar("K")
R = TypeVar("R")
_ABSENT = object()

Need = tuple[Table[Any, Any], Any]


class Ask(msgspec.Struct, kw_only=True):
    """A command in the queue: what else it needs, and how often it found out."""

    command: Command
    extra: tuple[Need, ...] = ()
    rereads: int = 0


def reads_of(asks: Iterable[Ask]) -> dict[Table[Any, Any], list[Any]]:
    """The rows that the commands need, by table, each once."""
    wanted: dict[Table[Any, Any], dict[Any, None]] = {}
    for ask in asks:
        key = ask.command.key
        if key is not None:
            wanted.setdefault(KEYS, {})[key.place] = None
        for table, row in (*ask.command.needs(), *ask.extra):
            wanted.setdefault(table, {})[row] = None
    return {table: list(keys) for table, keys in wanted.items()}


class Batch:
    """The view that decisions look at, and what they have decided so far."""

    def __init__(self, head: Head, reads: dict[Table[Any, Any], list[Any]], found: Sequence[Sequence[Row]]) -> None:
        self.before = head
        self.at: datetime = head.at
        self.clock: datetime = head.clock
        self._rows: dict[Table[Any, Any], dict[Any, Any]] = {}
        for (table, keys), rows in zip(reads.items(), found, strict=True):
            if table is DUE_NOW:
                self._rows[table] = dict.fromkeys(keys, DUE_NOW.load_all(rows))
                continue
            here: dict[Any, Any] = dict.fromkeys(keys)
            here.update(table.load(row) for row in rows)
            self._rows[table] = here
        self._changed: dict[Table[Any, Any], dict[Any, int]] = {}  # the version that was read; 0: the row is new
        self._appended: dict[Table[Any, Any], list[Any]] = {}
        self._events: list[Event] = []
        self._due: dict[tuple[datetime, str, UUID], Due] = {}
        self._done: list[Due] = []

    @property
    def events(self) -> int:
        """How many events there are so far."""
        return len(self._events)

    # What a decision may look at

    @property
    def next_event_seq(self) -> int:
        """The number that the decision's first event is going to get."""
        return self.before.event_seq + len(self._events) + 1

    def get(self, table: Table[K, R], key: K) -> R | None:
        """The row as it is by now. Raises Missing for a key that nobody read."""
        rows = self._rows.get(table)
        if rows is None or (record := rows.get(key, _ABSENT)) is _ABSENT:
            raise Missing(table, (key,))
        found: R | None = record
        return found

    def get_all(self, table: Table[K, R], keys: Sequence[K]) -> list[R | None]:
        """The rows as they are by now. Raises Missing for all that nobody read."""
        rows = self._rows.get(table, {})
        absent = [key for key in keys if key not in rows]
        if absent:
            raise Missing(table, absent)
        return [rows[key] for key in keys]

    # One command

    def decide(self, command: Command) -> Result | CaudalError:
        """The command's result. Raises Missing when it needs another row first."""
        key = command.key
        if key is not None:
            earlier = self.get(KEYS, key.place)
            if earlier is not None:
                return replay(earlier, key, self.at)
        try:
            decision = command.decide(self)
            if isinstance(decision, Refused):
                return self._refuse(command, decision)
            answer = command.render(decision.outcome) if _answers(command, decision) else None
        except Missing:
            raise
        except Exception as error:
            fault = Fault("internal_error", "a decision broke; nothing was written")
            fault.__cause__ = error
            return fault
        self._take(command, decision, answer)
        return Result(decision.outcome, answer)

    def _refuse(self, command: Command, refusal: Refused) -> Result:
        if command.key is None:
            return Result(refusal, None)
        answer = command.render(refusal)
        if not isinstance(refusal, Invalid):
            self._put_key(command.key, None, answer, None)
        return Result(refusal, answer)

    def _take(self, command: Command, decision: Decision, answer: Answer | None) -> None:
        for put in decision.puts:
            self._put(put)
        self._events.extend(decision.events)
        for due in decision.done:
            if self._due.pop((due.at, due.kind, due.subject), None) is None:
                self._done.append(due)
        for due in decision.due:
            self._due[due.at, due.kind, due.subject] = due
        if command.key is not None:
            stored = None if decision.pending_until is not None else answer
            self._put_key(command.key, decision.subject, stored, decision.pending_until)
        if decision.finishes is not None:
            self._finish(decision.finishes, answer)

    def _put(self, put: Put) -> None:
        table, record = put.table, put.record
        version = getattr(record, "version", None)
        if version is None:
            self._appended.setdefault(table, []).append(record)
            return
        key = table.key(record)
        rows, changed = self._rows.setdefault(table, {}), self._changed.setdefault(table, {})
        read = changed.get(key)
        if read is None:
            before = rows.get(key)
            read = changed[key] = 0 if before is None else before.version
        assert version > read, f"{table.name} {key}: a change raises the version"
        rows[key] = record

    def _put_key(self, key: Key, subject: UUID | None, answer: Answer | None, deadline: datetime | None) -> None:
        record = KeyRecord(
            book=key.book,
            digest=key.digest,
            fingerprint=key.fingerprint,
            subject=subject,
            status=None if answer is None else answer.status,
            answer=None if answer is None else answer.body,
            deadline=deadline,
            version=1,
        )
        self._put(Put(KEYS, record))

    def _finish(self, key: Key, answer: Answer | None) -> None:
        pending = self.get(KEYS, key.place)
        if pending is None or pending.answer is not None or answer is None:
            return  # somebody finished it before
        self._put(
            Put(
                KEYS,
                msgspec.structs.replace(
                    pending, status=answer.status, answer=answer.body, deadline=None, version=pending.version + 1
                ),
            )
        )

    # All of it

    @property
    def wrote(self) -> bool:
        """Whether there is anything to commit."""
        return bool(self._changed or self._appended or self._events or self._due or self._done)

    def statements(self, batch: UUID, commands: int) -> list[Statement]:
        """Everything to send before the COMMIT, one statement a table and kind of change."""
        head = msgspec.structs.replace(self.before)
        out: list[Statement] = []
        for table, versions in self._changed.items():
            rows = self._rows[table]
            new = [rows[key] for key, version in versions.items() if not version]
            if new:
                out.extend(table.inserting(head, new))
            changed = [(version, rows[key]) for key, version in versions.items() if version]
            if changed:
                out.extend(table.updating(head, changed))
        for table, records in self._appended.items():
            out.extend(table.inserting(head, records))
        if self._done:
            out.append(deleting_due(head, self._done))
        if self._due:
            out.extend(inserting_due(head, list(self._due.values())))
        if self._events:
            out.append(inserting_events(head, self._events))
        out.append(advancing(batch, commands, self.before, head))
        return out


def _answers(command: Command, decision: Decision) -> bool:
    return (command.key is not None and decision.pending_until is None) or decision.finishes is not None


def replay(earlier: KeyRecord, key: Key, at: datetime) -> Result | CaudalError:
    """What a key that was used before answers with."""
    if earlier.fingerprint not in (key.fingerprint, *key.former):
        return Refused("key_reused", "this Idempotency-Key was used for another request")
    if earlier.answer is None:
        wait_s = 1.0 if earlier.deadline is None else max((earlier.deadline - at).total_seconds(), 0.1)
        object = ids.public(key.prefix, earlier.subject) if key.prefix and earlier.subject is not None else None
        detail = "the first request with this Idempotency-Key has not ended"
        return Retry("key_in_progress", detail, after_s=wait_s, object=object)
    assert earlier.status is not None, "an answer has a status"
    return Result(earlier.subject, Answer(earlier.status, earlier.answer, replayed=True))
