"""What the API's requests came to: how long they took, by route and status, and with which problems they ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Final

from caudal.kernel.telemetry import Histogram, Reading, histogram

_METHODS: Final = frozenset({"GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"})
_CODE: Final = b'"code":"'  # within a text of JSON its quotes would be escaped


class Requests:
    """Plain numbers of one process."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str, int], Histogram] = {}
        self._problems = Counter[str]()
        self.active = 0

    def answered(self, method: str, route: str, status: int, body: bytes, seconds: float) -> None:
        """One request has its answer; `route` is the pattern of its path, empty where there is none."""
        times = self._times.get((method, route, status))
        if times is None:
            times = self._first(method, route, status)
        times.record(seconds)
        if status >= 400:
            _, _, behind = body.partition(_CODE)
            self._problems[behind[: behind.find(b'"')].decode("ascii", "replace")] += 1

    def _first(self, method: str, route: str, status: int) -> Histogram:
        """The histogram of a combination; all methods that nobody knows are one."""
        known = method if method in _METHODS else "_OTHER"
        return self._times.setdefault((known, route, status), histogram("http.server.request.duration"))

    def readings(self) -> Iterator[Reading]:
        """For the meter."""
        for (method, route, status), times in self._times.items():
            yield "http.server.request.duration", (method, route, str(status)), times
        yield "http.server.active_requests", (), self.active
        for code, count in self._problems.items():
            yield "caudal.http.problems", (code,), count
