"""What a verb is given: settings, the shards' queues, connections to read with, and the sealer. Nothing is global."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar
from operator import itemgetter
from time import monotonic
from typing import Any, Final, LiteralString, TypeVar

import psycopg
from psycopg_pool import AsyncConnectionPool

from caudal.kernel import db
from caudal.kernel.clock import wall_clock
from caudal.kernel.commit import Command, Limits, PostgresPort, Result, Row, Shard
from caudal.kernel.commit.tables import SQL
from caudal.kernel.errors import Overloaded, Retry
from caudal.kernel.postgres import NotDurable, verify_durable
from caudal.kernel.primary import Primary
from caudal.kernel.seal import Sealer, WrongKek
from caudal.kernel.settings import SettingError, Settings
from caudal.kernel.telemetry import Meter, Reading, Tracer

log = logging.getLogger(__name__)

T = TypeVar("T")

_WAITING_MAX: Final = 1024  # reads that wait for a connection
_OF_ONE_MAX: Final = 64  # of one merchant's, above its share of the connections
_KEY_READERS: Final = 2
_SHARDS_S: Final = 5.0  # a new shard is known to every process after so long
_READ_S: Final = 6.0  # longer than the server's own limit for a statement: it stands still
_RECONNECT_S: Final = 0.5  # rather than pauses that double for as long as the database is away
_CANCEL_S: Final = 0.25  # for the server to cancel what nobody waits for any more; it takes 5 ms
# Until when the request that this task serves waits for what it reads, where it has named a time itself. Without one a
# read ends after `_READ_S`, and nothing is spent on it.
_UNTIL: Final[ContextVar[float | None]] = ContextVar("until", default=None)
_LOOK_S: Final = 2.0  # for the server that is up; the writer's own connections look each time that they are opened


class Context:
    """One process's way to the world. `async with` opens and closes it.

    Entering raises NotDurable for a server that may lose what it acknowledges, and WrongKek for a database that is
    sealed under another key; one that does not answer, or has no schema yet, is waited for by whoever asks it.
    """

    def __init__(self, settings: Settings, *, name: str, readers: int = 4) -> None:
        if settings.database_url is None:
            raise SettingError("CAUDAL_DATABASE_URL is not set")
        self.settings, self.name = settings, name
        self.sealer = Sealer(settings.kek_bytes(), settings.former_keks())
        self.primary = Primary(settings.database_url, synchronous=settings.database_synchronous)
        self._shards: dict[int, Shard] = {}
        self._once: dict[object, Any] = {}
        self._every_shard: tuple[tuple[int, ...], float] = ((), 0.0)
        self.meter = Meter()
        self.meter.add(self._readings)
        self.tracer: Tracer | None = None  # where somebody collects traces; set before anything runs
        self.stopping = False  # the process has been asked to end, and takes nothing new
        self.closing: list[Callable[[], Awaitable[None]]] = []
        self.pool = self._pool_of(1, readers)
        self._key_pool = self._pool_of(0, _KEY_READERS)
        self._turns = Turns(max(1, readers // 2))

    def _pool_of(self, kept: int, size: int) -> AsyncConnectionPool[Any]:
        return AsyncConnectionPool(
            lambda: db.conninfo(self.primary.url, statement_timeout="5s", application_name=f"caudal-{self.name}"),
            min_size=kept,
            max_size=size,
            open=False,
            timeout=5.0,
            max_waiting=_WAITING_MAX,
            reconnect_timeout=_RECONNECT_S,
            reconnect_failed=_try_again,
            configure=self.primary.admit,
            check=self.primary.check,
            kwargs={"autocommit": True, "prepare_threshold": 0},
        )

    def _readings(self) -> Iterator[Reading]:
        for shard in self._shards.values():
            yield from shard.readings()
        for name, pool in (("reads", self.pool), ("keys", self._key_pool)):
            now = pool.get_stats()
            idle = now.get("pool_available", 0)
            yield "db.client.connection.count", (name, "idle"), idle
            yield "db.client.connection.count", (name, "used"), now.get("pool_size", 0) - idle
            yield "db.client.connection.max", (name,), now.get("pool_max", 0)
            yield "db.client.connection.pending_requests", (name,), now.get("requests_waiting", 0)
            yield "db.client.connection.timeouts", (name,), now.get("requests_errors", 0)

    async def __aenter__(self) -> Context:
        await self.primary.__aenter__()
        await self.pool.open(wait=False)
        await self._key_pool.open(wait=False)
        try:
            async with self.pool.connection(timeout=_LOOK_S) as connection:
                with db.answering_within(connection, _READ_S):
                    await verify_durable(connection, synchronous=self.settings.database_synchronous)
                    await self.sealer.verify(connection)
        except psycopg.OperationalError:
            log.warning("the database does not answer yet")
        except psycopg.errors.UndefinedTable:
            log.warning("the database has no schema yet, or one of before: `caudal migrate` makes it")
        except (NotDurable, WrongKek):
            await self._close_pools()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(shard.stop() for shard in self._shards.values()))
        for close in self.closing:
            await close()
        await self._close_pools()

    async def _close_pools(self) -> None:
        await self.pool.close()
        await self._key_pool.close()
        await self.primary.__aexit__()

    @property
    def shards(self) -> Mapping[int, Shard]:
        """The shards that this process writes to."""
        return self._shards

    def shard(self, id: int) -> Shard:
        """A shard's queue, started at its first use."""
        found = self._shards.get(id)
        if found is None:
            found = Shard(id, PostgresPort(self.primary, self.sealer), limits_of(self.settings))
            found.tracer = self.tracer
            found.start()
            self._shards[id] = found
        return found

    def once(self, kind: Callable[[Context], T]) -> T:
        """The one instance of something that lives as long as this context: a cache, a client."""
        found: T | None = self._once.get(kind)
        if found is None:
            found = self._once[kind] = kind(self)
        return found

    async def every_shard(self, *, fresh: bool = False) -> tuple[int, ...]:
        """All shards of the database, as they were a moment ago, or are. Raises Retry (database_unavailable)."""
        known, until = self._every_shard
        if fresh or monotonic() >= until:
            known = tuple(id for (id,) in await self.rows(SQL["shards"]))
            self._every_shard = known, monotonic() + _SHARDS_S
        return known

    async def commit(self, shard: int, command: Command, deadline: float | None = None) -> Result:
        """Queues a command and waits for its commit. Raises what the command came to, where that is an error."""
        until = monotonic() + self.settings.request_timeout_ms / 1000 if deadline is None else deadline
        return await self.shard(shard).submit(command, until)

    def now_s(self) -> float:
        """Unix seconds by the database's clock, carried on by our monotonic one: how old a signature is.

        This machine's own clock, which may be set wrong while we run, counts only until a batch has heard that one.
        """
        heard = [shard.heard for shard in self._shards.values() if shard.heard is not None]
        if not heard:
            return wall_clock().timestamp()
        clock, at = max(heard, key=itemgetter(1))
        return clock.timestamp() + monotonic() - at

    @asynccontextmanager
    async def connection(self, within_s: float | None = None) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        """A connection for statements of one's own outside of any batch, in all as long as a batch may take at most.

        Raises psycopg.OperationalError to whoever waits for longer: the server stands still, or commits wait there.
        """
        async with self.pool.connection() as connection:
            with db.answering_within(connection, within_s or self.settings.batch_deadline_s):
                yield connection

    async def rows(self, query: LiteralString, parameters: Sequence[object] = ()) -> list[Row]:
        """Rows read outside of any batch, from the primary. Raises Retry when they are not there by the deadline of the
        request that reads, where it has named one."""
        return await _by_deadline(self._read(query, parameters))

    async def named_rows(self, query: LiteralString, parameters: Mapping[str, object]) -> list[Row]:
        """The same for a query whose parameters have names. One `book` reads on half of the connections at most.

        Raises Overloaded when too many reads of the book wait already.
        """
        book = parameters.get("book")
        if not isinstance(book, int):
            return await _by_deadline(self._read(query, parameters))
        return await _by_deadline(self._read_in_turn(book, query, parameters))

    async def _read_in_turn(self, book: int, query: LiteralString, parameters: Mapping[str, object]) -> list[Row]:
        async with self._turns.of(book):
            return await self._read(query, parameters)

    async def key_rows(self, query: LiteralString, parameters: Sequence[object]) -> list[Row]:
        """The rows of a query that finds out who calls: no other read can be in its way."""
        return await self._read(query, parameters, self._key_pool)

    async def _read(
        self,
        query: LiteralString,
        parameters: Sequence[object] | Mapping[str, object],
        pool: AsyncConnectionPool[Any] | None = None,
    ) -> list[Row]:
        """Raises Retry when the database does not answer, or too many wait for it."""
        try:
            async with (pool or self.pool).connection() as connection, connection.cursor(binary=True) as cursor:
                with db.answering_within(connection, _READ_S):
                    await cursor.execute(query, parameters)
                    rows: list[Row] = await cursor.fetchall()
                return rows
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            raise Retry("database_unavailable", "the database does not answer") from error

    async def row(self, query: LiteralString, parameters: Sequence[object] = ()) -> Row | None:
        """The only row, or None."""
        rows = await self.rows(query, parameters)
        assert len(rows) <= 1, "one row at most was expected"
        return rows[0] if rows else None


