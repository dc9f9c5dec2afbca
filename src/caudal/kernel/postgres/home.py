"""The cluster's home: where it really is, its lock, its password and its socket's directory.

    <home>/data                 the database; the server's own, entered by nobody else
    <home>/run                  its Unix socket, directory mode 0700
    <home>/password             of the database user, mode 0600
    <home>/postgresql.conf …    written by every start, outside of what the server may write
    <home>/lock                 held by the process that runs the server

When root runs the server as another user and that user cannot reach <home> (a clone in /root), the real home is
below /var/lib/caudal and <home> is a link to it. Nothing is moved, and no parent's mode is ever changed.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import secrets
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final

from caudal.kernel.postgres.child import Owner
from caudal.kernel.postgres.failures import ClusterError
from caudal.kernel.postgres.owner import reaches

ELSEWHERE: Final = Path("/var/lib/caudal")
# sockaddr_un has 108 bytes with the final zero; the file in the directory is `.s.PGSQL.5432.lock` at the longest.
SOCKET_DIRECTORY_BYTES: Final = 107 - len("/.s.PGSQL.5432")
OURS: Final = (
    *("data", "data-unfinished", "run", "password", "password.unfinished", "lock"),
    *("postgresql.conf", "pg_hba.conf", "server.log", "server.log.1", "binaries-*"),
)


def settle(home: Path, owner: Owner | None) -> Path:
    """Make the home where it is missing and return the real one. Raises ClusterError where it cannot be used."""
    home = Path(os.path.abspath(home))  # noqa: PTH100 (the link at its end stays a link)
    if home.is_symlink() and not home.exists():
        raise ClusterError(f"{home} points to {home.readlink()}, which is gone: bring it back, or `caudal reset`")
    home.mkdir(parents=True, exist_ok=True)
    real = home.resolve()
    if owner is None:
        if real.stat().st_uid != os.geteuid():
            raise ClusterError(f"{real} belongs to user {real.stat().st_uid}: run caudal as that user, or reset it")
        real.chmod(0o700)
        return real
    real.chmod(0o711)
    if not reaches_inside(real, owner):
        if any(real.iterdir()):
            raise ClusterError(f"user {owner.uid}, who runs the database, cannot reach {real}: see its parents' modes")
        real = _elsewhere(home)
        home.rmdir()
        home.symlink_to(real)
    return real


def reaches_inside(folder: Path, owner: Owner) -> bool:
    """Whether the owner could use a directory of its own in this folder, which it may enter and not list."""
    trial = Path(tempfile.mkdtemp(dir=folder, prefix="trial-"))
    try:
        os.chown(trial, owner.uid, owner.gid)
        return reaches(owner, trial)
    except PermissionError:  # a file system without owners (a shared folder of a virtual machine)
        return False
    finally:
        trial.rmdir()


def _elsewhere(home: Path) -> Path:
    """A new home for `home`. One left there by a link since deleted is somebody's money: it is never taken over."""
    if not ELSEWHERE.is_dir():
        ELSEWHERE.mkdir(mode=0o711, parents=True)
        ELSEWHERE.chmod(0o711)
    if ELSEWHERE.stat().st_uid != 0 or ELSEWHERE.stat().st_mode & 0o022:
        raise ClusterError(f"{ELSEWHERE} must belong to root and be writable by nobody else")
    name, number = hashlib.sha256(os.fsencode(home)).hexdigest()[:16], 1
    while True:
        real = ELSEWHERE / (name if number == 1 else f"{name}-{number}")
        try:
            real.mkdir()
        except FileExistsError:
            number += 1
            continue
        real.chmod(0o711)
        return real


def lock(real: Path) -> int:
    """Become the one who runs this cluster: a descriptor to close at the end. Raises ClusterError if another is."""
    descriptor = os.open(real / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise ClusterError(f"the database in {real} is being run by another caudal") from None
    return descriptor


def new_password(real: Path) -> str:
    """Make the database user's password; a file that holds one is replaced."""
    password = secrets.token_urlsafe(32)
    private_file(real / "password", password)
    return password


def password(real: Path) -> str:
    """The database user's password. Raises ClusterError when its file is gone."""
    try:
        return (real / "password").read_text().strip()
    except FileNotFoundError:
        raise ClusterError(f"{real}/password is missing: bring it back, or `caudal reset`") from None


def private_file(path: Path, text: str) -> None:
    """Write a file of mode 0600 in one step, durably."""
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(path)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def socket_directory(real: Path, owner: Owner | None) -> Path:
    """A directory of mode 0700 for the socket: `run`, or a short one in /tmp where libpq could not name that."""
    run, record = real / "run", real / "socket-directory"
    if len(os.fsencode(run)) > SOCKET_DIRECTORY_BYTES or any(letter in str(run) for letter in ",'\"\\\n"):
        forget_socket_directory(real)
        run = Path(tempfile.mkdtemp(prefix="caudal-", dir="/tmp"))
        record.write_text(str(run))
    run.mkdir(exist_ok=True)
    run.chmod(0o700)
    if owner is not None:
        os.chown(run, owner.uid, owner.gid)
    return run


def forget_socket_directory(real: Path) -> None:
    """Remove the short directory, if there is one, and its record."""
    record = real / "socket-directory"
    if record.is_file():
        shutil.rmtree(record.read_text(), ignore_errors=True)
        record.unlink()


def remove(home: Path) -> None:
    """Delete the cluster: what we made in its home, the home when nothing else is in it, and the link to it."""
    if home.is_symlink() and not home.exists():
        home.unlink()
    if not home.exists():
        return
    real = home.resolve()
    held = lock(real)
    try:
        forget_socket_directory(real)
        for pattern in OURS:
            for path in real.glob(pattern):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    finally:
        os.close(held)
    if not any(real.iterdir()):
        real.rmdir()
        if home.is_symlink():
            home.unlink()
    if real.parent == ELSEWHERE:
        with suppress(OSError):  # other installations have their data there
            ELSEWHERE.rmdir()
