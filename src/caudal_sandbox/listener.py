"""The sandbox's side of its sockets: HTTP/1.1 by httptools' parser, one request of a connection after the other.

A general server costs several times what a payment does, and the sandbox shares its machine with what is measured.
A body that is too large is read to its end before it is refused, so that the connection can go on.
"""

import asyncio
import logging
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from time import monotonic
from typing import cast

import httptools

from caudal_sandbox.http import BODY_MAX, HungUp, Request, Response, Router
from caudal_sandbox.problems import Problem

HEAD_MAX = 32 * 1024
WAITING_MAX = 64  # requests of one connection before no more of it is read
IDLE_S = 75.0
LOOK_S = 15.0  # between two looks at who is idle
FAREWELL_S = 3.0

log = logging.getLogger(__name__)

Answer = Callable[[Request], Awaitable[Response]]


class Listener:
    """Answers at an address from `open` to `close`. `answer` turns whatever goes wrong into a response, or `HungUp`."""

    def __init__(self, router: Router, answer: Answer) -> None:
        self.router, self.answer = router, answer
        self.connections = set[Connection]()
        self._server: asyncio.Server | None = None

    async def open(self, host: str, port: int) -> tuple[str, int]:
        """Listen; the address that came of it."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), host, port, backlog=1024)
        self._looking = loop.call_later(LOOK_S, self._look)
        found: tuple[str, int] = self._server.sockets[0].getsockname()[:2]
        return found

    async def close(self) -> None:
        """Let nobody in, answer what is asked for a moment, and hang up."""
        if self._server is None:
            return
        self._looking.cancel()
        self._server.close()
        tasks = [task for connection in list(self.connections) if (task := connection.ends())]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=FAREWELL_S)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        for connection in list(self.connections):
            connection.hang_up()

    def _look(self) -> None:
        self._looking = asyncio.get_running_loop().call_later(LOOK_S, self._look)
        oldest_s = monotonic() - IDLE_S
        for connection in [one for one in self.connections if one.is_idle_since(oldest_s)]:
            connection.hang_up()


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request whose turn will come; `last`: the connection ends behind it; `plain`: HTTP/1.0, without chunks."""

    request: Request
    last: bool
    plain: bool


