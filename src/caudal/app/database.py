"""`caudal database`: the embedded PostgreSQL alone, in the foreground, kept running until a signal."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from caudal.app import state
from caudal.app.restart import var_of
from caudal.app.state import UpError
from caudal.app.up import signalled, tell
from caudal.kernel.postgres import Cluster, ClusterError
from caudal.kernel.settings import SettingError, Settings


async def run(settings: Settings) -> int:
    """Run it, print its URL when it takes connections, end it on a signal. Returns the exit status.

    Raises SettingError where another database is named.
    """
    if settings.database_url is not None:
        raise SettingError("CAUDAL_DATABASE_URL names a database; `caudal database` runs the embedded one: unset it")
    var = var_of(settings)
    try:
        with state.held(var, only_its_owner=True):
            (var / "log").mkdir(exist_ok=True)
            log = var / "log" / "postgres.log"
            async with signalled() as asked:
                async with Cluster(
                    var / "postgres", log=log, say=tell, web_processes=settings.web_processes
                ) as cluster:
                    print(cluster.database_url, flush=True)
                    supervising = asyncio.create_task(cluster.supervise())
                    await asyncio.wait({supervising, asked}, return_when=asyncio.FIRST_COMPLETED)
                    if supervising.done():
                        await supervising  # ends only by failing
                    supervising.cancel()
                    with suppress(asyncio.CancelledError):
                        await supervising
                    return 0
    except (UpError, ClusterError) as error:
        tell(f"caudal: {error}")
        return 1
