"""Somebody's server: takes messages, remembers them, and answers as it is told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

Answering = Callable[["Message"], Awaitable[web.Response]]


class Message:
    """One message as it came in."""

    def __init__(self, path: str, headers: dict[str, str], body: bytes) -> None:
        self.path, self.headers, self.body = path, headers, body

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """A web server on this machine. `answer` is what it answers with, `paths` answers for some paths otherwise."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.answer: Answering = self.accept
        self.url = ""
        self._changed = asyncio.Event()
        self._runner: web.AppRunner | None = None

    async def accept(self, message: Message) -> web.Response:
        """200 and thanks."""
        return web.Response(text="thanks")

    async def refuse(self, message: Message) -> web.Response:
        """500."""
        return web.Response(status=500, text="not today")

    async def start(self) -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._take)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        message = Message(request.path, {name.lower(): value for name, value in request.headers.items()}, body)
        self.messages.append(message)
        self._changed.set()
        return await self.answer(message)

    async def until(self, count: int, within_s: float = 60.0) -> list[Message]:
        """Waits until so many have come."""
        async with asyncio.timeout(within_s):
            while len(self.messages) < count:
                self._changed.clear()
                await self._changed.wait()
        return self.messages

    @property
    def types(self) -> list[str]:
        return [message.event["type"] for message in self.messages]
