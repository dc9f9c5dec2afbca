"""What the API's requests came to: how long they took, by route and status, and with which problems they ended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Final

from caudal.contracts.problems import code_of
from caudal.kernel.http import Request, Response
from caudal.kernel.telemetry import Attributes, Histogram, Reading, Trace, Tracer, histogram, redact

_METHODS: Final = frozenset({"GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER: Final = "_OTHER"
SCHEME: Final = "http"  # that of this process's own port; TLS ends in front of it
_CROWD: Final = frozenset({429, 503})
_TRACED_PER_S: Final = 10


class Requests:
    """Plain numbers of one process."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, str, int], Histogram] = {}
        self._problems = Counter[str]()
        self.active = {"GET": 0, "POST": 0}  # by the methods that routes have

    def answered(self, method: str, route: str, status: int, body: bytes, seconds: float) -> None:
        """One request has its answer; `route` is the pattern of its path, empty where there is none."""
        times = self._times.get((method, route, status))
        if times is None:
            times = self._first(method, route, status)
        times.record(seconds)
        if status >= 400:
            self._problems[code_of(body)] += 1

    def refused(self, method: str, route: str, code: str, seconds: float) -> None:
        """One request was refused for a crowd."""
        times = self._times.get((method, route, 503)) or self._first(method, route, 503)
        times.record(seconds)
        self._problems[code] += 1

    def _first(self, method: str, route: str, status: int) -> Histogram:
        """The histogram of a combination; all methods that nobody knows are one."""
        return self._times.setdefault((known(method), route, status), histogram("http.server.request.duration"))

    def readings(self) -> Iterator[Reading]:
        """For the meter."""
        for (method, route, status), times in self._times.items():
            wrong = str(status) if status >= 500 else ""
            yield "http.server.request.duration", (method, route, str(status), SCHEME, wrong), times
        for method, active in self.active.items():
            yield "http.server.active_requests", (method, SCHEME), active
        for code, count in self._problems.items():
            yield "caudal.http.problems", (code,), count


class Refusals:
    """The spans of what is refused by its head. They cost nothing where it matters: while a crowd is refused, at most
    ten of a second are traced, and all others are a comparison each.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._second, self._left = 0, _TRACED_PER_S

    def traced(self, tracer: Tracer, began: float, request: Request, route: str, response: Response) -> None:
        """Refused: kept if it is for a crowd, as far as that second has room, or gone wrong; else as it is sampled."""
        crowd = response.status in _CROWD
        if crowd and not self.has_room:
            return
        self._left -= crowd
        trace = Trace(tracer, request.headers, began)
        trace.sampled = trace.sampled or crowd
        traced(trace, request, route, response)

    @property
    def has_room(self) -> bool:
        """Whether one more that is refused for a crowd is traced now."""
        second = int(self._clock())
        if second != self._second:
            self._second, self._left = second, _TRACED_PER_S
        return self._left > 0


def traced(trace: Trace, request: Request, route: str, response: Response) -> None:
    """The request's span. What its caller chose is told as a log would; its query, made to look for people, never."""
    status, ended = response.status, monotonic()
    code = code_of(response.body) if status >= 400 else None
    error = code if status >= 500 else trace.failed
    if not trace.is_kept(error, ended):
        return
    method = known(request.method)
    told: Attributes = {
        "http.request.method": method,
        "http.response.status_code": status,
        "url.scheme": SCHEME,
        "url.path": request.path if request.path == route else redact.text(request.path),
        "caudal.request.id": redact.text(request.id),
    }
    if route:
        told["http.route"] = route
    if code is not None or error is not None:
        told["error.type"] = code or error or ""
    named = "HTTP" if method == _OTHER else method
    trace.end(f"{named} {route}".rstrip(), "server", told, error=error, ended=ended)


def known(method: str) -> str:
    """A method as the standard has it: all that nobody knows are one."""
    return method if method in _METHODS else _OTHER
