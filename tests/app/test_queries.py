"""Every statement is one that today's schema can run: the server prepares it, from a SQL file or out of the code."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest

from caudal.kernel import sqlfile
from caudal_load.bare import TABLES
from tests.app.statements import numbered, written_in

ROOT = Path(__file__).parents[2]
FILES = [
    *sorted((ROOT / "src" / "caudal").rglob("queries.sql")),
    *sorted((ROOT / "src" / "caudal").rglob("queries/*.sql")),
    *sorted((ROOT / "db" / "checks").glob("*.sql")),
]
NOT_PREPARED = ("begin", "commit")
# The sandbox's database is SQLite, and its tests run every statement.
ELSEWHERE = ("caudal_sandbox/", "caudal_load/faults/inject/outages.py")
MODULES = [
    path
    for path in sorted((ROOT / "src").rglob("*.py"))
    if not path.relative_to(ROOT / "src").as_posix().startswith(ELSEWHERE) and written_in(path)
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
