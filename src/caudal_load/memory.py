"""What the memory of processes grows to while something goes on: they are looked at by a thread, twice a second."""

import threading
from collections.abc import Mapping
from types import TracebackType

from caudal_load.processes import trees_memory_mb

_EVERY_S = 0.5


class Watched:
    """`with` looks at the processes all the time; by name, in MB: what they began with, their peak, the last look."""

    def __init__(self, processes: Mapping[str, int]) -> None:
        self._processes = dict(processes)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="memory", daemon=True)
        self.first = self.last = trees_memory_mb(self._processes)
        self.peak = dict(self.first)

    def look(self) -> None:
        """Once more."""
        self.last = trees_memory_mb(self._processes)
        for name, mb in self.last.items():
            self.peak[name] = max(mb, self.peak.get(name, 0.0))

    def __enter__(self) -> "Watched":
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _go_on(self) -> None:
        while not self._ended.wait(_EVERY_S):
            self.look()
