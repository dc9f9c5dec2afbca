"""Small file systems for PostgreSQL's data and its write-ahead log, in a mount namespace that ends with the harness.

A process holds the namespace: `cat`, which ends when our end of its pipe is closed, however that comes about. A mount
has no room left when it is made no larger than what it holds; nothing has to be filled.
"""

import asyncio
import os
import subprocess
from pathlib import Path

from caudal_load.faults.model import BadFaults

ROOMY = "8g"
_MARGIN_BYTES = 64 * 1024
_TRIES = 200


class Disks:
    """The two file systems, and whoever holds them."""

    def __init__(self, holder: asyncio.subprocess.Process, places: dict[str, Path]) -> None:
        self._holder, self._places = holder, places

    @property
    def enter(self) -> tuple[str, ...]:
        """What stands before a command that is to see them."""
        return ("nsenter", "--target", str(self._holder.pid), "--mount", "--")

    async def fill(self, name: str) -> None:
        """No room is left. Raises BadFaults when the kernel refuses again and again."""
        for _ in range(_TRIES):
            if await self._resize(name, str(self._used(name) + _MARGIN_BYTES)) == 0:
                return
            await asyncio.sleep(0.01)  # it has grown in between
        raise BadFaults(f"the file system of {name} cannot be made so small")

    async def make_room(self, name: str) -> None:
        """There is room again."""
        if self._holder.returncode is None and await self._resize(name, ROOMY) != 0:
            raise BadFaults(f"the file system of {name} cannot be made larger again")

    def _used(self, name: str) -> int:
        seen = os.statvfs(f"/proc/{self._holder.pid}/root{self._places[name]}")
        return (seen.f_blocks - seen.f_bfree) * seen.f_frsize

    async def _resize(self, name: str, size: str) -> int:
        return await _status(*self.enter, "mount", "-o", f"remount,size={size}", str(self._places[name]))

    async def close(self) -> None:
        """Let go; the file systems are gone when nobody is inside any more."""
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        await self._holder.wait()


_SCRIPT = """
set -e
mkdir -p "$2" "$3"
mount -t tmpfs -o size={roomy},mode=0700 caudal-data "$2"
mount -t tmpfs -o size={roomy},mode=0711 caudal-wal "$3"
cp -a "$1/." "$2/"
chown --reference="$1" "$2" "$3"
mv "$2/pg_wal" "$3/pg_wal"
ln -s "$3/pg_wal" "$2/pg_wal"
chown -h --reference="$1" "$2/pg_wal"
mount --bind "$2" "$1"
echo mounted
exec cat
"""


async def moved(data: Path, directory: Path) -> Disks:
    """Put this data directory (of a server that does not run) on a file system of its own, its log on another.

    Raises BadFaults where that is not possible.
    """
    places = {"data": directory / "data", "wal": directory / "wal"}
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _SCRIPT.format(roomy=ROOMY), "sh"]
    holder = await asyncio.create_subprocess_exec(
        *command, str(data), *map(str, places.values()), stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    if await holder.stdout.readline() != b"mounted\n":
        raise BadFaults(f"the file systems for a full disk cannot be mounted (status {await holder.wait()})")
    return Disks(holder, places)


async def _status(*command: str) -> int:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait()
