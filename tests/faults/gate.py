"""Stands before a provider: lets everything through, refuses connections, or takes them and stays silent."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit


class Gate:
    """Listens where nobody else comes by, below the ports that the system gives away."""

    def __init__(self) -> None:
        self.port, self.url = 0, ""
        self._to, self._silent = "", False
        self._server: asyncio.Server | None = None
        self._writers = set[asyncio.StreamWriter]()

    async def open(self, to: str = "") -> None:
        """Lets everything through, to the same address as before unless another one is named."""
        self._silent, self._to = False, to or self._to
        for port in [self.port] if self.port else range(18_980, 19_000):
            if self._server is None:
                with suppress(OSError):
                    self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)
                    self.port, self.url = port, f"http://127.0.0.1:{port}"
        assert self._server is not None, "no port is free"

    async def refuse(self) -> None:
        """Ends every connection, and takes no other."""
        assert self._server is not None
        self._server.close()
        self._server = None
        for writer in self._writers:
            writer.transport.abort()

    async def be_silent(self) -> None:
        """Takes connections and swallows what comes, in both directions."""
        await self.open()
        self._silent = True

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        there = urlsplit(self._to)
        try:
            answers, questions = await asyncio.open_connection(there.hostname, there.port)
            self._writers.add(questions)
            await asyncio.gather(self._pump(reader, questions), self._pump(answers, writer))
        except OSError:
            writer.transport.abort()
        finally:
            self._writers.discard(writer)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                if not self._silent:
                    writer.write(data)
        finally:
            writer.close()
            self._writers.discard(writer)
