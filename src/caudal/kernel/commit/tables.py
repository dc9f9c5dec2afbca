"""The kernel's own rows: keys, events, due work, and the batch itself."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from caudal.kernel import sqlfile
from caudal.kernel.commit.model import Due, Event, Head, Row, Statement, Table
from caudal.kernel.db import bigints, byteas, integers, texts, timestamps, uuids

SQL: Final = sqlfile.queries(Path(__file__).with_name("queries.sql"))


class KeyRecord(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A key as it is stored. `answer` is None while the command is in progress, at most until `deadline`."""

    book: int
    digest: bytes
    fingerprint: bytes
    subject: UUID | None
    status: int | None
    answer: bytes | None
    deadline: datetime | None
    version: int
    created_at: datetime | None = None


class Keys(Table[tuple[int, bytes], KeyRecord]):
    """Idempotency: the key row commits with the effect and holds the rendered answer."""

    name = "key"

    def reading(self, shard: int, keys: Sequence[tuple[int, bytes]]) -> Statement:
        return SQL["read_keys"], (
            bigints([book for book, _ in keys]),
            byteas([digest for _, digest in keys]),
            shard,
            shard,
        )

    def load(self, row: Row) -> tuple[tuple[int, bytes], KeyRecord]:
        book, digest, fingerprint, subject, status, answer, deadline, version, created_at = row
        record = KeyRecord(
            book=book,
            digest=digest,
            fingerprint=fingerprint,
            subject=subject,
            status=status,
            answer=answer,
            deadline=deadline,
            version=version,
            created_at=created_at,
        )
        return (book, digest), record

    def key(self, record: KeyRecord) -> tuple[int, bytes]:
        return record.book, record.digest

    def inserting(self, head: Head, records: Sequence[KeyRecord]) -> Iterable[Statement]:
        columns = (
            integers([r.version for r in records]),  # one that is finished in the batch that began it has gone on
            bigints([r.book for r in records]),
            byteas([r.digest for r in records]),
            byteas([r.fingerprint for r in records]),
            uuids([r.subject for r in records]),
            integers([r.status for r in records]),
            byteas([r.answer for r in records]),
            timestamps([r.deadline for r in records]),
        )
        yield SQL["insert_keys"], (head.shard, head.at, *columns, len(records))

    def updating(self, head: Head, changes: Sequence[tuple[int, KeyRecord]]) -> Iterable[Statement]:
        records = [record for _, record in changes]
        columns = (
            bigints([r.book for r in records]),
            byteas([r.digest for r in records]),
            timestamps([r.created_at for r in records]),
            integers([version for version, _ in changes]),
            integers([r.version for r in records]),
            uuids([r.subject for r in records]),
            integers([r.status for r in records]),
            byteas([r.answer for r in records]),
            timestamps([r.deadline for r in records]),
        )
        yield SQL["update_keys"], (*columns, head.shard, len(records))


class DueNow(Table[tuple[int, tuple[str, ...]], tuple[Due, ...]]):
    """What is due at this moment: the key is how much at most, and which kinds are not wanted.

    Read by the command that claims it, alone in its batch.
    """

    name = "due"

    def reading(self, shard: int, keys: Sequence[tuple[int, tuple[str, ...]]]) -> Statement:
        [(limit, without)] = keys
        return SQL["read_due_now"], (shard, texts(without), limit)

    def load(self, row: Row) -> tuple[tuple[int, tuple[str, ...]], tuple[Due, ...]]:
        raise AssertionError("due work is collected by load_all")

    def load_all(self, rows: Sequence[Row]) -> tuple[Due, ...]:
        """All rows of one look."""
        return tuple(due_of(row) for row in rows)


class DueWork(Table[tuple[datetime, str, UUID], Due]):
    """Pieces of due work that are known by name: whoever holds them looks whether they are still there."""

    name = "due work"

    def reading(self, shard: int, keys: Sequence[tuple[datetime, str, UUID]]) -> Statement:
        columns = (
            timestamps([at for at, _, _ in keys]),
            texts([kind for _, kind, _ in keys]),
            uuids([subject for *_, subject in keys]),
        )
        return SQL["read_due"], (*columns, shard)

    def load(self, row: Row) -> tuple[tuple[datetime, str, UUID], Due]:
        due = due_of(row)
        return (due.at, due.kind, due.subject), due


KEYS: Final = Keys()
DUE_NOW: Final = DueNow()
DUE_WORK: Final = DueWork()


def due_of(row: Row) -> Due:
    """A row of `due`."""
    at, kind, subject, book, attempt, said = row
    return Due(at=at, kind=kind, subject=subject, book=book, attempt=attempt, said=said)


def inserting_events(head: Head, events: Sequence[Event]) -> Statement:
    """Numbers the events in the order of the batch; advances the head."""
    first = head.event_seq + 1
    head.event_seq += len(events)
    columns = (
        bigints(range(first, first + len(events))),
        bigints([e.book for e in events]),
        uuids([e.subject for e in events]),
        texts([e.type for e in events]),
        byteas([e.data for e in events]),
    )
    return SQL["insert_events"], (head.shard, head.at, *columns, len(events))


def inserting_due(head: Head, due: Sequence[Due]) -> Iterable[Statement]:
    """New due work; that which was tried in vain with what was said then."""
    new = [d for d in due if d.said is None]
    if new:
        yield SQL["insert_due"], (head.shard, *_due_columns(new), len(new))
    told = [d for d in due if d.said is not None]
    if told:
        yield SQL["insert_told_due"], (head.shard, *_due_columns(told), texts([d.said for d in told]), len(told))


def _due_columns(due: Sequence[Due]) -> tuple[object, ...]:
    return (
        timestamps([d.at for d in due]),
        texts([d.kind for d in due]),
        uuids([d.subject for d in due]),
        bigints([d.book for d in due]),
        integers([d.attempt for d in due]),
    )


def deleting_due(head: Head, due: Sequence[Due]) -> Statement:
    """Due work that is done or that nothing waits for any more."""
    columns = (timestamps([d.at for d in due]), texts([d.kind for d in due]), uuids([d.subject for d in due]))
    return SQL["delete_due"], (*columns, head.shard)


def advancing(batch: UUID, commands: int, before: Head, after: Head) -> Statement:
    """The batch's own row, and the shard moved on from where it was read."""
    row = (before.shard, batch, commands, before.event_seq + 1, after.event_seq, before.posting_seq + 1)
    moved = (after.event_seq, after.posting_seq, after.chain, after.at)
    return SQL["advance_shard"], (
        *row,
        after.posting_seq,
        after.at,
        *moved,
        before.shard,
        before.event_seq,
        before.posting_seq,
    )
