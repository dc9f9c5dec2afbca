"""The socket's side of the API: HTTP/1.1 by httptools' parser, with nothing between it and the handlers.

uvicorn owns sockets, signals and the end; it makes one `EdgeProtocol` for each connection. Its rules:

- One exchange after the other: requests that come before their turn wait, and meanwhile nothing more is read.
- A response is one write, head and body; a streamed one is a write for each part, as fast as the caller reads.
- What is refused by its head is answered when its body has passed by, so that the connection can go on. A body that is
  too large, and one that waits for `100 Continue`, is refused at once; then the connection ends, as it does after
  what is not HTTP. What still comes is read for a moment, for a socket that is closed on it would lose the answer.
- A caller that has gone changes nothing: its request runs to its end, and its commit is durable.
- Nobody holds a connection for nothing: a request has 30 s to arrive, an answer 75 s to be taken up.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator
from typing import Any, Final, NoReturn

import httptools
import uvicorn
from uvicorn.server import ServerState

from caudal.app.edge.exchange import SINGLE, Exchange, bytes_of, head_of, size_of, target_of
from caudal.app.edge.shed import CROWDED, shedder_of
from caudal.app.edge.turns import turns_of
from caudal.app.web import Opened, Web, named, refused
from caudal.kernel.errors import CaudalError, Fault, FieldError, Invalid, Refused, Retry
from caudal.kernel.http import Response

log = logging.getLogger(__name__)

HEAD_MAX: Final = 32_768  # bytes of a request's target and headers
HEADERS_MAX: Final = 100
WAITING_MAX: Final = 64  # requests of one connection; behind them it ends
REQUEST_S: Final = 30.0
IDLE_S: Final = 75.0
LINGER_S: Final = 2.0
LOOK_S: Final = 1.0  # between two looks at what should have ended
_FRAMES: Final = 8  # bytes on the wire for one of a chunked body, at most
_MALFORMED: Final = "the request cannot be read; the connection ends"
_TOO_LARGE: Final = f"at most {HEADERS_MAX} headers and {HEAD_MAX} bytes"
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class _Deaf(Exception):
    """What comes is not listened to any more: ends the parser's work on what it was given."""


