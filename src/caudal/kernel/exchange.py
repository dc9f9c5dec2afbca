"""HTTP/1.1 from the caller's side: one request, one whole answer, over connections that are kept. Bytes in, bytes out.

What calls to a provider need and no more: the caller writes its own head, redirects and cookies are not followed or
kept, an answer has its length or is chunked. A general client spends four times the CPU on the same exchange.

    NotConnected      nothing was sent
    ExchangeBroken    something was, and no whole answer came back; so does TimeoutError
    AnswerTooLong     more came back than is wanted

A connection that fails in any way, or whose caller was cancelled, is closed and never used again.
"""

from __future__ import annotations

import asyncio
import ssl
from time import monotonic
from typing import Final, cast
from urllib.parse import urlsplit

import httptools

_PORTS: Final = {"http": 80, "https": 443}


class ExchangeError(Exception):
    """There is no answer."""


class NotConnected(ExchangeError):
    """No connection came about, so nothing was sent."""


class ExchangeBroken(ExchangeError):
    """The connection ended before the whole answer was there, or what came is not HTTP."""


class AnswerTooLong(ExchangeError):
    """The answer's body has more bytes than are wanted."""


class _Line(asyncio.Protocol):
    """One connection: at most one exchange at a time."""

    def __init__(self, idle: list[_Line], largest: int) -> None:
        self._idle, self._largest = idle, largest
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._body = b""
        self.idle_since = 0.0

    def send(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        """Sends a request; the answer's status and body when it is whole. Fails with an ExchangeError."""
        assert self._answer is None and self._transport is not None, "one exchange at a time"
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def close(self) -> None:
        """Ends the connection at once."""
        if self._transport is not None:
            self._transport.abort()

    def fail(self, error: Exception) -> None:
        """The exchange has no answer, and the connection is not used again."""
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(error)
        self.close()

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begins; uvloop does not derive its transports from asyncio's."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Reads on; what nobody asked for ends the connection."""
        if self._answer is None:
            self.close()
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.fail(ExchangeBroken(f"not HTTP: {type(error).__name__}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side has gone, or we have."""
        self._transport = None
        if self in self._idle:
            self._idle.remove(self)
        self.fail(ExchangeBroken("the connection ended without a whole answer"))

    # httptools

    def on_message_begin(self) -> None:
        """A new answer."""
        self._body = b""

    def on_body(self, part: bytes) -> None:
        """A part of its body."""
        self._body += part
        if len(self._body) > self._largest:
            self.fail(AnswerTooLong(f"more than {self._largest} bytes"))

    def on_message_complete(self) -> None:
        """The whole answer; an interim one (1xx) says nothing."""
        status = self._parser.get_status_code()
        answer = self._answer
        if status < 200 or answer is None:
            return
        self._answer = None
        if self._parser.should_keep_alive() and not answer.cancelled():
            self.idle_since = monotonic()
            self._idle.append(self)
        else:
            self.close()
        if not answer.done():
            answer.set_result((status, self._body))


class Lines:
    """Kept connections to one address, http or https. An idle one is given up after `kept_s` seconds.

    `host` and the path's beginning `folder` are what the address has for the request's head.
    """

    def __init__(self, url: str, *, kept_s: float, largest: int) -> None:
        parts = urlsplit(url)
        assert parts.scheme in _PORTS and parts.hostname, "settings are checked"
        self.host = parts.netloc.rpartition("@")[2]
        self.folder = parts.path.rstrip("/")
        self._name, self._port = parts.hostname, parts.port or _PORTS[parts.scheme]
        self._trust = ssl.create_default_context() if parts.scheme == "https" else None
        self._kept_s, self._largest = kept_s, largest
        self._idle: list[_Line] = []

    async def exchange(self, request: bytes, *, within_s: float, connect_s: float) -> tuple[int, bytes]:
        """One request and its answer. Raises NotConnected, ExchangeBroken, AnswerTooLong, TimeoutError."""
        began = monotonic()
        line = self._kept() or await self._connected(connect_s)
        answer = line.send(request)
        late = asyncio.get_running_loop().call_later(
            max(0.0, within_s - (monotonic() - began)), line.fail, TimeoutError()
        )
        try:
            return await answer
        except asyncio.CancelledError:
            line.close()
            raise
        finally:
            late.cancel()

    async def close(self) -> None:
        """Ends every connection that is idle; those in use end with their exchange."""
        while self._idle:
            self._idle.pop().close()

    def _kept(self) -> _Line | None:
        """The connection that was used last, unless that was too long ago: then so it was with all others."""
        if not self._idle:
            return None
        line = self._idle.pop()
        if monotonic() - line.idle_since < self._kept_s:
            return line
        for old in (line, *self._idle):
            old.close()
        self._idle.clear()
        return None

    async def _connected(self, connect_s: float) -> _Line:
        line = _Line(self._idle, self._largest)
        try:
            async with asyncio.timeout(connect_s):
                await asyncio.get_running_loop().create_connection(
                    lambda: line, self._name, self._port, ssl=self._trust
                )
        except (OSError, TimeoutError) as error:
            raise NotConnected(type(error).__name__) from error
        return line
