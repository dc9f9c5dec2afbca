"""What a batch reads and writes of webhooks: endpoints; deliveries and ranges that somebody asked for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, LiteralString
from uuid import UUID

import msgspec

from caudal.kernel import sqlfile
from caudal.kernel.commit import Head, Row, Statement, Table
from caudal.kernel.db import bigints, booleans, byteas, integers, texts, timestamps, uuids
from caudal.webhooks.model import Delivery, Endpoint, RangeRecord

SQL: Final = sqlfile.queries(Path(__file__).with_name("queries.sql"))


class Endpoints(Table[UUID, Endpoint]):
    """Endpoints, by id. Each has a row of the queue; a change lets whoever delivers look at it."""

    name = "webhook_endpoint"

    def reading(self, shard: int, keys: Sequence[UUID]) -> Statement:
        return SQL["read_endpoints"], (shard, uuids(keys))

    def load(self, row: Row) -> tuple[UUID, Endpoint]:
        record = endpoint_of(row)
        return record.id, record

    def key(self, record: Endpoint) -> UUID:
        return record.id

    def inserting(self, head: Head, records: Sequence[Endpoint]) -> Iterable[Statement]:
        columns = (
            uuids([r.id for r in records]),
            bigints([r.book for r in records]),
            integers([r.version for r in records]),
            texts([r.url for r in records]),
            texts([" ".join(r.types) for r in records]),
            texts([r.description for r in records]),
            texts([r.status for r in records]),
            texts([r.reason for r in records]),
            byteas([r.sealed for r in records]),
            byteas([r.former_sealed for r in records]),
            timestamps([r.former_until for r in records]),
            timestamps([r.created_at for r in records]),
            timestamps([r.disabled_at for r in records]),
        )
        yield SQL["insert_endpoints"], (head.shard, *columns, len(records))
        yield SQL["insert_queues"], (head.shard, uuids([r.id for r in records]), len(records))

    def updating(self, head: Head, changes: Sequence[tuple[int, Endpoint]]) -> Iterable[Statement]:
        records = [record for _, record in changes]
        columns = (
            integers([version for version, _ in changes]),
            uuids([r.id for r in records]),
            integers([r.version for r in records]),
            texts([r.url for r in records]),
            texts([" ".join(r.types) for r in records]),
            texts([r.description for r in records]),
            texts([r.status for r in records]),
            texts([r.reason for r in records]),
            byteas([r.sealed for r in records]),
            byteas([r.former_sealed for r in records]),
            timestamps([r.former_until for r in records]),
            timestamps([r.disabled_at for r in records]),
            timestamps([r.deleted_at for r in records]),
        )
        yield SQL["update_endpoints"], (*columns, head.shard, len(records))
        yield SQL["begin_again"], (head.shard, head.shard, uuids([r.id for r in records]))


class Deliveries(Table[UUID, Delivery]):
    """Deliveries that somebody asked for: written, never read in a batch."""

    name = "webhook_delivery"

    def inserting(self, head: Head, records: Sequence[Delivery]) -> Iterable[Statement]:
        yield inserting_deliveries(head.shard, records, head.at)
        yield waking(head.shard, {r.endpoint for r in records})


class Ranges(Table[UUID, RangeRecord]):
    """Ranges of events for a job: written, never read in a batch."""

    name = "webhook_range"

    def inserting(self, head: Head, records: Sequence[RangeRecord]) -> Iterable[Statement]:
        columns = (
            uuids([r.id for r in records]),
            bigints([r.book for r in records]),
            uuids([r.endpoint for r in records]),
            timestamps([r.since for r in records]),
            timestamps([r.until for r in records]),
            texts([" ".join(r.types) for r in records]),
            booleans([r.only_failed for r in records]),
            timestamps([r.created_at for r in records]),
        )
        yield SQL["insert_ranges"], (head.shard, *columns, len(records))


class Count(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How many of something a book has. It is counted, not kept: `version` says what a batch has done to it."""

    book: int
    count: int
    version: int = 1


class Counts(Table[int, Count]):
    """Counts by book, under the shard's lock; whoever makes one more or one less puts the new count for the next."""

    def __init__(self, name: str, counting: LiteralString) -> None:
        self.name, self._counting = name, counting

    def reading(self, shard: int, keys: Sequence[int]) -> Statement:
        return self._counting, (shard, bigints(keys))

    def load(self, row: Row) -> tuple[int, Count]:
        book, count = row
        return book, Count(book=book, count=count)

    def key(self, record: Count) -> int:
        return record.book

    def updating(self, head: Head, changes: Sequence[tuple[int, Count]]) -> Iterable[Statement]:
        return ()


ENDPOINTS: Final = Endpoints()
DELIVERIES: Final = Deliveries()
RANGES: Final = Ranges()
ENDPOINT_COUNTS: Final = Counts("webhook_endpoint count", SQL["count_endpoints"])
RANGE_COUNTS: Final = Counts("webhook_range count", SQL["count_ranges"])


def inserting_deliveries(shard: int, records: Sequence[Delivery], at: datetime | None = None) -> Statement:
    """One statement for all of them, made now unless `at` is another moment, and due at once."""
    columns = (
        uuids([r.id for r in records]),
        bigints([r.book for r in records]),
        uuids([r.endpoint for r in records]),
        bigints([r.event_seq for r in records]),
        timestamps([r.event_at for r in records]),
        texts([r.type for r in records]),
        uuids([r.subject for r in records]),
        texts([r.cause for r in records]),
    )
    return SQL["insert_deliveries"], (shard, at, *columns)


def waking(shard: int, endpoints: Iterable[UUID]) -> Statement:
    """Lets whoever delivers look at these endpoints."""
    return SQL["wake"], (shard, shard, uuids(list(endpoints)))


def endpoint_of(row: Row) -> Endpoint:
    """A row of `webhook_endpoint`."""
    id, book, version, url, types, description, status, reason, sealed, former, until, created_at, *ended = row
    disabled_at, deleted_at = ended
    return Endpoint(
        id=id,
        book=book,
        version=version,
        url=url,
        types=tuple(types),
        description=description,
        status=status,
        reason=reason,
        sealed=None if sealed is None else bytes(sealed),
        former_sealed=None if former is None else bytes(former),
        former_until=until,
        created_at=created_at,
        disabled_at=disabled_at,
        deleted_at=deleted_at,
    )


def delivery_of(row: Row) -> Delivery:
    """A row of `webhook_delivery`."""
    id, created_at, book, endpoint, event_seq, event_at, type, subject, cause, status, attempts, due_at = row
    return Delivery(
        id=id,
        created_at=created_at,
        book=book,
        endpoint=endpoint,
        event_seq=event_seq,
        event_at=event_at,
        type=type,
        subject=subject,
        cause=cause,
        status=status,
        attempts=attempts,
        due_at=due_at,
    )
