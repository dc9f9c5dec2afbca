"""The SQL that stands in the code: read out of a module's strings, in the server's own notation."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

BEGINS = re.compile(r"(select|insert into|update|delete from|with( recursive)? \w+ as) ", re.IGNORECASE)
# A module without this is not parsed: a statement begins where a literal does.
OPENS = re.compile(r"[\"'](\\\n)?(select|insert into|update|delete from|with) ", re.IGNORECASE)


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
    nodes = list(ast.walk(tree))
    for node in nodes:
        match node:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=value)
            ):
                if value is not None and (text := _text(value, values)) is not None:
                    values[name] = text
    pieces = {part for node in nodes if isinstance(node, ast.JoinedStr) for part in ast.walk(node)} - {tree}
    for node in nodes:
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


@cache
def written_in(path: Path) -> dict[str, str]:
    """The statements in a module's strings, each once, the whole ones only. A sentence that begins like SQL is none."""
    module = path.read_text("utf-8")
    if OPENS.search(module) is None:
        return {}
    found = {text: f"{path.name}:{line}" for line, text in texts(ast.parse(module)) if _is_sql(text)}
    whole = [text for text in found if not any(other != text and other.startswith(text) for other in found)]
    return {found[text]: text for text in whole}


def _is_sql(text: str) -> bool:
    """With a `?` for a parameter it is SQLite's."""
    return BEGINS.match(text) is not None and not re.search(r"\{\w*\}|[.…]$| \?", text) and " " in text.strip()
