"""A merchant's server that hears of everything: webhooks are counted by event, and by how late they come.

It stands in the generator's own event loop, a bare protocol that answers 204 to whatever it is sent. The lag of a
message is the time now minus the event's `time`, which is that of the batch that committed it. Of a sample the
signature is verified (Standard Webhooks: HMAC-SHA256 over id, time and body).
"""

import asyncio
import base64
import hmac
from datetime import UTC, datetime, timedelta
from time import time
from typing import cast

from caudal_load.histogram import Histogram

SAMPLE = 128
"""Of so many messages one signature is verified, the first included."""
_ANSWER = b"HTTP/1.1 204 No Content\r\n\r\n"
_TIME_LENGTH = 27
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)


Heard = tuple[int, int]
"""An event: whose endpoint heard of it, and its number, which is its shard's: merchants may be on several."""


class Receiver:
    """What came, of all endpoints of a side. Their paths are `/0`, `/1`, …"""

    def __init__(self) -> None:
        self.events: set[Heard] = set()
        """All events that came, by endpoint and number (`sequence`)."""
        self.repeated = 0
        self.unreadable = 0
        """Messages that are no events, and those of the sample whose signature is wrong."""
        self.lag = Histogram()
        self.measured = False
        """Whether lags are recorded now."""
        self.secrets: list[bytes] = []
        """By endpoint."""
        self._messages = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> str:
        """Listen on a free port of 127.0.0.1 and answer the address."""
        self._server = await asyncio.get_running_loop().create_server(lambda: _Line(self), "127.0.0.1", 0)
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def end(self) -> None:
        """Listen no more."""
        if self._server is not None:
            self._server.close()

    def take(self, head: bytes, body: bytes) -> None:
        """Count one message."""
        now_us = int(time() * 1e6)
        self._messages += 1
        at, sequence = _text(body, b'"time":"'), _text(body, b'"sequence":"')
        if len(at) != _TIME_LENGTH or not sequence.isdigit():
            self.unreadable += 1
            return
        if self._messages % SAMPLE == 1 and not self._is_signed(head, body):
            self.unreadable += 1
            return
        heard = (_endpoint(head), int(sequence))
        if heard in self.events:
            self.repeated += 1
            return
        self.events.add(heard)
        if self.measured:
            lag_us = now_us - (datetime.fromisoformat(at.decode()) - _EPOCH) // _US
            self.lag.record(max(0, lag_us) * 1000)

    def _is_signed(self, head: bytes, body: bytes) -> bool:
        lines = [line.partition(":") for line in head.decode("latin-1").split("\r\n")]
        fields = {name.lower(): value.strip() for name, _, value in lines}
        endpoint = _endpoint(head)
        if not 0 <= endpoint < len(self.secrets):
            return False
        signed = f"{fields.get('webhook-id')}.{fields.get('webhook-timestamp')}.".encode() + body
        right = base64.b64encode(hmac.digest(self.secrets[endpoint], signed, "sha256")).decode()
        return f"v1,{right}" in fields.get("webhook-signature", "").split(" ")


def _endpoint(head: bytes) -> int:
    """The number in a message's path; -1 if there is none."""
    path = head[: head.find(b"\r\n")].split(b" ", 2)[1].removeprefix(b"/")
    return int(path) if path.isdigit() else -1


def secret_of(text: str) -> bytes:
    """The key that a secret `whsec_…` stands for."""
    return base64.b64decode(text.removeprefix("whsec_"))


def _text(body: bytes, name: bytes) -> bytes:
    """The text behind the first field of this name; empty if there is none."""
    start = body.find(name)
    return b"" if start < 0 else body[start + len(name) : body.find(b'"', start + len(name))]


class _Line(asyncio.Protocol):
    """One connection: messages in, one fixed answer each."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._transport: asyncio.WriteTransport | None = None
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(
            asyncio.WriteTransport, transport
        )  # uvloop does not derive its transports from asyncio's

    def data_received(self, data: bytes) -> None:
        """Take every message that is whole."""
        assert self._transport is not None
        self._unread += data
        while (blank := self._unread.find(b"\r\n\r\n")) >= 0:
            head = self._unread[:blank]
            found = head.lower().find(b"\r\ncontent-length:")
            length = head[found + 17 : found + 17 + 20].split(b"\r\n", 1)[0].strip() if found >= 0 else b"0"
            end = blank + 4 + int(length)
            if len(self._unread) < end:
                return
            body, self._unread = self._unread[blank + 4 : end], self._unread[end:]
            self._receiver.take(head, body)
            self._transport.write(_ANSWER)