class EdgeProtocol(asyncio.Protocol):
    """One connection."""

    def __init__(
        self,
        config: uvicorn.Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        assert isinstance(config.loaded_app, Web), "the edge serves the API alone"
        self._web: Web = config.loaded_app
        self._turns, self._shedder = turns_of(self._web), shedder_of(self._web)
        self._loop = _loop or asyncio.get_running_loop()
        self._state = server_state
        self._parser = httptools.HttpRequestParser(self)
        self._exchanges: deque[Exchange] = deque()
        self._task: asyncio.Task[None] | None = None
        self._taken_up: asyncio.Future[None] | None = None
        self._receiving = self._deaf = self._gone = self._paused = False
        self._url, self._headers = b"", dict[bytes, bytes]()
        self._repeated: str | None = None  # a header of which only one means anything
        self._more = 0  # lines of headers beyond the first of each name
        self._chunk = self._came = self._before = self._came_max = 0

    # The connection

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self._transport = transport
        self._state.connections.add(self)  # type: ignore[arg-type]
        self._until = self._loop.time() + IDLE_S
        self._look_in(IDLE_S)

    def connection_lost(self, exc: Exception | None) -> None:
        self._state.connections.discard(self)
        self._gone = self._deaf = True
        self._look_again.cancel()
        self._exchanges.clear()
        self._wait_for_task()
        self.resume_writing()
        self._parser = None  # type: ignore[assignment]  # it holds this object, and this object it

    def eof_received(self) -> bool:
        """A caller that has sent all that it wants to send still gets its answers."""
        exchanges = self._exchanges
        if exchanges and not exchanges[-1].whole:
            exchanges.pop()
        if not exchanges:
            return False
        exchanges[-1].last = self._deaf = True
        return True

    def pause_writing(self) -> None:
        self._taken_up = self._loop.create_future()
        self._wait(IDLE_S)

    def resume_writing(self) -> None:
        taken_up, self._taken_up = self._taken_up, None
        if taken_up is not None and not taken_up.done():
            taken_up.set_result(None)
        self._go_on()

    def shutdown(self) -> None:
        """The server stops: what is here is answered, and nothing after it."""
        if not self._exchanges:
            self._transport.close()
            return
        last = self._exchanges[-1]
        last.last, last.unread, self._deaf = True, True, last.whole
        self._wait_for_task()

    def _wait_for_task(self) -> None:
        """Has the server wait for what runs, whoever has gone."""
        if self._task is not None:
            self._state.tasks.add(self._task)
            self._task.add_done_callback(self._state.tasks.discard)

    def _wait(self, seconds: float) -> None:
        """Something has to move within this time."""
        self._until = self._loop.time() + seconds
        if self._until < self._look_at:
            self._look_again.cancel()
            self._look_in(seconds)

    def _look_in(self, seconds: float) -> None:
        self._look_at = self._loop.time() + seconds
        self._look_again = self._loop.call_later(seconds, self._look)

    def _look(self) -> None:
        """Ends a connection on which nothing has moved in time."""
        left_s = self._until - self._loop.time()
        self._look_in(left_s if left_s > 0 else LOOK_S)
        if left_s > 0 or (self._task is not None and self._taken_up is None):
            return
        if self._deaf or self._taken_up is not None or self._transport.is_closing():
            self._transport.abort()
        elif self._receiving:
            self._refuse(Retry("request_timeout", f"the whole request has to arrive within {REQUEST_S:.0f} s"))
        else:
            self._transport.close()

    # What comes in

    def data_received(self, data: bytes) -> None:
        if self._shedder.on and self._sheds(data):
            return
        while not self._deaf:
            self._chunk = len(data)
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:  # is not taken up: the request is one like any other
                data = data[upgrade.args[0] :]
                continue
            except httptools.HttpParserCallbackError:
                if not self._deaf:
                    log.exception("the edge broke")
                    self._refuse(Fault("internal_error", "a defect of ours; nothing was written"))
            except httptools.HttpParserError:
                if not self._deaf:
                    self._refuse(Invalid("malformed_http", _MALFORMED))
            if self._receiving:
                self._wait_for_more()
            if len(self._exchanges) > 1 and not self._paused:
                self._paused = True
                self._transport.pause_reading()
            return

    def _sheds(self, data: bytes) -> bool:
        """Refuses a request for a crowd by its bytes, where nothing is before it and the connection goes on."""
        busy = self._receiving or self._exchanges or self._deaf or self._taken_up is not None
        answer = None if busy or self._web.is_stopping else self._shedder.refusal(data)
        if answer is None:
            return False
        self._transport.write(answer)
        self._state.total_requests += 1
        self._wait(IDLE_S)
        return True

    def _wait_for_more(self) -> None:
        if not self._came and self._task is None:
            self._wait(REQUEST_S)
        self._came += self._chunk
        if self._came - self._before <= self._came_max:
            return
        if self._exchanges and not self._exchanges[-1].whole:
            self._cut(self._exchanges[-1])
        else:
            self._refuse(Refused("head_too_large", _TOO_LARGE))

    def on_message_begin(self) -> None:
        if self._deaf:
            raise _Deaf
        if len(self._exchanges) >= WAITING_MAX:
            self._exchanges[-1].last = self._exchanges[-1].unread = self._deaf = True
            raise _Deaf
        self._receiving = True
        self._url, self._headers = b"", {}
        self._more, self._repeated = 0, None
        self._came, self._before, self._came_max = 0, self._chunk, HEAD_MAX

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        name, headers = name.lower(), self._headers
        if name in headers:
            value = self._again(name, value)
        headers[name] = value

    def _again(self, name: bytes, value: bytes) -> bytes:
        """Lines of one name are one list (RFC 9110, 5.3), unless their meaning is a single thing."""
        self._more += 1
        if self._more > HEADERS_MAX:
            self._give_up(Refused("head_too_large", _TOO_LARGE))
        if name in SINGLE:
            self._repeated = self._repeated or SINGLE[name]
        return self._headers[name] + b", " + value

    def on_headers_complete(self) -> None:
        headers, self._headers = self._headers, {}  # trailers are nobody's
        if len(headers) + self._more > HEADERS_MAX or (
            self._came + self._chunk > HEAD_MAX and size_of(self._url, headers) > HEAD_MAX
        ):
            self._give_up(Refused("head_too_large", _TOO_LARGE))
        if self._repeated is not None:
            error = FieldError(field=self._repeated, code="repeated", detail="this header comes once")
            self._give_up(Invalid("malformed_http", f"the header {self._repeated} comes twice", errors=(error,)))
        try:
            path, query = target_of(self._url)
        except (ValueError, httptools.HttpParserError):
            self._give_up(Invalid("malformed_http", _MALFORMED))
        parser = self._parser
        method = parser.get_method().decode()
        opened = self._web.opened(method, path, query, headers)
        exchange = Exchange(opened)
        exchange.plain = parser.get_http_version() != "1.1"
        exchange.last = exchange.plain or not parser.should_keep_alive()
        exchange.bare = method == "HEAD"
        self._exchanges.append(exchange)
        if b"content-length" in headers or b"transfer-encoding" in headers:
            self._expect_body(exchange, opened, headers)

    def _expect_body(self, exchange: Exchange, opened: Opened, headers: dict[bytes, bytes]) -> None:
        """Refuses a body before it comes, where that is possible, and asks for it, where that is needed."""
        length, limit = int(headers.get(b"content-length", b"0")), opened.body_limit
        self._came_max = HEAD_MAX + length if length else HEAD_MAX + _FRAMES * (limit or HEAD_MAX)
        exchange.waits = headers.get(b"expect", b"").lower() == b"100-continue" and not exchange.plain
        if limit is not None and length > limit:
            self._cut(exchange)
        elif self._parser.should_upgrade():  # the parser passes the body over
            opened.refuse(Invalid("malformed_http", "no other protocol is spoken here: send a body without Upgrade"))
            self._cut(exchange)
        elif exchange.waits and opened.refusal is not None:
            self._cut(exchange)
        elif exchange.waits and len(self._exchanges) == 1:
            self._transport.write(_CONTINUE)

    def on_body(self, body: bytes) -> None:
        if self._deaf:
            raise _Deaf
        exchange = self._exchanges[-1]
        limit = exchange.opened.body_limit
        if limit is None:
            return
        exchange.size += len(body)
        if exchange.size > limit:
            self._cut(exchange)
        else:
            exchange.parts.append(body)

    def _cut(self, exchange: Exchange) -> None:
        """Answers without the rest of a body, behind which the connection ends."""
        opened = exchange.opened
        if opened.refusal is None:
            opened.refuse(Refused("too_large", f"at most {opened.body_limit or HEAD_MAX} bytes"))
        exchange.whole = exchange.last = exchange.unread = self._deaf = True
        self._receiving = False
        self._go_on()

    def on_message_complete(self) -> None:
        if self._deaf:
            raise _Deaf
        exchange = self._exchanges[-1]
        self._web.arrived(exchange.opened, b"" if exchange.opened.finds is None else b"".join(exchange.parts))
        self._receiving, exchange.whole, self._deaf = False, True, exchange.last
        self._go_on()

    def _refuse(self, error: CaudalError) -> None:
        """Answers what is no request, in its turn, behind which the connection ends."""
        if self._exchanges and not self._exchanges[-1].whole:
            self._exchanges.pop()
        exchange = Exchange(refused(error))
        exchange.whole = exchange.last = exchange.unread = self._deaf = True
        self._receiving = False
        self._exchanges.append(exchange)
        self._go_on()

    def _give_up(self, error: CaudalError) -> NoReturn:
        """The same from within the parser's work."""
        self._refuse(error)
        raise _Deaf

    # What goes out

    def _go_on(self) -> None:
        """Answers what is whole, as long as nothing runs and the caller takes up what it gets."""
        exchanges = self._exchanges
        while self._task is None and exchanges and exchanges[0].whole and self._taken_up is None:
            exchange = exchanges[0]
            if exchange.opened.refusal is None:
                if not self._turns.take(exchange, self._go_on):
                    return
                self._task = self._loop.create_task(self._serve(exchange))
            else:
                self._mark_last(exchange)
                if exchange.opened.refusal.status == CROWDED:
                    self._shedder.crowd()
                self._transport.write(bytes_of(exchange, exchange.opened.refusal))
                self._web.answered(exchange.opened, exchange.opened.refusal)
                self._end(exchange)

    async def _serve(self, exchange: Exchange) -> None:
        """Runs the handler and sends what it says."""
        response = await self._web.answer(exchange.opened, b"".join(exchange.parts))
        self._mark_last(exchange)
        try:
            if response.stream is not None:
                await self._send_stream(exchange, response, response.stream)
            elif not self._gone:
                self._transport.write(bytes_of(exchange, response))
        except Exception:
            log.exception("an answer broke off", extra=named(exchange.opened.request))
            self._transport.abort()  # who does not read would never let it be closed
            return
        finally:
            self._web.answered(exchange.opened, response)
        self._task = None
        if not self._gone:
            self._end(exchange)
            self._go_on()

    def _mark_last(self, exchange: Exchange) -> None:
        """In a process that stops an answer ends its connection, unless another request is here already."""
        if self._web.is_stopping and len(self._exchanges) == 1 and not self._receiving:
            exchange.last = self._deaf = True

    async def _send_stream(self, exchange: Exchange, response: Response, stream: AsyncIterator[bytes]) -> None:
        """Sends part by part, as fast as the caller reads, and stops when it has gone. A part that fails breaks the
        body off, so that nobody takes it for whole.
        """
        exchange.last = exchange.last or exchange.plain
        self._transport.write(head_of(exchange, response, b"" if exchange.plain else b"\r\ntransfer-encoding: chunked"))
        async for part in stream:
            if self._taken_up is not None:
                await self._taken_up
            if self._gone:
                return
            if part:
                self._transport.write(part if exchange.plain else b"%x\r\n%b\r\n" % (len(part), part))
        if not exchange.plain:
            self._transport.write(b"0\r\n\r\n")

    def _end(self, exchange: Exchange) -> None:
        """The exchange is over; the connection too, where it was the last."""
        exchanges = self._exchanges
        exchanges.popleft()
        self._state.total_requests += 1
        self._wait(REQUEST_S if self._receiving else IDLE_S)
        if exchange.unread:
            self._wait(LINGER_S)
            self._transport.write_eof()
        elif exchange.last:
            self._transport.close()
            return
        if self._paused and len(exchanges) <= 1:
            self._paused = False
            self._transport.resume_reading()
        if exchanges and exchanges[0].waits and not exchanges[0].whole:
            self._transport.write(_CONTINUE)
