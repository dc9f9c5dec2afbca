"""The database from Python: connections, and columns packed as PostgreSQL's binary arrays.

A batch writes `INSERT … SELECT … FROM unnest($1, $2, …)`: one array a column. Packing an array in one go costs a
tenth of adapting it element by element, so these wrappers carry the finished bytes and tell psycopg their type.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, date, datetime
from typing import Any, ClassVar, Final, TypeVar, cast
from uuid import UUID

import psycopg
from psycopg import pq
from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.conninfo import conninfo_to_dict, make_conninfo

T = TypeVar("T")

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_DAY_ZERO: Final = date(2000, 1, 1)
_NULL: Final = struct.pack("!i", -1)
_LENGTH: Final = struct.Struct("!i")
_UUID_LENGTH: Final = _LENGTH.pack(16)

# Sessions end themselves rather than hold a shard: a stopped client loses its lock within a second.
SESSION_SETTINGS: Final = {
    "idle_in_transaction_session_timeout": "1s",
    "lock_timeout": "2s",
    "transaction_timeout": "5s",
    "timezone": "UTC",
}
# Every statement of a batch is a probe of an index or an insert. With stale statistics the planner would read whole
# tables instead (it takes an array for 100 rows), so it is left no choice; and it plans each statement once.
PLANS: Final = {
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "enable_seqscan": "off",
    "enable_bitmapscan": "off",
    "enable_material": "off",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
}
KEEPALIVES: Final[dict[str, int | str]] = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 8000,
    "connect_timeout": 3,  # of one host: a batch has time for two that stand still before one that answers
    "target_session_attrs": "read-write",
}


class Array:
    """A column of one type, already in PostgreSQL's binary form."""

    __slots__ = ("data",)
    element_oid: ClassVar[int]
    array_oid: ClassVar[int]

    def __init__(self, data: bytes) -> None:
        self.data = data

    @classmethod
    def header(cls, length: int, has_null: bool) -> bytes:
        """Dimensions, null flag, element type, length, lower bound."""
        return struct.pack("!iiIii", 1, has_null, cls.element_oid, length, 1)


class Bigints(Array):
    element_oid, array_oid = 20, 1016


class Integers(Array):
    element_oid, array_oid = 23, 1007


class Booleans(Array):
    element_oid, array_oid = 16, 1000


class Uuids(Array):
    element_oid, array_oid = 2950, 2951


class Byteas(Array):
    element_oid, array_oid = 17, 1001


class Texts(Array):
    element_oid, array_oid = 25, 1009


class Timestamps(Array):
    element_oid, array_oid = 1184, 1185


class Dates(Array):
    element_oid, array_oid = 1082, 1182


def _column(kind: type[Array], values: Sequence[T | None], cells: Callable[[Sequence[T]], bytes]) -> bytes:
    """A whole array: `cells` packs values none of which is null. Most columns of a batch have one value throughout."""
    count = len(values)
    if count and values[0] == values[-1] and values.count(values[0]) == count:
        cell = _NULL if values[0] is None else cells((values[0],))
        return kind.header(count, values[0] is None) + cell * count
    if None in values:
        return kind.header(count, True) + b"".join([_NULL if value is None else cells((value,)) for value in values])
    return kind.header(count, False) + cells(cast("Sequence[T]", values))


def _fixed(form: str, size: int, values: Iterable[int | bool]) -> bytes:
    numbers = list(values)
    pairs: list[int | bool] = [size] * (2 * len(numbers))
    pairs[1::2] = numbers
    return struct.pack("!" + f"i{form}" * len(numbers), *pairs)


def _bigint_cells(values: Iterable[int]) -> bytes:
    return _fixed("q", 8, values)


def _integer_cells(values: Iterable[int]) -> bytes:
    return _fixed("i", 4, values)


def _boolean_cells(values: Iterable[bool]) -> bytes:
    return _fixed("?", 1, values)


def _uuid_cells(values: Iterable[UUID]) -> bytes:
    return b"".join([_UUID_LENGTH + value.int.to_bytes(16) for value in values])


def _bytea_cells(values: Iterable[bytes]) -> bytes:
    pack = _LENGTH.pack
    return b"".join([part for value in values for part in (pack(len(value)), value)])


