"""A bank that answers as it is told, over a socket."""

from __future__ import annotations

import asyncio
import json
from types import TracebackType
from typing import Any, Self

from aiohttp import web

_BOOKED = {"returns": "returned", "payments": "sent", "elsewhere": "sent"}


class Bank:
    """Keeps what it was asked. Status 0: it hangs up. While `gate` is closed nobody is answered."""

    def __init__(self) -> None:
        self.status, self.asked, self.url = 201, list[tuple[str, str, bytes]](), ""
        self.traces, self.states = list[str | None](), list[str | None]()
        self.told: Any = None  # None: what was ordered, as booked
        self.came, self.gate = asyncio.Event(), asyncio.Event()
        self.gate.set()

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_post("/v1/bank/{order}", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.gate.set()
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.Response:
        self.asked.append((request.path, request.headers["Spei-Signature"], await request.read()))
        self.traces.append(request.headers.get("traceparent"))
        self.states.append(request.headers.get("tracestate"))
        self.came.set()
        await self.gate.wait()
        if self.status == 0:
            assert request.transport is not None
            request.transport.abort()
        booked = {**json.loads(self.asked[-1][2]), "status": _BOOKED[request.match_info["order"]]}
        told = booked if self.told is None else {**booked, **self.told} if isinstance(self.told, dict) else self.told
        raw = told if isinstance(told, str) else json.dumps(told)
        headers = {"Location": "/v1/bank/elsewhere"} if 300 <= self.status < 400 else {}
        return web.Response(text=raw, status=self.status or 500, content_type="application/json", headers=headers)
