"""What operators have decided about providers, as the write path takes it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from caudal.kernel.commit import Head, Row, Statement, Table
from caudal.kernel.db import booleans, integers, texts, timestamps
from caudal.payins.model import OverrideRecord
from caudal.payins.rows.payins import SQL


def override_of(row: Row) -> OverrideRecord:
    """A row of `provider_override`, in the order in which every query names its columns."""
    return OverrideRecord(**dict(zip(OverrideRecord.__struct_fields__, row, strict=True)))


class Overrides(Table[tuple[str, str], OverrideRecord]):
    """One row a provider and mode, where an operator has decided anything."""

    name = "provider_override"

    def reading(self, shard: int, keys: Sequence[tuple[str, str]]) -> Statement:
        return SQL["read_overrides"], (texts([name for name, _ in keys]), texts([mode for _, mode in keys]), shard)

    def load(self, row: Row) -> tuple[tuple[str, str], OverrideRecord]:
        found = override_of(row)
        return self.key(found), found

    def key(self, record: OverrideRecord) -> tuple[str, str]:
        return record.provider, record.mode

    def inserting(self, head: Head, records: Sequence[OverrideRecord]) -> Iterable[Statement]:
        columns = (
            texts([o.provider for o in records]),
            texts([o.mode for o in records]),
            integers([o.version for o in records]),
            *_decided(records),
        )
        yield SQL["insert_overrides"], (head.shard, *columns, len(records))

    def updating(self, head: Head, changes: Sequence[tuple[int, OverrideRecord]]) -> Iterable[Statement]:
        records = [record for _, record in changes]
        columns = (
            texts([o.provider for o in records]),
            texts([o.mode for o in records]),
            integers([version for version, _ in changes]),
            integers([o.version for o in records]),
            *_decided(records),
        )
        yield SQL["update_overrides"], (*columns, head.shard, len(changes))


def _decided(records: Sequence[OverrideRecord]) -> tuple[object, ...]:
    return (
        texts([o.forced for o in records]),
        texts([o.forced_reason for o in records]),
        timestamps([o.forced_until for o in records]),
        booleans([o.drained for o in records]),
        texts([o.drained_reason for o in records]),
        timestamps([o.changed_at for o in records]),
    )


OVERRIDES: Final = Overrides()
