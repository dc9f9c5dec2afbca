"""Statements in the house's forms, made into functions from their own text: insert, update, select.

    insert into t (…) select %s, * from unnest(…) … returning 1) select 1 / (count(*) = %s)::int from w
    update t a set … from (select * from unnest(…) n(…), (select %s::integer as shard) here offset 0) n where … and …
    select … from t where … and … order by … limit …
    select … from unnest(%s::uuid[]) asked(this)
    cross join lateral (select * from t where shard = %s and id = asked.this limit 1) t

So a column, a guard or a condition that changes in a service's SQL has changed here too. What has another form is
written by hand, by its name (`byhand/`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from itertools import repeat
from typing import Any, Final

from caudal_simulation.database.engine import Session, Statement
from caudal_simulation.database.schema import Relation, Row, refused, relations, taking

_GUARD: Final = r" returning 1\) select 1 / \(count\(\*\) = %s\)::int from w$"
_INSERT: Final = re.compile(
    r"^(?:with w as \( ?)?insert into (?P<table>\w+) \((?P<columns>[\w, ]+)\) select (?P<select>.*?)"
    r" from unnest\((?P<arrays>[^n]*?(?:%s::[a-z]+\[\](?:, ?)?)+)\)(?: n\((?P<names>[\w, ]+)\))?"
    r"(?P<conflict> on conflict \([\w, ]+\) do nothing)?(?P<guard>" + _GUARD + ")?$"
)
_UPDATE: Final = re.compile(
    r"^with w as \( ?update (?P<table>\w+) (?P<alias>\w+) set (?P<set>.*?)"
    r" from \(select \* from unnest\((?P<arrays>.*?)\) n\((?P<names>[\w, ]+)\),"
    r" \(select %s::integer as shard\) here offset 0\) n where (?P<where>.*?)" + _GUARD
)
_SIGNS: Final = {"=": "==", "<>": "!="}
_SELECT: Final = re.compile(
    r"^select (?P<columns>[\w, .]+?) from (?P<table>\w+)(?: (?!where)\w+)? where (?P<where>.*?)"
    r"(?: order by (?P<order>[\w, .]+?))?(?: limit (?P<limit>%s|\d+))?$"
)
_PROBES: Final = re.compile(
    r"from unnest\(%s(?P<type>::[a-z]+\[\])\) asked\(this\)"
    r" cross join lateral \(select \* from (?P<table>\w+) where shard = %s and id = asked\.this limit 1\) \w+$"
)


def plain(text: str) -> str:
    """A statement without comments and line breaks, its named parameters by place."""
    text = re.sub(r"--[^\n]*", "", text)
    text = re.sub(r"%\(\w+\)s", "%s", text)
    return re.sub(r"\s+", " ", text).strip()


def compiled(text: str) -> Statement | None:
    """The function of a statement in one of the forms; None for another form."""
    said = _PROBES.sub(r"from \g<table> where id = any(%s\g<type>) and shard = %s", plain(text))
    for form, make in ((_INSERT, _insert), (_UPDATE, _update), (_SELECT, _select)):
        match = form.match(said)
        if match is not None and match["table"] in relations():
            made: Statement | None = make(match)
            if made is not None:
                return made
    return None


def guarded(count: int, expected: int) -> None:
    """The guard of a statement: another row count than the expected one divides by zero."""
    if count != expected:
        raise refused("22012", "division by zero")


def split(text: str) -> list[str]:
    """The parts between outer commas."""
    parts, depth, begun = [], 0, 0
    for place, letter in enumerate(text):
        depth += (letter == "(") - (letter == ")")
        if letter == "," and not depth:
            parts.append(text[begun:place].strip())
            begun = place + 1
    return [*parts, text[begun:].strip()]


# Each form becomes an expression of Python, made once: of the session s, what was given g, a row r, its new values v.


def _function(arguments: str, expression: str, constants: Sequence[Any] = ()) -> Callable[..., Any]:
    names = {f"c{number}": value for number, value in enumerate(constants)}
    return eval(f"lambda {arguments}: {expression}", names)  # type: ignore[no-any-return]


# insert


def _insert(match: re.Match[str]) -> Statement | None:
    relation = relations()[match["table"]]
    columns = [column.strip() for column in match["columns"].split(",")]
    arrays, items = match["arrays"].count("%s"), split(match["select"])
    scalars = match["select"].count("%s")
    names = [name.strip() for name in match["names"].split(",")] if match["names"] else []
    cells: list[str] = []
    taken = 0
    for item in items:
        if item == "*":
            cells += [f"g[{scalars + number}]" for number in range(arrays)]
        else:
            cells.append(_item(item, taken, {name: scalars + number for number, name in enumerate(names)}))
            taken += item.count("%s")
    if len(cells) != len(columns):
        return None
    by_column = dict(zip(columns, cells, strict=True))
    ordered = [by_column.get(column) or f"c0(c{number}, n)" for number, column in enumerate(relation.columns, 1)]
    rows = _function("s, g, n", f"zip({', '.join(ordered)}, strict=True)", (repeat, *relation.defaults))
    return _inserting(relation, rows, scalars, bool(match["conflict"]), bool(match["guard"]))


def _inserting(
    relation: Relation, rows: Callable[..., Iterable[Row]], first: int, quiet: bool, guard: bool
) -> Statement:
    name = relation.name

    def insert(session: Session, given: Sequence[Any]) -> tuple[list[Row], int]:
        count = len(given[first])
        new = rows(session, given, count)
        if quiet:
            count = 0
            for row in new:
                if session.get(name, relation.key_of(row)) is None:
                    session.insert(name, row)
                    count += 1
        else:
            session.insert(name, *new)
        if guard:
            guarded(count, given[-1])
        return [], count

    return insert


def _item(item: str, place: int, names: dict[str, int]) -> str:
    """One expression of a select list, for all of the n rows."""
    name = item.removeprefix("n.")
    listed = re.fullmatch(r"string_to_array\((?:n\.)?(\w+), ' '\)", item)
    if listed:
        return f"[value.split(' ') if value else [] for value in g[{names[listed[1]]}]]"
    if name in names:
        return f"g[{names[name]}]"
    if item == "%s":
        return f"c0(g[{place}], n)"
    if item == "coalesce(%s, now())":
        return f"c0(s.now if g[{place}] is None else g[{place}], n)"
    if item == "now()":
        return "c0(s.now, n)"
    return f"c0({item}, n)"


# update


def _update(match: re.Match[str]) -> Statement | None:
    relation, alias = relations()[match["table"]], match["alias"]
    names = {name.strip(): f"v[{number}]" for number, name in enumerate(match["names"].split(","))}
    arrays = len(names)
    names["shard"] = "shard"
    new = [f"r[{number}]" for number in range(len(relation.columns))]
    for part in split(match["set"]):
        column, _, value = part.partition(" = ")
        listed = re.fullmatch(r"string_to_array\(n\.(\w+), ' '\)", value)
        taken = names[listed[1] if listed else value.removeprefix("n.")]
        new[relation.at[column]] = f"({taken}.split(' ') if {taken} else [])" if listed else taken
    equal: dict[str, str] = {}
    fixed: list[str] = []
    for part in match["where"].split(" and "):
        left, _, right = part.partition(" = ")
        column = left.removeprefix(f"{alias}.")
        if right.startswith("n."):
            equal[column] = names[right.removeprefix("n.")]
        else:
            fixed.append(f"r[{relation.at[column]}] == {int(right)}")
    if not set(relation.key) <= set(equal):
        return None
    fixed += [f"r[{relation.at[name]}] == {value}" for name, value in equal.items() if name not in relation.key]
    return _updating(
        relation,
        arrays,
        _function("v, shard", f"({', '.join(equal[column] for column in relation.key)},)"),
        _function("r, v, shard", " and ".join(fixed) or "True"),
        _function("r, v, shard", f"({', '.join(new)},)"),
    )


def _updating(
    relation: Relation,
    arrays: int,
    key: Callable[..., Row],
    meant: Callable[..., bool],
    changed: Callable[..., Row],
) -> Statement:
    name = relation.name

    def update(session: Session, given: Sequence[Any]) -> tuple[list[Row], int]:
        count, shard = 0, given[arrays]
        for values in zip(*given[:arrays], strict=True):
            row = session.get(name, key(values, shard))
            if row is not None and meant(row, values, shard):
                session.replace(name, row, changed(row, values, shard))
                count += 1
        guarded(count, given[-1])
        return [], count

    return update


# select


def _select(match: re.Match[str]) -> Statement | None:
    relation = relations()[match["table"]]
    shown = [column.strip().rpartition(".")[2] for column in match["columns"].split(",")]
    if any(column not in relation.at and not column.isdigit() for column in shown):
        return None
    tests: dict[str, str] = {}
    many: tuple[str, int] | None = None
    exact: dict[str, int] = {}
    place = 0
    for part in match["where"].split(" and "):
        found = re.fullmatch(r"(?:\w+\.)?(\w+) (=|<>|>|<|>=|<=) (any\(%s(?:::[a-z]+\[\])?\)|%s|'\w+'|\d+)", part)
        null = re.fullmatch(r"(?:\w+\.)?(\w+) is (not )?null", part)
        if null:
            tests[part] = f"r[{relation.at[null[1]]}] is {'not ' if null[2] else ''}None"
            continue
        if found is None or found[1] not in relation.at:
            return None
        column, sign, right = found[1], found[2], found[3]
        if right == "%s" and sign == "=":
            exact[column] = place
        if right.startswith("any"):
            many = (column, place)
        tests[part] = _test(relation.at[column], sign, right, place)
        place += "%s" in right
    order, backwards = _order_of(match["order"])
    if any(column not in relation.at for column in order):
        return None
    kept = _function("rows, g", f"[r for r in rows if r is not None and {' and '.join(tests.values())}]")
    take = _function("rows", f"[({', '.join(f'r[{relation.at.get(column, 0)}]' for column in shown)},) for r in rows]")
    return _selecting(_source(relation, exact, many), kept, take, _order(relation, order, backwards), match["limit"])


def _source(
    relation: Relation, exact: dict[str, int], many: tuple[str, int] | None
) -> Callable[[Session, Sequence[Any]], Any]:
    """The rows to look at: by primary key where the conditions name all of it, else all."""
    name, key = relation.name, relation.key
    wanted = set(exact) | ({many[0]} if many else set())
    if set(key) != wanted & set(key):
        return lambda session, given: session.all(name)
    if many is None or many[0] not in key:
        one = _function("g", f"({', '.join(f'g[{exact[column]}]' for column in key)},)")
        return lambda session, given: (session.get(name, one(given)),)
    of, place = many
    parts = ["value" if column == of else f"g[{exact[column]}]" for column in key]
    keys = _function("g", f"[({', '.join(parts)},) for value in dict.fromkeys(g[{place}])]")
    return lambda session, given: [session.get(name, asked) for asked in keys(given)]


def _selecting(
    source: Callable[[Session, Sequence[Any]], Any],
    kept: Callable[..., list[Row]],
    take: Callable[[list[Row]], list[Row]],
    order: Callable[[list[Row]], list[Row]] | None,
    limit: str | None,
) -> Statement:
    def select(session: Session, given: Sequence[Any]) -> tuple[list[Row], int]:
        found = kept(source(session, given), given)
        if order is not None:
            found = order(found)
        if limit is not None:
            found = found[: given[-1] if limit == "%s" else int(limit)]
        return take(found), len(found)

    return select


def _order_of(text: str | None) -> tuple[list[str], bool]:
    parts = [part.strip() for part in text.split(",")] if text else []
    return [part.removesuffix(" desc").rpartition(".")[2] for part in parts], bool(parts and parts[0].endswith(" desc"))


def _order(relation: Relation, names: list[str], backwards: bool) -> Callable[[list[Row]], list[Row]] | None:
    if not names:
        return None
    places = taking([relation.at[name] for name in names])
    return lambda rows: sorted(rows, key=places, reverse=backwards)


def _test(at: int, sign: str, right: str, place: int) -> str:
    """A condition; a null fulfils none."""
    if right.startswith("any"):
        return f"r[{at}] in g[{place}]"
    value = f"g[{place}]" if right == "%s" else right
    return f"r[{at}] is not None and r[{at}] {_SIGNS.get(sign, sign)} {value}"
