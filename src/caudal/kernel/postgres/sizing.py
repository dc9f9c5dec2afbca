"""The server's settings for a machine: a pure function of its memory and cores, and where those are read.

Settings of durability are written here too and verified by asking the running server (durable.py).
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MB: Final = 1024 * 1024
GB: Final = 1024 * MB

DURABLE: Final = {"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on"}

_SYNCFS_REPORTS: Final = (5, 8)  # from this version of Linux on syncfs() reports what could not be written

CONSTANT: Final = {
    # Checkpoints come by volume (max_wal_size bounds recovery); the clock only matters to an idle server.
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    # A batch writes up to about 1 MB of WAL between two flushes; 16 MB is one segment, more buys nothing.
    "wal_buffers": "16MB",
    # The pages that go into the WAL whole are leaves full of random keys: compressing them (pglz, the only one built
    # in) saves 30 % of the bytes and costs 35 µs a page while the shard is held; inserts fell to 0.4 of their rate.
    "wal_compression": "off",
    # Statements are short and prepared; compiling one costs more than running it.
    "jit": "off",
    "max_parallel_workers_per_gather": "0",
    "random_page_cost": "1.1",
    "huge_pages": "try",
    "restart_after_crash": "on",
    # Steady small writes instead of evictions by the one backend that holds the shard.
    "bgwriter_delay": "100ms",
    "bgwriter_lru_maxpages": "400",
    # Tables that only grow are frozen in passes of at least 100,000 rows; work queues and balances are swept early.
    "autovacuum_naptime": "15s",
    "autovacuum_vacuum_scale_factor": "0.05",
    "autovacuum_analyze_scale_factor": "0.05",
    "autovacuum_vacuum_insert_threshold": "100000",
    "autovacuum_vacuum_insert_scale_factor": "0.2",
    "max_locks_per_transaction": "128",  # one for every partition and index that a statement opens
    # The log is for people: what happened to the server. Statements and key values may carry a payer's data.
    "log_min_messages": "warning",
    "log_min_error_statement": "panic",
    "log_error_verbosity": "terse",
    "log_startup_progress_interval": "2s",
    "log_line_prefix": "%m [%p] ",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
    "lc_monetary": "C",
    "lc_numeric": "C",
    "lc_time": "C",
    "default_text_search_config": "pg_catalog.simple",
}


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What this process may use of the machine: the cgroup's limits count, not only the hardware."""

    memory_bytes: int
    cores: int
    kernel: tuple[int, int] = (0, 0)
    """Linux's version; zeros for another system."""


def settings_for(machine: Machine, *, web_processes: int = 1) -> dict[str, str]:
    """Every setting of the server that is not a path."""
    memory, cores = machine.memory_bytes, machine.cores
    # An eighth: web, worker and the kernel's page cache live on the same machine, and what is hot (the tail of
    # growing tables, upper index pages) is small. Above 2 GB a shutdown's checkpoint would take its own time.
    buffers = _between(128 * MB, memory // 8, 2 * GB)
    # Recovery replays at most this much: 1 GB in about 10 s (3.5 GB took 35 s). Small machines replay from disk.
    wal = GB if memory >= 4 * GB else GB // 2
    sized = {
        "shared_buffers": buffers,
        "effective_cache_size": max(memory // 2, buffers),
        "maintenance_work_mem": _between(32 * MB, memory // 64, 256 * MB),
        "max_wal_size": wal,
        "min_wal_size": wal // 2,  # segments kept for reuse: making a new one costs a write of 16 MB
    }
    return {
        **CONSTANT,
        **{name: f"{size // MB}MB" for name, size in sized.items()},
        # After a crash whatever may not be on disk yet is flushed first: file by file that took 7 s of 9 s of recovery.
        # Older kernels may not say that it failed.
        "recovery_init_sync_method": "syncfs" if machine.kernel >= _SYNCFS_REPORTS else "fsync",
        # A web process needs its shard's connection, another while one is replaced, and four to read with.
        "max_connections": str(max(_between(100, 40 + 30 * cores, 400), 60 + 8 * web_processes)),
        "autovacuum_max_workers": str(_between(1, cores, 3)),
        **DURABLE,
    }


def _between(least: int, value: int, most: int) -> int:
    return min(max(least, value), most)


def this_machine() -> Machine:
    """The machine that we run on."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_cgroup_memory()]
    cores = min([len(os.sched_getaffinity(0)), *_cgroup_cores()])
    return Machine(memory_bytes=min(limits), cores=cores, kernel=_linux(os.uname().sysname, os.uname().release))


def _linux(system: str, release: str) -> tuple[int, int]:
    """`6.1.0-13-amd64` is (6, 1)."""
    found = re.match(r"(\d+)\.(\d+)", release) if system == "Linux" else None
    return (0, 0) if found is None else (int(found[1]), int(found[2]))


def _cgroup_folders() -> list[Path]:
    """Our control group (version 2) and all those above it, each of which may set a limit."""
    root = Path("/sys/fs/cgroup")
    lines = _text(Path("/proc/self/cgroup")).splitlines()
    own = next((line.removeprefix("0::").strip("/") for line in lines if line.startswith("0::")), "")
    folder = root / own
    return [place for place in (folder, *folder.parents) if place.is_relative_to(root)]


def _cgroup_memory() -> list[int]:
    texts = [_text(folder / "memory.max") for folder in _cgroup_folders()]
    texts.append(_text(Path("/sys/fs/cgroup/memory/memory.limit_in_bytes")))  # version 1
    return [int(text) for text in texts if text.isdigit()]


def _cgroup_cores() -> list[int]:
    quotas = [_text(folder / "cpu.max").split() for folder in _cgroup_folders()]
    # Rounded up: a quota of 1.5 cores is work for two processes.
    return [-(-int(quota[0]) // int(quota[1])) for quota in quotas if len(quota) == 2 and quota[0].isdigit()]


def _text(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""
