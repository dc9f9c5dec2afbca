"""Every statement is one that today's schema can run: the server prepares it, from a SQL file or out of the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

import psycopg
import pytest

from caudal.kernel import sqlfile
from caudal_load.bare import TABLES

ROOT = Path(__file__).parents[2]
FILES = [
    *sorted((ROOT / "src" / "caudal").rglob("queries.sql")),
    *sorted((ROOT / "src" / "caudal").rglob("queries/*.sql")),
    *sorted((ROOT / "db" / "checks").glob("*.sql")),
]
NOT_PREPARED = ("begin", "commit")
BEGINS = re.compile(r"(select|insert into|update|delete from|with( recursive)? \w+ as) ", re.IGNORECASE)
ELSEWHERE = {"caudal_sandbox"}  # its database is SQLite, and its tests run every statement


def numbered(statement: str) -> str:
    """`%s` and `%(name)s` as `$1`, `$2`, …; `%%` as `%`."""
    names: dict[str, int] = {}
    count = 0

    def place(match: re.Match[str]) -> str:
        nonlocal count
        if match[0] == "%%":
            return "%"
        if match[1] is None:
            count += 1
            return f"${count}"
        return f"${names.setdefault(match[1], len(names) + 1)}"

    return re.sub(r"%(?:\((\w+)\))?s|%%", place, statement)


def texts(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Line and text of every string, where added strings, names of strings and what is put into one are one text.

    Parts of added strings are found too.
    """
    values: dict[str, str] = {}
    for node in ast.walk(tree):
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=value)
            ):
                if value is not None and (text := _text(value, values)) is not None:
                    values[name] = text
    pieces = {part for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)} - {tree}
    for node in ast.walk(tree):
        whole = isinstance(node, ast.JoinedStr) or (isinstance(node, ast.expr) and node not in pieces)
        if whole and isinstance(node, ast.expr) and (text := _text(node, values)) is not None:
            yield node.lineno, text


def _text(node: ast.expr, values: dict[str, str]) -> str | None:
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.Name(id=name):
            return values.get(name)
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            parts = _text(left, values), _text(right, values)
            return None if parts[0] is None or parts[1] is None else parts[0] + parts[1]
        case ast.JoinedStr(values=pieces):
            known = [_text(piece, values) for piece in pieces]
            return None if None in known else "".join(piece for piece in known if piece is not None)
        case ast.FormattedValue(value=value, format_spec=None):
            return _text(value, values)
        case ast.Call(
            func=ast.Attribute(value=ast.Name(id=name), attr="format"), args=[ast.Constant(value=str(given))]
        ):
            return values[name].format(given) if name in values else None
    return None


def written_in(path: Path) -> dict[str, str]:
    """The statements in a module's strings, each once, the whole ones only. A sentence that begins like SQL is none."""
    found = {text: f"{path.name}:{line}" for line, text in texts(ast.parse(path.read_text("utf-8"))) if _is_sql(text)}
    whole = [text for text in found if not any(other != text and other.startswith(text) for other in found)]
    return {found[text]: text for text in whole}


def _is_sql(text: str) -> bool:
    """With a `?` for a parameter it is SQLite's."""
    return BEGINS.match(text) is not None and not re.search(r"\{\w*\}|[.…]$| \?", text) and " " in text.strip()


MODULES = [
    path
    for path in sorted((ROOT / "src").rglob("*.py"))
    if path.relative_to(ROOT / "src").parts[0] not in ELSEWHERE and written_in(path)
]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_server_prepares_every_statement(path: Path, database_url: str) -> None:
    prepare(database_url, sqlfile.queries(path))


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_server_prepares_every_statement_that_stands_in_the_code(path: Path, database_url: str) -> None:
    prepare(database_url, written_in(path))


def prepare(database_url: str, statements: Mapping[str, str]) -> None:
    assert statements
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(TABLES.encode())
        for name, statement in statements.items():
            if not statement.startswith(NOT_PREPARED):
                prepared = connection.pgconn.prepare(name.encode(), numbered(statement).encode())
                assert prepared.status == psycopg.pq.ExecStatus.COMMAND_OK, f"{name}: {prepared.error_message.decode()}"


def test_statements_in_code_are_found_whole() -> None:
    names = {path.name for path in MODULES}
    assert {"verify.py", "bare.py", "fill.py", "migrate.py"} <= names
    found = written_in(ROOT / "src" / "caudal_load" / "bare.py").values()
    assert sum(statement.endswith(" returning 1) select 1 / (count(*) = %s)::int from w") for statement in found) == 5
