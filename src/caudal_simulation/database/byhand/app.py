"""Of the processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from caudal_simulation.database.engine import Session, Statement
from caudal_simulation.database.schema import Row, relations

_DUE: Final = relations()["due"].at


def anything_due(session: Session, given: Sequence[Any]) -> tuple[list[Row], int]:
    shard, without = given
    now = session.database.now()
    for row in session.all("due"):
        if row[_DUE["at"]] <= now and row[_DUE["shard"]] == shard and row[_DUE["kind"]] not in without:
            return [(1,)], 1
    return [], 0


def shards(session: Session, given: Sequence[Any]) -> tuple[list[Row], int]:
    found: list[Row] = sorted((row[0],) for row in session.all("shard"))
    return found, len(found)


STATEMENTS: Final[Mapping[str, Statement]] = {"anything_due": anything_due, "shards": shards}
