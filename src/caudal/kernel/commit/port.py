"""The batch's way to the database: five calls, which a simulation can replace.

`open` makes the connection ready, `read` begins the transaction, locks the shard and reads; where the lock is going to
be waited for, `lock` goes before it and does the first half alone. `write` sends every statement with the COMMIT behind
it in one go; `find` asks whether a batch whose answer was lost did commit.

A batch enters and leaves a pipeline block of its own (`wire.py`) on an autocommit connection. After any exception the
connection is closed and replaced, never reused: a ROLLBACK inside a long pipeline breaks the cache of prepared
statements, and a swallowed error turns COMMIT into a silent ROLLBACK. So success means that the tag of COMMIT says
COMMIT and that no warning came with it.

Plans are made once and kept, and those of an empty table may take the wrong index of two that look alike. So they are
made anew while tables grow: after 16 batches, 32, 64 …
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol
from uuid import UUID

import psycopg
from psycopg import pq

from caudal.kernel import db, sqlfile
from caudal.kernel.commit.model import Head, Row, Statement
from caudal.kernel.commit.wire import Wire
from caudal.kernel.primary import Primary
from caudal.kernel.seal import Sealer

_FIRST_PLANS: Final = 16
SQL: Final = sqlfile.queries(Path(__file__).with_name("queries.sql"))


class NotCommitted(Exception):
    """The COMMIT came back as something else: nothing was written."""


class BatchPort(Protocol):
    """What a batch needs of a database."""

    async def open(self) -> None: ...

    async def lock(self, shard: int) -> None: ...

    async def read(self, shard: int, reads: Sequence[Statement]) -> tuple[Head, list[list[Row]]]: ...

    async def write(self, statements: Sequence[Statement]) -> None: ...

    async def find(self, shard: int, batch: UUID) -> bool: ...

    async def close(self) -> None: ...


class PostgresPort:
    """The port to a real PostgreSQL."""

    def __init__(self, primary: Primary | str, sealer: Sealer | None = None) -> None:
        self._primary = Primary(primary) if isinstance(primary, str) else primary
        self._sealer = sealer
        self._connection: psycopg.AsyncConnection[Row] | None = None
        self._wire: Wire | None = None
        self._head: Head | None = None  # of the shard that is locked, until it is read
        self._warned = False
        self._batches, self._plans_end = 0, _FIRST_PLANS

    async def open(self) -> None:
        """A connection, the old one unless it was given up.

        Raises NotDurable or WrongKek: no shard is written on such a server, or under a key that others do not have.
        """
        if self._connection is None or self._connection.closed:
            connection = await self._primary.connect(**db.PLANS)
            try:
                if self._sealer is not None:
                    await self._sealer.verify(connection)
            except BaseException:
                await connection.close()
                raise
            self._connection = connection
            self._connection.add_notice_handler(self._notice)
            self._wire, self._warned = Wire(self._connection), False
            self._batches, self._plans_end = 0, _FIRST_PLANS

    def _notice(self, diagnostic: psycopg.errors.Diagnostic) -> None:
        self._warned = self._warned or diagnostic.severity_nonlocalized == "WARNING"

    async def lock(self, shard: int) -> None:
        """BEGIN and the lock alone: returns when the shard is this batch's."""
        self._head, _ = await self._begun(shard, ())

    async def read(self, shard: int, reads: Sequence[Statement]) -> tuple[Head, list[list[Row]]]:
        """Round trip one: BEGIN, the lock, then what it protects, in statements of their own."""
        wire, head = self._wire, self._head
        assert wire is not None, "open() comes first"
        self._head = None
        if head is None:
            head, answers = await self._begun(shard, reads)
        else:
            answers = await wire.ask(reads) if reads else []
        return head, [wire.rows(answer) for answer in answers]

    async def _begun(self, shard: int, reads: Sequence[Statement]) -> tuple[Head, list[pq.abc.PGresult]]:
        wire = self._wire
        assert wire is not None, "open() comes first"
        self._warned = False
        wire.begin()
        if self._batches == self._plans_end:
            self._plans_end *= 2
            await wire.ask([(SQL["discard_plans"], ())])
        self._batches += 1
        _, lock, *answers = await wire.ask([(SQL["begin"], ()), (SQL["lock_shard"], (shard,)), *reads])
        row = next(iter(wire.rows(lock)), None)
        if row is None:
            raise LookupError(f"there is no shard {shard} in this database")
        event_seq, posting_seq, chain, clock, at, waited = row
        head = Head(
            shard=shard,
            event_seq=event_seq,
            posting_seq=posting_seq,
            chain=bytes(chain),
            at=at,
            clock=clock,
            waited=waited,
        )
        return head, answers

    async def write(self, statements: Sequence[Statement]) -> None:
        """Round trip two: every write with its guard, the COMMIT behind them. Returns when it is durable."""
        wire = self._wire
        assert wire is not None, "read() comes first"
        *_, commit = await wire.ask([*statements, (SQL["commit"], ())])
        wire.end()
        self._expect_committed(commit)

    async def find(self, shard: int, batch: UUID) -> bool:
        """Whether a batch committed. Takes the shard's lock first, so that its former backend has ended.

        ▲ A commit whose wait for the standby was cut short is there, and would be gone after a failover. The lock is a
        write, so that the COMMIT of this look waits for the standby as well, behind what it has found.
        """
        await self.close()
        await self.open()
        wire = self._wire
        assert wire is not None
        wire.begin()
        steps = [
            (SQL["begin"], ()),
            (SQL["lock_shard"], (shard,)),
            (SQL["find_batch"], (shard, batch)),
            (SQL["commit"], ()),
        ]
        _, _, found, commit = await wire.ask(steps)
        wire.end()
        self._expect_committed(commit)
        return found.ntuples > 0

    def _expect_committed(self, commit: pq.abc.PGresult) -> None:
        if commit.command_status != b"COMMIT" or self._warned:
            raise NotCommitted(f"COMMIT answered {commit.command_status!r}, warned: {self._warned}")

    async def close(self) -> None:
        """Gives the connection up, whatever state it is in."""
        wire, self._wire, self._connection, self._head = self._wire, None, None, None
        if wire is not None:
            with suppress(Exception):
                # Not a ROLLBACK in the middle of things: the socket goes, and the server notices.
                wire.close()
