"""The operator's port: `/metrics`, `/livez`, `/readyz`, for whoever reaches it. Never for the internet.

Apart from the API's port, so that it answers while that one refuses, and in workers, which have no other. A process
that takes another one's place (`caudal restart`) gets the port when that one has ended.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from typing import Final

from caudal.app.telemetry.health import Health, glance, health_of
from caudal.app.telemetry.inside import target_of
from caudal.kernel.context import Context
from caudal.kernel.http import JSON, encode
from caudal.kernel.telemetry import prometheus

log = logging.getLogger(__name__)

_ASKING_S: Final = 5.0
_HEAD_MAX: Final = 8_192
_TAKEN_S: Final = 0.5  # between two looks at a port that somebody else has

Said = tuple[int, bytes, bytes]  # status, type, body


class OperatorPort:
    """Answers on the operator's port of one process."""

    def __init__(self, context: Context) -> None:
        self._context = context

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Open until the end of the block, where the settings name a port."""
        if not self._context.settings.metrics_port:
            yield
            return
        serving = asyncio.create_task(self._serve(self._context.settings.metrics_port), name="operator port")
        try:
            yield
        finally:
            serving.cancel()
            with suppress(asyncio.CancelledError):
                await serving

    async def _serve(self, port: int) -> None:
        host, told = self._context.settings.metrics_host, False
        while True:
            try:
                server = await asyncio.start_server(self._answer, host, port, limit=_HEAD_MAX)
                break
            except OSError as error:
                if not told:
                    level = logging.INFO if error.errno == errno.EADDRINUSE else logging.ERROR
                    log.log(level, "the operator's port %d of %s is not open yet: %s", port, host, error.strerror)
                told = True
                await asyncio.sleep(_TAKEN_S)
        async with server:
            await server.serve_forever()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, ValueError, EOFError, asyncio.LimitOverrunError):
            async with asyncio.timeout(_ASKING_S):
                head = await reader.readuntil(b"\r\n\r\n")
                method, target, *_ = head.split(b"\r\n", 1)[0].split(b" ")
                status, kind, body = await self._said(method, target.partition(b"?")[0])
                phrase = HTTPStatus(status).phrase
                lines = f"HTTP/1.1 {status} {phrase}\r\nContent-Type: {kind.decode()}\r\nContent-Length: {len(body)}"
                writer.write(f"{lines}\r\nConnection: close\r\n\r\n".encode() + (b"" if method == b"HEAD" else body))
                await writer.drain()
        writer.close()

    async def _said(self, method: bytes, path: bytes) -> Said:
        if path not in (b"/metrics", b"/livez", b"/readyz"):
            return 404, b"text/plain", b"/metrics, /livez, /readyz\n"
        if method not in (b"GET", b"HEAD"):
            return 405, b"text/plain", b"GET or HEAD\n"
        if path == b"/livez":
            return 200, JSON, encode(Health(status="ok"))
        if path == b"/readyz":
            health = await health_of(self._context)
            return 200 if health.status == "ok" else 503, JSON, encode(health)
        await glance(self._context)
        readings = self._context.meter.read()
        return 200, prometheus.CONTENT_TYPE, prometheus.page(readings, target_of(self._context)).encode()
