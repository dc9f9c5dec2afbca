"""What stands around a caudal that whole flows go through: payers who pay, and a merchant's server that hears of it.

Beside them the question whether all has come to its end: no payin waits, and every event has been heard of.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import psycopg
from psycopg.rows import tuple_row

from caudal_load.payers import Payers
from caudal_load.receiver import Heard, Receiver

PATIENCE_S = 30.0
"""How long after the load what is under way may take to come to its end."""
_LOOK_EVERY_S = 0.25
_EVENTS_OF_ENDPOINTS = (
    " from webhook_endpoint w join event e on e.shard = w.shard and e.book = w.book and e.at > w.created_at"
    " where w.id = any(%s) and e.type like 'payin.%%'"
)
_COUNT_EVENTS = "select count(*)" + _EVENTS_OF_ENDPOINTS
_EVENTS = "select w.id, e.seq" + _EVENTS_OF_ENDPOINTS
_DELIVERED = "select endpoint, event_seq from webhook_delivery where endpoint = any(%s) and status = 'delivered'"
_WAITING = (
    "select count(*) from shard s join payin p on p.shard = s.id"
    " where p.id >= %s and starts_with(p.reference, %s) and (p.status = any(%s) or exists ("
    "select from payin_operation o"
    " where o.shard = p.shard and o.payin = p.id and o.kind = 'capture' and o.status = 'pending'))"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Hearing:
    """What became of the events about payins."""

    undelivered: int
    """That never came."""
    unseen: int
    """That caudal has down as delivered, and that never came."""


class Outside:
    """The payers and the receiver of one side; `endpoints` are the ids of its webhook endpoints.

    No payers: they are elsewhere, and have come to rest before anybody asks.
    """

    def __init__(self, payers: Payers | None, receiver: Receiver, endpoints: Sequence[UUID]) -> None:
        self.payers, self.receiver = payers, receiver
        self.behind = 0
        """Events that had not come yet when the load ended."""
        self._endpoints = list(endpoints)

    async def note_behind(self, database_url: str) -> None:
        """Count what has not come yet. Raises psycopg.Error."""
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
            self.behind = await self._missing(connection)

    async def all_heard(self, connection: psycopg.AsyncConnection[tuple[int]]) -> bool:
        """Whether everything is paid and as many events have come as there are. Raises psycopg.Error."""
        return (self.payers is None or self.payers.idle) and not await self._missing(connection)

    async def heard(self, database_url: str) -> Hearing:
        """Look for every event. Raises psycopg.Error."""
        async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
            missing = [await self._events(connection, query) - self.receiver.events for query in (_EVENTS, _DELIVERED)]
        return Hearing(undelivered=len(missing[0]), unseen=len(missing[1]))

    async def end(self) -> None:
        """Close all connections."""
        if self.payers is not None:
            await self.payers.end()
        await self.receiver.end()

    async def _missing(self, connection: psycopg.AsyncConnection[tuple[int]]) -> int:
        cursor = await connection.execute(_COUNT_EVENTS, (self._endpoints,))
        row = await cursor.fetchone()
        return max(0, (row[0] if row else 0) - len(self.receiver.events))

    async def _events(self, connection: psycopg.AsyncConnection[tuple[int]], query: str) -> set[Heard]:
        cursor = connection.cursor(binary=True, row_factory=tuple_row)
        await cursor.execute(query.encode(), (self._endpoints,))
        of = {id: number for number, id in enumerate(self._endpoints)}
        return {(of[endpoint], number) for endpoint, number in await cursor.fetchall()}


async def come_to_rest(database_url: str, outside: Outside | None, lowest: UUID, prefix: str) -> None:
    """Wait, for as long as patience goes, until no payin or capture of the run is under way and all events have come.

    Raises psycopg.Error.
    """
    waits = ["submitting"] if outside is None else ["submitting", "pending"]
    until_s = asyncio.get_running_loop().time() + PATIENCE_S
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        while asyncio.get_running_loop().time() < until_s:
            under_way = await waiting(connection, lowest, waits, prefix)
            if not under_way and (outside is None or await outside.all_heard(connection)):
                return
            await asyncio.sleep(_LOOK_EVERY_S)


async def waiting(
    connection: psycopg.AsyncConnection[tuple[int]], lowest: UUID, statuses: Sequence[str], prefix: str
) -> int:
    """How many payins of the run are in one of these states, or have a capture whose outcome is not known."""
    row = await (await connection.execute(_WAITING, (lowest, prefix, list(statuses)))).fetchone()
    return row[0] if row else 0
