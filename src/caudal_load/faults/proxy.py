"""A TCP and Unix socket proxy whose connections go wrong to order: one `Link` is one listening address.

A message costs a link without trouble one method call and one write. With trouble, what the connection was drawn for
happens to it (`trouble.py`). A stream of which something was swallowed cannot go on: it is reset when the trouble ends.
"""

import asyncio
import contextlib
import os
import socket
import struct
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import cast

from caudal_load.faults.trouble import Direction, Trouble

Address = tuple[str, int] | Path
_RST_ON_CLOSE = struct.pack("ii", 1, 0)
_DRIPS_PER_S = 20


class Link:
    """Listens, and leads to one of several addresses: to the next one in turn, or whichever of them answers."""

    def __init__(self, listen: Address, to: Sequence[Address]) -> None:
        self.address, self._to, self._turn = listen, list(to), 0
        self.trouble: Trouble | None = None
        self.connections: set[Connection] = set()
        self.messages = 0
        self._server: asyncio.Server | None = None

    def lead_to(self, *addresses: Address) -> None:
        """Lead there from the next connection on."""
        self._to = list(addresses)

    async def open(self) -> None:
        """Listen. Port 0 becomes a free one, and stays."""
        loop = asyncio.get_running_loop()
        if isinstance(self.address, Path):
            self.address.unlink(missing_ok=True)
            self._server = await loop.create_unix_server(lambda: Connection(self).near, str(self.address))
            return
        self._server = await loop.create_server(lambda: Connection(self).near, *self.address)
        host, port = self._server.sockets[0].getsockname()[:2]
        self.address = (host, port)

    async def close(self) -> None:
        """Listen no more, and reset every connection."""
        self._stop_listening()
        for connection in list(self.connections):
            connection.reset()

    def _stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            if isinstance(self.address, Path):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self.address)  # noqa: PTH108 (in an event loop, of a socket of our own)

    async def begin(self, trouble: Trouble) -> None:
        """From now on this is wrong. One thing at a time."""
        assert self.trouble is None, "a link has one trouble at a time"
        self.trouble = trouble
        if trouble.refuses:
            self._stop_listening()
            trouble.struck += len(self.connections)
            for connection in list(self.connections):
                connection.reset()

    async def end(self, trouble: Trouble) -> None:
        """It is right again: what was held back goes on, what was broken is reset."""
        if self.trouble is not trouble:
            return
        self.trouble = None
        if trouble.refuses:
            await self.open()
        for connection in list(self.connections):
            connection.heal()

    async def reach(self, end: "End") -> None:
        """Connect to where this leads. Raises OSError when nobody there answers."""
        loop, self._turn = asyncio.get_running_loop(), self._turn + 1
        for nth in range(len(self._to)):
            to = self._to[(self._turn + nth) % len(self._to)]
            try:
                if isinstance(to, Path):
                    await loop.create_unix_connection(lambda: end, str(to))
                else:
                    await loop.create_connection(lambda: end, *to)
                return
            except OSError:
                continue
        raise ConnectionRefusedError(f"nobody answers behind {self.address}")


