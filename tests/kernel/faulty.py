"""A port in which something happens between the round trips, before the COMMIT or after it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast
from uuid import UUID

import psycopg

from caudal.kernel.commit import Head, PostgresPort, Row, Statement

Moment = Callable[["FaultyPort"], Awaitable[None]]


class Moments:
    """What happens to a port: each moment once, or `always`."""

    always = False

    def begin(self, moments: dict[str, Moment]) -> None:
        """What is going to happen."""
        self.moments, self.finds, self.locks = moments, 0, 0
        self.happened: list[str] = []
        self.backends: list[int] = []

    @property
    def backend(self) -> int:
        raise NotImplementedError

    async def _moment(self, name: str) -> None:
        if name in self.moments:
            self.happened.append(name)
            moment = self.moments[name] if self.always else self.moments.pop(name)
            await moment(cast(Any, self))

    async def lock(self, shard: int) -> None:
        self.locks += 1
        await super().lock(shard)  # type: ignore[misc]

    async def read(self, shard: int, reads: Sequence[Statement]) -> tuple[Head, list[list[Row]]]:
        self.backends.append(self.backend)
        await self._moment("before_read")
        found: tuple[Head, list[list[Row]]] = await super().read(shard, reads)  # type: ignore[misc]
        await self._moment("between")
        return found

    async def write(self, statements: Sequence[Statement]) -> None:
        await self._moment("instead_of_commit")
        await super().write(statements)  # type: ignore[misc]
        await self._moment("after_commit")

    async def find(self, shard: int, batch: UUID) -> bool:
        self.finds += 1
        await self._moment("before_find")
        found: bool = await super().find(shard, batch)  # type: ignore[misc]
        return found


class FaultyPort(Moments, PostgresPort):
    """The real port, in which something happens."""

    def __init__(self, database_url: str, **moments: Moment) -> None:
        super().__init__(database_url)
        self.url = database_url
        self.begin(moments)

    async def say(self, *statements: Statement) -> None:
        """Sends statements of the test's own, inside the transaction where there is one."""
        assert self._wire is not None
        await self._wire.ask(statements)

    async def kill(self) -> None:
        await kill_backend(self)

    async def change_the_key(self) -> None:
        """Somebody else does, without the shard's lock."""
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as other:
            await other.execute("update key set version = 7")

    async def move_the_shard(self) -> None:
        """The batch's own transaction has done so already."""
        await self.say(("update shard set event_seq = event_seq + 5 where id = 0", ()))

    @property
    def backend(self) -> int:
        assert self._connection is not None
        return self._connection.info.backend_pid


async def kill_backend(port: FaultyPort) -> None:
    pid = port.backend
    async with await psycopg.AsyncConnection.connect(port.url, autocommit=True) as other:
        await other.execute("select pg_terminate_backend(%s, 2000)", (pid,))


async def lose_the_answer(port: FaultyPort) -> None:
    await port.kill()
    raise psycopg.OperationalError("the answer was lost on the way")


def raising(error: BaseException) -> Moment:
    """A moment in which this goes wrong."""

    async def moment(_: FaultyPort) -> None:
        raise error

    return moment


async def kill(port: FaultyPort) -> None:
    """The server ends the session."""
    await port.kill()
