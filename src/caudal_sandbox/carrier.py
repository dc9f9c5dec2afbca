"""POST over connections that are kept: what callbacks need of HTTP/1.1, and no more. Bytes out, status and text in.

A general client costs three times the CPU of the callback. A connection on which anything goes wrong is closed and
never used again.
"""

import asyncio
import ssl
import time
from typing import cast
from urllib.parse import urlsplit

import httptools

PORTS = {"http": 80, "https": 443}


class NoAnswer(Exception):
    """The connection did not come about, or ended without a whole answer, or what came is not HTTP."""


class _Line(asyncio.Protocol):
    """One connection with at most one request under way."""

    def __init__(self) -> None:
        self.idle_since_s = 0.0
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._body = b""

    @property
    def is_open(self) -> bool:
        """Whether another request may go out on it."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        """Send a request; its answer's status and body."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.abort()

    def _fail(self, why: str) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(NoAnswer(why))
        self.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; uvloop does not derive its transports from asyncio's."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Read on."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._fail("the answer is not HTTP")

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side has gone, or we have."""
        self._transport = None
        self._fail("the connection ended without a whole answer")

    def on_message_begin(self) -> None:
        """A new answer."""
        self._body = b""

    def on_body(self, part: bytes) -> None:
        """A part of its body."""
        self._body += part

    def on_message_complete(self) -> None:
        """The whole answer; an interim one (1xx) says nothing."""
        status, answer = self._parser.get_status_code(), self._answer
        if status < 200 or answer is None:
            return
        self._answer = None
        if not self._parser.should_keep_alive():
            self.close()
        if not answer.done():
            answer.set_result((status, self._body))


class Carrier:
    """Connections to one address. One that was idle for `kept_s` is not used any more."""

    def __init__(self, url: str, *, kept_s: float) -> None:
        parts = urlsplit(url)
        assert parts.hostname and parts.scheme in PORTS, "the command line is checked"
        self._name, self._port = parts.hostname, parts.port or PORTS[parts.scheme]
        self._trust = ssl.create_default_context() if parts.scheme == "https" else None
        self._folder, self._host = parts.path.rstrip("/"), parts.netloc.rpartition("@")[2]
        self._kept_s = kept_s
        self._idle: list[_Line] = []

    async def post(self, path: str, body: bytes, headers: dict[str, str], within_s: float) -> tuple[int, bytes]:
        """Send a request; its answer's status and body. Raises NoAnswer, OSError, TimeoutError."""
        head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        start = f"POST {self._folder}{path} HTTP/1.1\r\nhost: {self._host}\r\ncontent-length: {len(body)}\r\n"
        request = f"{start}{head}\r\n".encode() + body
        async with asyncio.timeout(within_s):
            line = self._kept() or await self._connected()
            try:
                answer = await line.send(request)
            except BaseException:
                line.close()
                raise
        if line.is_open:
            line.idle_since_s = time.monotonic()
            self._idle.append(line)
        return answer

    def close(self) -> None:
        """Hang up wherever nothing is under way."""
        while self._idle:
            self._idle.pop().close()

    def _kept(self) -> _Line | None:
        """The connection that was used last; if that was too long ago, so it was with all others."""
        oldest_s = time.monotonic() - self._kept_s
        while self._idle:
            line = self._idle.pop()
            if line.is_open and line.idle_since_s > oldest_s:
                return line
            line.close()
        return None

    async def _connected(self) -> _Line:
        line = _Line()
        await asyncio.get_running_loop().create_connection(lambda: line, self._name, self._port, ssl=self._trust)
        return line
