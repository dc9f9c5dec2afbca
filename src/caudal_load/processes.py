"""What processes cost and hold, read from /proc (Linux.

`man 5 proc`), and the machine that figures were measured on.
"""

import contextlib
import os
import platform
import resource
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_PROC = Path("/proc")
_ESTABLISHED = "01"
_SIZES = ("RssAnon:", "RssFile:", "RssShmem:")
_SECTORS_WRITTEN, _SECTOR_BYTES = 9, 512
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def own_cpu_s() -> float:
    """CPU seconds of this process since it began, all threads, user and system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def trees_cpu_s(roots: Mapping[str, int]) -> dict[str, float]:
    """CPU seconds of every named process with all its descendants, those that have ended included; 10 ms exact.

    A process that is gone is left out.
    """
    fields_of = _all_stats()
    used_s = {pid: sum(int(ticks) for ticks in fields[11:15]) / _TICKS_PER_S for pid, fields in fields_of.items()}
    return {name: sum(used_s[pid] for pid in tree) for name, tree in _trees(roots, fields_of).items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """What a process with its descendants has used until now."""

    cpu_s: float
    memory_mb: float
    """What is theirs alone, and of what they share that of the process that has most of it."""
    threads: int
    files: int
    """Open files, sockets too."""


def trees_use(roots: Mapping[str, int], alone: Mapping[str, int]) -> dict[str, Use]:
    """What every named process with all its descendants has used, and what those of `alone` have without theirs.

    A process that is gone is left out.
    """
    fields_of = _all_stats()
    trees = _trees(roots, fields_of) | {name: [pid] for name, pid in alone.items() if pid in fields_of}
    return {name: _use(tree, fields_of) for name, tree in trees.items()}


def _use(tree: list[int], fields_of: dict[int, list[str]]) -> Use:
    sizes = [_sizes_mb(pid) for pid in tree]
    return Use(
        cpu_s=sum(sum(int(ticks) for ticks in fields_of[pid][11:15]) for pid in tree) / _TICKS_PER_S,
        memory_mb=round(sum(own for own, _ in sizes) + max((shared for _, shared in sizes), default=0.0), 1),
        threads=sum(int(fields_of[pid][17]) for pid in tree),
        files=sum(_open_files(pid) for pid in tree),
    )


def _sizes_mb(pid: int) -> tuple[float, float]:
    """Resident memory that is the process's alone, and that is shared or mapped from files."""
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return 0.0, 0.0
    kibibytes = {name: int(line.split()[1]) for line in lines for name in _SIZES if line.startswith(name)}
    own, *shared = (kibibytes.get(name, 0) * 1024 / 1e6 for name in _SIZES)
    return own, sum(shared)


def _open_files(pid: int) -> int:
    try:
        return len(os.listdir(_PROC / str(pid) / "fd"))  # noqa: PTH208 - paths are not wanted
    except OSError:
        return 0


def device_of(path: Path) -> tuple[int, int] | None:
    """The numbers of the block device that holds `path`; None where the kernel counts for none.

    That is so in memory, and for file systems that spread over devices of their own.
    """
    with contextlib.suppress(OSError):
        number = path.stat().st_dev
        device = os.major(number), os.minor(number)
        return None if device_bytes(device) is None else device
    return None


def device_bytes(device: tuple[int, int] | None) -> int | None:
    """What was written to a block device since the machine started, by anybody.

    The device's own counter: what /proc/<pid>/io says of a process is four times that and more, for a kernel with
    large folios counts the whole folio of which a byte was changed.
    """
    with contextlib.suppress(OSError):
        for line in (_PROC / "diskstats").read_text().splitlines():
            fields = line.split()
            if (int(fields[0]), int(fields[1])) == device:
                return int(fields[_SECTORS_WRITTEN]) * _SECTOR_BYTES
    return None


def trees_memory_mb(roots: Mapping[str, int]) -> dict[str, float]:
    """The memory of every named process with its descendants that is theirs alone (anonymous), in MB (10^6 bytes).

    What PostgreSQL's backends share is left out, and so are mapped files. A process that is gone is left out, and so is
    one that vacuums: its memory goes with it when the table is done.
    """
    trees = _trees(roots, _all_stats())
    return {
        name: round(sum(_status_mb(pid, "RssAnon:") or 0.0 for pid in tree if not _vacuums(pid)), 1)
        for name, tree in trees.items()
    }


def _vacuums(pid: int) -> bool:
    try:
        return b"autovacuum worker" in (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return False


def _all_stats() -> dict[int, list[str]]:
    pids = (int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit())
    return {pid: fields for pid in pids if (fields := _stat(pid)) is not None}


def _trees(roots: Mapping[str, int], fields_of: dict[int, list[str]]) -> dict[str, list[int]]:
    """Every named process that is there, with its descendants."""
    children: dict[int, list[int]] = {}
    for pid, fields in fields_of.items():
        children.setdefault(int(fields[1]), []).append(pid)
    trees: dict[str, list[int]] = {}
    for name, root in roots.items():
        if root in fields_of:
            tree = trees[name] = [root]
            for pid in tree:  # grows while it is walked
                tree += children.get(pid, ())
    return trees


def tree_of(root: int) -> list[int]:
    """A process with all its descendants; empty if it is gone."""
    return _trees({"": root}, _all_stats()).get("", [])


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


def holders_of(pids: Mapping[str, int], port: int) -> dict[int, str]:
    """Which of the named processes holds the other end of which connection to a server's `port`, by the caller's port.

    Read from /proc/net/tcp and tcp6, and the processes' open files; a process that is gone or not ours holds none.
    """
    sockets: dict[str, int] = {}
    for table in ("net/tcp", "net/tcp6"):
        with contextlib.suppress(OSError):
            for line in (_PROC / table).read_text().splitlines()[1:]:
                fields = line.split()
                here, there = (int(fields[place].rpartition(":")[2], 16) for place in (1, 2))
                if here == port and fields[3] == _ESTABLISHED:
                    sockets[f"socket:[{fields[9]}]"] = there
    held: dict[int, str] = {}
    for name, pid in pids.items():
        with contextlib.suppress(OSError):
            for file in (_PROC / str(pid) / "fd").iterdir():
                with contextlib.suppress(OSError):
                    caller = sockets.get(str(file.readlink()))
                    if caller is not None:
                        held[caller] = name
    return held


def resident_mb(pid: int) -> float | None:
    """Resident memory of one process in MB (10^6 bytes); None if it is gone."""
    return _status_mb(pid, "VmRSS:")


def _status_mb(pid: int, name: str) -> float | None:
    try:
        lines = (_PROC / str(pid) / "status").read_text().splitlines()
    except OSError:
        return None
    kibibytes = next((int(line.split()[1]) for line in lines if line.startswith(name)), None)
    return None if kibibytes is None else round(kibibytes * 1024 / 1e6, 1)


def machine() -> dict[str, str | int]:
    """What to write beside a figure: CPU model, cores that this process may use, kernel."""
    lines = (_PROC / "cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
    return {"cpu": model, "cores": len(os.sched_getaffinity(0)), "kernel": platform.release()}


def commit() -> str:
    """The commit of this source, with a mark where it was changed; `unknown` outside of a checkout."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--abbrev=10"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return done.stdout.strip()
