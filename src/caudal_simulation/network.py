"""The network between caudal and those whom it calls: bytes of HTTP to a service in memory, and what befalls them.

refused     no connection
lost        the connection breaks before the request arrived
unheard     the service does it, and the connection breaks before the answer
slow        the service does it, and its answer comes behind every patience
busy        the service does nothing, and says so
broken      the service does it, and answers 500
wandering   the request arrives when nobody waits for it any more, and is carried out then
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import Any, Final, Protocol

from caudal_simulation.chance import Faults
from caudal_simulation.loop import OF

_FATES: Final = ("lost", "unheard", "slow", "busy", "broken", "wandering")
_BUSY: Final = b'{"type":"about:blank","title":"busy","status":503,"code":"busy","detail":"later"}'
Answer = tuple[int, bytes]


class Service(Protocol):
    """What answers at an address."""

    up: bool

    def handle(self, verb: str, path: str, body: bytes) -> Answer:
        """Carries a request out."""


class Network:
    """Where connections lead."""

    def __init__(self, faults: Faults, at: Callable[[str], Service]) -> None:
        self.faults, self._at = faults, at
        self.wandering = 0
        self.asked: list[tuple[float, str, str]] = []  # when which program has asked how which payment stands

    async def connect(self, protocol_factory: Callable[[], asyncio.Protocol], host: str, port: int) -> Any:
        """What an event loop does for `create_connection`. Raises OSError."""
        await self.faults.hop()
        service = self._at(host)
        if not service.up or self.faults.happens("provider refuses connections", 0.02):
            raise ConnectionRefusedError
        protocol = protocol_factory()
        wire = Wire(self, service, protocol)
        protocol.connection_made(wire)
        return wire, protocol


def _program() -> str:
    process = OF.get()
    return "" if process is None else process.name


class Wire(asyncio.Transport):
    """One connection of one program. What comes back runs as that program, if it still lives."""

    def __init__(self, network: Network, service: Service, protocol: asyncio.Protocol) -> None:
        self._network, self._service, self._protocol = network, service, protocol
        self._sent = b""
        self._closed = False
        self._context: Context = copy_context()

    def write(self, data: Any) -> None:
        """Sends; a whole request is on its way at once."""
        self._sent += data
        head, end, body = self._sent.partition(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        if not end or len(body) < length:
            return
        verb, path, _ = head.partition(b"\r\n")[0].decode().split(" ")
        self._sent = body[length:]
        self._send(verb, path, body[:length])

    def _send(self, verb: str, path: str, body: bytes) -> None:
        faults, fate = self._network.faults, "done"
        if verb == "GET" and "/payments/" in path:
            self._network.asked.append((faults.clock.now_s, _program(), path.rpartition("/")[2]))
        if faults.on and faults.random.random() < 0.06 * faults.rate:
            fate = faults.pick(_FATES)
            faults.happened[f"provider {fate}"] += 1
        if fate == "lost":
            self._later(faults.hop_s(), self._break)
        elif fate == "wandering":
            self._network.wandering += 1
            self._later(faults.hop_s(), self._break)
            faults.later(faults.spread(1.0, 12.0), self._found_its_way, verb, path, body)
        else:
            faults.later(faults.hop_s(), self._arrived, verb, path, body, fate)

    def _arrived(self, verb: str, path: str, body: bytes, fate: str) -> None:
        """At the service, whoever asked."""
        faults = self._network.faults
        if not self._service.up:
            self._later(faults.hop_s(), self._break)
            return
        status, told = (503, _BUSY) if fate == "busy" else self._service.handle(verb, path, body)
        if fate == "unheard":
            self._later(faults.hop_s(), self._break)
            return
        if fate == "broken":
            status, told = 500, b"<html>"
        delay_s = faults.spread(5.0, 9.0) if fate == "slow" else faults.hop_s()
        head = f"HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nContent-Length: {len(told)}\r\n\r\n"
        self._later(delay_s, self._receive, head.encode() + told)

    def _found_its_way(self, verb: str, path: str, body: bytes) -> None:
        self._network.wandering -= 1
        self._service.handle(verb, path, body)

    def _later(self, delay_s: float, callback: Callable[..., object], *arguments: Any) -> None:
        """Happens to the program."""
        self._network.faults.loop.call_later(delay_s, callback, *arguments, context=self._context)

    def _receive(self, data: bytes) -> None:
        if not self._closed:
            self._protocol.data_received(data)

    def _break(self) -> None:
        if not self._closed:
            self._closed = True
            self._protocol.connection_lost(ConnectionResetError())

    def abort(self) -> None:
        """The program gives it up."""
        if not self._closed:
            self._closed = True
            self._later(0.0, self._protocol.connection_lost, None)

    def close(self) -> None:
        """Likewise."""
        self.abort()

    def is_closing(self) -> bool:
        """Whether it was given up."""
        return self._closed
