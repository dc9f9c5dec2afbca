"""HTTP/1.1 from the caller's side: one request, one whole answer, over connections that are kept. Bytes in, bytes out.

What calls to providers and webhooks need and no more: the caller writes its own head, redirects and cookies are not
followed or kept, an answer has its length or is chunked. A general client spends four times the CPU on the same
exchange.

    NotConnected      nothing was sent; its cause says why
    ExchangeBroken    something was, and no whole answer came back; so does TimeoutError
    AnswerTooLong     more came back than is wanted

Who wants an answer's `beginning` alone gets as much of it as is wanted, and of one without a length what came before
the connection ended.

A connection that fails in any way, or whose caller was cancelled, is closed and never used again.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
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


Connect = Callable[[Callable[[], asyncio.Protocol]], Awaitable[object]]
"""Makes a connection for the protocol that it is given the maker of. Raises OSError."""


class _Line(asyncio.Protocol):
    """One connection: at most one exchange at a time."""

    def __init__(self, idle: list[_Line], largest: int, *, beginning: bool) -> None:
        self._idle, self._largest, self._beginning = idle, largest, beginning
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None
        self._body = b""
        self._came = self._headed = self._length = False
        self.idle_since = 0.0

    def send(self, request: bytes) -> asyncio.Future[tuple[int, bytes]]:
        """Sends a request; the answer's status and body when it is whole. Fails with an ExchangeError."""
        assert self._answer is None and self._transport is not None, "one exchange at a time"
        self._came = self._headed = False
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
        self._came = True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self.fail(ExchangeBroken("the answer is not HTTP"))

    def connection_lost(self, exc: Exception | None) -> None:
        """The other side has gone, or we have."""
        self._transport = None
        if self in self._idle:
            self._idle.remove(self)
        if self._beginning and self._headed and exc is None:
            self._told(self._body)  # its end is that of the connection (RFC 9112, 6.3)
        elif exc is not None:
            self.fail(ExchangeBroken("the connection broke"))
        else:
            self.fail(
                ExchangeBroken("the answer broke off" if self._came else "the connection ended without an answer")
            )

    def _told(self, body: bytes) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_result((self._parser.get_status_code(), body))

    # httptools

    def on_message_begin(self) -> None:
        """A new answer."""
        self._body, self._headed, self._length = b"", False, False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Whether the answer says where it ends."""
        self._length = self._length or name.lower() in (b"content-length", b"transfer-encoding")

    def on_headers_complete(self) -> None:
        """An answer without a length ends with its connection."""
        self._headed = not self._length and self._parser.get_status_code() >= 200

    def on_body(self, part: bytes) -> None:
        """A part of its body."""
        self._body += part
        if len(self._body) <= self._largest:
            return
        if self._beginning:
            self._told(self._body[: self._largest])
            self.close()  # rather than read the rest
        else:
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

    `host` and the path's beginning `folder` are what the address has for the request's head; `server` is its name and
    port, and `origin` how it begins. `connect` makes a connection where that is not to be the address's own way.
    """

    def __init__(
        self, url: str, *, kept_s: float, largest: int, connect: Connect | None = None, beginning: bool = False
    ) -> None:
        parts = urlsplit(url)
        assert parts.scheme in _PORTS and parts.hostname, "settings are checked"
        self.host = parts.netloc.rpartition("@")[2]
        self.folder = parts.path.rstrip("/")
        self.server = self._name, self._port = parts.hostname, parts.port or _PORTS[parts.scheme]
        self.origin = f"{parts.scheme}://{self.host}"
        self._trust = ssl.create_default_context() if parts.scheme == "https" else None
        self._kept_s, self._largest, self._beginning = kept_s, largest, beginning
        self._connect = connect or self._connect_there
        self._idle: list[_Line] = []
        self._busy = 0

    async def exchange(self, request: bytes, *, within_s: float, connect_s: float) -> tuple[int, bytes]:
        """One request and its answer. Raises NotConnected, ExchangeBroken, AnswerTooLong, TimeoutError."""
        began, self._busy = monotonic(), self._busy + 1
        try:
            line = self._kept() or await self._connected(connect_s)
            left_s = max(0.0, within_s - (monotonic() - began))
            late = asyncio.get_running_loop().call_later(left_s, line.fail, TimeoutError())
            try:
                return await line.send(request)
            except asyncio.CancelledError:
                line.close()
                raise
            finally:
                late.cancel()
        finally:
            self._busy -= 1

    async def close(self) -> None:
        """Ends every connection that is idle; those in use end with their exchange."""
        while self._idle:
            self._idle.pop().close()

    def give_up_idle(self) -> bool:
        """Ends those that nobody has used for long; whether others are left."""
        oldest = monotonic() - self._kept_s
        for line in [line for line in self._idle if line.idle_since < oldest]:
            self._idle.remove(line)
            line.close()
        return bool(self._idle) or self._busy > 0

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
        line = _Line(self._idle, self._largest, beginning=self._beginning)
        try:
            async with asyncio.timeout(connect_s):
                await self._connect(lambda: line)
        except (OSError, TimeoutError) as error:
            raise NotConnected(type(error).__name__) from error
        return line

    async def _connect_there(self, protocol: Callable[[], asyncio.Protocol]) -> object:
        return await asyncio.get_running_loop().create_connection(protocol, self._name, self._port, ssl=self._trust)
