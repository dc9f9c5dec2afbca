"""The two databases that a batch's port leads to: the real one and the simulated one, for what is asked of any port."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from random import Random
from time import monotonic
from typing import Any, Final, cast

import psycopg

from caudal.kernel.commit import Limits, Shard
from caudal_simulation.chance import Faults
from caudal_simulation.database import Database, relations
from caudal_simulation.database.byhand import statement_of
from caudal_simulation.server import Server, SimulatedPort
from tests.kernel.faulty import FaultyPort, Moment, Moments

_ASKED: Final = re.compile(r"select (.*?) from (\w+)(?: where (\w+) = '([^']*)')?(?: order by (\w+|\d))?")


class Now:
    """Real time and the loop that runs, as the simulation knows them."""

    @property
    def now_s(self) -> float:
        return monotonic()

    def call_later(self, *arguments: Any, **more: Any) -> None:
        asyncio.get_running_loop().call_later(*arguments, **more)

    async def moment(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class SimulatedFaulty(Moments, SimulatedPort):
    """The simulated port, in which something happens."""

    def __init__(self, server: Server, **moments: Moment) -> None:
        super().__init__(server)
        self.begin(moments)

    @property
    def backend(self) -> int:
        return 0 if self._session is None else self._session.number

    async def kill(self) -> None:
        assert self._session is not None
        self._session.end()

    async def change_the_key(self) -> None:
        other = self._server.database.session()
        for row in list(other.all("key")):
            other.changed("key", row, version=7)
        other.commit()
        other.end()

    async def move_the_shard(self) -> None:
        assert self._session is not None
        row = self._session.get("shard", (0,))
        assert row is not None
        self._session.changed("shard", row, event_seq=self._session.value("shard", row, "event_seq") + 5)


class RealStore:
    """PostgreSQL."""

    def __init__(self, database_url: str) -> None:
        self.url = database_url

    def faulty(self, **moments: Moment) -> Any:
        return FaultyPort(self.url, **moments)

    def shard(self, id: int = 0, port: Any = None, **limits: Any) -> Shard:
        started = Shard(id, port or self.faulty(), Limits(**limits))
        started.start()
        return started

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        async with await psycopg.AsyncConnection.connect(self.url, autocommit=True) as connection:
            return await (await connection.execute(query.encode())).fetchall()


class SimulatedStore(RealStore):
    """The simulated one, in real time, in which nothing goes wrong by itself."""

    def __init__(self) -> None:
        faults = Faults(Random(1), cast(Any, Now()), cast(Any, Now()), 0.0)
        self.database = Database(statement_of, lambda: datetime.now(UTC))
        self.database.restored({"shard": {(id,): (id, *relations()["shard"].defaults[1:]) for id in range(2)}})
        self.server = Server(self.database, faults)

    def faulty(self, **moments: Moment) -> Any:
        return SimulatedFaulty(self.server, **moments)

    async def rows(self, query: str) -> list[tuple[Any, ...]]:
        """What a test asks: columns of one table, or how many rows."""
        match = _ASKED.fullmatch(query)
        assert match is not None, query
        columns, table, where, value, order = match.groups()
        at = relations()[table].at
        found = [row for row in self.database.all(table) if where is None or row[at[where]] == value.encode()]
        if columns == "count(*)":
            return [(len(found),)]
        shown = [name.strip() for name in columns.split(",")]
        if order is not None:
            place = at[shown[int(order) - 1]] if order.isdigit() else at[order]
            found.sort(key=lambda row: cast("Sequence[Any]", row)[place])
        return [tuple(1 if name == "1" else row[at[name]] for name in shown) for row in found]
