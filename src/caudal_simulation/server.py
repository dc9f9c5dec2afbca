"""The database's server as programs reach it: connections that break, answers that are lost, commits that come late.

What a program waits for is carried out on the server's side, which goes on when the program is dead. The fates of a
commit are those that a network and a server can give it:

    committed   the answer comes
    lost        the connection breaks before anything arrived
    unheard     it commits, and the answer is lost
    late        the connection breaks, and it commits behind that, under a lock that is still held
    silent      it commits, and nothing comes back: not even a broken connection
    refused     a serialization failure, a lock time-out, an administrator: nothing is written
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

import psycopg

from caudal.kernel.commit import Head, Row, Statement
from caudal.kernel.commit.port import SQL
from caudal_simulation.chance import Faults
from caudal_simulation.database import Database, Session, Wait
from caudal_simulation.database.schema import refused
from caudal_simulation.loop import OF

LOCK_TIMEOUT_S: Final = 2.0
_IDLE_IN_TRANSACTION_S: Final = 1.0
_SQLSTATES: Final = ("40001", "55P03", "57P01", "53300")
_GONE: Final = "server closed the connection unexpectedly"


class Server:
    """What stands between programs and the database."""

    def __init__(self, database: Database, faults: Faults) -> None:
        self.database, self.faults = database, faults
        self.up = True

    def crash(self, for_s: float) -> None:
        """The server dies and comes back."""
        self.up = False
        self.database.crash()
        self.faults.later(for_s, self._restart)

    def _restart(self) -> None:
        self.up = True

    async def connect(self) -> Session:
        """A connection. Raises psycopg.OperationalError while the server is away."""
        await self.faults.hop()
        if not self.up or self.faults.happens("no connection", 0.01):
            raise psycopg.OperationalError("connection refused")
        session = self.database.session()
        process = OF.get()
        if process is not None:
            process.leaving.append(lambda: self._abandon(session))
        return session

    async def read(self, text: str, parameters: Any) -> list[Row]:
        """The rows of a query outside of any transaction, on a connection that is kept. Raises psycopg.Error."""
        await self.faults.hop()
        if not self.up or self.faults.happens("no connection", 0.01):
            raise psycopg.OperationalError("connection refused")
        return self.database.reader.run(text, parameters)[0]

    def _abandon(self, session: Session) -> None:
        """The program has died; the server notices at once, or when its patience ends."""
        if session.busy and self.faults.happens("a commit of the dead", 0.7):
            return
        if self.faults.happens("half-open session", 0.3):
            self.faults.later(_IDLE_IN_TRANSACTION_S, session.end)
        else:
            session.end()

    async def ask(self, session: Session, text: str, parameters: Any) -> tuple[list[Row], int]:
        """One statement and its rows. Raises psycopg.Error."""
        if not session.alive:
            raise psycopg.OperationalError(_GONE)
        waited_s = 0.0
        while True:
            try:
                return session.run(text, parameters)
            except Wait as wait:
                began = self.faults.clock.now_s
                await self._released(LOCK_TIMEOUT_S - waited_s)
                waited_s += self.faults.clock.now_s - began
                if waited_s >= LOCK_TIMEOUT_S:
                    session.end()
                    raise refused("55P03", f"{wait.lock} is held") from None
            except psycopg.Error:
                session.end()
                raise
            if not session.alive:
                raise psycopg.OperationalError(_GONE)

    async def _released(self, within_s: float) -> None:
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()

        def wake() -> None:
            if not future.done():
                future.set_result(None)

        self.database.waiting.append(wake)
        timer = loop.call_later(max(within_s, 0.0), wake)
        await future
        timer.cancel()


class SimulatedPort:
    """The batch's port to the simulated server."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._session: Session | None = None
        self._head: Head | None = None

    async def open(self) -> None:
        if self._session is None or not self._session.alive:
            self._session = await self._server.connect()

    async def lock(self, shard: int) -> None:
        self._head = await self._begun(shard)

    async def read(self, shard: int, reads: Sequence[Statement]) -> tuple[Head, list[list[Row]]]:
        head, self._head = self._head, None
        if head is None:
            head = await self._begun(shard)
        else:
            await self._server.faults.hop()
        session = self._session
        assert session is not None, "open() comes first"
        if not session.alive:
            raise psycopg.OperationalError(_GONE)
        try:  # nothing of it waits
            return head, [session.run(text, parameters)[0] for text, parameters in reads]
        except psycopg.Error:
            session.end()
            raise

    async def _begun(self, shard: int) -> Head:
        session, server = self._session, self._server
        assert session is not None, "open() comes first"
        await server.faults.hop()
        if server.faults.happens("refused before the write", 0.01):
            session.end()
            raise refused(server.faults.pick(_SQLSTATES), "as it happens")
        session.begin()
        found, _ = await server.ask(session, SQL["lock_shard"], (shard,))
        if not found:
            session.rollback()
            raise LookupError(f"there is no shard {shard} in this database")
        event_seq, posting_seq, chain, clock, at, waited = found[0]
        return Head(
            shard=shard, event_seq=event_seq, posting_seq=posting_seq, chain=chain, at=at, clock=clock, waited=waited
        )

    async def write(self, statements: Sequence[Statement]) -> None:
        session, faults = self._session, self._server.faults
        assert session is not None, "read() comes first"
        fate = faults.fate_of_commit()
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        session.busy = fate not in ("lost", "refused")
        match fate:
            case "lost":
                faults.later(faults.hop_s(), session.end)
                faults.later(faults.hop_s(), _fail, done, psycopg.OperationalError(_GONE))
            case "late":
                faults.later(faults.hop_s(), _fail, done, psycopg.OperationalError(_GONE))
                faults.later(faults.spread(0.05, 1.0), self._serve, session, statements, "unheard", None)
            case "refused":
                faults.later(faults.hop_s(), session.end)
                faults.later(faults.hop_s(), _fail, done, refused(faults.pick(_SQLSTATES), "as it happens"))
            case _:
                faults.later(faults.hop_s(), self._serve, session, statements, fate, done)
        await done

    def _serve(
        self, session: Session, statements: Sequence[Statement], fate: str, done: asyncio.Future[None] | None
    ) -> None:
        """The server's side: every statement, the COMMIT behind them, and the answer."""
        faults = self._server.faults
        if not session.alive:
            faults.later(faults.hop_s(), _fail, done, psycopg.OperationalError(_GONE))
            return
        try:
            for text, parameters in statements:
                session.run(text, parameters)
            session.commit()
            session.busy = False
        except Wait:
            session.forget()
            self._server.database.waiting.append(lambda: self._serve(session, statements, fate, done))
            return
        except psycopg.Error as error:
            session.end()
            faults.later(faults.hop_s(), _fail, done, error)
            return
        match fate:
            case "committed":
                faults.later(faults.hop_s(), _tell, done)
            case "unheard":
                session.end()
                faults.later(faults.hop_s(), _fail, done, psycopg.OperationalError(_GONE))

    async def find(self, shard: int, batch: UUID) -> bool:
        await self.close()
        await self.open()
        session = self._session
        assert session is not None
        await self._server.faults.hop()
        session.begin()
        await self._server.ask(session, SQL["lock_shard"], (shard,))
        found, _ = await self._server.ask(session, SQL["find_batch"], (shard, batch))
        session.rollback()
        return bool(found)

    async def close(self) -> None:
        """The socket goes. The server ends what it has begun to commit, and forgets everything else."""
        session, self._session, self._head = self._session, None, None
        if session is not None and not session.busy:
            self._server.faults.later(self._server.faults.hop_s(), session.end)


