"""HTTP as handlers see it: requests, responses and routes. No socket here; `listener.py` has those.

A handler is `async (request) -> Response`; it raises a `Problem` to refuse, and `HungUp` to say nothing more.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from urllib.parse import parse_qsl, quote, unquote

BODY_MAX = 64 * 1024
# What separates the parts of an address, and what is in percent signs already.
_IN_ADDRESSES = "%:/?#[]@!$&'()*+,;="
_PARAMETER = re.compile(r"{(\w+)(?::([^{}]*(?:{[0-9,]+})?))?}")


@dataclass(kw_only=True)
class Request:
    """A whole request. `target` is what stood in its first line, the query with it; header names are lower-case.

    `found` is what stands at its path; a body that is too large for that is not kept, but for its beginning.
    """

    method: str
    target: str
    headers: dict[bytes, bytes]
    found: Found
    body: bytes = b""
    too_large: bool = False

    @property
    def parameters(self) -> dict[str, str]:
        """The path's."""
        return self.found.parameters

    @property
    def path(self) -> str:
        """The path as it is meant."""
        return unquote(self.target.partition("?")[0])

    @cached_property
    def query(self) -> dict[str, str]:
        """The parameters behind the path; of one that stands there twice, the first."""
        return _pairs(self.target.partition("?")[2])

    @property
    def content_type(self) -> str:
        """The body's media type, without parameters."""
        return (self.header("content-type") or "").partition(";")[0].strip().lower() or "application/octet-stream"

    def header(self, name: str) -> str | None:
        """A header's value, or None."""
        value = self.headers.get(name.lower().encode())
        return None if value is None else value.decode("latin-1")

    def form(self) -> dict[str, str]:
        """The body as a form's fields."""
        return _pairs(self.body.decode(errors="replace"))


def _pairs(text: str) -> dict[str, str]:
    return dict(reversed(parse_qsl(text, keep_blank_values=True)))


@dataclass(kw_only=True)
class Response:
    """An answer. What is not there at once is a `stream` of parts, of `length` bytes in all where that is known."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    stream: AsyncIterator[bytes] | None = None
    length: int | None = None


class HungUp(Exception):
    """Nothing more is said: the connection ends without an answer, with a reset if `reset`."""

    def __init__(self, *, reset: bool) -> None:
        super().__init__()
        self.reset = reset


Handler = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, kw_only=True)
class Route:
    """Who answers a method at a path. `{name}` in the path is one segment, `{name:…}` what the expression matches."""

    method: str
    path: str
    handler: Handler
    body_max: int = BODY_MAX


def get(path: str, handler: Handler) -> Route:
    """Answers GET, and HEAD as well."""
    return Route(method="GET", path=path, handler=handler)


def post(path: str, handler: Handler, *, body_max: int = BODY_MAX) -> Route:
    """Answers POST."""
    return Route(method="POST", path=path, handler=handler, body_max=body_max)


def see_other(location: str, status: int = 303) -> Response:
    """Sends a browser elsewhere; what an address cannot have stands there in percent signs (RFC 3986, 2.1)."""
    return Response(status=status, content_type="text/plain", headers={"Location": quote(location, safe=_IN_ADDRESSES)})


@dataclass(frozen=True)
class Found:
    """What stands at a path: the routes by their method, none where there is nothing, and the path's parameters."""

    routes: dict[str, Route]
    parameters: dict[str, str]


class Router:
    """Finds routes; the first pattern that a path matches has it."""

    def __init__(self, routes: Iterable[Route]) -> None:
        by_path = dict[str, dict[str, Route]]()
        for route in routes:
            by_path.setdefault(route.path, {})[route.method] = route
            if route.method == "GET":
                by_path[route.path]["HEAD"] = route
        self._patterns = [(_pattern(path), methods) for path, methods in by_path.items()]
        # Most requests go to few addresses: caudal's payments.
        self.find = lru_cache(maxsize=1024)(self._find)

    def _find(self, path: str) -> Found:
        for pattern, methods in self._patterns:
            if match := pattern.fullmatch(path):
                return Found(methods, {name: unquote(value) for name, value in match.groupdict().items()})
        return Found({}, {})


def _pattern(path: str) -> re.Pattern[str]:
    parts, end = list[str](), 0
    for parameter in _PARAMETER.finditer(path):
        parts += re.escape(path[end : parameter.start()]), f"(?P<{parameter[1]}>{parameter[2] or '[^/]+'})"
        end = parameter.end()
    return re.compile("".join(parts) + re.escape(path[end:]))
