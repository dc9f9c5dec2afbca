"""What processes cost and hold, read from /proc (Linux.

`man 5 proc`), and the machine that figures were measured on.
"""

import os
import platform
import resource
from pathlib import Path

_PROC = Path("/proc")
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def own_cpu_s() -> float:
    """CPU seconds of this process since it began, all threads, user and system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def trees_cpu_s(roots: dict[str, int]) -> dict[str, float]:
    """CPU seconds of every named process with all its descendants, those that have ended included; 10 ms exact.

    A process that is gone is left out.
    """
    parents: dict[int, int] = {}
    used_s: dict[int, float] = {}
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) is not None:
            parents[int(entry.name)] = int(fields[1])
            used_s[int(entry.name)] = sum(int(ticks) for ticks in fields[11:15]) / _TICKS_PER_S
    children: dict[int, list[int]] = {}
    for pid, parent in parents.items():
        children.setdefault(parent, []).append(pid)
    return {name: _tree_cpu_s(pid, used_s, children) for name, pid in roots.items() if pid in used_s}


def _tree_cpu_s(root: int, used_s: dict[int, float], children: dict[int, list[int]]) -> float:
    total_s, pending = 0.0, [root]
    while pending:
        pid = pending.pop()
        total_s += used_s[pid]
        pending += children.get(pid, ())
    return total_s


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat from the third (state) on.

    None if the process is gone or has only to be waited for.
    """
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in "ZX" else fields


def is_running(pid: int) -> bool:
    """Whether there is such a process and it has not ended."""
    return _stat(pid) is not None


def resident_mb(pid: int) -> float | None:
    """Resident memory of one process in MB (10^6 bytes); None if it is gone."""
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return None
    kibibytes = next((int(line.split()[1]) for line in lines if line.startswith("VmRSS:")), None)
    return None if kibibytes is None else round(kibibytes * 1024 / 1e6, 1)


def machine() -> dict[str, str | int]:
    """What to write beside a figure: CPU model, cores that this process may use, kernel."""
    lines = (_PROC / "cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cores": len(os.sched_getaffinity(0)), "kernel": platform.release()}
