"""A bank on the loopback that returns money, or does not: its answers follow a script."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from caudal.connectors import spei

# What the bank calls its refusals.
REFUSALS = {"404": "transfer_unknown", "409": "return_exceeds_transfer", "422": "invalid_request"}


class Bank:
    """Each order is answered by the next word of the script: `ok`, a status, `hang` (the money has gone); then `ok`.
    What comes `meanwhile` is awaited before it answers, once."""

    def __init__(self) -> None:
        self.script: list[str] = []
        self.orders: list[dict[str, Any]] = []
        self.returned: dict[str, int] = {}
        self.meanwhile: Callable[[], Awaitable[object]] | None = None
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def __aenter__(self) -> Bank:
        application = web.Application()
        application.router.add_post("/v1/bank/returns", self._return)
        self._runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = "http://{}:{}".format(*self._runner.addresses[0])
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._runner is not None
        await self._runner.cleanup()

    async def _return(self, request: web.Request) -> web.Response:
        raw = await request.read()
        header = request.headers["Spei-Signature"]
        at = int(header.partition(",")[0].removeprefix("t="))
        assert header == spei.signature("test secret", at, raw)
        order = json.loads(raw)
        self.orders.append(order)
        word = self.script.pop(0) if self.script else "ok"
        if word in ("ok", "hang"):
            self.returned[order["return_key"]] = order["amount"]
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        if word == "hang":
            await asyncio.sleep(30)
        if word.isdigit():
            return web.json_response({"code": REFUSALS.get(word, "trouble")}, status=int(word))
        return web.json_response({**order, "status": "returned"})
