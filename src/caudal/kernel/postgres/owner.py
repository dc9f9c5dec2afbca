"""Which user the server runs as. PostgreSQL refuses root, so root drops to a user that nobody else is.

A bare number, in no passwd entry: nothing is added to the system, and no other service shares it. `initdb` is the one
program that insists on a name; it runs as `nobody`, but in our private group, behind a directory that only this group
may enter: no other process of `nobody` can see the new cluster.
"""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Final

from caudal.kernel.postgres.child import Owner
from caudal.kernel.postgres.failures import ClusterError

NUMBERS: Final = range(8700, 8800)

# As the owner, in a process of its own: try to enter and list every folder given, and say which one fails.
PROBE: Final = """
import os, sys
uid, gid, *folders = sys.argv[1:]
os.setgroups([])
os.setresgid(*[int(gid)] * 3)
os.setresuid(*[int(uid)] * 3)
try:
    for folder in folders:
        os.chdir(folder)
        os.listdir(folder)
except PermissionError as error:
    sys.exit(3)
"""
UNREACHABLE: Final = 3


def owner_of(data: Path) -> Owner | None:
    """Who runs the server of this data directory: its owner, else a free number; None: whoever we are, not root."""
    if os.geteuid() != 0:
        return None
    if data.is_dir():
        status = data.stat()
        if status.st_uid == 0:
            raise ClusterError(f"{data} belongs to root, so it is not a database that caudal made: move it away")
        return Owner(uid=status.st_uid, gid=status.st_gid)
    taken = {entry.pw_uid for entry in pwd.getpwall()} | {entry.gr_gid for entry in grp.getgrall()}
    number = next((number for number in NUMBERS if number not in taken), None)
    if number is None:
        raise ClusterError(f"every user id from {NUMBERS[0]} to {NUMBERS[-1]} is taken: run caudal as another user")
    return Owner(uid=number, gid=number)


def maker_for(owner: Owner) -> Owner:
    """Who runs `initdb` when the server's user has no name: a named unprivileged user, in the server's group."""
    entries = sorted(pwd.getpwall(), key=lambda entry: (entry.pw_name != "nobody", entry.pw_uid))
    named = next((entry.pw_uid for entry in entries if entry.pw_uid != 0), None)
    if named is None:
        raise ClusterError("there is no user but root in this system: run caudal as an ordinary user")
    return Owner(uid=named, gid=owner.gid)


def reaches(owner: Owner, *folders: Path) -> bool:
    """Whether this user can enter and list the folders; tried, not computed (groups, ACLs, mounts)."""
    command = [sys.executable, "-I", "-S", "-c", PROBE, str(owner.uid), str(owner.gid), *map(str, folders)]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode not in (0, UNREACHABLE):
        last = (tried.stderr.splitlines() or ["?"])[-1]
        raise ClusterError(f"root cannot become user {owner.uid} here ({last}): run caudal as an ordinary user")
    return tried.returncode == 0


def give(tree: Path, owner: Owner) -> None:
    """Make the owner own a folder and everything in it; links are not followed."""
    os.chown(tree, owner.uid, owner.gid, follow_symlinks=False)
    for folder, folders, files in os.walk(tree):
        for name in (*folders, *files):
            os.chown(os.path.join(folder, name), owner.uid, owner.gid, follow_symlinks=False)  # noqa: PTH118 (thousands)
