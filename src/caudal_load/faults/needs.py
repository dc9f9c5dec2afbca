"""What a kind of fault needs of this machine, tried before anything is planned."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

from caudal_load.faults.kinds import KINDS
from caudal_load.faults.model import BadFaults, Plan

FAKETIME = tuple(Path(f"/usr/lib/{machine}-linux-gnu/faketime/libfaketimeMT.so.1") for machine in ("x86_64", "aarch64"))


def faketime() -> Path | None:
    """The library that gives a process a clock of its own; None where it is not installed."""
    return next((path for path in FAKETIME if path.exists()), None)


def _no_mount() -> str:
    if os.geteuid() != 0:
        return "a disk that fills needs root, who may mount one"
    if missing := [name for name in ("mount", "unshare", "nsenter") if shutil.which(name) is None]:
        return f"there is no program `{missing[0]}` (Debian: mount, util-linux)"
    command = ["unshare", "--mount", "--propagation", "private", "mount", "-t", "tmpfs", "none", "/mnt"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"root may not mount here: {tried.stderr.strip()}"


def _no_strace() -> str:
    if shutil.which("strace") is None:
        return "there is no program `strace` (Debian: strace)"
    command = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=getppid:error=EIO", "true"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    return "" if tried.returncode == 0 else f"strace may not trace here: {tried.stderr.strip()}"


def _no_faketime() -> str:
    return "" if faketime() is not None else "there is no libfaketime (Debian: faketime)"


_TRIED: dict[str, Callable[[], str]] = {"mount": _no_mount, "strace": _no_strace, "faketime": _no_faketime}


def missing(kinds: Iterable[str]) -> dict[str, str]:
    """By kind, why it cannot happen on this machine; kinds that can are left out."""
    asked, reasons = set(kinds), {}
    for kind in KINDS:
        for need in kind.needs if kind.name in asked else ():
            if reason := _TRIED[need]():
                reasons[kind.name] = reason
    return reasons


def verify(plan: Plan) -> None:
    """Raise BadFaults if a planned fault cannot happen here: a run that lacks one would prove less than it says."""
    if reasons := missing({fault.kind for fault in plan.faults}):
        told = "; ".join(f"{kind}: {reason}" for kind, reason in reasons.items())
        raise BadFaults(f"planned, and not possible on this machine: {told}")
