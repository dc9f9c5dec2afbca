"""How an answer goes wrong on the wire, because an amount ordered that."""

import asyncio
import socket
import struct
from contextlib import suppress

from aiohttp import web

from caudal_sandbox.problems import Problem

SILENCE_S = 30.0
DRIP_S = 20.0
DRIPS = 20
SLOW_S = 1.5
SEEN_MAX = 10_000
# Nothing happens, the first time that a key comes with such an amount.
BEFORE = ("silence_before", "reset_before", "busy")


class Before:
    """Remembers which keys have met a fault before the effect, so that the same key again is taken."""

    def __init__(self) -> None:
        self._seen: dict[str, None] = {}

    def strikes(self, fault: str | None, key: str) -> bool:
        """Say whether the fault strikes now: once a key, as long as the process lives."""
        if fault not in BEFORE or key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > SEEN_MAX:
            del self._seen[next(iter(self._seen))]
        return True


async def answered(request: web.Request, fault: str | None, right: web.Response | None) -> web.StreamResponse:
    """Give the right answer the wrong way; `right` is None where nothing happened."""
    match fault:
        case "silence_before" | "silence_after" | "silence_alone":
            await asyncio.sleep(SILENCE_S)
            return _hung_up(request, reset=False)
        case "reset_before" | "reset_after":
            return _hung_up(request, reset=True)
        case "error_after":
            return Problem(500, "internal_error", "Something broke; ask again with the same key.").response()
        case "busy":
            response = Problem(503, "busy", "The provider is busy; nothing happened.").response()
            response.headers["Retry-After"] = "1"
            return response
    assert right is not None
    if fault == "slow":
        await asyncio.sleep(SLOW_S)
    return await _dripped(request, right) if fault == "drip" else right


def _hung_up(request: web.Request, *, reset: bool) -> web.StreamResponse:
    """Close the connection without a word; the answer that is returned meets a closed one."""
    if request.transport is not None:
        if reset:
            link = request.transport.get_extra_info("socket")
            link.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        request.transport.abort()
    return web.Response(status=500)


async def _dripped(request: web.Request, right: web.Response) -> web.StreamResponse:
    body = right.body
    assert isinstance(body, bytes)
    dripping = web.StreamResponse(status=right.status, headers=right.headers)
    dripping.content_length = len(body)
    await dripping.prepare(request)
    size = -(-len(body) // DRIPS)
    # Whoever has heard enough hangs up.
    with suppress(ConnectionError):
        for start in range(0, len(body), size):
            await asyncio.sleep(DRIP_S / DRIPS)
            await dripping.write(body[start : start + size])
        await dripping.write_eof()
    return dripping
