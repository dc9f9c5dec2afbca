"""The tables of settlement as the write path takes them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

from caudal.kernel import sqlfile
from caudal.kernel.commit import Head, Row, Statement, Table
from caudal.kernel.db import bigints, dates, integers, texts, timestamps, uuids
from caudal.settlement.model import BalanceTransaction, Release

SQL: Final = sqlfile.queries(Path(__file__).with_name("queries.sql"))


def transaction_of(row: Row) -> BalanceTransaction:
    """A row of `balance_transaction`, in the order in which every query names its columns."""
    return BalanceTransaction(**dict(zip(BalanceTransaction.__struct_fields__, row, strict=True)))


class Releases(Table[UUID, Release]):
    """What is earned for a day: all payments of a batch fold into one row."""

    name = "release"

    def reading(self, shard: int, keys: Sequence[UUID]) -> Statement:
        return SQL["read_releases"], (shard, uuids(keys))

    def load(self, row: Row) -> tuple[UUID, Release]:
        release = Release(**dict(zip(Release.__struct_fields__, row, strict=True)))
        return release.id, release

    def key(self, record: Release) -> UUID:
        return record.id

    def inserting(self, head: Head, records: Sequence[Release]) -> Iterable[Statement]:
        columns = (
            uuids([r.id for r in records]),
            bigints([r.book for r in records]),
            texts([r.currency for r in records]),
            dates([r.day for r in records]),
            integers([r.version for r in records]),
            bigints([r.amount_minor for r in records]),
            bigints([r.released_minor for r in records]),
            timestamps([r.due_at for r in records]),
        )
        yield SQL["insert_releases"], (head.shard, *columns, len(records))

    def updating(self, head: Head, changes: Sequence[tuple[int, Release]]) -> Iterable[Statement]:
        records = [record for _, record in changes]
        columns = (
            uuids([r.id for r in records]),
            integers([version for version, _ in changes]),
            integers([r.version for r in records]),
            bigints([r.amount_minor for r in records]),
            bigints([r.released_minor for r in records]),
            timestamps([r.due_at for r in records]),
        )
        yield SQL["update_releases"], (*columns, head.shard, len(changes))


class BalanceTransactions(Table[UUID, BalanceTransaction]):
    """The statement, only ever added to."""

    name = "balance_transaction"

    def inserting(self, head: Head, records: Sequence[BalanceTransaction]) -> Iterable[Statement]:
        columns = (
            uuids([t.id for t in records]),
            bigints([t.book for t in records]),
            timestamps([t.created_at for t in records]),
            texts([t.kind for t in records]),
            texts([t.currency for t in records]),
            bigints([t.gross_minor for t in records]),
            bigints([t.fee_minor for t in records]),
            bigints([t.net_minor for t in records]),
            uuids([t.subject for t in records]),
            texts([t.subject_kind for t in records]),
            uuids([t.payin for t in records]),
            dates([t.available_on for t in records]),
        )
        yield SQL["insert_balance_transactions"], (head.shard, *columns, len(records))


RELEASES: Final = Releases()
BALANCE_TRANSACTIONS: Final = BalanceTransactions()
