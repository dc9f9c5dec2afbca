"""Columns as a simulated database takes them: the values themselves, or unpacked from PostgreSQL's binary form.

A history packs nothing: `unpacked` stands in for the packing, which its own tests prove. What is packed all the same,
by the commit suite, is read here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from caudal.kernel.db import Array

_EPOCH: Final = datetime(2000, 1, 1, tzinfo=UTC)
_DAY_ZERO: Final = date(2000, 1, 1)
_HEADER: Final = struct.Struct("!iiIii")

_READ: Final[dict[int, Callable[[bytes], Any]]] = {
    16: lambda cell: cell != b"\0",
    17: bytes,
    20: lambda cell: int.from_bytes(cell, "big", signed=True),
    23: lambda cell: int.from_bytes(cell, "big", signed=True),
    25: lambda cell: cell.decode(),
    1082: lambda cell: _DAY_ZERO + timedelta(days=int.from_bytes(cell, "big", signed=True)),
    1184: lambda cell: _EPOCH + timedelta(microseconds=int.from_bytes(cell, "big", signed=True)),
    2950: lambda cell: UUID(bytes=bytes(cell)),
}


def unpacked(values: Any) -> Any:
    """In place of the functions of `caudal.kernel.db` that pack a column: the column as it is."""
    return values


def values_of(array: Array) -> Sequence[Any]:
    """A column's values."""
    data = array.data
    _, _, oid, length, _ = _HEADER.unpack_from(data)
    read, place, values = _READ[oid], _HEADER.size, []
    for _ in range(length):
        size = int.from_bytes(data[place : place + 4], "big", signed=True)
        place += 4
        values.append(None if size < 0 else read(data[place : place + size]))
        place += max(size, 0)
    return values