class Connection:
    """Two ends: near, of whoever connected, and far, of where the link leads."""

    def __init__(self, link: Link) -> None:
        self.link = link
        self.near, self.far = End(self, "up"), End(self, "down")
        self.near.other, self.far.other = self.far, self.near
        self._drawn: Trouble | None = None
        self._is_met = self._is_broken = False
        self._has_asked = False
        self._tail = b""
        self._reaching: asyncio.Task[None] | None = None

    def begin(self) -> None:
        """Somebody has connected: connect on, unless all that comes will be swallowed."""
        self.link.connections.add(self)
        trouble = self.link.trouble
        if trouble is None or "up" not in trouble.swallows or not self.meets(trouble):
            self.near.pause()
            self._reaching = asyncio.get_running_loop().create_task(self._reach())

    async def _reach(self) -> None:
        try:
            await self.link.reach(self.far)
            self.near.resume()
        except OSError:
            self.reset()

    def meets(self, trouble: Trouble) -> bool:
        """Whether this connection meets the trouble: drawn when it has something to say for the first time."""
        if self._drawn is not trouble:
            self._drawn, self._is_met, self._has_asked, self._tail = trouble, trouble.meets(), False, b""
        return self._is_met

    def heal(self) -> None:
        """The trouble is over."""
        if self._is_broken or (self.far.transport is None and self._reaching is None):
            self.reset()
            return
        self.near.flush()
        self.far.flush()

    def treat(self, end: "End", data: bytes, trouble: Trouble) -> None:
        """Do to what came from this end what the trouble says."""
        if trouble.swallows:
            if end.direction not in trouble.swallows:
                end.other.send(data)
                return
            trouble.struck += len(data)
            self._is_broken = True
        elif trouble.resets:
            trouble.struck += 1
            self.reset()
        elif trouble.loses_answers:
            self._lose(end, data, trouble)
        elif trouble.bytes_per_s is not None:
            trouble.struck += len(data)
            size = max(1, int(trouble.bytes_per_s / _DRIPS_PER_S))
            for start in range(0, len(data), size):
                end.other.later(data[start : start + size], size / trouble.bytes_per_s, in_turn=True)
        else:
            trouble.struck += len(data)
            end.other.later(data, trouble.late_s())

    def _lose(self, end: "End", data: bytes, trouble: Trouble) -> None:
        if end.direction == "up":
            self._has_asked = True
        elif trouble.marker is None:
            if self._has_asked:
                trouble.struck += 1
                self.reset()
                return
        else:
            known = self._tail + data
            if trouble.marker in known:
                trouble.struck += 1
                self.reset()
                return
            self._tail = known[-len(trouble.marker) + 1 :]
        end.other.send(data)

    def ended(self, end: "End", error: Exception | None) -> None:
        """One end is gone: the other follows, as politely as the first one went."""
        if error is not None or end.other.transport is None or self._is_broken:
            self.reset()
        else:
            end.other.finish()
        if self.near.is_gone and self.far.is_gone:
            self.link.connections.discard(self)

    def reset(self) -> None:
        """RST in both directions."""
        self.link.connections.discard(self)
        if self._reaching is not None and not self._reaching.done():
            self._reaching.cancel()
        self.near.abort()
        self.far.abort()


class End(asyncio.Protocol):
    """One socket of a connection, and what waits to be written to it."""

    other: "End"

    def __init__(self, connection: Connection, direction: Direction) -> None:
        self.connection, self.direction = connection, direction
        self.transport: asyncio.Transport | None = None
        self.is_gone = False
        self._early: list[bytes] = []
        self._late: deque[tuple[float, bytes | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast(asyncio.Transport, transport)  # uvloop does not derive its transports from asyncio's
        if self.direction == "up":
            self.connection.begin()
        for data in self._early:
            self.transport.write(data)
        self._early.clear()

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        self.connection.link.messages += 1
        trouble = self.connection.link.trouble
        if trouble is None or not self.connection.meets(trouble):
            self.other.send(data)
        else:
            self.connection.treat(self, data, trouble)

    def connection_lost(self, exc: Exception | None) -> None:
        """The other end follows."""
        self.is_gone = True
        self.connection.ended(self, exc)

    def pause_writing(self) -> None:
        """Whoever reads here is slow: read no more from the other side."""
        self.other.pause()

    def resume_writing(self) -> None:
        """Go on."""
        self.other.resume()

    def pause(self) -> None:
        """Read no more for now."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.resume_reading()

    def send(self, data: bytes) -> None:
        """Write, behind what is held back."""
        if self.transport is None:  # uvloop reads once more after it was told to pause
            self._early.append(data)
        elif self._late:
            self._late.append((self._late[-1][0], data))
        elif not self.transport.is_closing():
            self.transport.write(data)

    def later(self, data: bytes | None, late_s: float, *, in_turn: bool = False) -> None:
        """Write after so long, never before what is already held back; `in_turn`: so long after that."""
        now_s = asyncio.get_running_loop().time()
        last_s = self._late[-1][0] if self._late else now_s
        self._late.append((last_s + late_s if in_turn else max(last_s, now_s + late_s), data))
        if self._timer is None:
            self._wait()

    def finish(self) -> None:
        """Close, behind what is held back."""
        if self._late:
            self._late.append((self._late[-1][0], None))
        elif self.transport is not None:
            self.transport.close()

    def flush(self) -> None:
        """Hold nothing back any more."""
        late, self._late = self._late, deque()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for _, data in late:
            self._write(data)

    def abort(self) -> None:
        """RST, and forget what was held back."""
        self._late.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self.transport is not None and not self.is_gone:
            link = self.transport.get_extra_info("socket")
            with contextlib.suppress(OSError):
                link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE)
            self.transport.abort()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_at(self._late[0][0], self._fire)

    def _fire(self) -> None:
        self._timer = None
        now_s = asyncio.get_running_loop().time() + 0.001
        late, self._late = self._late, deque()
        while late and late[0][0] <= now_s:
            self._write(late.popleft()[1])
        if late:
            self._late = late
            self._wait()

    def _write(self, data: bytes | None) -> None:
        if data is not None:
            self.send(data)
        elif self.transport is not None:
            self.transport.close()
