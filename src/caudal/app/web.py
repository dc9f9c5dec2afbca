"""What the API says to a request, whoever brought it: no socket here, and no framework on the way of a request.

A request is seen twice: `opened` has its head and finds the route, `answer` has its body and runs the handler; both
turn whatever is raised into a problem. A refusal at the door costs no parsing. `app/edge` brings requests from
sockets; for uvicorn, which owns those, `Web` is an application that only begins and ends.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AsyncExitStack
from time import monotonic
from typing import Any, Final

import msgspec

from caudal.app.routes import ROUTES, Router
from caudal.app.telemetry import OperatorPort, Readiness, Refusals, Requests, exported, inside, traced
from caudal.contracts.problems import response_of
from caudal.kernel import ids
from caudal.kernel.commit import Lane
from caudal.kernel.context import Context, in_time, reading_until
from caudal.kernel.door import Door
from caudal.kernel.errors import CaudalError, Fault, Overloaded, Refused, Retry, Unknown
from caudal.kernel.http import JSON, FindsDoor, Handler, Request, Response, Route, header_error, refuse_query
from caudal.kernel.postgres import NotDurable
from caudal.kernel.seal import WrongKek
from caudal.kernel.telemetry import Trace, parent_of
from caudal.merchants import authenticate, authenticate_operator, caller_of
from caudal.payins import watch

log = logging.getLogger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_ROUTER: Final = Router(ROUTES)
VERSION: Final = b"2026-11-01"
_TIMEOUT: Final = b"request-timeout-ms"
_TIMEOUT_MAX_MS: Final = 60_000
_DIGITS_MAX: Final = 18
_REQUEST_ID: Final = re.compile(rb"[A-Za-z0-9._:/+=-]{1,120}")


class Opened(msgspec.Struct, kw_only=True):
    """A request whose head is read: what is going to answer it, or its refusal, whatever the body says.

    `operation` is None where there is no such path; `body_limit` is in bytes, None where a body means nothing; `takes`
    are the types of a body that is not JSON; `keyed` says that an Idempotency-Key goes with it, `first` that it begins
    something and may be refused for a crowd in its `lane`, also one behind a door, which `finds` finds out and which is
    its `door` where that may have a crowd. `route` is the pattern of its path, `began` when it was whole, monotonic
    seconds.
    """

    request: Request
    handler: Handler | None = None
    operation: Route | None = None
    timeout_s: float = 0.0
    body_limit: int | None = None
    takes: tuple[str, ...] = ()
    keyed: bool = False
    first: bool = False
    lane: Lane = Lane.NORMAL
    finds: FindsDoor | None = None
    door: Door | None = None
    refusal: Response | None = None
    route: str = ""
    began: float = 0.0
    trace: Trace | None = None

    def refuse(self, error: CaudalError) -> None:
        """Answers with this instead of what the handler says."""
        self.handler, self.finds, self.refusal = None, None, response_of(error, self.request.id)


class Web:
    """The API in this process."""

    def __init__(self, context: Context) -> None:
        self._context, self._router = context, _ROUTER
        self._body_limit = context.settings.body_limit_bytes
        self._timeout_s = context.settings.request_timeout_ms / 1000
        self._requests, self._refusals, self._seen = Requests(), Refusals(), AsyncExitStack()
        self.readiness = Readiness(context)
        context.meter.add(self._requests.readings)
        self.coming = 0  # requests that begin something, have arrived, and are in no queue yet

    @property
    def is_stopping(self) -> bool:
        """Whether every answer ends its connection: this process is about to end."""
        return self._context.stopping

    def stop(self) -> None:
        """From now on balancers are told that this process takes no more."""
        self._context.stopping = True

    def opened(self, method: str, path: str, query: bytes, headers: dict[bytes, bytes]) -> Opened:
        """What a request's head comes to; it never raises. Header names are lower-case."""
        request = Request(
            method=method, path=path, query=query, headers=headers, body=b"", id=request_id_of(headers), deadline=0.0
        )
        limit = None if method == "GET" else self._body_limit
        opened = Opened(request=request, body_limit=limit, began=monotonic())
        try:
            route, request.parameters = self._router.find(method, path)
            opened.operation, opened.route = route, route.path
            if opened.body_limit is not None and route.body_limit_bytes is not None:
                opened.body_limit = route.body_limit_bytes
            opened.handler, opened.takes, opened.keyed = route.handler, route.takes, route.keyed != "no"
            try:
                if headers.get(b"caudal-version", VERSION) != VERSION:
                    raise header_error("Caudal-Version", VERSION.decode())
                if query and route.query is None and route.who in ("merchant", "operator"):
                    refuse_query(query)
                opened.timeout_s = _timeout_s(headers, self._timeout_s)
            except CaudalError as error:
                opened.handler, opened.timeout_s = _refusing(route, error), self._timeout_s
            opened.first, opened.finds = opened.keyed and route.who == "merchant", route.door
            if opened.first:
                opened.lane = Lane.BULK if route.keyed == "each" else Lane.NORMAL
                self._refuse_crowd(opened, self.coming)
        except CaudalError as error:
            opened.refuse(error)
        return opened

    def arrived(self, opened: Opened, body: bytes) -> None:
        """The body is whole: refuses what is going to wait behind a door that is closed to it."""
        opened.began = now = monotonic()
        if opened.finds is not None:
            self._refuse_behind(opened, body, now)

    def waited(self, opened: Opened, body: bytes, seconds: float, ahead: int) -> None:
        """A request whose turn to begin has come late: it has less time, and may be refused for it, or for a crowd that
        has come behind its door meanwhile.
        """
        opened.timeout_s -= seconds
        if opened.first:
            self._refuse_crowd(opened, ahead)
        if opened.finds is not None and opened.door is None:
            self._refuse_behind(opened, body, monotonic())

    def _refuse_behind(self, opened: Opened, body: bytes, now: float) -> None:
        """Finds the door that a request goes to, and refuses it where those before it take longer than it can wait.

        Those on their way to this door are before it: `Turns` counts them, from here until they are inside. Whoever
        goes elsewhere is not, however many they are.
        """
        assert opened.finds is not None, "it goes to a door"
        door = opened.finds(self._context, opened.request.headers.get(b"authorization", b""), body)
        refusal = None if door is None else door.refusal(now + opened.timeout_s, door.coming)
        if refusal is None:
            opened.door = door
        else:
            opened.refuse(refusal)

    def sheds(self, route: Route, headers: dict[bytes, bytes], body: bytes) -> Overloaded | None:
        """Why a whole request that begins something is refused for a crowd, whoever sent it and whatever else is wrong
        with it. None where there may be room, and where its refusal is one of those that are traced.
        """
        if headers.get(b"caudal-version", VERSION) != VERSION:
            return None
        if self._context.tracer is not None and self._refusals.has_room:
            return None
        try:
            timeout_s = _timeout_s(headers, self._timeout_s)
        except CaudalError:
            return None
        error = self._crowd(None, timeout_s, Lane.NORMAL, self.coming)
        if error is not None or route.door is None:
            return error
        door = route.door(self._context, headers.get(b"authorization", b""), body)
        return None if door is None else door.refusal(monotonic() + timeout_s, door.coming)

    def shed(self, route: Route, code: str, seconds: float) -> None:
        """A request was refused by its bytes: what is measured of it."""
        self._requests.refused(route.method, route.path, code, seconds)

    def _refuse_crowd(self, opened: Opened, ahead: int) -> None:
        """Refuses a first command by its head where the queue would refuse it in the end.

        Nothing of it is parsed or looked up; whose it is, is known of keys that were used a moment ago.
        """
        refusal = self._crowd(opened.request.headers.get(b"authorization", b""), opened.timeout_s, opened.lane, ahead)
        if refusal is not None:
            opened.refuse(refusal)

    def _crowd(self, authorization: bytes | None, timeout_s: float, lane: Lane, ahead: int) -> Overloaded | None:
        """Why there is no room behind `ahead` others in the queues that a first command may be for."""
        shards = self._context.shards.values()
        crowded = [shard for shard in shards if shard.lanes.is_crowded or ahead]
        if not crowded:
            return None
        caller = None if authorization is None else caller_of(self._context, authorization)
        if caller is not None:
            crowded = [shard for shard in crowded if shard.id == caller.shard]
        elif len(crowded) < len(shards):
            return None  # it may be for one that has room
        book, share = None if caller is None else caller.book, ahead // len(shards)
        refusals = [shard.lanes.refusal(book, timeout_s, lane, share) for shard in crowded]
        return refusals[0] if refusals and None not in refusals else None

    def answered(self, opened: Opened, response: Response) -> None:
        """The response is on its way: what is measured of a request."""
        seconds = monotonic() - opened.began
        self._requests.answered(opened.request.method, opened.route, response.status, response.body, seconds)
        if opened.trace is not None:
            traced(opened.trace, opened.request, opened.route, response)
        elif opened.refusal is not None and (tracer := self._context.tracer) is not None:
            self._refusals.traced(tracer, opened.began, opened.request, opened.route, response)

    async def answer(self, opened: Opened, body: bytes) -> Response:
        """The response to the whole request; it never raises."""
        request = opened.request
        if opened.handler is None:
            assert opened.refusal is not None, "a request has a handler or a refusal"
            return opened.refusal
        request.deadline = monotonic() + opened.timeout_s
        if self._context.tracer is not None:
            opened.trace = self._context.tracer.begin(request.headers, opened.began)
        self._requests.active[request.method] += 1
        try:
            if body and opened.body_limit is not None:
                request.body = body
                error = _type_error(request.headers.get(b"content-type", b""), opened.takes)
                if error is not None:
                    assert opened.operation is not None, "what has a handler is an operation"
                    opened.handler = _refusing(opened.operation, error)
            if request.method == "GET":
                return await _in_time(opened.handler(self._context, request), opened.timeout_s)
            if _TIMEOUT not in request.headers:
                return await opened.handler(self._context, request)
            with reading_until(request.deadline):
                return await opened.handler(self._context, request)
        except CaudalError as error:
            if isinstance(error, Fault):
                log.error("fault: %s", error.detail, exc_info=error, extra=named(request))
            return response_of(error, request.id)
        except Exception:
            log.exception("a handler broke", extra=named(request))
            return response_of(_broken(opened), request.id)
        finally:
            self._requests.active[request.method] -= 1

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """ASGI's lifespan: the context lives as long as the server."""
        assert scope["type"] == "lifespan", "requests come through app/edge"
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                try:
                    await self._seen.enter_async_context(exported(self._context))
                    await self._context.__aenter__()
                    await watch(self._context)
                    await self._seen.enter_async_context(inside(self._context))
                    await self._seen.enter_async_context(OperatorPort(self._context).open())
                except (NotDurable, WrongKek) as error:
                    await send({"type": "lifespan.startup.failed", "message": f"caudal: {error}"})
                    return
                if not await self.readiness.checked():
                    await self._end()
                    told = "caudal: asked to end before it was ready"
                    await send({"type": "lifespan.startup.failed", "message": told})
                    return
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._end()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _end(self) -> None:
        await self._context.__aexit__()
        await self._seen.aclose()


