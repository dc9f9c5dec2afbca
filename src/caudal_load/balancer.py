"""A plain TCP balancer: it knows addresses and connections, nothing of what goes over them.

A connection goes to the next address in turn; one that refuses it is passed over for the next. That is all that it
retries: what has been connected stays, and ends when either side ends it.
"""

import asyncio
from collections.abc import Sequence
from typing import cast

from caudal_load.scenario import Target

_PAUSE_S = 0.05
_PATIENCE_S = 10.0


class Balancer:
    """Listens on a free port of 127.0.0.1."""

    def __init__(self, addresses: Sequence[Target]) -> None:
        self.addresses = list(addresses)
        self.refused = 0
        """Connections that an address refused, and another took."""
        self.given_up = 0
        """Connections that none took in time."""
        self._turn = 0
        self._server: asyncio.Server | None = None
        self._opening = set[asyncio.Task[None]]()

    async def start(self) -> Target:
        """Listen, and answer where."""
        self._server = await asyncio.get_running_loop().create_server(lambda: _Caller(self), "127.0.0.1", 0)
        return Target(host="127.0.0.1", port=self._server.sockets[0].getsockname()[1])

    async def end(self) -> None:
        """Take no more."""
        if self._server is not None:
            self._server.close()
        for task in list(self._opening):
            task.cancel()

    def open(self, caller: "_Caller") -> None:
        """Find a server for somebody who has come."""
        task = asyncio.get_running_loop().create_task(self._connect(caller))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)

    async def _connect(self, caller: "_Caller") -> None:
        loop = asyncio.get_running_loop()
        until_s = loop.time() + _PATIENCE_S
        while loop.time() < until_s:
            for _ in self.addresses:
                address = self.addresses[self._turn % len(self.addresses)]
                self._turn += 1
                try:
                    _, server = await loop.create_connection(_Side, address.host, address.port)
                except OSError:
                    self.refused += 1
                    continue
                caller.joined(server)
                return
            await asyncio.sleep(_PAUSE_S)
        self.given_up += 1
        caller.hang_up()


class _Side(asyncio.Protocol):
    """One of the two ends; what comes here goes out at the other."""

    def __init__(self) -> None:
        self.other: _Side | None = None
        self.transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport = cast(asyncio.WriteTransport, transport)  # uvloop does not derive its transports from asyncio's

    def data_received(self, data: bytes) -> None:
        """Pass it on."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Then the other ends too, when all is written."""
        self.transport = None
        if self.other is not None:
            self.other.hang_up()

    def hang_up(self) -> None:
        """End it."""
        if self.transport is not None:
            self.transport.close()


class _Caller(_Side):
    """Who has come. What is said before there is a server waits."""

    def __init__(self, balancer: Balancer) -> None:
        super().__init__()
        self._balancer, self._early = balancer, list[bytes]()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Look for a server."""
        super().connection_made(transport)
        self._balancer.open(self)

    def data_received(self, data: bytes) -> None:
        """Pass it on, or keep it."""
        if self.other is None:
            self._early.append(data)
        else:
            super().data_received(data)

    def joined(self, server: _Side) -> None:
        """There is a server: it hears what was said."""
        self.other, server.other = server, self
        if self.transport is None:
            server.hang_up()
        elif self._early and server.transport is not None:
            server.transport.write(b"".join(self._early))
            self._early = []