class Connection(asyncio.Protocol):
    """One connection."""

    def __init__(self, listener: Listener) -> None:
        self._listener = listener
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._waiting = deque[_Asked]()
        self._task: asyncio.Task[None] | None = None
        self._taken_up: asyncio.Future[None] | None = None
        self._ending = self._gone = self._paused = False
        self._moved_s = monotonic()

    def is_idle_since(self, moment_s: float) -> bool:
        """Whether nothing is under way, and nothing has come since a moment."""
        return self._task is None and self._moved_s < moment_s

    def hang_up(self) -> None:
        """End it now."""
        self._transport.abort()

    def ends(self) -> asyncio.Task[None] | None:
        """Finish what runs, begin nothing more; the task that runs."""
        self._ending = True
        if self._task is None:
            self._transport.close()
        return self._task

    # asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin; uvloop does not derive its transports from asyncio's."""
        self._transport = cast(asyncio.Transport, transport)
        self._listener.connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller has gone; what it asked for happens all the same."""
        self._listener.connections.discard(self)
        self._ending = self._gone = True
        self.resume_writing()
        self._parser = None  # type: ignore[assignment]  # it holds this object, and this object it

    def data_received(self, data: bytes) -> None:
        """Read on."""
        self._moved_s = monotonic()
        while not self._ending:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:  # is not taken up: the request is one like any other
                data = data[upgrade.args[0] :]
                continue
            except httptools.HttpParserError as error:
                ours = isinstance(error, httptools.HttpParserCallbackError)
                if ours and not isinstance(error.__context__, ValueError):
                    log.error("a request broke the listener", exc_info=error.__context__)
                self._is_not_http()
            return

    def _is_not_http(self) -> None:
        self._ending = True
        if self._task is None:
            refusal = Problem(400, "malformed_http", "The request cannot be read; the connection ends.").response()
            self._transport.write(_head(refusal, "close", len(refusal.body)) + refusal.body)
            self._transport.close()

    def pause_writing(self) -> None:
        """The caller does not read as fast as it is told."""
        self._taken_up = self._loop.create_future()

    def resume_writing(self) -> None:
        """It has read."""
        taken_up, self._taken_up = self._taken_up, None
        if taken_up is not None and not taken_up.done():
            taken_up.set_result(None)

    # httptools: what any of these raises ends the connection as malformed

    def on_message_begin(self) -> None:
        """A new request."""
        self._url, self._headers = b"", dict[bytes, bytes]()
        self._parts, self._room, self._head_room = list[bytes](), BODY_MAX, HEAD_MAX

    def on_url(self, url: bytes) -> None:
        """A part of its target."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; of one that comes twice the first counts."""
        self._headers.setdefault(name.lower(), value)
        self._head_room -= len(name) + len(value)
        if self._head_room < len(self._url):
            raise ValueError("the head is too long")

    def on_headers_complete(self) -> None:
        """Its head: how much may follow, and whether the caller wants to be asked for it."""
        self._target = self._url.decode("ascii")
        self._found = self._listener.router.find(self._target.partition("?")[0])
        route = self._found.routes.get(self._parser.get_method().decode())
        if route is not None:
            self._room = route.body_max
        if b"expect" in self._headers and self._task is None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, part: bytes) -> None:
        """A part of its body; what is too much is not kept."""
        self._room -= len(part)
        if self._room >= 0:
            self._parts.append(part)

    def on_message_complete(self) -> None:
        """A whole request: its turn comes."""
        parser = self._parser
        request = Request(
            method=parser.get_method().decode(),
            target=self._target,
            headers=self._headers,
            found=self._found,
            body=b"".join(self._parts),
            too_large=self._room < 0,
        )
        asked = _Asked(request, not parser.should_keep_alive(), parser.get_http_version() != "1.1")
        self._waiting.append(asked)
        if self._task is None:
            self._go_on()
        elif len(self._waiting) >= WAITING_MAX and not self._paused:
            self._paused = True
            self._transport.pause_reading()

    # What goes out

    def _go_on(self) -> None:
        if self._paused and not self._waiting:
            self._paused = False
            self._transport.resume_reading()
        if self._waiting:
            self._task = self._loop.create_task(self._serve(self._waiting.popleft()))

    async def _serve(self, asked: _Asked) -> None:
        try:
            response = await self._listener.answer(asked.request)
            last = await self._send(asked, response)
        except HungUp as how:
            if how.reset:
                link = self._transport.get_extra_info("socket")
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self._transport.abort()
            return
        except asyncio.CancelledError:
            self._transport.abort()
            raise
        except Exception:
            log.exception("an answer broke off")
            self._transport.abort()
            return
        self._task, self._moved_s = None, monotonic()
        if last or self._ending:
            self._transport.close()
        else:
            self._go_on()

    async def _send(self, asked: _Asked, response: Response) -> bool:
        """Write an answer, one that comes in parts as fast as the caller reads; whether the connection ends behind."""
        stream, bare = response.stream, asked.request.method == "HEAD"
        length = len(response.body) if stream is None else response.length
        chunked = length is None and not asked.plain
        last = asked.last or self._ending or (length is None and asked.plain)
        connection = "close" if last else "keep-alive" if asked.plain else ""
        head = _head(response, connection, "chunked" if chunked else length)
        if stream is None or bare:
            self._transport.write(head if bare else head + response.body)
            return last
        self._transport.write(head)
        async for part in stream:
            if self._taken_up is not None:
                await self._taken_up
            if self._gone:
                break
            self._transport.write(b"%x\r\n%b\r\n" % (len(part), part) if chunked else part)
        if chunked:
            self._transport.write(b"0\r\n\r\n")
        return last


def _head(response: Response, connection: str, length: int | str | None) -> bytes:
    head = _start(response.status, response.content_type)
    if isinstance(length, int):
        head += f"Content-Length: {length}\r\n"
    elif length is not None:
        head += f"Transfer-Encoding: {length}\r\n"
    for name, value in response.headers.items():
        assert "\r" not in value and "\n" not in value, "a header is one line"
        head += f"{name}: {value}\r\n"
    return (head + (f"Connection: {connection}\r\n\r\n" if connection else "\r\n")).encode("latin-1")


@cache
def _start(status: int, content_type: str) -> str:
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\nContent-Type: {content_type}\r\n"
