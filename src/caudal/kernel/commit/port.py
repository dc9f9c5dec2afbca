"""The batch's way to the database: four calls, which a simulation can replace.

`open` makes the connection ready, `read` begins the transaction, locks the shard and reads; `write` sends every
statement with the COMMIT behind it in one go; `find` asks whether a batch whose answer was lost did commit.

A batch enters and leaves a pipeline block of its own on an autocommit connection. After any exception the connection
is closed and replaced, never reused: a ROLLBACK inside a long pipeline breaks the cache of prepared statements, and a
swallowed error turns COMMIT into a silent ROLLBACK. So success means that the tag of COMMIT says COMMIT and that no
warning came with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol
from uuid import UUID

import psycopg

from caudal.kernel import db, sqlfile
from caudal.kernel.commit.model import Head, Row, Statement

SQL: Final = sqlfile.queries(Path(__file__).with_name("queries.sql"))


class NotCommitted(Exception):
    """The COMMIT came back as something else: nothing was written."""


class BatchPort(Protocol):
    """What a batch needs of a database."""

    async def open(self) -> None: ...

    async def read(self, shard: int, reads: Sequence[Statement]) -> tuple[Head, list[list[Row]]]: ...

    async def write(self, statements: Sequence[Statement]) -> None: ...

    async def find(self, shard: int, batch: UUID) -> bool: ...

    async def close(self) -> None: ...


class PostgresPort:
    """The port to a real PostgreSQL."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._connection: psycopg.AsyncConnection[Row] | None = None
        self._pipeline: Any = None
        self._warned = False

    async def open(self) -> None:
        """A connection, the old one unless it was given up."""
        if self._connection is None or self._connection.closed:
            self._connection = await db.connect(self._database_url, **db.PLANS)
            self._connection.add_notice_handler(self._notice)

    def _notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        self._warned = self._warned or diagnostic.severity_nonlocalized == "WARNING"

    async def read(self, shard: int, reads: Sequence[Statement]) -> tuple[Head, list[list[Row]]]:
        """Round trip one: BEGIN, the lock, then what it protects, in statements of their own."""
        connection = self._connection
        assert connection is not None, "open() comes first"
        self._warned = False
        self._pipeline = connection.pipeline()
        pipeline = await self._pipeline.__aenter__()
        await connection.cursor().execute(SQL["begin"])
        lock = connection.cursor(binary=True)
        await lock.execute(SQL["lock_shard"], (shard,))
        cursors = []
        for statement, parameters in reads:
            cursor = connection.cursor(binary=True)
            await cursor.execute(statement, parameters)
            cursors.append(cursor)
        await pipeline.sync()
        row = await lock.fetchone()
        if row is None:
            raise LookupError(f"there is no shard {shard} in this database")
        event_seq, posting_seq, chain, at = row
        head = Head(shard=shard, event_seq=event_seq, posting_seq=posting_seq, chain=bytes(chain), at=at)
        return head, [await cursor.fetchall() for cursor in cursors]

    async def write(self, statements: Sequence[Statement]) -> None:
        """Round trip two: every write with its guard, the COMMIT behind them. Returns when it is durable."""
        connection, pipeline_block = self._connection, self._pipeline
        assert connection is not None and pipeline_block is not None, "read() comes first"
        for statement, parameters in statements:
            await connection.cursor().execute(statement, parameters)
        commit = connection.cursor()
        await commit.execute(SQL["commit"])
        self._pipeline = None
        await pipeline_block.__aexit__(None, None, None)
        if commit.statusmessage != "COMMIT" or self._warned:
            raise NotCommitted(f"COMMIT answered {commit.statusmessage!r}, warned: {self._warned}")

    async def find(self, shard: int, batch: UUID) -> bool:
        """Whether a batch committed. Takes the shard's lock first, so that its former backend has ended."""
        await self.close()
        await self.open()
        assert self._connection is not None
        async with self._connection.transaction():
            await self._connection.execute(SQL["lock_shard"], (shard,))
            cursor = await self._connection.execute(SQL["find_batch"], (shard, batch))
            return await cursor.fetchone() is not None

    async def close(self) -> None:
        """Gives the connection up, whatever state it is in."""
        connection, self._connection, self._pipeline = self._connection, None, None
        if connection is not None:
            with suppress(Exception):
                # Not `close()` of a pipeline in the middle of things: the socket goes, the server notices.
                connection.pgconn.finish()
