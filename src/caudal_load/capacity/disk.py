"""What the disk under the data does when nothing else asks it, and how the database grows."""

import contextlib
import os
import statistics
import tempfile
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter_ns

import psycopg

from caudal_load.capacity.kept import Disk, Growth

_BLOCK = 8192
_FLUSHES = 100
_WHOLE_MB = 128
_PIECE = 1 << 20
_SIZES = """
    select coalesce(whole.relname, ''), sum(pg_table_size(part.oid))::bigint, sum(pg_indexes_size(part.oid))::bigint
    from pg_class part
    left join pg_inherits of on of.inhrelid = part.oid
    left join pg_class whole on whole.oid = of.inhparent
    where part.relkind = 'r'
      and part.relnamespace not in ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
    group by 1
"""
Sizes = Mapping[str, tuple[int, int]]
"""Bytes of tables and of their indexes: by table of those in partitions, which are dropped whole; all others as ''."""


def measured(folder: Path) -> Disk:
    """Write blocks and flush each, then a large piece, into a file that is removed. Raises OSError."""
    with tempfile.TemporaryFile(dir=folder) as file:
        number, flushes = file.fileno(), list[int]()
        for place in range(_FLUSHES):
            began = perf_counter_ns()
            os.pwrite(number, os.urandom(_BLOCK), place * _BLOCK)
            os.fdatasync(number)
            flushes.append(perf_counter_ns() - began)
        piece, began = os.urandom(_PIECE), perf_counter_ns()
        for _ in range(_WHOLE_MB):
            file.write(piece)
        file.flush()
        os.fdatasync(number)
        seconds = (perf_counter_ns() - began) / 1e9
    return Disk(
        mb_per_s=round(_WHOLE_MB * _PIECE / 1e6 / seconds, 1), flush_ms=round(statistics.median(flushes) / 1e6, 3)
    )


def sizes(database_url: str | None) -> Sizes | None:
    """How large the database is; None without one that says so."""
    if database_url is None:
        return None
    with contextlib.suppress(psycopg.Error), psycopg.connect(database_url) as connection:
        return {name: (rows, indexes) for name, rows, indexes in connection.execute(_SIZES)}
    return None


def growth(before: Sizes | None, after: Sizes | None, payments: int) -> Growth:
    """What the database grew by, per payment."""
    if before is None or after is None or not payments:
        return {}
    grown = {
        name: [then - first for first, then in zip(before.get(name, (0, 0)), both, strict=True)]
        for name, both in after.items()
    }
    found = {"rows": sum(rows for rows, _ in grown.values()), "indexes": sum(more for _, more in grown.values())}
    found |= {f"in {name}": rows + indexes for name, (rows, indexes) in grown.items() if name}
    return {name: round(count / payments, 1) for name, count in found.items()}
