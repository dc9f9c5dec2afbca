"""A primary with a synchronous standby, and what a failover manager does with them.

An acknowledged commit is on both disks (`synchronous_commit = on`, `synchronous_standby_names`). Its application is
given both addresses, the primary's first, and is told nothing when they change roles.
"""

import asyncio
import contextlib
import secrets
import shutil
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

from psycopg.conninfo import make_conninfo

from caudal_load.caudal_up import free_ports
from caudal_load.cluster.server import Server, ServerFailed

ROLE = DATABASE = "caudal"
_SYNCHRONOUS_TIMEOUT_S = 20.0
_LOOK_EVERY_S = 0.02
_MEMORY, _ROOM_BYTES = Path("/dev/shm"), 2 * 1024**3


class Pair:
    """`first` begins as the primary, `second` as its standby; `failover` makes the second one the primary."""

    def __init__(self, home: Path) -> None:
        ports, self._password = free_ports(2), secrets.token_hex(16)
        superuser = secrets.token_hex(16)
        self.first, self.second = (Server(home, n, p, superuser) for n, p in zip("ab", ports, strict=True))

    @property
    def url(self) -> str:
        """What an application connects with: an ordinary role, and both servers, the first one first."""
        ports = f"{self.first.port},{self.second.port}"
        address = {"host": "127.0.0.1,127.0.0.1", "port": ports, "dbname": DATABASE}
        return make_conninfo(user=ROLE, password=self._password, target_session_attrs="read-write", **address)

    @property
    def promoted_url(self) -> str:
        """The second server alone, for whoever has to know whom he asks."""
        return make_conninfo(self.url, host="127.0.0.1", port=self.second.port)

    async def start(self) -> None:
        """Make both, and return when commits wait for the standby. Raises ServerFailed, psycopg.Error."""
        await self.first.create()
        await self.first.start()
        await self.first.rows(f"create role {ROLE} login password '{self._password}'")
        await self.first.rows(f"create database {DATABASE} owner {ROLE}")
        await self.second.copy(self.first)
        await self.second.start()
        await self.first.rows(f"alter system set synchronous_standby_names = '{self.second.name}'")
        await self.first.rows("select pg_reload_conf()")
        await self._until_synchronous()

    async def _until_synchronous(self) -> None:
        deadline_s = asyncio.get_running_loop().time() + _SYNCHRONOUS_TIMEOUT_S
        while await self.first.rows("select sync_state from pg_stat_replication") != [("sync",)]:
            if asyncio.get_running_loop().time() > deadline_s:
                raise ServerFailed(f"the standby does not follow: {self.second.log_tail()}")
            await asyncio.sleep(_LOOK_EVERY_S)

    async def promote(self) -> None:
        """Make the standby the primary; returns when it takes writes. Raises psycopg.Error."""
        await self.second.rows("select pg_promote(true, 60)")

    async def stop(self) -> None:
        """End both."""
        for server in (self.second, self.first):
            await server.stop()


@contextlib.asynccontextmanager
async def pair() -> AsyncIterator[Pair]:
    """A pair that follows each other, on an empty directory that goes with it: in memory where there is room.

    Raises ServerFailed, psycopg.Error.
    """
    home = _empty_directory()
    made = Pair(home)
    try:
        await made.start()
        yield made
    finally:
        await made.stop()
        await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)


def _empty_directory() -> Path:
    roomy = _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free >= _ROOM_BYTES
    home = Path(tempfile.mkdtemp(prefix="caudal-pair-", dir=_MEMORY if roomy else None))
    home.chmod(0o711)  # the servers' user goes through it
    return home
