"""The schema as the simulated database keeps it: read from db/schema, so that it is never another one.

A table knows its columns in order, what they are when nobody says, which must be there, its primary key, and its CHECK
constraints as Python expressions (SQL's `null` is neither true nor false: such a check passes).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache
from operator import itemgetter
from pathlib import Path
from typing import Any, Final

import psycopg

DIRECTORY: Final = Path(__file__).parents[3] / "db" / "schema"
Row = tuple[Any, ...]

_TABLE: Final = re.compile(r"create table (\w+) \((.*?)\n\)", re.S)
_CONSTRAINT: Final = re.compile(r"constraint (\w+) check \((.*)\)$", re.S)
_TOKEN: Final = re.compile(r"'[^']*'|<>|<=|>=|\w+|\S")
_WORDS: Final = {
    "=": "==",
    "<>": "!=",
    "#": "^",
    "null": "None",
    "true": "True",
    "false": "False",
    "octet_length": "len",
    "length": "len",
}


def refused(sqlstate: str, what: str) -> psycopg.Error:
    """The error that PostgreSQL answers with."""
    return psycopg.errors.lookup(sqlstate)(what)


def taking(places: Sequence[int]) -> Callable[[Row], Row]:
    """A function that takes these of a row's values."""
    get = itemgetter(*places)
    return get if len(places) > 1 else lambda row: (get(row),)


class Relation:
    """A table's definition."""

    def __init__(self, name: str, body: str) -> None:
        self.name = name
        self.columns: list[str] = []
        self.defaults: list[Any] = []
        self.needed: list[int] = []
        self.key: tuple[str, ...] = ()
        self.checks: list[tuple[str, Callable[[Row], Any]]] = []
        checks: list[tuple[str, str]] = []
        for part in _parts(body):
            named = _CONSTRAINT.match(part)
            if named:
                checks.append((named[1], named[2]))
            elif part.startswith("primary key"):
                self.key = tuple(column.strip() for column in part[part.index("(") + 1 : -1].split(","))
            elif not part.startswith("constraint"):
                self._column(part)
        self.at = {column: number for number, column in enumerate(self.columns)}
        self.key_of = taking([self.at[column] for column in self.key])  # the row's primary key
        self.checks = [(check, _function(_python(expression, self.columns))) for check, expression in checks]
        laws = [f"r[{number}] is not None" for number in self.needed]
        laws += [f"({_python(expression, self.columns)})" for _, expression in checks]
        self._passes = _function(" and ".join(laws) or "True")

    def _column(self, text: str) -> None:
        name, _, rest = text.partition(" ")
        default = re.search(r" default ('[^']*'|\S+)", rest)
        if " primary key" in rest:
            self.key = (name,)
        if " not null" in rest or " primary key" in rest:
            self.needed.append(len(self.columns))
        self.columns.append(name)
        self.defaults.append(_default(rest.split()[0], default[1] if default else None))

    def check(self, row: Row) -> None:
        """Raises what PostgreSQL raises for a row that breaks the table's law."""
        try:
            if self._passes(row):
                return
        except TypeError:  # a null in a comparison: looked at one by one
            pass
        for number in self.needed:
            if row[number] is None:
                raise refused("23502", f"{self.name}.{self.columns[number]}")
        for name, check in self.checks:
            try:
                passed = check(row)
            except TypeError:  # a null in a comparison
                continue
            if passed is False:
                raise refused("23514", name)


def _default(kind: str, text: str | None) -> Any:
    if text is None:
        return None
    if text.startswith("'\\x"):
        return bytes.fromhex(text[3:-1])
    if kind == "timestamptz":
        return datetime(2000, 1, 1, tzinfo=UTC) if text.startswith("'") else None
    if kind == "boolean":
        return text == "true"
    return text[1:-1] if text.startswith("'") else int(text)


def _parts(body: str) -> list[str]:
    """The definitions between the outer commas, each on one line without comments."""
    text = " ".join(line.partition("--")[0].strip() for line in body.splitlines())
    parts, depth, begun = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            parts.append(text[begun:place])
            begun = place + 1
    return [" ".join(part.split()) for part in [*parts, text[begun:]] if part.strip()]


def _function(expression: str) -> Callable[[Row], Any]:
    names = {"_Range": _Range, "num_nulls": _nulls, "len": len}
    return eval(f"lambda r: {expression}", names)  # type: ignore[no-any-return]


def _python(expression: str, columns: Sequence[str]) -> str:
    """A CHECK as Python has it, of the row r."""
    words = _TOKEN.findall(expression)
    out: list[str] = []
    place = 0
    while place < len(words):
        word = words[place]
        if word == "between":
            middle, end = words.index("and", place), _end(words, words.index("and", place) + 1)
            low, high = (_said(words[place + 1 : middle], columns), _said(words[middle + 1 : end], columns))
            out.append(f"in _Range({low}, {high})")
            place = end
            continue
        out.append(_said([word], columns))
        place += 1
    return _cases(" ".join(out))


def _end(words: list[str], place: int) -> int:
    """Where the expression that begins here ends."""
    depth = 0
    while place < len(words):
        word = words[place]
        depth += (word == "(") - (word == ")")
        if depth < 0 or (not depth and word in ("and", "or")):
            return place
        place += 1
    return place


def _said(words: Sequence[str], columns: Sequence[str]) -> str:
    return " ".join(f"r[{columns.index(word)}]" if word in columns else _WORDS.get(word, word) for word in words)


class _Range:
    """What `between` compares with."""

    def __init__(self, low: Any, high: Any) -> None:
        self._low, self._high = low, high

    def __contains__(self, value: Any) -> bool:
        return bool(self._low <= value <= self._high)


def _cases(text: str) -> str:
    """`case when a then b else c end` as Python has it, and `between` of a column as its chain."""
    text = re.sub(r"(r\[\d+\]) in _Range\((\S+), (\S+)\)", r"(\2 <= \1 <= \3)", text)
    return re.sub(r"case when (.*?) then (.*?) else (.*?) end", r"((\2) if (\1) else (\3))", text)


def _nulls(*values: Any) -> int:
    return sum(value is None for value in values)


@cache
def relations() -> dict[str, Relation]:
    """Every table of today's schema; partitions are one with their table."""
    found: dict[str, Relation] = {}
    for path in sorted(DIRECTORY.glob("*.sql")):
        text = re.sub(r"\n\) (partition by|with)", r"\n)", path.read_text("utf-8"))
        for name, body in _TABLE.findall(text):
            found[name] = Relation(name, body)
    return found
