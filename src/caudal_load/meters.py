"""What every process uses from second to second, read from /proc beside the load, and what is written to log and disk.

A thread of the process that conducts, which sends nothing itself. A process is taken with all its descendants:
PostgreSQL with its backends, ended ones too where the kernel adds them up (CPU).
"""

import contextlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from time import monotonic, perf_counter_ns

import psycopg

from caudal_load.processes import Use, device_bytes, device_of, trees_use

_EVERY_S = 1.0
_WAL = "select (pg_current_wal_lsn() - '0/0'::pg_lsn)::bigint"
_APPLICATION = "caudal-load meter"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What the processes have used until a moment, which is in nanoseconds of `perf_counter_ns`."""

    at_ns: int
    uses: Mapping[str, Use]
    wal_bytes: int | None
    device_bytes: int | None


class Meter:
    """Reads at once, every second until it is stopped, and then once more.

    `processes` are taken with their descendants, those of `alone` without. `place` is where the data are.
    """

    def __init__(
        self,
        processes: Mapping[str, int],
        database_url: str | None,
        alone: Mapping[str, int] | None = None,
        place: Path | None = None,
    ) -> None:
        self.readings: list[Reading] = []
        self._processes, self._database_url = dict(processes), database_url
        self._alone = dict(alone or {})
        self._device = None if place is None else device_of(place)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="meter", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Read once more and end; what was read stays."""
        self._stopped.set()
        self._thread.join()

    def _go_on(self) -> None:
        with contextlib.ExitStack() as stack:
            connection = self._connection(stack)
            began_s = monotonic()
            while True:
                self.readings.append(
                    Reading(
                        at_ns=perf_counter_ns(),
                        uses=trees_use(self._processes, self._alone),
                        wal_bytes=_wal(connection),
                        device_bytes=device_bytes(self._device),
                    )
                )
                if self._stopped.is_set():
                    return
                due_s = began_s + len(self.readings) * _EVERY_S
                self._stopped.wait(max(0.0, due_s - monotonic()))

    def _connection(self, stack: contextlib.ExitStack) -> psycopg.Connection[tuple[int]] | None:
        if self._database_url is None:
            return None
        with contextlib.suppress(psycopg.Error):
            return stack.enter_context(
                psycopg.connect(self._database_url, autocommit=True, application_name=_APPLICATION)
            )
        return None


def _wal(connection: psycopg.Connection[tuple[int]] | None) -> int | None:
    """Where the write-ahead log ends; None without a database, or one that does not say."""
    if connection is None:
        return None
    with contextlib.suppress(psycopg.Error):
        row = connection.execute(_WAL).fetchone()
        return None if row is None else row[0]
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """What was used between two readings; `begin_s` and `end_s` are seconds of the measured window."""

    begin_s: float
    end_s: float
    cores: Mapping[str, float]
    memory_mb: Mapping[str, float]
    threads: Mapping[str, int]
    files: Mapping[str, int]
    wal_bytes: int | None
    device_bytes: int | None
    """Written to the disk that holds the data, by whomever."""


def intervals(readings: list[Reading], opened_ns: int, before_s: float) -> list[Interval]:
    """The differences of neighbours; the window opened at `opened_ns`, after `before_s` seconds of former windows."""
    found = []
    for first, then in pairwise(readings):
        seconds = (then.at_ns - first.at_ns) / 1e9
        both = [name for name in then.uses if name in first.uses]
        if seconds <= 0:
            continue
        found.append(
            Interval(
                begin_s=round(before_s + (first.at_ns - opened_ns) / 1e9, 3),
                end_s=round(before_s + (then.at_ns - opened_ns) / 1e9, 3),
                cores={n: round(max(0.0, then.uses[n].cpu_s - first.uses[n].cpu_s) / seconds, 3) for n in both},
                memory_mb={name: then.uses[name].memory_mb for name in both},
                threads={name: then.uses[name].threads for name in both},
                files={name: then.uses[name].files for name in both},
                wal_bytes=_between(first.wal_bytes, then.wal_bytes),
                device_bytes=_between(first.device_bytes, then.device_bytes),
            )
        )
    return found


def _between(first: int | None, then: int | None) -> int | None:
    return None if first is None or then is None else then - first
