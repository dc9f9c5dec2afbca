"""The table of the vault as the write path takes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

from caudal.kernel import sqlfile
from caudal.kernel.commit import Head, Row, Statement, Table
from caudal.kernel.db import bigints, byteas, integers, texts, timestamps, uuids
from caudal.vault.model import InstrumentRecord

SQL: Final = sqlfile.queries(Path(__file__).with_name("queries.sql"))


def instrument_of(row: Row) -> InstrumentRecord:
    """A row of `instrument`, in the order in which every query names its columns."""
    return InstrumentRecord(**dict(zip(InstrumentRecord.__struct_fields__, row, strict=True)))


class Instruments(Table[UUID, InstrumentRecord]):
    """Instruments as they stand."""

    name = "instrument"

    def reading(self, shard: int, keys: Sequence[UUID]) -> Statement:
        return SQL["read_instruments"], (shard, uuids(keys))

    def load(self, row: Row) -> tuple[UUID, InstrumentRecord]:
        record = instrument_of(row)
        return record.id, record

    def key(self, record: InstrumentRecord) -> UUID:
        return record.id

    def inserting(self, head: Head, records: Sequence[InstrumentRecord]) -> Iterable[Statement]:
        columns = (
            uuids([r.id for r in records]),
            bigints([r.book for r in records]),
            integers([r.version for r in records]),
            texts([r.type for r in records]),
            texts([r.brand for r in records]),
            texts([r.bin for r in records]),
            texts([r.last4 for r in records]),
            integers([r.expiry_month for r in records]),
            integers([r.expiry_year for r in records]),
            texts([r.country for r in records]),
            byteas([r.holder for r in records]),
            texts([r.key_id for r in records]),
            byteas([r.wrapped for r in records]),
            byteas([r.sealed for r in records]),
            byteas([r.code for r in records]),
            timestamps([r.code_until for r in records]),
            timestamps([r.created_at for r in records]),
            timestamps([r.deleted_at for r in records]),
        )
        yield SQL["insert_instruments"], (head.shard, *columns, len(records))

    def updating(self, head: Head, changes: Sequence[tuple[int, InstrumentRecord]]) -> Iterable[Statement]:
        records = [record for _, record in changes]
        columns = (
            uuids([r.id for r in records]),
            integers([version for version, _ in changes]),
            integers([r.version for r in records]),
            byteas([r.holder for r in records]),
            texts([r.key_id for r in records]),
            byteas([r.wrapped for r in records]),
            byteas([r.sealed for r in records]),
            byteas([r.code for r in records]),
            timestamps([r.code_until for r in records]),
            timestamps([r.deleted_at for r in records]),
        )
        yield SQL["update_instruments"], (*columns, head.shard, len(changes))


INSTRUMENTS: Final = Instruments()
