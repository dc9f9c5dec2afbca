"""The way from the database into the model: by ranges of `seq`, each in its own short transaction, up to a mark.

The mark is the head that the shard shows when the replay begins; postings up to it never change. Balances do, so they
are read afterwards, and what differs is judged by the postings that arrived meanwhile: a second, short replay.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple
from uuid import UUID

import psycopg

from caudal.app.replay.model import Difference, Model
from caudal.kernel import sqlfile

SQL: Final = sqlfile.queries(Path(__file__).with_name("queries.sql"))
RANGE: Final = 10_000
_PAGE: Final = 5_000
_EPOCH_2000_US: Final = 946_684_800_000_000

Connection = psycopg.AsyncConnection[Any]
Progress = Callable[[int, int], None]


class Replayed(NamedTuple):
    """How many transfers were replayed, the shard's chain after the last one, and what was wrong.

    `unreported` counts the differences beyond the first thousand.
    """

    transfers: int
    chain: bytes
    differences: list[Difference]
    unreported: int


async def replay(
    connection: Connection, shard: int, *, range_size: int = RANGE, progress: Progress | None = None
) -> Replayed:
    """Replay a shard. `connection` is in autocommit; `progress(seq, mark)` is called after each range."""
    model = Model(shard)
    await _up_to_the_head(connection, model, range_size, progress)
    model.history = set()
    suspects = model.differing_accounts(await _accounts(connection, model, "accounts"))
    suspects += model.differing_accounts(await _accounts(connection, model, "last_entries"))
    suspects += model.differing_pendings(await _pendings(connection, model))
    [(last_transfer,)] = await _read(connection, "last_transfer", shard=shard)
    await _up_to_the_head(connection, model, range_size, progress)
    if last_transfer > model.seq:
        model.report("transfer_number", f"transfer {last_transfer}", f"is beyond the shard's last, {model.seq}")
    model.judge(dict.fromkeys(suspects))
    await _confirm_repeated(connection, model)
    return Replayed(model.seq, model.chain, model.differences, model.unreported)


async def _up_to_the_head(connection: Connection, model: Model, range_size: int, progress: Progress | None) -> None:
    heads = await _read(connection, "head", shard=model.shard)
    if not heads:
        raise LookupError(f"there is no shard {model.shard} in this database")
    [(mark, chain)] = heads
    low = model.seq
    while low < mark:
        high = min(low + range_size, mark)
        await _range(connection, model, low, high)
        low = high
        if progress is not None:
            progress(high, mark)
    if model.seq != mark:
        model.report("shard", f"shard {model.shard}", f"says {mark}, its last transfer is {model.seq}")
    if model.chain != chain:
        model.report("shard", f"shard {model.shard}", f"says {chain.hex()}, its last transfer {model.chain.hex()}")
    model.seq, model.chain = mark, chain


async def _range(connection: Connection, model: Model, low: int, high: int) -> None:
    async with connection.transaction():
        transfers = [
            _with_time(row, 12) for row in await _read(connection, "transfers", shard=model.shard, low=low, high=high)
        ]
        touched = model.touched(transfers, high - low - len(transfers))
        accounts, firsts, lasts = (list(column) for column in zip(*touched, strict=True)) if touched else ([], [], [])
        rows = await _read(connection, "entries", shard=model.shard, accounts=accounts, firsts=firsts, lasts=lasts)
    model.take(transfers, {(row[0], row[1]): row for row in rows})


async def _accounts(connection: Connection, model: Model, query: str) -> list[tuple[Any, ...]]:
    """Rows of `account`, or each account's last entry; an account of the model that is missing is reported."""
    found: list[tuple[Any, ...]] = []
    after = 0
    while page := await _read(connection, query, shard=model.shard, after=after, limit=_PAGE):
        found += page
        after = page[-1][0]
    for id in model.accounts.keys() - {row[0] for row in found}:
        if query == "accounts":  # a missing entry has been reported by the replay itself
            model.report("account", f"account {id}", "has entries and no row")
    return found


async def _pendings(connection: Connection, model: Model) -> list[tuple[Any, ...]]:
    found: list[tuple[Any, ...]] = []
    after = UUID(int=0)
    while page := await _read(connection, "pendings", shard=model.shard, after=after, limit=_PAGE):
        found += [_with_time(row[:-1], 9) for row in page]
        after = page[-1][-1]
    for id in model.pendings.keys() - {row[0] for row in found}:
        model.report("pending_transfer", f"pending transfer {id.hex()}", "has no row")
    return found


async def _confirm_repeated(connection: Connection, model: Model) -> None:
    pairs = model.repeated()
    seqs = sorted({seq for pair in pairs for seq in pair})
    ids: dict[int, UUID] = dict(await _read(connection, "ids", shard=model.shard, seqs=seqs)) if seqs else {}
    for first, second in pairs:
        if ids.get(first) == ids.get(second):
            model.report("transfer_id", f"transfer {second}", f"has the id of transfer {first}")


async def _read(connection: Connection, query: str, **parameters: object) -> list[tuple[Any, ...]]:
    cursor = connection.cursor(binary=True)
    await cursor.execute(SQL[query], parameters)
    return await cursor.fetchall()


def _with_time(row: tuple[Any, ...], index: int) -> tuple[Any, ...]:
    """The row with the time at `index` in microseconds since 1970."""
    packed = row[index]
    time = None if packed is None else int.from_bytes(packed, "big", signed=True) + _EPOCH_2000_US
    return (*row[:index], time, *row[index + 1 :])
