"""Load shedding: while a crowd is refused, most of it is refused by its bytes, before anything is parsed.

In overload refusals outnumber what is done, and what they cost is missing there. What is shed is plainly one whole
request that begins something, with a framing that can be read in one way only (RFC 9112, 6.3); everything else goes
the parser's way, and what is refused there for a crowd hears the same, byte for byte.
"""

from __future__ import annotations

import functools
from time import monotonic
from typing import Final

from caudal.app.edge.exchange import Exchange, bytes_of
from caudal.app.routes import ROUTES
from caudal.app.web import Web, refused, request_id_of
from caudal.contracts.problems import response_of, retry_after_of
from caudal.kernel.errors import Overloaded

CROWDED: Final = 503
_HEAD_MAX: Final = 8192  # bytes; a longer head is for the parser
_PATIENCE: Final = 64  # so many reads in a row that are not shed, whatever they are, and the crowd is over
_ROUTES: Final = {
    f"POST {route.path} HTTP/1.1".encode(): route
    for route in ROUTES
    if route.who == "merchant" and route.keyed in ("required", "optional") and "{" not in route.path
}
_FRAMING: Final = frozenset({b"transfer-encoding", b"expect", b"upgrade"})  # what the parser has to see
_MARK: Final = "~"  # in no text of a problem


class Shedder:
    """What one process sheds. `on` is looked at before every read; it is 0 where there was no crowd lately."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self.on = 0

    def crowd(self) -> None:
        """Somebody was refused for a crowd: the next ones may be shed."""
        self.on = _PATIENCE

    def refusal(self, data: bytes) -> bytes | None:
        """The whole response to the one request that these bytes are, or None for the parser's way."""
        began = monotonic()
        self.on -= 1
        head, end, body = data.partition(b"\r\n\r\n")
        line, _, lines = head.partition(b"\r\n")
        route = _ROUTES.get(line)
        if route is None or not end or len(head) > _HEAD_MAX:
            return None
        headers = headers_of(lines)
        if headers is None or headers.get(b"content-length") != b"%d" % len(body):
            return None
        error = self._web.sheds(route, headers, body)
        if error is None:
            return None
        self.on = _PATIENCE
        self._web.shed(route, error.code, monotonic() - began)
        id = request_id_of(headers).encode()
        return id.join(_around(error.code, error.detail, retry_after_of(error) or 1, len(id)))


def headers_of(lines: bytes) -> dict[bytes, bytes] | None:
    """Headers by lower-case names; None where one comes twice, where the framing may be another or the connection ends,
    and where a line is anything but a name, a colon and a value.
    """
    headers = dict[bytes, bytes]()
    for line in lines.split(b"\r\n"):
        name, colon, value = line.partition(b":")
        name = name.lower()
        if not name.replace(b"-", b"").isalnum() or name in headers or name in _FRAMING or not colon:
            return None
        headers[name] = value.strip(b" \t")
    if not lines.count(b"\r") == lines.count(b"\n") == lines.count(b"\r\n"):
        return None
    return headers if headers.get(b"connection", b"keep-alive").lower() == b"keep-alive" else None


@functools.lru_cache(256)
def _around(code: str, detail: str, after_s: int, length: int) -> tuple[bytes, ...]:
    """What goes before, between and behind the two places of a request's id of so many bytes."""
    mark = _MARK * length
    opened = refused(Overloaded(code, detail, after_s=after_s))
    opened.request.id = mark
    response = response_of(Overloaded(code, detail, after_s=after_s - 0.5), mark)
    parts = bytes_of(Exchange(opened), response).split(mark.encode())
    assert len(parts) == 3, "a request's id goes into the head and into the body"
    return tuple(parts)


@functools.cache
def shedder_of(web: Web) -> Shedder:
    """That of all connections to an application."""
    return Shedder(web)
