"""The API's process: plain ASGI under uvicorn, no framework on the way of a request.

One function sees every request: it reads the body, finds the route, and turns whatever a handler raises into a
problem. A refusal at the door costs no parsing.
"""

from __future__ import annotations

import gc
import logging
import re
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from time import monotonic
from typing import Any, Final

import uvicorn

from caudal.app.edge import EdgeProtocol
from caudal.app.routes import ROUTES, Router
from caudal.contracts.problems import response_of
from caudal.kernel import ids
from caudal.kernel.context import Context
from caudal.kernel.errors import CaudalError, Fault, Invalid, Refused
from caudal.kernel.http import Request, Response
from caudal.kernel.settings import Settings

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

VERSION: Final = b"2026-11-01"
_TIMEOUT_MAX_MS: Final = 60_000
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=-]{1,120}")


class Web:
    """The ASGI application."""

    def __init__(self, context: Context) -> None:
        self._context, self._router = context, Router(ROUTES)
        self._body_limit = context.settings.body_limit_bytes
        self._timeout_s = context.settings.request_timeout_ms / 1000

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            await send({"type": "websocket.close", "code": 1000})

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                await self._context.__aenter__()
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._context.__aexit__()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _answer(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"])
        request_id = _request_id(headers)
        try:
            route, parameters = self._router.find(scope["method"], scope["path"])
            if headers.get(b"caudal-version", VERSION) != VERSION:
                raise Invalid("invalid_request", f"Caudal-Version is {VERSION.decode()}")
            body = await _body(headers, receive, self._body_limit) if scope["method"] != "GET" else b""
            request = Request(
                method=scope["method"],
                path=scope["path"],
                query=scope["query_string"],
                headers=headers,
                body=body,
                id=request_id,
                deadline=monotonic() + _timeout_s(headers, self._timeout_s),
                parameters=parameters,
            )
            response = await route.handler(self._context, request)
        except CaudalError as error:
            if isinstance(error, Fault):
                log.error("fault: %s", error.detail, exc_info=error, extra={"request_id": request_id})
            response = response_of(error, request_id)
        except Exception:
            log.exception("a handler broke", extra={"request_id": request_id})
            response = response_of(Fault("internal_error", "a defect of ours; nothing was written"), request_id)
        await _send(send, response, request_id)


async def _send(send: Send, response: Response, request_id: str) -> None:
    headers = [
        (b"content-type", response.content_type),
        (b"content-length", str(len(response.body)).encode()),
        (b"request-id", request_id.encode()),
        *response.headers,
    ]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})


def _request_id(headers: dict[bytes, bytes]) -> str:
    given = headers.get(b"request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode()
    return f"req_{ids.random_bytes(16).hex()}"


def _timeout_s(headers: dict[bytes, bytes], default_s: float) -> float:
    given = headers.get(b"request-timeout-ms")
    if given is None:
        return default_s
    if not given.isdigit() or not 1 <= int(given) <= _TIMEOUT_MAX_MS:
        raise Invalid("invalid_request", f"Request-Timeout-Ms is 1 to {_TIMEOUT_MAX_MS}")
    return int(given) / 1000


async def _body(headers: dict[bytes, bytes], receive: Receive, limit: int) -> bytes:
    length = headers.get(b"content-length", b"0")
    if not length.isdigit() or int(length) > limit:
        raise Refused("too_large", f"at most {limit} bytes")
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Invalid("malformed_json", "the caller has gone in the middle of its body")
        body, more = body + message.get("body", b""), message.get("more_body", False)
        if len(body) > limit:
            raise Refused("too_large", f"at most {limit} bytes")
    if body and headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != b"application/json":
        raise Refused("unsupported_media_type", "send Content-Type: application/json")
    return body


def serve(settings: Settings) -> None:
    """Runs the API until SIGTERM or SIGINT; what was accepted is answered before it ends."""
    context = Context(settings, name="web")
    # Almost nothing of a request is a cycle; looking for them after every 700 objects cost a twentieth of the rate.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)
    config = uvicorn.Config(
        Web(context),
        loop="uvloop",
        http=EdgeProtocol,
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        proxy_headers=False,
        server_header=False,
        date_header=False,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=10,
        backlog=2048,
    )
    listener = socket.socket(socket.AF_INET6 if ":" in settings.host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    listener.bind((settings.host, settings.port))
    uvicorn.Server(config).run(sockets=[listener])