def _refusing(route: Route, error: CaudalError) -> Handler:
    """Refuses what is wrong with a request: whoever may not ask hears that, and nothing else.

    The error leaves behind the frames that it came through, and those that it goes through do not hold it: each would
    close a circle, and thousands of such circles a second are memory.
    """
    held = [error.with_traceback(None)]

    async def refuse(context: Context, request: Request) -> Response:
        if route.who == "merchant":
            await authenticate(context, request, route.scope)
        elif route.who == "operator":
            await authenticate_operator(context, request)
        elif route.verify is not None:
            route.verify(context, request)
        raise held.pop()

    return refuse


def _broken(opened: Opened) -> CaudalError:
    """What a request hears whose handler broke, nobody knows where: what has a key may have had its effect."""
    if opened.keyed:
        return Unknown("unknown_outcome", "a defect of ours; the same key finds out what became of the request")
    return Fault("internal_error", "a defect of ours; an alarm was raised")


def refused(error: CaudalError) -> Opened:
    """The refusal of what could not be read as a request."""
    id = request_id_of({})
    request = Request(method="", path="", query=b"", headers={}, body=b"", id=id, deadline=0.0)
    opened = Opened(request=request, began=monotonic())
    opened.refuse(error)
    return opened


def request_id_of(headers: dict[bytes, bytes]) -> str:
    """The caller's own, if it is one, or a new one."""
    given = headers.get(b"request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode()
    return f"req_{ids.random_bytes(16).hex()}"


def named(request: Request) -> dict[str, str]:
    """What a log line says of a request: its id, and the caller's trace (W3C Trace Context), if there is one."""
    parent = parent_of(request.headers.get(b"traceparent", b""))
    if parent is None:
        return {"request_id": request.id}
    return {"request_id": request.id, "trace_id": f"{parent[0]:032x}", "parent_id": f"{parent[1]:016x}"}


def _timeout_s(headers: dict[bytes, bytes], default_s: float) -> float:
    given = headers.get(_TIMEOUT)
    if given is None:
        return default_s
    if not given.isdigit() or len(given) > _DIGITS_MAX or not 1 <= int(given) <= _TIMEOUT_MAX_MS:
        raise header_error("Request-Timeout-Ms", f"1 to {_TIMEOUT_MAX_MS}")
    return int(given) / 1000


async def _in_time(reading: Awaitable[Response], timeout_s: float) -> Response:
    """What only reads is given up at the deadline, its statement too. Raises Retry."""
    try:
        return await in_time(reading, timeout_s)
    except TimeoutError as error:
        raise Retry("database_unavailable", "the database did not answer by the request's deadline") from error


def _type_error(content_type: bytes, takes: tuple[str, ...]) -> Refused | None:
    """Why a body is not taken that says it is something else than JSON, or than what its route takes instead."""
    if content_type == JSON and not takes:
        return None
    types = takes or (JSON.decode(),)
    if content_type.partition(b";")[0].strip().lower().decode("latin-1") in types:
        return None
    return Refused("unsupported_media_type", f"send Content-Type: {' or '.join(types)}")
