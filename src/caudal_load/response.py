"""Answers of HTTP/1.1 (RFC 9112), as little of it as a load generator needs: status, length, whether the connection
stays open.

A pure function over a buffer. An answer without `Content-Length` is an error, chunked ones included: caudal states the
length of every answer, and a generator that had to look for the end of a body would measure itself.
"""

from typing import NamedTuple


class Malformed(Exception):
    """The bytes are not an answer that this generator understands."""


class Response(NamedTuple):
    """Where one answer stands in the buffer: its body is `buffer[body_start:end]`, what follows it begins at `end`."""

    status: int
    body_start: int
    end: int
    keep_alive: bool


_LARGEST_HEAD_BYTES = 65_536
_LENGTH = b"\r\ncontent-length:"
_CONNECTION = b"\r\nconnection:"
_WITHOUT_BODY = frozenset({204, 304})


def parse(buffer: bytes) -> Response | None:
    """The first final answer in `buffer`, or None while it is incomplete; interim 1xx answers are passed over.

    Raises Malformed.
    """
    start = 0
    while True:
        blank = buffer.find(b"\r\n\r\n", start)
        if blank < 0:
            if len(buffer) - start > _LARGEST_HEAD_BYTES:
                raise Malformed("the head of the answer does not end")
            return None
        status = _status(buffer, start)
        if status >= 200:
            break
        start = blank + 4
    head = buffer[start:blank].lower()
    keep_alive = _value(head, _CONNECTION) != b"close" and not head.startswith(b"http/1.0")
    end = blank + 4 + (0 if status in _WITHOUT_BODY else _length(head))
    return Response(status, blank + 4, end, keep_alive) if len(buffer) >= end else None


def _status(buffer: bytes, start: int) -> int:
    if not buffer.startswith((b"HTTP/1.1 ", b"HTTP/1.0 "), start):
        raise Malformed(f"not an HTTP/1.1 answer: {buffer[start : start + 40]!r}")
    digits = buffer[start + 9 : start + 12]
    if not digits.isdigit():
        raise Malformed(f"not a status: {digits!r}")
    return int(digits)


def _length(lowercase_head: bytes) -> int:
    digits = _value(lowercase_head, _LENGTH)
    if digits is None:
        raise Malformed("an answer without Content-Length; chunked answers are not read")
    if not digits.isdigit():
        raise Malformed(f"not a length: {digits!r}")
    return int(digits)


def _value(lowercase_head: bytes, name: bytes) -> bytes | None:
    """The value of the first field `name`, which is given with the line break before it and the colon behind it."""
    found = lowercase_head.find(name)
    if found < 0:
        return None
    value_end = lowercase_head.find(b"\r\n", found + 2)
    return lowercase_head[found + len(name) : len(lowercase_head) if value_end < 0 else value_end].strip()
