"""Something happened: what payins keep for themselves of the events. Search is a projection, seconds behind.

The consumer's position commits with its effect, so that each event counts once. It takes no shard's lock: what it
writes decides nothing.
"""

from __future__ import annotations

from typing import Final
from uuid import UUID

import msgspec

from caudal.kernel.context import Context
from caudal.kernel.db import bigints, byteas, uuids
from caudal.payins.model import Payer
from caudal.payins.rows import SQL

STEP: Final = 500


async def project_search(context: Context, shard: int) -> int:
    """Makes the next payins findable by reference, e-mail and document; how many events it went on."""
    async with context.connection() as connection, connection.transaction():
        cursor = connection.cursor(binary=True)
        row = await (await cursor.execute(SQL["search_mark"], (shard,))).fetchone()
        mark = 0 if row is None else row[0]
        row = await (await cursor.execute(SQL["head"], (shard,))).fetchone()
        last = min(mark + STEP, mark if row is None else row[0])
        if last == mark:
            return 0
        await cursor.execute(SQL["search_source"], (shard, mark, last))
        terms: list[tuple[int, bytes, UUID]] = []
        for _, book, payin, reference, sealed in await cursor.fetchall():
            for field, value in _searchable(context, payin, reference, sealed):
                terms.append((book, context.sealer.search_term(book, field, value), payin))
        if terms:
            books, digests, payins = zip(*terms, strict=True)
            await cursor.execute(SQL["search_insert"], (shard, bigints(books), byteas(digests), uuids(payins)))
        await cursor.execute(SQL["search_advance"], (shard, last))
        return int(last - mark)


def _searchable(context: Context, payin: UUID, reference: str | None, sealed: bytes | None) -> list[tuple[str, str]]:
    found = [] if reference is None else [("reference", reference)]
    if sealed is not None:
        payer = msgspec.json.decode(context.sealer.open(sealed, payin.bytes), type=Payer)
        found += [(field, value) for field in ("email", "document") if (value := getattr(payer, field)) is not None]
    return [(field, value.strip().lower()) for field, value in found]
