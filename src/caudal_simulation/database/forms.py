"""Statements in the house's three forms, made into functions from their own text: insert, update, select.

    insert into t (…) select %s, * from unnest(…) … returning 1) select 1 / (count(*) = %s)::int from w
    update t a set … from (select * from unnest(…) n(…), (select %s::integer as shard) here offset 0) n where … and …
    select … from t where … and … order by … limit …

So a column, a guard or a condition that changes in a service's SQL has changed here too. What has another form is
written by hand, by its name (`byhand/`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any, Final

from caudal_simulation.database.engine import Session, Statement
from caudal_simulation.database.schema import Relation, Row, refused, relations

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
_SELECT: Final = re.compile(
    r"^select (?P<columns>[\w, .]+?) from (?P<table>\w+)(?: (?!where)\w+)? where (?P<where>.*?)"
    r"(?: order by (?P<order>[\w, .]+?))?(?: limit (?P<limit>%s|\d+))?$"
)


def plain(text: str) -> str:
    """A statement without comments and line breaks, its named parameters by place."""
    text = re.sub(r"--[^\n]*", "", text)
    text = re.sub(r"%\(\w+\)s", "%s", text)
    return re.sub(r"\s+", " ", text).strip()


def compiled(text: str) -> Statement | None:
    """The function of a statement in one of the forms; None for another form."""
    said = plain(text)
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


# insert

Cells = Callable[[Session, Sequence[Any], int], Sequence[Any]]


def _insert(match: re.Match[str]) -> Statement | None:
    relation = relations()[match["table"]]
    columns = [column.strip() for column in match["columns"].split(",")]
    arrays, items = match["arrays"].count("%s"), split(match["select"])
    scalars = match["select"].count("%s")
    names = [name.strip() for name in match["names"].split(",")] if match["names"] else []
    cells: list[Cells] = []
    taken = 0
    for item in items:
        if item == "*":
            cells += [_array(scalars + number) for number in range(arrays)]
        else:
            cells.append(_item(item, taken, {name: scalars + number for number, name in enumerate(names)}))
            taken += item.count("%s")
    if len(cells) != len(columns):
        return None
    by_column = dict(zip(columns, cells, strict=True))
    ordered = [by_column.get(column) or _always(default) for column, default in _defaults(relation)]
    return _inserting(relation, ordered, scalars, bool(match["conflict"]), bool(match["guard"]))


def _inserting(relation: Relation, cells: list[Cells], first: int, quiet: bool, guard: bool) -> Statement:
    name = relation.name

    def insert(session: Session, given: Sequence[Any]) -> tuple[list[Row], int]:
        size, count = len(given[first]), 0
        for row in zip(*[cell(session, given, size) for cell in cells], strict=True):
            if quiet and session.get(name, relation.key_of(row)) is not None:
                continue
            session.insert(name, row)
            count += 1
        if guard:
            guarded(count, given[-1])
        return [], count

    return insert


def _defaults(relation: Relation) -> list[tuple[str, Any]]:
    return list(zip(relation.columns, relation.defaults, strict=True))


def _array(place: int) -> Cells:
    return lambda session, given, size: given[place]


def _always(value: Any) -> Cells:
    return lambda session, given, size: (value,) * size


def _item(item: str, place: int, names: dict[str, int]) -> Cells:
    """One expression of a select list."""
    name = item.removeprefix("n.")
    listed = re.fullmatch(r"string_to_array\((?:n\.)?(\w+), ' '\)", item)
    if listed:
        of = names[listed[1]]
        return lambda session, given, size: [value.split(" ") if value else [] for value in given[of]]
    if name in names:
        return _array(names[name])
    if item == "%s":
        return lambda session, given, size: (given[place],) * size
    if item == "coalesce(%s, now())":
        return lambda session, given, size: (session.now if given[place] is None else given[place],) * size
    if item == "now()":
        return lambda session, given, size: (session.now,) * size
    return _always(item[1:-1] if item.startswith("'") else int(item))


# update


def _update(match: re.Match[str]) -> Statement | None:
    relation, alias = relations()[match["table"]], match["alias"]
    names = {name.strip(): number for number, name in enumerate(match["names"].split(","))}
    names["shard"] = len(names)  # behind the arrays; the same for every row
    sets: list[tuple[int, int, bool]] = []
    for part in split(match["set"]):
        column, _, value = part.partition(" = ")
        listed = re.fullmatch(r"string_to_array\(n\.(\w+), ' '\)", value)
        sets.append((relation.at[column], names[listed[1] if listed else value.removeprefix("n.")], bool(listed)))
    equal: dict[str, int] = {}
    fixed: list[tuple[int, Any]] = []
    for part in match["where"].split(" and "):
        left, _, right = part.partition(" = ")
        column = left.removeprefix(f"{alias}.")
        if right.startswith("n."):
            equal[column] = names[right.removeprefix("n.")]
        else:
            fixed.append((relation.at[column], int(right)))
    if not set(relation.key) <= set(equal):
        return None
    key = [equal[column] for column in relation.key]
    others = [(relation.at[column], place) for column, place in equal.items() if column not in relation.key]
    return _updating(relation, len(names) - 1, key, others, fixed, sets)


def _updating(
    relation: Relation,
    arrays: int,
    key: list[int],
    others: list[tuple[int, int]],
    fixed: list[tuple[int, Any]],
    sets: list[tuple[int, int, bool]],
) -> Statement:
    name = relation.name

    def update(session: Session, given: Sequence[Any]) -> tuple[list[Row], int]:
        count = 0
        for values in zip(*given[:arrays], strict=True):
            asked = (*values, given[arrays])
            row = session.get(name, tuple([asked[place] for place in key]))
            if row is None or any(row[at] != asked[place] for at, place in others):
                continue
            if any(row[at] != value for at, value in fixed):
                continue
            new = list(row)
            for at, place, listed in sets:
                value = asked[place]
                new[at] = (value.split(" ") if value else []) if listed else value
            session.replace(name, row, tuple(new))
            count += 1
        guarded(count, given[-1])
        return [], count

    return update


# select

Test = Callable[[Row, Sequence[Any]], bool]


def _select(match: re.Match[str]) -> Statement | None:
    relation = relations()[match["table"]]
    shown = [column.strip().rpartition(".")[2] for column in match["columns"].split(",")]
    if any(column not in relation.at and not column.isdigit() for column in shown):
        return None
    tests: list[Test] = []
    many: tuple[str, int] | None = None
    exact: dict[str, int] = {}
    place = 0
    for part in match["where"].split(" and "):
        found = re.fullmatch(r"(?:\w+\.)?(\w+) (=|<>|>|<|>=|<=) (any\(%s(?:::[a-z]+\[\])?\)|%s|'\w+'|\d+)", part)
        null = re.fullmatch(r"(?:\w+\.)?(\w+) is (not )?null", part)
        if null:
            tests.append(_null(relation.at[null[1]], bool(null[2])))
            continue
        if found is None or found[1] not in relation.at:
            return None
        column, sign, right = found[1], found[2], found[3]
        if right == "%s" and sign == "=":
            exact[column] = place
        if right.startswith("any"):
            many = (column, place)
        tests.append(_test(relation.at[column], sign, right, place))
        place += "%s" in right
    order, backwards = _order_of(match["order"])
    if any(column not in relation.at for column in order):
        return None
    columns = itemgetter(*[relation.at.get(column, 0) for column in shown])
    take = columns if len(shown) > 1 else lambda row: (columns(row),)
    source = _source(relation, exact, many)
    return _selecting(source, tests, take, _order(relation, order, backwards), match["limit"])


def _source(
    relation: Relation, exact: dict[str, int], many: tuple[str, int] | None
) -> Callable[[Session, Sequence[Any]], Any]:
    """The rows to look at: by primary key where the conditions name all of it, else all."""
    name, key = relation.name, relation.key
    wanted = set(exact) | ({many[0]} if many else set())
    if set(key) != wanted & set(key):
        return lambda session, given: session.all(name)
    if many is None or many[0] not in key:
        return lambda session, given: [session.get(name, tuple([given[exact[column]] for column in key]))]
    of, place = many

    def source(session: Session, given: Sequence[Any]) -> list[Row | None]:
        return [
            session.get(name, tuple([value if column == of else given[exact[column]] for column in key]))
            for value in dict.fromkeys(given[place])
        ]

    return source


def _selecting(
    source: Callable[[Session, Sequence[Any]], Any],
    tests: list[Test],
    take: Callable[[Row], Row],
    order: Callable[[list[Row]], list[Row]] | None,
    limit: str | None,
) -> Statement:
    def select(session: Session, given: Sequence[Any]) -> tuple[list[Row], int]:
        found = [row for row in source(session, given) if row is not None and all(test(row, given) for test in tests)]
        if order is not None:
            found = order(found)
        if limit is not None:
            found = found[: given[-1] if limit == "%s" else int(limit)]
        return [take(row) for row in found], len(found)

    return select


def _order_of(text: str | None) -> tuple[list[str], bool]:
    parts = [part.strip() for part in text.split(",")] if text else []
    return [part.removesuffix(" desc").rpartition(".")[2] for part in parts], bool(parts and parts[0].endswith(" desc"))


def _order(relation: Relation, names: list[str], backwards: bool) -> Callable[[list[Row]], list[Row]] | None:
    if not names:
        return None
    places = [relation.at[name] for name in names]
    return lambda rows: sorted(rows, key=lambda row: [row[at] for at in places], reverse=backwards)


def _null(at: int, absent: bool) -> Test:
    return lambda row, given: (row[at] is not None) is absent


def _test(at: int, sign: str, right: str, place: int) -> Test:
    if right.startswith("any"):
        return lambda row, given: row[at] in given[place]
    if right == "%s":
        return _compared(at, sign, lambda given: given[place])
    value: Any = right[1:-1] if right.startswith("'") else int(right)
    return _compared(at, sign, lambda given: value)


def _compared(at: int, sign: str, of: Callable[[Sequence[Any]], Any]) -> Test:
    match sign:
        case "=":
            return lambda row, given: row[at] is not None and row[at] == of(given)
        case "<>":
            return lambda row, given: row[at] is not None and row[at] != of(given)
        case ">":
            return lambda row, given: row[at] is not None and row[at] > of(given)
        case "<":
            return lambda row, given: row[at] is not None and row[at] < of(given)
        case ">=":
            return lambda row, given: row[at] is not None and row[at] >= of(given)
    return lambda row, given: row[at] is not None and row[at] <= of(given)
