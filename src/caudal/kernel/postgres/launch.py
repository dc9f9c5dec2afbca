"""Become somebody else, promise to die with the parent, run a command: `launch.py SIGNAL PARENT OWNER COMMAND…`.

A program of its own, started with `python -I -S`, since Python between fork and exec of a process with threads may
deadlock. It keeps the process id, so that what the parent waits for and signals is the command itself.
OWNER is `uid:gid`, or `-` to stay who we are; SIGNAL is a number, sent when the parent (a process id) dies.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
# A shell starts background commands with some of these ignored, Python ignores others; exec would pass that on.
INHERITED = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGPIPE, signal.SIGXFSZ)


def main(death_signal: str, parent: str, owner: str, *command: str) -> None:
    """Replace this process by `command`. Raises OSError when the user cannot be changed or the command not run."""
    libc = ctypes.CDLL(None, use_errno=True)
    if owner != "-":
        uid, gid = (int(number) for number in owner.split(":"))
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    # After the change of user: the kernel forgets this signal when credentials change.
    if libc.prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != int(parent):
        sys.exit("the parent is gone")  # it died before the promise; no signal would ever come
    for number in INHERITED:
        signal.signal(number, signal.SIG_DFL)
    os.execv(command[0], command)


if __name__ == "__main__":
    main(*sys.argv[1:])
