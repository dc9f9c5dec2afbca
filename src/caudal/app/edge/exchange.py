"""One request and its response on the wire: what the parser found, and the bytes that go out. No socket here."""

from __future__ import annotations

import functools
import re
from http import HTTPStatus
from typing import Final, Literal
from urllib.parse import unquote

import httptools

from caudal.app.web import Opened
from caudal.kernel.http import Response

SINGLE: Final = {
    name.lower().encode(): name
    for name in (
        "Authorization",
        "Caudal-Signature",
        "Caudal-Version",
        "Content-Type",
        "Host",
        "Idempotency-Key",
        "Request-Id",
        "Request-Timeout-Ms",
    )
}
"""Headers of which only one means anything."""
_UNSAFE: Final = re.compile(rb"[\r\n\0]")


class Exchange:
    """A request on its way in, and how it is answered.

    `whole` says that nothing more of it is needed, `unread` that there may be more of it, `waits` that its caller
    wants to be asked for the body, `last` that the connection ends behind it, `plain` that the caller knows no chunks
    (HTTP/1.0), `bare` that it wants no body (HEAD). `turn` says whether it waits to begin, or may.
    """

    __slots__ = ("bare", "last", "opened", "parts", "plain", "size", "turn", "unread", "waits", "whole")

    def __init__(self, opened: Opened) -> None:
        self.opened, self.parts, self.size = opened, list[bytes](), 0
        self.turn: Literal["", "waits", "given"] = ""
        self.whole = self.unread = self.waits = self.last = self.plain = self.bare = False


def target_of(url: bytes) -> tuple[str, bytes]:
    """Path and query of a request's target. Raises for what has none."""
    if url[:1] == b"/" and b"#" not in url:
        raw, _, query = url.partition(b"?")
    else:
        parsed = httptools.parse_url(url)
        if parsed.schema is None and url[:1] != b"/":
            raise ValueError("a target of CONNECT")
        raw, query = parsed.path or b"/", parsed.query or b""
    path = raw.decode("ascii")
    return unquote(path) if "%" in path else path, query


def size_of(url: bytes, headers: dict[bytes, bytes]) -> int:
    return len(url) + sum(len(name) + len(value) for name, value in headers.items())


def bytes_of(exchange: Exchange, response: Response) -> bytes:
    """A response as it goes out. Raises ValueError for a header that would be two."""
    head = head_of(exchange, response, b"\r\ncontent-length: %d" % len(response.body))
    return head if exchange.bare else head + response.body


def head_of(exchange: Exchange, response: Response, length: bytes) -> bytes:
    head = _start_of(response.status, response.content_type) + exchange.opened.request.id.encode() + length
    for name, value in response.headers:
        if _UNSAFE.search(name) or _UNSAFE.search(value):
            raise ValueError(f"a header with the end of a line in it: {name!r}")
        head += b"\r\n%b: %b" % (name, value)
    return head + (b"\r\nconnection: close\r\n\r\n" if exchange.last else b"\r\n\r\n")


@functools.cache
def _start_of(status: int, content_type: bytes) -> bytes:
    """What begins the head, as far as the request's id."""
    if _UNSAFE.search(content_type):
        raise ValueError(f"a content type with the end of a line in it: {content_type!r}")
    phrase = HTTPStatus(status).phrase.encode()
    return b"HTTP/1.1 %d %b\r\ncontent-type: %b\r\nrequest-id: " % (status, phrase, content_type)