async def _try_again(pool: AsyncConnectionPool[Any]) -> None:
    """Begins anew for those who wait: the pool gives up, and would begin again only for the next one who asks."""
    if pool.get_stats()["requests_waiting"]:
        await pool.check()


class Turns:
    """At most `width` reads of one book at a time, so that nobody's lists hold up everybody's."""

    def __init__(self, width: int) -> None:
        self._width = width
        self._turns: dict[int, asyncio.Semaphore] = {}
        self._here: Counter[int] = Counter()

    @asynccontextmanager
    async def of(self, book: int) -> AsyncIterator[None]:
        """Waits for a turn. Raises Overloaded when too many wait already."""
        if self._here[book] >= self._width + _OF_ONE_MAX:
            raise Overloaded("too_many_requests", "too many of this merchant's reads wait already", after_s=1.0)
        turn = self._turns.setdefault(book, asyncio.Semaphore(self._width))
        self._here[book] += 1
        try:
            async with turn:
                yield
        finally:
            self._here[book] -= 1
            if not self._here[book]:
                del self._here[book], self._turns[book]


def limits_of(settings: Settings) -> Limits:
    """The bounds of a shard's queue, from the settings."""
    return Limits(
        max_batch=settings.max_batch,
        bulk_hold_s=settings.bulk_hold_ms / 1000,
        queue_limit=settings.queue_limit,
        merchant_share=settings.merchant_share,
        merchant_rate=settings.merchant_rate,
        usual_s=settings.request_timeout_ms / 1000,
        batch_deadline_s=settings.batch_deadline_s,
    )


