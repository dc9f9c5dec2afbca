"""Reads `queries.sql`: the SQL of a service as named blocks.

    -- name: payins_by_id
    -- One payin of one book. Parameters: shard, payin.
    select … from payin where shard = %(shard)s and payin = %(payin)s

A block begins at its `-- name:` line and ends at the next one. The comment lines right below the name are its
documentation and are not sent to the database; comments further down are part of the SQL. A trailing `;` is dropped,
so that a block is one statement. Before the first block only comments and blank lines may stand.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import LiteralString

from msgspec import Struct

_NAME = re.compile(r"^--[ \t]*name:[ \t]*(?P<name>.*?)[ \t]*$", re.MULTILINE)
_WORDS = re.compile(r"[a-z][a-z0-9]*(_[a-z0-9]+)*")


class SqlFileError(ValueError):
    """A file of named queries breaks a rule of the format; the message says where."""


class Query(Struct, frozen=True, kw_only=True):
    """One named block: `sql` is what the database gets, `doc` what the reader gets."""

    name: str
    doc: str
    sql: LiteralString


def queries(path: Path) -> Mapping[str, LiteralString]:
    """The statements of one file, or of a folder's, by name. Raises SqlFileError, or OSError for what is not there."""
    found: dict[str, LiteralString] = {}
    for file in sorted(path.glob("*.sql")) if path.is_dir() else (path,):
        for query in parse(file.read_text("utf-8"), str(file)):
            if query.name in found:
                raise SqlFileError(f"{file}: '{query.name}' is there twice")
            found[query.name] = query.sql
    return MappingProxyType(found)


def parse(text: str, source: str = "queries.sql") -> list[Query]:
    """The blocks of a file's text, in its order. Raises SqlFileError naming `source` and the block."""
    heads = list(_NAME.finditer(text))
    before = text[: heads[0].start()] if heads else text
    if _split(before)[1]:
        raise SqlFileError(f"{source}: SQL stands before the first '-- name:' line")
    found: dict[str, Query] = {}
    for head, following in zip(heads, [*heads[1:], None], strict=False):
        end = following.start() if following else len(text)
        query = _block(head["name"], text[head.end() : end], source)
        if query.name in found:
            raise SqlFileError(f"{source}: '{query.name}' is there twice")
        found[query.name] = query
    return list(found.values())


def _block(name: str, body: str, source: str) -> Query:
    if not _WORDS.fullmatch(name):
        raise SqlFileError(f"{source}: '{name}' is no name: lower-case words joined by '_'")
    doc, sql = _split(body)
    if not any(line.strip() and not line.lstrip().startswith("--") for line in sql.splitlines()):
        raise SqlFileError(f"{source}: '{name}' is empty")
    # `sql` counts as a literal: the file is part of the program, and no input ever reaches this parser.
    return Query(name=name, doc=doc, sql=sql)


def _split(body: str) -> tuple[str, str]:
    """The leading comment lines without their dashes, and the statement below them."""
    doc: list[str] = []
    lines = body.strip().splitlines()
    while lines and (lines[0].startswith("--") or not lines[0].strip()):
        doc.append(lines.pop(0).removeprefix("--").strip())
    return "\n".join(doc).strip(), "\n".join(lines).strip().removesuffix(";").rstrip()
