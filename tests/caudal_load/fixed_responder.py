"""A server that answers every request with the same bytes after the same work: what measures it can be compared.

`python fixed_responder.py WORK_US` listens on a free port of 127.0.0.1, says which on the first line, and goes on.
"""

import asyncio
import sys
from time import perf_counter_ns
from typing import cast

import uvloop

_BODY = b'{"id":"payin_%b","object":"payin","status":"pending"}' % (b"0" * 32)
ANSWER = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(_BODY), _BODY)
_LENGTH = b"\r\nContent-Length: "


class Line(asyncio.Protocol):
    """One connection."""

    work_ns = 0

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._unread = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        """Answer each whole request."""
        assert self._transport is not None
        self._unread += data
        while (blank := self._unread.find(b"\r\n\r\n")) >= 0:
            start = self._unread.find(_LENGTH, 0, blank) + len(_LENGTH)
            length = int(self._unread[start : self._unread.find(b"\r\n", start)])
            if len(self._unread) < blank + 4 + length:
                return
            self._unread = self._unread[blank + 4 + length :]
            until_ns = perf_counter_ns() + self.work_ns
            while perf_counter_ns() < until_ns:
                pass
            self._transport.write(ANSWER)


async def main(work_us: int) -> None:
    """Serve until killed."""
    Line.work_ns = work_us * 1000
    server = await asyncio.get_running_loop().create_server(Line, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
