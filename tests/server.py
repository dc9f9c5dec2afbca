"""A PostgreSQL for one test run: `python -m tests.server HOME` prints its address and ends with its standard input.

It deletes its home then, so that nothing stays in memory when a run is killed.
"""

import asyncio
import shutil
import signal
import sys
from pathlib import Path

import psycopg
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict

from caudal.kernel.postgres import Cluster

# Databases are copied from a template, a thousand times a run: in the kernel that takes a tenth less.
SETTINGS = {
    "shared_buffers": "128MB",
    "max_wal_size": "256MB",
    "min_wal_size": "64MB",
    "file_copy_method": "clone",
}


async def quick_password(url: str) -> None:
    """The same password, hashed once by whoever connects and not 4,096 times: a run connects thousands of times."""
    known = conninfo_to_dict(url)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute("set scram_iterations = 1")
        role, password = sql.Identifier(str(known["user"])), sql.Literal(known["password"])
        await connection.execute(sql.SQL("alter role {} password {}").format(role, password))


async def main(home: Path) -> None:
    cluster = Cluster(home / "postgres", settings=SETTINGS, say=lambda _: None)
    await cluster.start()
    await quick_password(cluster.database_url)
    print(cluster.database_url, flush=True)
    supervising = asyncio.create_task(cluster.supervise())
    await asyncio.to_thread(sys.stdin.read)
    supervising.cancel()
    await cluster.stop()


if __name__ == "__main__":
    # Ctrl-C reaches everybody in the terminal; this one ends when the run has, and leaves nothing.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    HOME = Path(sys.argv[1])
    HOME.mkdir(exist_ok=True)
    HOME.chmod(0o711)  # the database's own user goes through it
    asyncio.run(main(HOME))
    shutil.rmtree(HOME)
