"""`caudal check`: runs every law of db/checks, the replay, and the comparison with the sandbox bank's books.

Each law walks its table in ranges, each range in a short transaction of its own.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import sys
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from uuid import UUID

import msgspec
import psycopg
from psycopg.conninfo import make_conninfo

from caudal.app.against import SHOWN_MAX, CannotLook
from caudal.app.against import against_sandbox as compared
from caudal.app.replay import replay as replay_shard
from caudal.catalogue import METHODS
from caudal.kernel import db, sqlfile
from caudal.kernel.money import CURRENCIES
from caudal.kernel.primary import Primary
from caudal.kernel.settings import Settings

CHECKS: Final = Path(__file__).parents[3] / "db" / "checks"
SQL: Final = sqlfile.queries(Path(__file__).with_name("queries.sql"))
RANGE: Final = 20_000
_LOOK_EVERY_S: Final = 5.0
_SILENT_S: Final = 10  # a server that takes no connection for so long stands still
# What is said of a server that says nothing; one that refuses has ended our connection, too, or is only full.
_SILENCES: Final = ("timeout expired", *map(os.strerror, (errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ETIMEDOUT)))
# Ranges over two columns, and what a law calls them.
_PAIRS: Final = {"entries": ("account", "version"), "keys": ("book", "digest")}
_LONG_AGO: Final = datetime(1, 1, 1, tzinfo=UTC)
_BOOKS: Final = 1 << 46  # more than there are, and an account's id still fits
# What is before the first row.
_FIRST: Final[dict[str, tuple[Any, ...]]] = {
    "batches": (_LONG_AGO,),
    "transfers": (0,),
    "events": (-1,),
    "accounts": (-1,),
    "payins": (UUID(int=0),),
    "lines": (UUID(int=0),),
    "deliveries": (UUID(int=0),),
    "entries": (-1, 0),
    "keys": (-1, b""),
    "books": (-_BOOKS, _LONG_AGO),
}
# How a part of a place is read that was kept as text.
_READ: Final[dict[type, Callable[[str], Any]]] = {
    datetime: datetime.fromisoformat,
    UUID: UUID,
    bytes: bytes.fromhex,
    int: int,
}

# What laws look up and no table has: ISO 4217, and which family of a fee plan prices a method.
_FACTS: Final = {
    "currencies": list(CURRENCIES),
    "numerics": [currency.numeric for currency in CURRENCIES.values()],
    "countries": [method.country for method in METHODS.values()],
    "methods": [method.method for method in METHODS.values()],
    "families": [method.family for method in METHODS.values()],
}

if TYPE_CHECKING:  # a web process and a worker know the laws, and show nothing
    from rich.console import Console

Connection = psycopg.AsyncConnection[Any]
Progress = Callable[[str, int], None]


async def check(settings: Settings, *, replay: bool, against_sandbox: bool) -> int:
    """Checks everything and prints what is wrong; the exit status, 2 where it cannot look."""
    from rich.console import Console

    console = Console(highlight=False)
    try:
        async with Primary(settings.database_url or "") as primary:
            address = make_conninfo(primary.url, target_session_attrs="read-write", connect_timeout=_SILENT_S)
        connection: Connection = await psycopg.AsyncConnection.connect(address, autocommit=True)
        async with db.closing(connection):
            sandbox_url = settings.sandbox_url if against_sandbox else None
            checking = _checked(connection, replay=replay, sandbox_url=sandbox_url, console=console)
            wrong = await _as_long_as_it_answers(checking, connection, address)
    except CannotLook as error:
        print(f"caudal: {error}", file=sys.stderr)
        return 2
    except psycopg.Error as error:
        print(f"caudal: {_reason(error)}", file=sys.stderr)
        return 2
    console.print("all is well" if not wrong else f"{wrong} rows are wrong", style="green" if not wrong else "red")
    return 1 if wrong else 0


def _reason(error: psycopg.Error) -> str:
    first = (str(error).splitlines() or [type(error).__name__])[0]
    if isinstance(error, (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn)):
        return f"the database is not what this version looks at: {first} (`caudal migrate`)"
    return f"the database cannot be looked at: {first}"


async def _as_long_as_it_answers(checking: Coroutine[Any, Any, int], connection: Connection, address: str) -> int:
    """What the work comes to, which may take as long as it likes. Raises CannotLook for a server that stands still."""
    work = asyncio.create_task(checking)
    still = asyncio.create_task(_stands_still(address))
    try:
        await asyncio.wait({work, still}, return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            return work.result()
        raise CannotLook(f"the database does not answer any more: no new connection within {_SILENT_S} s")
    finally:
        still.cancel()
        if not work.done():
            db.abandon(connection)  # psycopg's own way to break a statement off asks the server
        await asyncio.gather(work, still, return_exceptions=True)


async def _stands_still(address: str) -> None:
    """Ends when a server that took our connection takes no other one."""
    while True:
        await asyncio.sleep(_LOOK_EVERY_S)
        try:
            await (await psycopg.AsyncConnection.connect(address)).close()
        except psycopg.OperationalError as error:
            said = str(error)
            if "FATAL" not in said and any(silence in said for silence in _SILENCES):
                return  # one that is full, for instance, says so (and psycopg has no SQLSTATE of it)


async def _checked(connection: Connection, *, replay: bool, sandbox_url: str | None, console: Console) -> int:
    """How much is wrong; prints it. Raises CannotLook, psycopg.Error."""
    wrong = 0
    connection.prepare_threshold = None  # a plan for any range might read a whole table for each
    await connection.execute("set timezone = 'UTC'")
    for (shard,) in await _rows(connection, SQL["shards"], {}):
        wrong += await _laws(connection, shard, console)
        if replay:
            wrong += await _replay(connection, shard, console)
    if sandbox_url is not None:
        wrong += await compared(connection, sandbox_url, console)
    return wrong


async def _laws(connection: Connection, shard: int, console: Console) -> int:
    wrong = 0
    with console.status(f"checking shard {shard}") as status:
        progress = lambda kind, number: status.update(f"checking shard {shard}: {kind}, range {number:,}")  # noqa: E731
        async for row in differences(connection, shard, progress=progress):
            wrong += 1
            if wrong <= SHOWN_MAX:
                console.print(f"WRONG {row[0]}: shard {row[1]}, {row[2]}: {row[3]}", markup=False)
    return wrong


def laws() -> list[sqlfile.Query]:
    """Every law, file by file."""
    return [
        query for path in sorted(CHECKS.glob("*.sql")) for query in sqlfile.parse(path.read_text("utf-8"), str(path))
    ]


def digest_of_laws() -> bytes:
    """Of every law as it stands."""
    return hashlib.sha256("\n".join(f"{law.name} {law.doc} {law.sql}" for law in laws()).encode()).digest()


def range_of(law: sqlfile.Query) -> str:
    """What a law walks through."""
    return law.doc.partition("range:")[2].split(maxsplit=1)[0]


async def differences(
    connection: Connection,
    shard: int,
    *,
    only: Collection[str] | None = None,
    size: int = RANGE,
    progress: Progress | None = None,
) -> AsyncIterator[tuple[Any, ...]]:
    """Every row that breaks a law (one that `only` names): check, shard, subject, detail.

    Laws of one kind look at each range of at most `size` rows together, while it is at hand; each statement is a
    transaction of its own. `connection` is in autocommit; `progress(kind, number)` is called after each range.
    """
    walk = Round(shard, only=only, size=size)
    while (look := await walk.look(connection)) is not None:
        for row in look.wrong:
            yield row
        if progress is not None:
            progress(look.kind, look.number)


class Look(NamedTuple):
    """One range that all laws of a kind were held against: its number, rows that break one, what else was asked."""

    kind: str
    number: int
    wrong: list[tuple[Any, ...]]
    beside: list[tuple[Any, ...]]


class _Place(NamedTuple):
    """Where a walk through one kind's rows is: what is before the next range, and whether there is none."""

    before: tuple[Any, ...]
    sums: Mapping[str, int]
    ended: bool = False


class RoundPlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a round is, to be kept: of which kind its rows are, what is before the next range (as text), how large that
    is and how much time it has.
    """

    kind: str
    before: tuple[str, ...]
    sums: dict[str, int]
    ended: bool
    number: int
    rows: int
    time_s: float | None


class Round:
    """All laws (that `only` names) over one shard, range by range. It keeps its place: what failed is looked at again,
    on whatever connection, and whoever pauses between two looks holds nothing up.

    With `patience_s` a statement that takes longer is broken off, so that nothing holds up for long who vacuums. Then
    the range is halved, and what cannot be halved (a law of the whole shard, one row) gets twice the time. So every
    law is held against everything in the end, however large the shard is. `beside` is what else is asked of each range
    of a kind. `ended` names the laws that have been held against all there is; whoever takes them out empties it.
    """

    def __init__(
        self,
        shard: int,
        *,
        only: Collection[str] | None = None,
        size: int = RANGE,
        patience_s: float | None = None,
        beside: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self.shard, self.ended = shard, list[tuple[str, ...]]()
        self._size, self._patience_s, self._beside = size, patience_s, beside
        self._left = dict[str, list[sqlfile.Query]]()
        for law in laws():
            if only is None or law.name in only:
                self._left.setdefault(range_of(law), []).append(law)
        self._begin_kind()

    def _begin_kind(self) -> None:
        self._kind = next(iter(self._left), None)
        self._number, self._rows, self._time_s = 0, self._size, self._patience_s
        self._place = _Place(_FIRST.get(self._kind or "", ()), {})

    @property
    def place(self) -> RoundPlace | None:
        """Where it is; None when everything has been looked at."""
        if self._kind is None:
            return None
        return RoundPlace(
            kind=self._kind,
            before=tuple(part.hex() if isinstance(part, bytes) else str(part) for part in self._place.before),
            sums=dict(self._place.sums),
            ended=self._place.ended,
            number=self._number,
            rows=self._rows,
            time_s=self._time_s,
        )

    def go_on(self, at: RoundPlace) -> None:
        """Goes on there: what comes before has been looked at, by a round over the same laws.

        Raises ValueError for what is no place of theirs.
        """
        while self._kind is not None and self._kind != at.kind:
            del self._left[self._kind]
            self._begin_kind()
        if self._kind is None:
            raise ValueError(f"no law walks through {at.kind}")
        read = [_READ[type(part)] for part in _FIRST.get(at.kind, ())]
        before = tuple(as_it_was(text) for as_it_was, text in zip(read, at.before, strict=True))
        self._place = _Place(before, at.sums, at.ended)
        self._number, self._rows, self._time_s = at.number, at.rows, at.time_s

    async def look(self, connection: Connection) -> Look | None:
        """Holds the laws of a kind against its next range; None when everything has been looked at.

        Raises psycopg.Error; where that is QueryCanceled, the next look is at less or has more time.
        """
        while self._kind is not None:
            if self._place.ended:
                kind, number = self._kind, self._number
                self.ended.append(tuple(law.name for law in self._left.pop(kind)))
                self._begin_kind()
                if number:
                    continue
                return Look(kind, 0, [], [])
            try:
                if self._time_s is not None:
                    await connection.execute(SQL["take_time"], (f"{self._time_s * 1000:.0f}",))
                bounds, after = await self._next(connection, self._kind)
                wrong, beside = ([], []) if bounds is None else await self._asked(connection, self._kind, bounds)
            except psycopg.errors.QueryCanceled:
                self._try_less(self._kind)
                raise
            self._place = after
            if bounds is not None:
                self._number += 1
                return Look(self._kind, self._number, wrong, beside)
        return None

    def _try_less(self, kind: str) -> None:
        if kind != "shard" and self._rows > 1:
            self._rows //= 2
        elif self._time_s is not None:
            self._time_s *= 2

    async def _asked(
        self, connection: Connection, kind: str, bounds: dict[str, Any]
    ) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
        wrong: list[tuple[Any, ...]] = []
        for law in self._left[kind]:
            wrong += await _rows(connection, law.sql, {"shard": self.shard, **_FACTS, **bounds})
        further = self._beside.get(kind)
        return wrong, [] if further is None else await _rows(connection, further, {"shard": self.shard, **bounds})

    async def _next(self, connection: Connection, kind: str) -> tuple[dict[str, Any] | None, _Place]:
        """The bounds of the next range, None where there is none yet or any more, and the place behind it.

        A range with room for more is a kind's last: what comes behind it from then on is the next round's. Otherwise a
        round would never end where rows come faster than it looks.
        """
        if kind == "shard":
            return {}, _Place((), {}, ended=True)
        if kind == "books":
            return await self._next_books(connection)
        low = self._place.before
        page = {"shard": self.shard, "low": low[0], "low2": low[-1], "size": self._rows}
        [(*high, count)] = await _rows(connection, SQL[f"range_of_{kind}"], page)
        if not count:
            return None, self._place._replace(ended=True)
        last = count < self._rows
        if kind not in _PAIRS:
            return {"low": low[0], "high": high[0]}, _Place((high[0],), {}, ended=last)
        names = [f"{end}_{part}" for end in ("low", "high") for part in _PAIRS[kind]]
        return dict(zip(names, (*low, *high), strict=True)), _Place(tuple(high), {}, ended=last)

    async def _next_books(self, connection: Connection) -> tuple[dict[str, Any] | None, _Place]:
        """Whole books, about so many lines of their statements at a time.

        Of a book that has more, the lines before `low_at` are summed in parts beforehand. That may be done at different
        moments: a book's clock never goes back, so nothing is added any more before a line that has a later one behind.
        """
        (low, at), sums = self._place.before, dict(self._place.sums)
        where = {"shard": self.shard, "book": low, "at": at, "size": self._rows}
        page = await _rows(connection, SQL["page_of_statement"], where)
        book, until, goes_on = page[0] if page else (_BOOKS, None, True)
        high, bounds = book if goes_on else book + 1, None
        if high > low:
            bounds = {"low": low, "low_at": at, "high": high, "summed": list(sums), "sums": list(sums.values())}
            low, at, sums = high, _LONG_AGO, {}
        if page and goes_on:
            part = {"shard": self.shard, "book": book, "low": at, "high": until}
            for currency, net_minor in await _rows(connection, SQL["part_of_statement"], part):
                sums[currency] = sums.get(currency, 0) + net_minor
            at = until
        return bounds, _Place((low, at), sums, ended=not page)


async def _rows(connection: Connection, query: str, parameters: dict[str, Any]) -> list[tuple[Any, ...]]:
    cursor = await connection.execute(cast("Any", query), parameters)
    return await cursor.fetchall()


async def _replay(connection: Connection, shard: int, console: Console) -> int:
    with console.status(f"replaying shard {shard}") as status:
        result = await replay_shard(
            connection, shard, progress=lambda seq, mark: status.update(f"replaying shard {shard}: {seq:,} of {mark:,}")
        )
    for one in result.differences[:SHOWN_MAX]:
        console.print(f"WRONG replay {one.check}: shard {one.shard}, {one.subject}: {one.detail}", markup=False)
    console.print(f"shard {shard}: {result.transfers:,} transfers replayed, chain {result.chain.hex()[:16]}…")
    return len(result.differences) + result.unreported
