"""A new cluster: made aside, then renamed. A `data` directory is therefore always a whole one.

`data-unfinished` is the marker of an `initdb` that did not come to its end; the next start removes it and begins anew.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from signal import SIGKILL
from typing import Final

from caudal.kernel.postgres.binaries import MAJOR
from caudal.kernel.postgres.child import Child, Owner, reason
from caudal.kernel.postgres.failures import ClusterError
from caudal.kernel.postgres.home import new_password, sync_folder
from caudal.kernel.postgres.owner import give, maker_for

USER: Final = "caudal"


def is_made(real: Path) -> bool:
    """Whether there is a cluster of ours. Raises ClusterError for anything else in its place."""
    data = real / "data"
    if not data.exists():
        return False
    try:
        major = (data / "PG_VERSION").read_text().strip()
    except FileNotFoundError:
        raise ClusterError(f"{data} is not a PostgreSQL data directory: move it away") from None
    except PermissionError:
        raise ClusterError(f"{data} belongs to another user: run caudal as that user") from None
    if major != MAJOR:
        raise ClusterError(
            f"{data} was made by PostgreSQL {major} and this is {MAJOR}: dump it with the old release and restore it,"
            " or `caudal reset`"
        )
    if not (real / "password").is_file():
        raise ClusterError(f"{data} was not made by caudal, or {real}/password is lost: bring it back or move it away")
    return True


async def create(real: Path, binaries: Path, owner: Owner | None, log: Path, environment: Mapping[str, str]) -> None:
    """Run `initdb`. Raises ClusterError with the end of its output when it fails."""
    unfinished = real / "data-unfinished"
    await asyncio.to_thread(_clear, unfinished)
    maker = None if owner is None else maker_for(owner)
    _prepare(unfinished, new_password(real), maker)
    command = [
        str(binaries / "bin" / "initdb"),
        f"--pgdata={unfinished / 'made' / 'data'}",
        f"--username={USER}",
        f"--pwfile={unfinished / 'password'}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        # Order and case by code point, from PostgreSQL itself: an upgrade of the C library cannot disorder an index.
        "--locale=C",
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--data-checksums",
        "--no-instructions",
    ]
    child = Child(command, environment=environment, log=log, directory=real, death_signal=SIGKILL, owner=maker)
    try:
        status = await child.wait()
    finally:
        await child.end()
    if status != 0:
        raise ClusterError(f"initdb ended with {reason(status)}: {last_lines(log)}")
    await asyncio.to_thread(_finish, unfinished, real / "data", owner)


def _clear(unfinished: Path) -> None:
    # initdb's own child, killed with it, may still write: what reappears is removed too.
    for _ in range(50):
        if not unfinished.exists():
            return
        shutil.rmtree(unfinished, ignore_errors=True)
    raise ClusterError(f"{unfinished} cannot be removed")


def _prepare(unfinished: Path, password: str, maker: Owner | None) -> None:
    """The place to make it in: entered by us and, through the private group, by the maker alone."""
    unfinished.mkdir(mode=0o700)
    (unfinished / "made").mkdir(mode=0o700)
    pwfile = unfinished / "password"
    with os.fdopen(os.open(pwfile, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(password)
    if maker is not None:
        os.chown(unfinished, -1, maker.gid)
        unfinished.chmod(0o710)
        os.chown(unfinished / "made", maker.uid, maker.gid)
        os.chown(pwfile, -1, maker.gid)
        pwfile.chmod(0o640)


def _finish(unfinished: Path, data: Path, owner: Owner | None) -> None:
    if owner is not None:
        give(unfinished / "made" / "data", owner)
    (unfinished / "made" / "data").rename(data)
    sync_folder(data.parent)
    shutil.rmtree(unfinished)


def last_lines(log: Path, count: int = 3) -> str:
    """The end of a log, for an error message."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            lines = file.read().decode(errors="replace").strip().splitlines()
    except FileNotFoundError:
        lines = []
    return f"{' | '.join(lines[-count:])} ({log})"
