"""The simulated server: committed rows, sessions with what they have not committed, and the locks between them.

A session sees what is committed and what it has written itself (READ COMMITTED); a commit puts it all in place at once,
an end without one forgets it. A row that another session has locked is waited for, as its statement says.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any, Final, NamedTuple

from caudal.kernel.db import Array
from caudal_simulation.database.arrays import values_of
from caudal_simulation.database.schema import Relation, Row, refused, relations

Statement = Callable[["Session", Sequence[Any]], tuple[list[Row], int]]
Lock = tuple[str, Row]

# Written without the shard's lock too, by workers: who changes a row of these holds it until his transaction ends.
BESIDE_BATCHES: Final = frozenset({"consumer", "webhook_delivery", "webhook_queue", "webhook_range"})
_NAMED: Final = re.compile(r"%\((\w+)\)s")


@cache
def _names(text: str) -> list[str]:
    """The named parameters of a statement, by place."""
    return _NAMED.findall(text)


class Said(NamedTuple):
    """A statement that was carried out: what it was given, its rows, and what `now()` and the clock were."""

    text: str
    given: Sequence[Any]
    rows: list[Row]
    now: datetime
    clock: datetime


class Transaction(NamedTuple):
    """What committed together. `alone`: nothing else did since it began, so that it saw what there is at its end."""

    said: list[Said]
    alone: bool


class Wait(Exception):
    """The statement waits for another session's lock."""

    def __init__(self, lock: Lock) -> None:
        super().__init__(lock)
        self.lock = lock


class Database:
    """The server and its disk. `statement` makes the function of a statement's text; `now` is its clock.

    Columns come `packed`, as they do over a wire, or as they are.
    """

    def __init__(
        self, statements: Callable[[str], Statement], now: Callable[[], datetime], *, packed: bool = True
    ) -> None:
        self.now, self.statement, self.packed = now, statements, packed
        self.relations: Mapping[str, Relation] = relations()
        self.rows: dict[str, dict[Row, Row]] = {name: {} for name in self.relations}
        self.locks: dict[Lock, Session] = {}
        self.waiting: list[Callable[[], None]] = []
        self.sessions: dict[Session, None] = {}  # in order: a set's depends on addresses
        self.journal: list[Transaction] | None = None  # what committed, in that order, while asked for
        self.reader = Session(self)
        self._made = 0
        self.kept: dict[str, list[dict[str, Any]]] | None = None  # while nothing changes any more
        self.commits = 0

    def restored(self, rows: Mapping[str, Mapping[Row, Row]]) -> Database:
        """The same server with these rows on its disk."""
        for name, here in rows.items():
            self.rows[name] = dict(here)
        return self

    def session(self) -> Session:
        """A connection to it."""
        session = Session(self)
        self.sessions[session] = None
        self._made += 1
        session.number = self._made
        return session

    def crash(self) -> None:
        """The server is gone and comes back: what was not committed is lost, and so is every session."""
        for session in list(self.sessions):
            session.end()

    def all(self, name: str) -> list[Row]:
        """The committed rows of a table."""
        return list(self.rows[name].values())

    def dicts(self, name: str) -> list[dict[str, Any]]:
        """The committed rows of a table, by column."""
        if self.kept is not None and name in self.kept:
            return self.kept[name]
        columns = self.relations[name].columns
        found = [dict(zip(columns, row, strict=True)) for row in self.rows[name].values()]
        if self.kept is not None:
            self.kept[name] = found
        return found

    def released(self) -> None:
        """A session has ended its transaction: whoever waits looks again."""
        waiting, self.waiting = self.waiting, []
        for wake in waiting:
            wake()


