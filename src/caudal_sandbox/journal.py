"""The only road to the books: orders run on the loop, commits beside it, and reads in a thread of their own.

Commits are chained, not timed: while one commit is being made durable, orders queue; what has queued is the next
commit. An idle sandbox commits a single order at once. A caller is answered after COMMIT, which with WAL and
synchronous=FULL means after the fsync; so whatever was answered survives kill -9 and a power cut.

An order is a few statements of some microseconds each. In a thread every one of them would hand the interpreter over
and wait for it again, which costs more than the statement; so only COMMIT, which waits for the disk, leaves the loop.
"""

import asyncio
import fcntl
import sqlite3
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

Work = Callable[[sqlite3.Connection], Any]
T = TypeVar("T")

BATCH_MAX = 128
LOCK_WAIT_S = 2.0
# Pages of the write-ahead log before it is folded in: every page of a busy index is then written once, not ten times.
LOG_PAGES = 4_000


class BooksInUse(Exception):
    """Another process keeps its books in this directory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Order:
    work: Work
    answer: asyncio.Future[Any]


class Journal:
    """Open books of a name in a directory, for one event loop. `close` waits for what has been ordered."""

    def __init__(self, directory: Path, name: str, schema: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = _lock_books(directory, name)
        path = directory / f"{name}.sqlite3"
        self._writing = _connect(path)
        self._writing.executescript(schema)
        self._reading = _connect(path)
        self._glancing = _connect(path)
        for books in (self._reading, self._glancing):
            books.execute("pragma query_only = on")
        self._orders: deque[_Order] = deque()
        self._busy = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"{name}-reader")
        self._committer = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"{name}-committer")

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in a commit and return its result once that is durable; what it raises is rolled back."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._orders.append(_Order(work=work, answer=answer))
        if not self._busy:
            self._busy = True
            self._idle.clear()
            loop.call_soon(self._next_batch, loop)
        return await answer

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on what is committed."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, work, self._reading)

    def glance(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on what is committed, at once and on the loop: for a few rows by their index."""
        return work(self._glancing)

    async def close(self) -> None:
        """Commit what is queued, close the books, let the next process have the directory."""
        await self._idle.wait()
        for threads in (self._committer, self._reader):
            threads.shutdown()
        for books in (self._glancing, self._reading, self._writing):
            books.close()
        self._lock.close()

    def _next_batch(self, loop: asyncio.AbstractEventLoop) -> None:
        """Run what has queued, and have it made durable; or come to rest."""
        if not self._orders:
            self._busy = False
            self._idle.set()
            return
        batch = [self._orders.popleft() for _ in range(min(BATCH_MAX, len(self._orders)))]
        try:
            self._writing.execute("begin immediate")
            results = [_run(self._writing, order.work) for order in batch]
        except sqlite3.Error as error:
            self._failed(batch, error)
            loop.call_soon(self._next_batch, loop)
            return
        commit = loop.run_in_executor(self._committer, self._writing.execute, "commit")
        commit.add_done_callback(lambda done: self._committed(loop, batch, results, done.exception()))

    def _committed(
        self, loop: asyncio.AbstractEventLoop, batch: list[_Order], results: list[Any], error: BaseException | None
    ) -> None:
        if error is None:
            for order, result in zip(batch, results, strict=True):
                _answer(order, result)
        else:
            self._failed(batch, error)
        self._next_batch(loop)

    def _failed(self, batch: list[_Order], error: BaseException) -> None:
        """Nobody's work is in the books: say so to everybody."""
        if self._writing.in_transaction:
            self._writing.execute("rollback")
        for order in batch:
            _answer(order, error)


def _lock_books(directory: Path, name: str) -> Any:
    # Two sandboxes on one directory would deliver everything twice. The kernel drops the lock when its holder dies.
    lock = (directory / f"{name}.lock").open("w")
    give_up = time.monotonic() + LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                lock.close()
                raise BooksInUse(f"another caudal-sandbox keeps its books in {directory}") from None
            time.sleep(0.05)
        else:
            return lock


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    mode = connection.execute("pragma journal_mode = wal").fetchone()[0]
    assert mode == "wal", f"{path} cannot be in WAL mode: {mode}"
    connection.execute("pragma synchronous = full")
    connection.execute("pragma foreign_keys = on")
    connection.execute("pragma busy_timeout = 5000")
    connection.execute(f"pragma wal_autocheckpoint = {LOG_PAGES}")
    return connection


def _run(books: sqlite3.Connection, work: Work) -> Any:
    books.execute("savepoint one")
    try:
        result = work(books)
    except Exception as error:
        # A full disk makes SQLite drop the whole transaction, the savepoint with it: then nobody's work is in it.
        if not books.in_transaction:
            raise
        books.execute("rollback to one")
        result = error
    books.execute("release one")
    return result


def _answer(order: _Order, result: Any) -> None:
    if order.answer.done():
        return
    if isinstance(result, BaseException):
        order.answer.set_exception(result)
    else:
        order.answer.set_result(result)
