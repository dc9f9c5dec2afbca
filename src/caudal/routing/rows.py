"""The table of routing as the write path takes it. A profile is written once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final
from uuid import UUID

import msgspec

from caudal.kernel import sqlfile
from caudal.kernel.commit import Head, Row, Statement, Table
from caudal.kernel.db import bigints, byteas, integers, texts, timestamps, uuids
from caudal.kernel.http import encode
from caudal.routing.model import Profile, Rule

SQL: Final = sqlfile.queries(Path(__file__).with_name("queries.sql"))
_rules_in: Final = msgspec.json.Decoder(tuple[Rule, ...]).decode


def profile_of(row: Row) -> Profile:
    """A row of `routing_profile`, in the order in which every query names its columns."""
    id, book, number, name, attempts_max, rules, created_at = row
    return Profile(
        id=id,
        book=book,
        number=number,
        name=name,
        attempts_max=attempts_max,
        rules=_rules_in(rules),
        created_at=created_at,
    )


class Profiles(Table[UUID, Profile]):
    """Routing profiles, by id."""

    name = "routing_profile"

    def reading(self, shard: int, keys: Sequence[UUID]) -> Statement:
        return SQL["read_profiles"], (shard, uuids(keys))

    def load(self, row: Row) -> tuple[UUID, Profile]:
        record = profile_of(row)
        return record.id, record

    def key(self, record: Profile) -> UUID:
        return record.id

    def inserting(self, head: Head, records: Sequence[Profile]) -> Iterable[Statement]:
        columns = (
            uuids([r.id for r in records]),
            bigints([r.book for r in records]),
            integers([r.number for r in records]),
            texts([r.name for r in records]),
            integers([r.attempts_max for r in records]),
            byteas([encode(r.rules) for r in records]),
            timestamps([r.created_at for r in records]),
        )
        yield SQL["insert_profiles"], (head.shard, *columns, len(records))


PROFILES: Final = Profiles()
