"""Which server is the primary: where there are several, the one with the highest timeline that takes writes.

A promotion begins a new timeline (PostgreSQL's word for a branch of history). A former primary that comes back still
takes writes and knows nothing of it. So every connection of a process is admitted here by its server's timeline: one
below the highest that the process has seen is refused, and when a higher one appears, all connections to what was
before are shut down under whoever waits on them: a commit that hangs there is looked for on the new primary.

An address with several hosts is watched: each is asked every second. With one host a promotion shows when a connection
is opened.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Final
from weakref import WeakKeyDictionary

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from caudal.kernel import db
from caudal.kernel.postgres import TIMELINE, NotDurable, verify_durable

log = logging.getLogger(__name__)

Connection = psycopg.AsyncConnection[Any]

LOOK_EVERY_S: Final = 1.0
ANSWER_S: Final = 2  # a server that takes longer stands still
_LISTS: Final = ("host", "hostaddr", "port")
_STATE: Final = f"select {TIMELINE}, current_setting('synchronous_standby_names') <> ''"


class Deposed(NotDurable):
    """A server of before a promotion: what it took would be lost."""


class Primary:
    """One process's knowledge of its database's servers. `async with` looks once, and watches until it ends.

    `synchronous` demands a primary whose commits wait for a standby.
    """

    def __init__(self, database_url: str, *, synchronous: bool = False) -> None:
        self._hosts, self._synchronous = hosts_of(database_url), synchronous
        self._at = 0  # whose turn is first
        self._admitted: WeakKeyDictionary[Connection, int] = WeakKeyDictionary()
        self._watching: list[asyncio.Task[None]] = []
        self._away: dict[int, str] = {}
        self.timeline = 0

    @property
    def url(self) -> str:
        """The address with the primary, as far as it is known, in front."""
        return _together([*self._hosts[self._at :], *self._hosts[: self._at]])

    @property
    def reasons(self) -> list[str]:
        """Which servers do not answer; for anybody, so without addresses."""
        return [f"server {n + 1} of {len(self._hosts)} of the database does not answer" for n in sorted(self._away)]

    async def __aenter__(self) -> Primary:
        if len(self._hosts) > 1 or self._synchronous:
            looked = [asyncio.Event() for _ in self._hosts]
            self._watching = [asyncio.create_task(self._watch(n, each)) for n, each in enumerate(looked)]
            await asyncio.gather(*(event.wait() for event in looked))
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._watching:
            task.cancel()
        await asyncio.gather(*self._watching, return_exceptions=True)

    # Connections

    async def connect(self, **settings: str) -> Connection:
        """A writer's connection to the primary. Raises NotDurable, psycopg.Error."""
        connection = await db.connect(self.url, **settings)
        try:
            durability = await verify_durable(connection, synchronous=self._synchronous)
            self._admit(connection, durability.timeline)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def admit(self, connection: Connection) -> None:
        """Lets a reader's new connection in. Raises Deposed."""
        row = await (await connection.execute(_STATE)).fetchone()
        assert row is not None
        self._admit(connection, row[0])

    async def check(self, connection: Connection) -> None:
        """Asks nobody. Closes a connection of before a promotion and raises Deposed."""
        if self._admitted.get(connection, 0) < self.timeline:
            await connection.close()
            raise Deposed("the connection is to a former primary")

    def _admit(self, connection: Connection, timeline: int) -> None:
        if timeline < self.timeline:
            raise Deposed(
                f"the server is on timeline {timeline}, and timeline {self.timeline} has begun elsewhere; restart this"
                " process if the database was restored or upgraded"
            )
        self._rise(timeline)
        self._admitted[connection] = timeline

    def _rise(self, timeline: int) -> None:
        if timeline > self.timeline:
            before, self.timeline = self.timeline, timeline
            left = [each for each, admitted in self._admitted.items() if admitted < timeline]
            if left:
                log.warning("a promotion: timeline %d follows timeline %d", timeline, before)
            self._leave(left)

    def _leave(self, connections: list[Connection]) -> None:
        for connection in connections:
            db.abandon(connection)

    # The watch

    async def _watch(self, number: int, looked: asyncio.Event) -> None:
        """One server, for as long as the process lives; one that is away is asked again."""
        how: dict[str, str | int] = {"connect_timeout": ANSWER_S, "target_session_attrs": "any"}
        address = make_conninfo(self._hosts[number], application_name="caudal-watch", **how)
        while True:
            try:
                async with db.closing(await psycopg.AsyncConnection.connect(address, autocommit=True)) as connection:
                    self._away.pop(number, None)
                    await self._follow(number, connection, looked.set)
            except (psycopg.Error, OSError) as error:
                if str(error) != self._away.get(number):  # a standby that is away is missed at the next failover
                    self._away[number] = str(error)
                    log.warning("server %d of %d does not answer: %s", number + 1, len(self._hosts), error)
            except Exception:
                log.exception("the watch of server %d broke", number + 1)
            looked.set()
            await asyncio.sleep(LOOK_EVERY_S)

    async def _follow(self, number: int, connection: Connection, looked: Callable[[], None]) -> None:
        while True:
            with db.answering_within(connection, ANSWER_S):
                row = await (await connection.execute(_STATE)).fetchone()
            assert row is not None
            self._saw(number, *row)
            looked()
            await asyncio.sleep(LOOK_EVERY_S)

    def _saw(self, number: int, timeline: int, waits: bool) -> None:
        if timeline and timeline >= self.timeline:
            self._at = number
            self._rise(timeline)
            if self._synchronous and not waits:
                self._leave([*self._admitted])


def hosts_of(database_url: str) -> list[str]:
    """The address of each server in an address of several, as libpq pairs hosts, addresses and ports."""
    given = conninfo_to_dict(database_url)
    lists = {name: str(given[name]).split(",") for name in _LISTS if given.get(name)}
    count = max((len(values) for name, values in lists.items() if name != "port"), default=1)
    each = [{name: values[n % len(values)] for name, values in lists.items()} for n in range(count)]
    return [database_url] if count == 1 else [make_conninfo(database_url, **one) for one in each]


def _together(addresses: list[str]) -> str:
    """One address for several: the first one's, with the hosts of all in their order."""
    given = [conninfo_to_dict(address) for address in addresses]
    lists = {name: ",".join(str(each[name]) for each in given) for name in _LISTS if name in given[0]}
    return make_conninfo(addresses[0], **lists)