def _tell(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)


def _fail(done: asyncio.Future[None] | None, error: Exception) -> None:
    if done is not None and not done.done():
        done.set_exception(error)


class Cursor:
    """What a statement outside of a batch came to."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: list[Row] = []
        self.rowcount = -1

    async def execute(self, query: str, parameters: Sequence[Any] | dict[str, Any] = ()) -> Cursor:
        connection = self._connection
        if connection.server.faults.random.random() < 0.3:
            await connection.server.faults.hop()
        self._rows, self.rowcount = await connection.server.ask(connection.session, query, parameters)
        if not connection.inside:
            connection.session.commit()
        return self

    async def fetchall(self) -> list[Row]:
        return self._rows

    async def fetchone(self) -> Row | None:
        return self._rows[0] if self._rows else None


class Connection:
    """A connection as psycopg has it, as far as caudal uses it outside of batches."""

    def __init__(self, server: Server, session: Session) -> None:
        self.server, self.session, self.inside = server, session, False

    @property
    def closed(self) -> bool:
        return not self.session.alive

    def cursor(self, binary: bool = False) -> Cursor:
        return Cursor(self)

    async def execute(self, query: str, parameters: Any = ()) -> Cursor:
        return await Cursor(self).execute(query, parameters)

    def transaction(self) -> Block:
        return Block(self)

    async def commit(self) -> None:
        faults = self.server.faults
        await faults.hop()
        if not self.session.alive or faults.happens("a transaction is lost", 0.01):
            self.session.end()
            raise psycopg.OperationalError(_GONE)
        self.session.commit()
        if faults.happens("a transaction's end is unheard", 0.01):
            self.session.end()
            raise psycopg.OperationalError(_GONE)

    async def close(self) -> None:
        self.session.end()


class Block:
    """A transaction on a connection."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def __aenter__(self) -> None:
        self._connection.session.begin()
        self._connection.inside = True

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                await self._connection.commit()
            else:
                self._connection.session.rollback()
        finally:
            self._connection.inside = False


class Lent:
    """A connection for one use."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def __aenter__(self) -> Connection:
        self._connection = Connection(self._server, await self._server.connect())
        return self._connection

    async def __aexit__(self, *_: object) -> None:
        await self._connection.close()


class Pool:
    """Connections, one for each use."""

    def __init__(self, server: Server) -> None:
        self._server = server

    def connection(self) -> Lent:
        return Lent(self._server)

    async def open(self, wait: bool = False) -> None:
        """There is nothing to open."""

    async def close(self) -> None:
        """Nothing is kept."""
