"""Disputes and their evidence as the write path takes them. The files themselves never pass through a batch."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from uuid import UUID

from caudal.kernel.commit import Head, Row, Statement, Table
from caudal.kernel.db import bigints, byteas, dates, integers, texts, timestamps, uuids
from caudal.payins.model import Dispute, Evidence
from caudal.payins.rows.payins import SQL
from caudal.payins.states import DisputeStatus


def dispute_of(row: Row) -> Dispute:
    """A row of `dispute`, in the order in which every query names its columns."""
    names = Dispute.__struct_fields__
    return Dispute(**{**dict(zip(names, row, strict=True)), "status": DisputeStatus(row[6])})


def evidence_of(row: Row) -> Evidence:
    """A row of `dispute_evidence`."""
    return Evidence(**dict(zip(Evidence.__struct_fields__, row, strict=True)))


class Disputes(Table[UUID, Dispute]):
    """Disputes as they stand."""

    name = "dispute"

    def reading(self, shard: int, keys: Sequence[UUID]) -> Statement:
        return SQL["read_disputes"], (shard, uuids(keys))

    def load(self, row: Row) -> tuple[UUID, Dispute]:
        dispute = dispute_of(row)
        return dispute.id, dispute

    def key(self, record: Dispute) -> UUID:
        return record.id

    def inserting(self, head: Head, records: Sequence[Dispute]) -> Iterable[Statement]:
        columns = (
            uuids([d.id for d in records]),
            bigints([d.book for d in records]),
            uuids([d.payin for d in records]),
            integers([d.version for d in records]),
            texts([d.provider for d in records]),
            texts([d.reference for d in records]),
            texts([d.status for d in records]),
            texts([d.reason for d in records]),
            texts([d.currency for d in records]),
            bigints([d.amount_minor for d in records]),
            bigints([d.fee_minor for d in records]),
            bigints([d.from_pending_minor for d in records]),
            dates([d.day for d in records]),
            integers([d.evidence for d in records]),
            timestamps([d.respond_by for d in records]),
            timestamps([d.opened_at for d in records]),
            timestamps([d.closed_at for d in records]),
        )
        yield SQL["insert_disputes"], (head.shard, *columns, len(records))

    def updating(self, head: Head, changes: Sequence[tuple[int, Dispute]]) -> Iterable[Statement]:
        records = [record for _, record in changes]
        columns = (
            uuids([d.id for d in records]),
            integers([version for version, _ in changes]),
            integers([d.version for d in records]),
            texts([d.status for d in records]),
            integers([d.evidence for d in records]),
            timestamps([d.closed_at for d in records]),
        )
        yield SQL["update_disputes"], (*columns, head.shard, len(changes))


class EvidenceRows(Table[UUID, Evidence]):
    """What is said of each file."""

    name = "dispute_evidence"

    def reading(self, shard: int, keys: Sequence[UUID]) -> Statement:
        return SQL["read_evidence"], (shard, uuids(keys))

    def load(self, row: Row) -> tuple[UUID, Evidence]:
        evidence = evidence_of(row)
        return evidence.id, evidence

    def key(self, record: Evidence) -> UUID:
        return record.id

    def inserting(self, head: Head, records: Sequence[Evidence]) -> Iterable[Statement]:
        columns = (
            uuids([e.id for e in records]),
            bigints([e.book for e in records]),
            uuids([e.dispute for e in records]),
            integers([e.version for e in records]),
            texts([e.kind for e in records]),
            texts([e.content_type for e in records]),
            integers([e.size_bytes for e in records]),
            byteas([e.sha256 for e in records]),
            texts([e.status for e in records]),
            texts([e.reason for e in records]),
            timestamps([e.created_at for e in records]),
            timestamps([e.sent_at for e in records]),
        )
        yield SQL["insert_evidence"], (head.shard, *columns, len(records))

    def updating(self, head: Head, changes: Sequence[tuple[int, Evidence]]) -> Iterable[Statement]:
        records = [record for _, record in changes]
        columns = (
            uuids([e.id for e in records]),
            integers([version for version, _ in changes]),
            integers([e.version for e in records]),
            texts([e.status for e in records]),
            texts([e.reason for e in records]),
            timestamps([e.sent_at for e in records]),
        )
        yield SQL["update_evidence"], (*columns, head.shard, len(changes))


DISPUTES: Final = Disputes()
EVIDENCE: Final = EvidenceRows()
