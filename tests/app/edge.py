"""The edge on a port of its own, and callers that send it whatever a test likes, byte by byte."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from caudal.app.edge import EdgeProtocol
from caudal.app.web import Web
from caudal.kernel.context import Context
from tests.api import Api

LIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
READY = b"GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"
LAST = b"GET /livez HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
BODY = b'{"amount":10000,"currency":"MXN","country":"MX","method":"spei"}'
KEYS = itertools.count(1)


class Counted:
    """A transport that keeps what is written, one item a write."""

    def __init__(self, transport: asyncio.Transport, writes: list[bytes]) -> None:
        self._transport, self._writes = transport, writes

    def write(self, data: bytes) -> None:
        self._writes.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Answer:
    """One response: its status, its headers by lower-case names, its body."""

    def __init__(self, head: bytes, body: bytes) -> None:
        first, *lines = head.decode().split("\r\n")
        self.status, self.body = int(first.split()[1]), body
        self.headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Caller:
    """A connection to the edge, byte by byte as a test likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, *parts: bytes) -> None:
        for part in parts:
            self._writer.write(part)
            await self._writer.drain()
            await asyncio.sleep(0)

    def stop_sending(self) -> None:
        self._writer.write_eof()

    async def answer(self, *, bare: bool = False) -> Answer:
        """The next response. `bare`: it has no body, whatever its length says."""
        async with asyncio.timeout(30):
            head = await self._reader.readuntil(b"\r\n\r\n")
            answer = Answer(head[:-4], b"")
            if answer.headers.get("transfer-encoding") == "chunked":
                while size := int(await self._reader.readline(), 16):
                    answer.body += (await self._reader.readexactly(size + 2))[:-2]
                await self._reader.readline()
            elif not bare and answer.status != 100:
                answer.body = await self._reader.readexactly(int(answer.headers["content-length"]))
            return answer

    async def rest(self) -> bytes:
        """What still comes until the other side ends."""
        async with asyncio.timeout(30):
            return await self._reader.read()

    def leave(self) -> None:
        """Has gone, whatever comes."""
        self._writer.transport.abort()


class Edge:
    """The API on a port of its own."""

    def __init__(self) -> None:
        self.port, self.writes, self.state = 0, list[bytes](), ServerState()
        self.callers: list[Caller] = []

    async def call(self, *parts: bytes) -> Caller:
        caller = Caller(*await asyncio.open_connection("127.0.0.1", self.port))
        self.callers.append(caller)
        await caller.send(*parts)
        return caller

    async def ask(self, *parts: bytes) -> tuple[Answer, bytes]:
        """The first answer to these bytes, and what comes behind it until the end."""
        caller = await self.call(*parts)
        return await caller.answer(), await caller.rest()

    @property
    def only(self) -> EdgeProtocol:
        """The one connection that there is."""
        [one] = self.state.connections
        assert isinstance(one, EdgeProtocol)
        return one


@asynccontextmanager
async def listening(context: Context) -> AsyncIterator[Edge]:
    """The edge's protocol over the real application, listening."""
    config = uvicorn.Config(Web(context), lifespan="off", log_config=None, access_log=False, proxy_headers=False)
    config.load()
    edge = Edge()

    class Watched(EdgeProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(Counted(transport, edge.writes))  # type: ignore[arg-type]

    def made() -> asyncio.Protocol:
        return Watched(config=config, server_state=edge.state, app_state={})

    async with await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0) as server:
        edge.port = server.sockets[0].getsockname()[1]
        yield edge
        for caller in edge.callers:
            caller.leave()
        await until(lambda: not edge.state.connections and not edge.state.tasks)


def creating(ana: Api, *headers: bytes, length: int | None = len(BODY)) -> bytes:
    """The head of a POST of a payin, whose body is to follow."""
    lines = [b"POST /v1/payins HTTP/1.1", b"Host: x", b"Authorization: Bearer " + ana.key.encode()]
    lines += [b"Content-Type: application/json", b"Idempotency-Key: edge-%d" % next(KEYS), *headers]
    if length is not None:
        lines.append(b"Content-Length: %d" % length)
    return b"\r\n".join(lines) + b"\r\n\r\n"


def chunked(body: bytes, size: int) -> bytes:
    parts = [body[i : i + size] for i in range(0, len(body), size)]
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"


async def until(true: Callable[[], bool]) -> None:
    """Waits until something has come about."""
    async with asyncio.timeout(30):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