class Session:
    """One connection. `alive` until it or the server ends."""

    def __init__(self, database: Database) -> None:
        self.database, self.alive = database, True
        self.number = 0
        self.busy = False  # everything it needs for its commit has arrived
        self._written: dict[str, dict[Row, Row | None]] = {}
        self._before: list[tuple[str, Row, Row | None, bool]] = []  # what the statement that runs has overwritten
        self._locks: list[Lock] = []
        self._said: list[Said] = []
        self.began: datetime | None = None
        self._commits = 0

    # What statements use

    @property
    def now(self) -> datetime:
        """`now()`: when the transaction began."""
        return self.began or self.database.now()

    def get(self, name: str, key: Row) -> Row | None:
        """A row by its primary key."""
        written = self._written.get(name)
        if written is not None and key in written:
            return written[key]
        return self.database.rows[name].get(key)

    def all(self, name: str) -> Iterable[Row]:
        """Every row of a table."""
        written = self._written.get(name)
        rows = self.database.rows[name]
        if not written:
            return rows.values()
        return [row for row in {**rows, **written}.values() if row is not None]

    def insert(self, name: str, *rows: Row) -> None:
        """New rows. Raises what PostgreSQL raises for one that is there, or that breaks the law."""
        relation = self.database.relations[name]
        for row in rows:
            key = relation.key_of(row)
            if self.get(name, key) is not None:
                raise refused("23505", f"{name} {key}")
            relation.check(row)
            self._write(name, key, row)

    def replace(self, name: str, before: Row, row: Row) -> None:
        """A changed row."""
        relation = self.database.relations[name]
        relation.check(row)
        old, new = relation.key_of(before), relation.key_of(row)
        if old != new:
            self.delete(name, old)
        elif name in BESIDE_BATCHES:
            self.lock(name, old)
        self._write(name, new, row)

    def delete(self, name: str, key: Row) -> None:
        """A row is there no more."""
        if name in BESIDE_BATCHES:
            self.lock(name, key)
        self._write(name, key, None)

    def _write(self, name: str, key: Row, row: Row | None) -> None:
        written = self._written.get(name)
        if written is None:
            written = self._written[name] = {}
        if name in BESIDE_BATCHES:  # of others no statement waits
            self._before.append((name, key, written.get(key), key in written))
        written[key] = row

    def changed(self, name: str, row: Row, **values: Any) -> Row:
        """A row with other values, written."""
        at = self.database.relations[name].at
        new = list(row)
        for column, value in values.items():
            new[at[column]] = value
        self.replace(name, row, tuple(new))
        return tuple(new)

    def value(self, name: str, row: Row, column: str) -> Any:
        """One value of a row."""
        return row[self.database.relations[name].at[column]]

    def is_free(self, name: str, key: Row) -> bool:
        """Whether no other session has this row locked."""
        return self.database.locks.get((name, key), self) is self

    def lock(self, name: str, key: Row) -> None:
        """Locks a row until the transaction ends. Raises Wait while another session has it."""
        lock = (name, key)
        holder = self.database.locks.get(lock)
        if holder is None:
            self.database.locks[lock] = self
            self._locks.append(lock)
        elif holder is not self:
            raise Wait(lock)

    # Transactions

    def run(self, text: str, given: Sequence[Any] | dict[str, Any]) -> tuple[list[Row], int]:
        """One statement: its rows, and how many it touched. Raises Wait, psycopg.Error."""
        database = self.database
        if isinstance(given, dict):
            given = [given[name] for name in _names(text)]
        if database.packed:
            given = [values_of(value) if isinstance(value, Array) else value for value in given]
        if self._before:
            self._before.clear()
        try:
            rows, count = database.statement(text)(self, given)
        except Wait:
            self._undo()
            raise
        if database.journal is not None:
            self._said.append(Said(text, given, rows, self.now, database.now()))
        return rows, count

    def _undo(self) -> None:
        """Nothing of the statement that waits was written: it begins anew when its turn has come."""
        for name, key, row, was_written in reversed(self._before):
            if was_written:
                self._written[name][key] = row
            else:
                del self._written[name][key]

    def begin(self) -> None:
        """The transaction's beginning."""
        self.began = self.database.now()
        self._commits = self.database.commits

    def commit(self) -> None:
        """Everything that was written, at once and durable."""
        for name, written in self._written.items():
            rows = self.database.rows[name]
            for key, row in written.items():
                if row is None:
                    rows.pop(key, None)
                else:
                    rows[key] = row
        if self.database.journal is not None and self._said:
            self.database.journal.append(Transaction(self._said, self._commits == self.database.commits))
        self.database.commits += 1
        self._over()

    def forget(self) -> None:
        """What was written so far; the locks stay, and it is written again."""
        self._written, self._said = {}, []

    def rollback(self) -> None:
        """Nothing of it."""
        self._over()

    def _over(self) -> None:
        self._written, self._said, self.began = {}, [], None
        locks, self._locks = self._locks, []
        for lock in locks:
            del self.database.locks[lock]
        if locks:
            self.database.released()

    def end(self) -> None:
        """The connection is gone."""
        if self.alive:
            self.alive = False
            self.database.sessions.pop(self, None)
            self._over()
