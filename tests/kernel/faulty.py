"""A port in which something happens between the round trips, before the COMMIT or after it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from uuid import UUID

import psycopg

from caudal.kernel.commit import Head, PostgresPort, Row, Statement

Moment = Callable[["FaultyPort"], Awaitable[None]]


class FaultyPort(PostgresPort):
    """Each moment happens once, or `always`."""

    always = False

    def __init__(self, database_url: str, **moments: Moment) -> None:
        super().__init__(database_url)
        self.url, self.moments, self.finds = database_url, moments, 0
        self.happened: list[str] = []
        self.backends: list[int] = []

    async def _moment(self, name: str) -> None:
        if name in self.moments:
            self.happened.append(name)
            moment = self.moments[name] if self.always else self.moments.pop(name)
            await moment(self)

    async def read(self, shard: int, reads: Sequence[Statement]) -> tuple[Head, list[list[Row]]]:
        self.backends.append(self.backend)
        await self._moment("before_read")
        found = await super().read(shard, reads)
        await self._moment("between")
        return found

    async def write(self, statements: Sequence[Statement]) -> None:
        await self._moment("instead_of_commit")
        await super().write(statements)
        await self._moment("after_commit")

    async def find(self, shard: int, batch: UUID) -> bool:
        self.finds += 1
        await self._moment("before_find")
        return await super().find(shard, batch)

    async def say(self, *statements: Statement) -> None:
        """Sends statements of the test's own, inside the transaction where there is one."""
        assert self._wire is not None
        await self._wire.ask(statements)

    @property
    def backend(self) -> int:
        assert self._connection is not None
        return self._connection.info.backend_pid


async def kill_backend(port: FaultyPort) -> None:
    pid = port.backend
    async with await psycopg.AsyncConnection.connect(port.url, autocommit=True) as other:
        await other.execute("select pg_terminate_backend(%s, 2000)", (pid,))


async def lose_the_answer(port: FaultyPort) -> None:
    await kill_backend(port)
    raise psycopg.OperationalError("the answer was lost on the way")


def raising(error: BaseException) -> Moment:
    """A moment in which this goes wrong."""

    async def moment(_: FaultyPort) -> None:
        raise error

    return moment
