"""Plans that are made while tables are empty stay right when they are full: every table is probed, none is walked."""

from __future__ import annotations

import re

import psycopg
import pytest

from caudal.kernel import db
from caudal.webhooks.rows import SQL
from tests.app.statements import numbered

PARAMETERS = {
    "finish": "'{}', '{}', '{}', '{}', '{}', '{}', 0, 0",
    "read_due": "'{}', '{}', 0",
    "read_held": "0, '{}'",
    "read_put_off": "'{}', '{}', 0",
    "mark_failing": "'{}', '{}', 0, '{}', null",
    "read_changed": "'{}', '{}', 0",
    "wake": "0, 0, '{}'",
    "release": "0, '{}', null",
    "cancel": "'cancelled', 0, '{}', 1, 0",
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_a_statement_probes_what_it_needs(name: str, database_url: str) -> None:
    with psycopg.connect(db.conninfo(database_url, **db.PLANS), autocommit=True) as connection:
        connection.execute(f"prepare it as {numbered(SQL[name])}".encode())
        plan = "\n".join(row[0] for row in connection.execute(f"explain execute it({PARAMETERS[name]})".encode()))
    walked = re.findall(r"Index Cond: \(shard = [^()]*\)$", plan, re.MULTILINE)
    assert not walked and "Seq Scan" not in plan, plan
