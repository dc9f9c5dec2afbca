"""Files of the log are there before they are needed."""

from __future__ import annotations

import psycopg
from psycopg.conninfo import make_conninfo

from caudal_load.log_files import make_log_files

FILE_BYTES = 16 * 2**20
STATE = """
select (pg_current_wal_lsn() - '0/0') / %s, count(*)
from pg_ls_waldir() where name > pg_walfile_name(pg_current_wal_lsn()) and name ~ '^[0-9A-F]{24}$'
"""


async def state(database_url: str) -> tuple[float, int]:
    """How many files the log has filled, and how many stand behind the current one."""
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        filled, ahead = await (await connection.execute(STATE, (FILE_BYTES,))).fetchone() or (0, 0)
        return float(filled), int(ahead)


async def test_a_run_finds_the_files_that_it_is_going_to_fill(database_url: str) -> None:
    before, _ = await state(database_url)
    assert await make_log_files(database_url, 1.5) == 3
    after, ahead = await state(database_url)
    assert after - before > 2
    assert ahead >= 2


async def test_a_user_who_may_not_is_not_asked_to(database_url: str) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("create role sparing login")
        try:
            assert await make_log_files(make_conninfo(database_url, options="-c role=sparing"), 5) == 0
        finally:
            await connection.execute("drop role sparing")
