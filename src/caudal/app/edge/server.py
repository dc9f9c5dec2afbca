"""How the API's process ends, so that nobody who was let in is left without an answer.

On the first signal `/readyz` says 503 and every answer ends its connection (`Connection: close`), for as long as
balancers need to look (CAUDAL_STOP_NOTICE_S). Then the port is closed: first the kernel takes no more handshakes, then
what it had taken is accepted, then the socket goes, so that no connection that was made is reset. What was accepted is
answered, provider calls included; connections on which nothing comes are given a second and closed. The context ends
its batches behind that. Whatever is left after CAUDAL_STOP_S, or at a second signal, ends as in a crash.
"""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import socket
import struct
from types import FrameType
from typing import Final

import uvicorn

from caudal.app.web import Web

log = logging.getLogger(__name__)

QUIET_S: Final = 1.0  # a connection on which nothing comes for so long is closed without a word
_HANDSHAKES_S: Final = 0.05  # in which those that were begun come to their end
_OF_BATCHES_S: Final = 8.0  # of the whole time, for what queues behind the requests
_LOOK_S: Final = 0.02
# Drops what begins a connection: loads the TCP header's flags, and passes all but SYN without ACK (`man 7 socket`).
_NO_SYN: Final = ((0x30, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02), (0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF))
_SO_ATTACH_FILTER: Final = 26


class Server(uvicorn.Server):
    """uvicorn's sockets with an end of our own."""

    def __init__(self, config: uvicorn.Config, web: Web, *, notice_s: float, stop_s: float) -> None:
        config.timeout_graceful_shutdown = max(1, int(stop_s - _OF_BATCHES_S))
        super().__init__(config)
        self._web, self._notice_s, self._stop_s = web, notice_s, stop_s

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal asks, the second does not."""
        if self.should_exit:
            os._exit(128 + sig)
        self.should_exit = True
        if not self.started:
            self._web.stop()  # it waits for nothing more

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begins, and says so once it listens."""
        await super().startup(sockets)
        self._web.readiness.ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Ends in order."""
        loop = asyncio.get_running_loop()
        loop.call_later(self._stop_s, self._give_up)
        self._web.stop()
        await asyncio.sleep(self._notice_s)
        for listener in sockets or []:
            take_no_more(listener)
        await asyncio.sleep(_HANDSHAKES_S)
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        until = loop.time() + QUIET_S
        while self.server_state.connections and loop.time() < until:  # noqa: ASYNC110 - they end by themselves
            await asyncio.sleep(_LOOK_S)
        await super().shutdown(sockets)

    def _give_up(self) -> None:
        log.error("what had not ended within %g s is broken off", self._stop_s)
        os._exit(1)


def take_no_more(listener: socket.socket) -> None:
    """New handshakes are not answered: they try again in a second, and find the port closed, or another who listens."""
    program = b"".join(struct.pack("HBBI", *line) for line in _NO_SYN)
    kept = ctypes.create_string_buffer(program)
    filter = struct.pack("HxxxxxxP", len(_NO_SYN), ctypes.addressof(kept))
    listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, filter)
