"""A PostgreSQL for one test run: `python -m tests.server HOME` prints its address and ends with its standard input."""

import asyncio
import sys
from pathlib import Path

from caudal.kernel.postgres import Cluster


async def main(home: Path) -> None:
    cluster = Cluster(home, settings={"shared_buffers": "128MB", "max_wal_size": "1GB"}, say=lambda _: None)
    await cluster.start()
    print(cluster.database_url, flush=True)
    supervising = asyncio.create_task(cluster.supervise())
    await asyncio.to_thread(sys.stdin.read)
    supervising.cancel()
    await cluster.stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
