"""What a history has committed is carried out again on a real PostgreSQL: the same answers, the same tables at the end.

Statements go there as the services wrote them. `now()` and `clock_timestamp()` are functions of ours there, which say
what the simulated server's clock said. Each history is one transaction, rolled back: nothing stays but the beginning.
"""

from __future__ import annotations

import re
from datetime import datetime
from enum import Enum
from typing import Any, Final, cast

import psycopg

from caudal_simulation.database import Row, Transaction, relations
from caudal_simulation.history import beginning, play

_CLOCKS: Final = """
drop schema if exists simulated cascade;
create schema simulated;
create function simulated.now() returns timestamptz stable language sql
    return current_setting('simulated.now')::timestamptz;
create function simulated.clock_timestamp() returns timestamptz stable language sql
    return current_setting('simulated.clock')::timestamptz;
"""
_PATH: Final = "set search_path = simulated, pg_catalog, public"
_SET: Final = "select set_config('simulated.now', %s, true), set_config('simulated.clock', %s, true)"
_SHOWN_MAX: Final = 20

Connection = psycopg.Connection[Any]


def mirror(database_url: str, seeds: range) -> int:
    """Plays and compares as many histories as there are seeds; prints what differs. 0 where nothing does.

    Transactions that overlapped are carried out in the order of their commits. Where one saw something else then, and
    what follows differs, that order does not tell the history: it is left out, and the next seed takes its place.
    """
    wrong: list[str] = []
    statements = played = left_out = 0
    with psycopg.connect(database_url, autocommit=True, prepare_threshold=0) as connection:
        connection.execute(_CLOCKS, prepare=False)
        connection.prepared_max = None  # there are more statements than it would keep; each is planned once
        connection.execute("set plan_cache_mode = force_generic_plan")
        connection.execute(_PATH)
        connection.execute("set timezone = 'UTC'")
        _begin(connection, beginning().rows)
        while played < len(seeds):
            seed = seeds.start + played + left_out
            try:
                told = _history(connection, seed)
            except _Interleaved:
                left_out += 1
                continue
            played += 1
            statements += told[0]
            wrong += [f"seed {seed}: {text}" for text in told[1]]
    for text in wrong[:_SHOWN_MAX]:
        print(text)
    print(f"{left_out} histories were left out: the order of commits does not tell them")
    print(f"{played} histories, {statements} statements carried out on both, {len(wrong)} differences")
    return 1 if wrong else 0


class _Interleaved(Exception):
    """Things differ behind a transaction that overlapped with others, and saw what its place among them does not."""


def _history(connection: Connection, seed: int) -> tuple[int, list[str]]:
    """One history on both: how many statements, and what differs. Raises _Interleaved."""
    history, wrong, interleaved = play(seed, journal=True), list[str](), False
    with connection.transaction(force_rollback=True):
        for transaction in history.journal:
            other = _carried_out(connection, transaction)
            if transaction.alone:
                wrong += other
            else:
                interleaved = interleaved or bool(other)
        wrong += _differing(connection, history.rows)
    if wrong and interleaved:
        raise _Interleaved
    return sum(len(transaction.said) for transaction in history.journal), wrong


def _begin(connection: Connection, rows: Any) -> None:
    """The beginning of every history, in place of what is there."""
    connection.execute(cast(Any, f"truncate {', '.join(relations())}"))
    for name, here in rows.items():
        columns = relations()[name].columns
        insert = f"insert into {name} ({', '.join(columns)}) values ({', '.join(['%s'] * len(columns))})"
        with connection.cursor() as cursor:
            cursor.executemany(cast(Any, insert), [[_plain(value) for value in row] for row in here.values()])


def _carried_out(connection: Connection, transaction: Transaction) -> list[str]:
    """One transaction there; which of its answers are other ones."""
    asked: list[tuple[Any, psycopg.Cursor[Any]]] = []
    clocks: tuple[datetime, datetime] | None = None
    with connection.pipeline():
        for said in transaction.said:
            if clocks != (said.now, said.clock):
                clocks = (said.now, said.clock)
                connection.execute(_SET, [str(time) for time in clocks])
            text = re.sub(r"%\(\w+\)s", "%s", said.text)
            asked.append((said, connection.execute(cast(Any, text), [_plain(value) for value in said.given])))
    return [
        f"{said.text[:60]!r} answers {_shown(there)} there, {_shown(said.rows)} here"
        for said, cursor in asked
        if cursor.description is not None
        and not _same(there := cursor.fetchall(), said.rows)
        and (said.text.startswith("select") or not transaction.alone)
    ]


def _same(there: list[Row], here: list[Row]) -> bool:
    if there and here and len(there[0]) == 1 and there[0][0] == 1:
        return len(there) == len(here)
    return sorted(_shown(_lined_up(row)) for row in there) == sorted(_shown(_lined_up(row)) for row in here)


def _lined_up(row: Row) -> Row:
    """A row whose arrays say, side by side, what lines there are: `array_agg` gives them in any order."""
    arrays = [value for value in row if isinstance(value, list)]
    if len(arrays) < 2 or len({len(array) for array in arrays}) > 1:
        return row
    return (*[value for value in row if not isinstance(value, list)], sorted(zip(*arrays, strict=True)))


def _shown(row: Any) -> str:
    return repr([_shown(value) if isinstance(value, tuple) else _plain(value) for value in row])


def _plain(value: Any) -> Any:
    """A value as psycopg takes it and gives it back."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, (list, tuple, range)):
        return [_plain(one) for one in value]
    return value


def _differing(connection: Connection, rows: Any) -> list[str]:
    """The tables whose rows are not the same at the end."""
    found = []
    for name, relation in relations().items():
        query = f"select {', '.join(relation.columns)} from {name}"
        there = sorted(map(_shown, connection.execute(cast(Any, query)).fetchall()))
        here = sorted(map(_shown, rows[name].values()))
        if there != here:
            odd = [row for row in there if row not in here][:1] + [row for row in here if row not in there][:1]
            found.append(f"{name} has {len(there)} rows there, {len(here)} here: {' / '.join(odd)[:600]}")
    return found