@contextmanager
def reading_until(deadline: float | None) -> Iterator[None]:
    """What this task reads in this block ends at the deadline (monotonic seconds; None: when it is there)."""
    token = _UNTIL.set(deadline)
    try:
        yield
    finally:
        _UNTIL.reset(token)


async def _by_deadline(reading: Awaitable[T]) -> T:
    """What is read, or Retry at the deadline of the request that reads, if it has named one."""
    until = _UNTIL.get()
    if until is None:
        return await reading
    try:
        return await in_time(reading, max(until - monotonic(), 0.0))
    except TimeoutError as error:
        raise Retry("database_unavailable", "the database did not answer by the request's deadline") from error


async def in_time(reading: Awaitable[T], timeout_s: float | None) -> T:
    """What is read, or TimeoutError after so long; the statement ends then too.

    psycopg asks the server to cancel, and waits for that. Where the question overtook its statement, or the server
    stands still, nothing comes of it: then the connection is given up, for nobody waits beyond the deadline.
    """
    async with asyncio.timeout(None if timeout_s is None else timeout_s + _CANCEL_S), asyncio.timeout(timeout_s):
        return await reading


async def answered(asked: Awaitable[T], deadline: float | None) -> T:
    """What the database answers. Raises Retry when it does not by the deadline (monotonic seconds)."""
    if _UNTIL.get() is not None:  # one watch is enough
        with reading_until(None):
            return await answered(asked, deadline)
    try:
        return await in_time(asked, None if deadline is None else max(deadline - monotonic(), 0.0))
    except (TimeoutError, psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise Retry("database_unavailable", "the database does not answer; nothing was written") from error
