"""The only road to the books: one writer thread with group commit, one reader thread beside it.

Commits are chained, not timed: while one commit is being made durable, orders queue; what has queued is the next
commit. An idle bank commits a single order at once. A caller is answered after COMMIT, which with WAL and
synchronous=FULL means after the fsync; so whatever was answered survives kill -9 and a power cut.
"""

import asyncio
import fcntl
import queue
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from caudal_sandbox.books import SCHEMA

Work = Callable[[sqlite3.Connection], Any]
T = TypeVar("T")

BATCH_MAX = 256
LOCK_WAIT_S = 2.0


class BooksInUse(Exception):
    """Another process keeps its books in this directory."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Order:
    work: Work
    answer: asyncio.Future[Any]
    loop: asyncio.AbstractEventLoop


class Journal:
    """Open books in a directory. `close` waits for what has been ordered."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._lock = _lock_directory(directory)
        path = directory / "bank.sqlite3"
        self._writing = _connect(path)
        self._writing.executescript(SCHEMA)
        self._reading = _connect(path)
        self._reading.execute("pragma query_only = on")
        self._orders: queue.SimpleQueue[_Order | None] = queue.SimpleQueue()
        self._reader = ThreadPoolExecutor(max_workers=1, thread_name_prefix="books-reader")
        self._writer = threading.Thread(target=self._write_forever, name="books-writer", daemon=True)
        self._writer.start()

    async def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` in a commit and return its result once that is durable; what it raises is rolled back."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._orders.put(_Order(work=work, answer=answer, loop=loop))
        return await answer

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Run `work` on what is committed."""
        return await asyncio.get_running_loop().run_in_executor(self._reader, work, self._reading)

    def close(self) -> None:
        """Commit what is queued, close the books, let the next process have the directory."""
        self._orders.put(None)
        self._writer.join()
        self._reader.shutdown()
        self._reading.close()
        self._writing.close()
        self._lock.close()

    def _write_forever(self) -> None:
        while (first := self._orders.get()) is not None:
            batch = [first]
            ending = False
            while len(batch) < BATCH_MAX and not self._orders.empty():
                order = self._orders.get()
                if order is None:
                    ending = True
                    break
                batch.append(order)
            _answer(batch, _commit(self._writing, [order.work for order in batch]))
            if ending:
                return


def _lock_directory(directory: Path) -> Any:
    # Two banks on one directory would deliver everything twice. The kernel drops the lock when its holder dies.
    lock = (directory / "lock").open("w")
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
    return connection


def _commit(books: sqlite3.Connection, works: list[Work]) -> list[Any]:
    """Run the works in one transaction; each one's result or exception, in order."""
    try:
        books.execute("begin immediate")
        results = [_run(books, work) for work in works]
        books.execute("commit")
    except sqlite3.Error as error:
        if books.in_transaction:
            books.execute("rollback")
        return [error] * len(works)
    return results


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


def _answer(batch: list[_Order], results: list[Any]) -> None:
    def tell() -> None:
        for order, result in zip(batch, results, strict=True):
            if order.answer.done():
                continue
            if isinstance(result, Exception):
                order.answer.set_exception(result)
            else:
                order.answer.set_result(result)

    # All orders come from the one loop of the process; a loop that has ended has nobody left to tell.
    if not batch[0].loop.is_closed():
        batch[0].loop.call_soon_threadsafe(tell)