def _text_cells(values: Iterable[str]) -> bytes:
    return _bytea_cells([value.encode() for value in values])


def _timestamp_cells(values: Iterable[datetime]) -> bytes:
    return _bigint_cells([_micros(value) for value in values])


def _date_cells(values: Iterable[date]) -> bytes:
    return _integer_cells([(value - _DAY_ZERO).days for value in values])


def bigints(values: Sequence[int | None]) -> Bigints:
    """`bigint[]`."""
    return Bigints(_column(Bigints, values, _bigint_cells))


def integers(values: Sequence[int | None]) -> Integers:
    """`integer[]`."""
    return Integers(_column(Integers, values, _integer_cells))


def booleans(values: Sequence[bool | None]) -> Booleans:
    """`boolean[]`."""
    return Booleans(_column(Booleans, values, _boolean_cells))


def uuids(values: Sequence[UUID | None]) -> Uuids:
    """`uuid[]`."""
    return Uuids(_column(Uuids, values, _uuid_cells))


def byteas(values: Sequence[bytes | None]) -> Byteas:
    """`bytea[]`."""
    return Byteas(_column(Byteas, values, _bytea_cells))


def texts(values: Sequence[str | None]) -> Texts:
    """`text[]`. The edge has refused U+0000, which PostgreSQL cannot store."""
    return Texts(_column(Texts, values, _text_cells))


def timestamps(values: Sequence[datetime | None]) -> Timestamps:
    """`timestamptz[]`, from aware times."""
    return Timestamps(_column(Timestamps, values, _timestamp_cells))


def dates(values: Sequence[date | None]) -> Dates:
    """`date[]`."""
    return Dates(_column(Dates, values, _date_cells))


def _micros(at: datetime) -> int:
    since = at - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _register(kind: type[Array]) -> None:
    class Packed(Dumper):
        format = pq.Format.BINARY
        oid = kind.array_oid

        def dump(self, obj: Array) -> Buffer:
            return obj.data

    psycopg.adapters.register_dumper(kind, Packed)


for _kind in (Bigints, Integers, Booleans, Uuids, Byteas, Texts, Timestamps, Dates):
    _register(_kind)


def conninfo(database_url: str, **settings: str) -> str:
    """What a writer's connection is opened with: sessions that end themselves, sockets that notice a dead peer.

    The address's own `options` stay, and come first: of two that contradict each other the last one counts.
    """
    given = conninfo_to_dict(database_url).get("options")
    ours = [f"-c {name}={value}" for name, value in {**SESSION_SETTINGS, **settings}.items()]
    return make_conninfo(database_url, options=" ".join([str(given), *ours] if given else ours), **KEEPALIVES)


async def connect(database_url: str, **settings: str) -> psycopg.AsyncConnection[tuple[Any, ...]]:
    """An autocommit connection to the primary whose statements are prepared at first use."""
    connection = await psycopg.AsyncConnection.connect(
        conninfo(database_url, **settings), autocommit=True, prepare_threshold=0
    )
    connection.prepared_max = None
    return connection


@asynccontextmanager
async def closing(connection: psycopg.AsyncConnection[Any]) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """Closes an autocommit connection behind a block, whatever ends it.

    psycopg's own `async with` waits for a COMMIT first, and who is cancelled there leaves the connection open.
    """
    try:
        yield connection
    finally:
        await connection.close()


@contextmanager
def answering_within(connection: psycopg.AsyncConnection[Any], seconds: float) -> Iterator[None]:
    """Whoever waits for an answer in this block for longer learns that the connection is lost.

    The server's own time-outs do not help where the server stands still, and psycopg's way to cancel asks the server.
    """
    timer = asyncio.get_running_loop().call_later(seconds, abandon, connection)
    try:
        yield
    finally:
        timer.cancel()


def abandon(connection: psycopg.AsyncConnection[Any]) -> None:
    """Shuts a connection's socket down under whoever waits on it, who learns so at once; it is never used again."""
    with suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.pgconn.socket)) as shared:
        shared.shutdown(socket.SHUT_RDWR)
