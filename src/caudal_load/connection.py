"""One connection with one request in flight, on uvloop's bare protocol interface: bytes out, bytes in."""

import asyncio
from typing import Protocol, cast

from caudal_load.histogram import Histogram
from caudal_load.response import Malformed, Response, parse

IDLE = -1


class Driver(Protocol):
    """Who decides what a connection does next."""

    def ready(self, connection: "Connection") -> None:
        """The connection is open and has nothing in flight."""

    def answered(self, connection: "Connection", response: Response, buffer: bytes) -> None:
        """The request in flight has its answer; `ready` follows if the connection stays open."""

    def broken(self, connection: "Connection", malformed: bool) -> None:
        """The connection is gone; `connection.number` is the request that was in flight, or IDLE."""


class Connection(asyncio.Protocol):
    """A seat at the server: it survives reconnecting, and so do its latencies."""

    __slots__ = (
        "_driver",
        "_malformed",
        "_transport",
        "_unread",
        "acknowledged",
        "histogram",
        "number",
        "sent_ns",
        "since_ns",
    )

    def __init__(self, driver: Driver, histogram: Histogram | None = None) -> None:
        self._driver = driver
        self._transport: asyncio.WriteTransport | None = None
        self._unread = b""
        self._malformed = False
        self.histogram = histogram or Histogram()
        self.acknowledged = 0
        """Acknowledgements of the window."""
        self.number = IDLE
        self.since_ns = 0
        """When the latency of the request in flight began: in an open loop the scheduled arrival, otherwise `sent_ns`.
        """
        self.sent_ns = 0

    def send(self, request: bytes, number: int, since_ns: int, sent_ns: int) -> None:
        """Put request `number` on the wire; the connection has to be ready."""
        assert self._transport is not None and self.number == IDLE
        self.number = number
        self.since_ns = since_ns
        self.sent_ns = sent_ns
        self._transport.write(request)

    @property
    def port(self) -> int | None:
        """The generator's own port of the connection; None if there is none just now."""
        return None if self._transport is None else self._transport.get_extra_info("sockname")[1]

    @property
    def is_open(self) -> bool:
        """Whether there is a connection just now."""
        return self._transport is not None

    def close(self) -> None:
        """Hang up at once, whatever is in flight; `broken` follows."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin anew, the first time or after a break."""
        self._transport = cast(
            asyncio.WriteTransport, transport
        )  # uvloop does not derive its transports from asyncio's
        self._unread = b""
        self._malformed = False
        self._driver.ready(self)

    def data_received(self, data: bytes) -> None:
        """Take what came; when the answer is whole, hand it over and ask for more."""
        if self._unread:
            data = self._unread + data
        try:
            response = parse(data)
            if response is None:
                self._unread = data
                return
            if self.number == IDLE or response.end != len(data):
                raise Malformed("an answer that nobody asked for")
        except Malformed:
            self._malformed = True
            self.close()
            return
        self._unread = b""
        self._driver.answered(self, response, data)
        self.number = IDLE
        if response.keep_alive:
            self._driver.ready(self)
        else:
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """Say so; the driver opens the seat again if the run goes on."""
        self._transport = None
        self._driver.broken(self, self._malformed)
        self.number = IDLE
