"""A pipelined conversation with PostgreSQL on libpq itself: every statement of a round trip leaves in one piece.

psycopg's cursors flush, wait and wake once a statement; a batch has a dozen. Here a round trip is one flush and one
wait. Statements are prepared at their first use; parameters and rows go through psycopg's own adaptation.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, Final, LiteralString

import psycopg
from psycopg import pq
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result

from caudal.kernel.commit.model import Row, Statement

_PLACEHOLDER: Final = re.compile(r"%[s%]")
_BINARY: Final = pq.Format.BINARY
_DONE: Final = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)


class Unsendable(Exception):
    """A value that PostgreSQL's types do not hold. Its round trip's end never went out: nothing of it happened."""


@lru_cache(maxsize=512)
def numbered(statement: LiteralString) -> bytes:
    """A statement with psycopg's placeholders as PostgreSQL has them: `%s` … as `$1` …, `%%` as `%`."""
    count = 0

    def place(match: re.Match[str]) -> str:
        nonlocal count
        if match[0] == "%%":
            return "%"
        count += 1
        return f"${count}"

    return _PLACEHOLDER.sub(place, statement).encode()


class Wire:
    """One connection's conversation. Any exception leaves it unusable: close it."""

    def __init__(self, connection: psycopg.AsyncConnection[Any]) -> None:
        self._connection, self._libpq = connection, connection.pgconn
        self._socket = connection.pgconn.socket  # libpq forgets it when the connection is lost
        self._loop = asyncio.get_running_loop()
        self._adapt = Transformer.from_context(connection)
        self._names: dict[tuple[bytes, tuple[int, ...]], bytes] = {}
        self._waiter: asyncio.Future[None] | None = None
        self._lost: BaseException | None = None
        self._libpq.nonblocking = 1
        self._watching = True
        self._loop.add_reader(self._socket, self._readable)

    def begin(self) -> None:
        """Enters a pipeline block."""
        self._libpq.enter_pipeline_mode()

    def end(self) -> None:
        """Leaves it: every answer has been read."""
        self._libpq.exit_pipeline_mode()

    def close(self) -> None:
        """Gives the connection up, whatever is under way on it."""
        if self._lost is None:
            self._lost = psycopg.InterfaceError("the connection was given up")
        self._wake()
        self._forget_socket()
        self._libpq.finish()

    async def ask(self, statements: Sequence[Statement]) -> list[pq.abc.PGresult]:
        """Sends statements and a sync, and reads an answer for each. Raises the first one's error.

        Raises Unsendable before the sync, and before whatever stands behind the statement in question.
        """
        libpq, expected = self._libpq, 0
        for statement, parameters in statements:
            expected += self._send(statement, parameters)
        libpq.pipeline_sync()
        if libpq.flush():
            await self._flushed()
        answers = []
        while True:
            result = await self._result()
            if result is None:
                continue  # the end of one statement's results
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                break
            if result.status not in _DONE:
                raise error_from_result(result, encoding="utf-8")
            answers.append(result)
        if len(answers) != expected:  # the COMMIT may have come through: this is no reason to run it again
            raise psycopg.InterfaceError(f"{len(answers)} answers came for {expected} statements")
        return [answer for answer in answers if answer.fname(0) is not None or answer.command_status]

    def rows(self, answer: pq.abc.PGresult) -> list[Row]:
        """An answer's rows as Python values."""
        self._adapt.set_pgresult(answer, set_loaders=True, format=_BINARY)
        return self._adapt.load_rows(0, answer.ntuples, tuple)

    def _send(self, statement: LiteralString, parameters: tuple[object, ...]) -> int:
        """Sends one statement, prepared; how many answers come."""
        query = numbered(statement)
        try:
            values = self._adapt.dump_sequence(parameters, [PyFormat.AUTO] * len(parameters)) if parameters else None
        except Exception as error:
            raise Unsendable(f"{type(error).__name__}: {error}") from error
        types = self._adapt.types or () if parameters else ()
        formats = self._adapt.formats if parameters else None
        name, answers = self._names.get((query, types)), 1
        if name is None:
            name = self._names[query, types] = b"c%d" % len(self._names)
            self._libpq.send_prepare(name, query, param_types=types)
            answers = 2
        self._libpq.send_query_prepared(name, values, param_formats=formats, result_format=_BINARY)
        return answers

    # Waiting

    def _readable(self) -> None:
        try:
            self._libpq.consume_input()
        except psycopg.Error as error:
            self._lost = error
            self._forget_socket()
        self._wake()

    def _forget_socket(self) -> None:
        """Once: a number that is closed may soon be somebody else's."""
        if self._watching:
            self._watching = False
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
        if self._lost is not None:
            raise self._lost

    async def _result(self) -> pq.abc.PGresult | None:
        while self._libpq.is_busy():
            if self._lost is not None:
                raise self._lost
            await self._wait()
        return self._libpq.get_result()

    async def _flushed(self) -> None:
        """The rest of a large batch, as the socket takes it; answers are read meanwhile by `_readable`."""
        self._loop.add_writer(self._socket, self._wake)
        try:
            while self._libpq.flush():
                await self._wait()
        finally:
            if self._watching:
                self._loop.remove_writer(self._socket)
