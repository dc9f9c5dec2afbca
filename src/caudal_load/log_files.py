"""The files of a new database's log, made before it is loaded.

A database that has run for some minutes writes its log into files that it has had before. A new one makes each of the
first, 16 MB of zeros and a flush, and whoever commits meanwhile waits: a run of half a minute would measure little else
at its 99th percentile.
"""

import math

import psycopg
from psycopg.rows import scalar_row

LEAST_S = 4.0
"""A shorter run measures no percentile that a file would be seen in."""
_PER_S = 2.0
_MOST = 30  # as many as a checkpoint leaves (`min_wal_size`), on a machine with 4 GB


async def make_log_files(database_url: str, seconds: float) -> int:
    """Let the database make as many files as so many seconds of load are going to fill; how many it was asked for.

    None where the user may not ask for that. Raises psycopg.Error.
    """
    async with await psycopg.AsyncConnection.connect(
        database_url, autocommit=True, row_factory=scalar_row
    ) as connection:
        may = await connection.execute(
            "select pg_has_role('pg_checkpoint', 'member') and has_function_privilege('pg_switch_wal()', 'execute')"
        )
        if not await may.fetchone():
            return 0
        count = min(_MOST, math.ceil(seconds * _PER_S))
        for _ in range(count):
            # A file that nothing was written into is not left.
            await connection.execute("select pg_logical_emit_message(false, 'caudal-load', '')")
            await connection.execute("select pg_switch_wal()")
        await connection.execute("checkpoint")  # those that were filled come behind the current one, to be used again
        return count
