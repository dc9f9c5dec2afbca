"""Rows that a decision would look at, read outside of a batch: so that a page shows what the decision would say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from itertools import count
from typing import Any, TypeVar

from caudal.kernel.commit import Table
from caudal.kernel.context import Context
from caudal.payins import decide, store
from caudal.payins.model import Discrepancy
from caudal.payins.rows import DEPOSITS, DISCREPANCIES, PAYINS

K = TypeVar("K")
R = TypeVar("R")
Need = tuple[Table[Any, Any], Any]


class Seen:
    """A view of what was read; the rest is taken for absent. `next_event_seq` means nothing here."""

    next_event_seq = 0

    def __init__(self, at: datetime) -> None:
        self.at = self.clock = at
        self._rows: dict[Table[Any, Any], dict[Any, Any]] = {}

    def get(self, table: Table[K, R], key: K) -> R | None:
        """The row, if there is one."""
        found: R | None = self._rows.get(table, {}).get(key)
        return found

    def get_all(self, table: Table[K, R], keys: Sequence[K]) -> list[R | None]:
        """The rows, likewise."""
        return [self.get(table, key) for key in keys]

    async def read(self, context: Context, shard: int, needs: Iterable[Need]) -> None:
        """Reads these rows, one query a table."""
        wanted: dict[Table[Any, Any], dict[Any, None]] = {}
        for table, key in needs:
            wanted.setdefault(table, {})[key] = None
        for table, keys in wanted.items():
            query, parameters = table.reading(shard, list(keys))
            here = self._rows.setdefault(table, {})
            here.update(table.load(row) for row in await context.rows(query, parameters))


async def seen_of(context: Context, shard: int, rows: Sequence[Discrepancy]) -> Seen:
    """What the proposals of these discrepancies look at."""
    seen = Seen(await store.now(context))
    await seen.read(context, shard, (need for row in rows for need in decide.needs_of(row, None)))
    more = list[Need]()
    for row in rows:
        payin = None if row.payin is None else seen.get(PAYINS, row.payin)
        if payin is not None:
            more += [*decide.needs_of(row, payin.method), *decide.more_needs_of(payin)]
    await seen.read(context, shard, more)
    deposits = (seen.get(DEPOSITS, key) for table, key in more if table is DEPOSITS)
    keys = [key for deposit in deposits if deposit is not None for key in decide.gone_back_keys(deposit)]
    for block in count():
        ids = decide.gone_back_ids(keys, block)
        await seen.read(context, shard, ((DISCREPANCIES, id) for id in ids))
        cases = seen.get_all(DISCREPANCIES, ids)
        if not any(cases):
            break
    return seen
