"""Every statement of every SQL file is one that today's schema can run: the server prepares it."""

from __future__ import annotations

import re
from pathlib import Path

import psycopg
import pytest

from caudal.kernel import sqlfile

ROOT = Path(__file__).parents[2]
FILES = [*sorted((ROOT / "src" / "caudal").rglob("queries.sql")), ROOT / "db" / "checks.sql"]
NOT_PREPARED = ("begin", "commit")


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


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_server_prepares_every_statement(path: Path, database_url: str) -> None:
    found = sqlfile.queries(path)
    assert found
    with psycopg.connect(database_url, autocommit=True) as connection:
        for name, statement in found.items():
            if not statement.startswith(NOT_PREPARED):
                prepared = connection.pgconn.prepare(name.encode(), numbered(statement).encode())
                assert prepared.status == psycopg.pq.ExecStatus.COMMAND_OK, f"{name}: {prepared.error_message.decode()}"
