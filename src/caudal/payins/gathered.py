"""Payins that are looked at one by one, read many at a time: most of what is asked of the API is this."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from uuid import UUID

from caudal.kernel.commit import Row
from caudal.kernel.context import Context
from caudal.kernel.db import bigints, uuids
from caudal.kernel.gather import Gathered
from caudal.payins.rows import SQL

Key = tuple[UUID, int | None]
"""A payin, and the book that it has to be of; None: any."""


class PayinsRead:
    """One process's looks at payins with their payers, shard by shard."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._of: dict[int, Gathered[Key, Row]] = {}

    def of(self, shard: int) -> Gathered[Key, Row]:
        """Rows of one shard: the payin's columns, and its payer, sealed."""
        if shard not in self._of:
            self._of[shard] = Gathered(partial(self._read, shard))
        return self._of[shard]

    async def _read(self, shard: int, keys: Sequence[Key]) -> dict[Key, Row]:
        ids, books = zip(*keys, strict=True)
        rows = await self._context.rows(SQL["payins_by_id"], (uuids(ids), bigints(books), shard, shard))
        found = {row[0]: row for row in rows}
        return {key: row for key in keys if (row := found.get(key[0])) is not None and key[1] in (None, row[1])}
