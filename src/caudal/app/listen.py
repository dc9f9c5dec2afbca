"""`caudal listen`: a receiver of webhooks on this machine, for whoever is writing one. It speaks HTTP like anybody."""

from __future__ import annotations

import asyncio
import signal
import uuid
from pathlib import Path
from time import time
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec
from aiohttp import web

from caudal.app import state
from caudal.kernel.settings import SettingError, Settings
from caudal.webhooks import BadSignature, verify

_TIMEOUT: Final = aiohttp.ClientTimeout(total=15)
_CONNECT_S: Final = 1.0
_BODY_MAX_BYTES: Final = 1_000_000
_ENDPOINTS: Final = "/v1/webhook_endpoints"
_DESCRIPTION: Final = "caudal listen"


class Listener:
    """Takes messages, and says of each what it is and whether it is signed with the secret."""

    def __init__(self, *, count: int) -> None:
        self.secret, self.bad = "", 0
        self.ended = asyncio.Event()
        self._left = count

    async def take(self, request: web.Request) -> web.Response:
        """One message: a line, and 204, or 400 if its signature does not verify."""
        body = await request.read()
        try:
            verify(self.secret, {name.lower(): value for name, value in request.headers.items()}, body, time())
            verdict = "ok"
        except BadSignature as error:
            self.bad, verdict = self.bad + 1, f"bad signature: {error}"
        print(_line(body, verdict), flush=True)
        self._left -= 1
        if self._left == 0:
            self.ended.set()
        return web.Response(status=204 if verdict == "ok" else 400)


def _line(body: bytes, verdict: str) -> str:
    try:
        event = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError:
        return f"what is no event  {verdict}"
    return "  ".join(str(event.get(name, "-")) for name in ("time", "type", "subject", "id")) + f"  {verdict}"


async def listen(
    settings: Settings, *, key: str | None, api_url: str | None, types: tuple[str, ...], port: int, count: int
) -> int:
    """Listens until Ctrl-C or `count` messages; the exit status. Raises SettingError where caudal cannot be used."""
    ready = state.read_ready(Path(settings.var))
    api_url = api_url or (ready.api_url if ready is not None else f"http://127.0.0.1:{settings.port}")
    key = key or (ready.demo_key if ready is not None else None)
    if key is None:
        raise SettingError(f"no `caudal up` runs in {settings.var}: name a test key with --key")
    if not key.startswith("sk_test_"):
        raise SettingError("--key is a test key: sk_test_…")
    listener = Listener(count=count)
    application = web.Application(client_max_size=_BODY_MAX_BYTES)
    application.router.add_post("/", listener.take)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", port).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}/"
        headers = {"Authorization": f"Bearer {key}"}
        async with aiohttp.ClientSession(api_url, headers=headers, timeout=_TIMEOUT) as session:
            await _delete_left_behind(session, url)
            await _with_endpoint(session, listener, url, types)
    except aiohttp.ClientError as error:
        raise SettingError(f"caudal does not answer at {api_url}: {error}") from error
    except OSError as error:
        raise SettingError(f"port {port} cannot be used: {error}") from error
    finally:
        await runner.cleanup()
    return 1 if listener.bad else 0


async def _delete_left_behind(session: aiohttp.ClientSession, url: str) -> None:
    """Endpoints of listeners that died: nobody takes their messages, and they count."""
    after = ""
    while True:
        page = await _ask(session, f"{_ENDPOINTS}?limit=100{after}")
        for endpoint in page["data"]:
            ours = endpoint["description"] == _DESCRIPTION and endpoint["url"].startswith("http://127.0.0.1:")
            if ours and (endpoint["url"] == url or not await _takes(endpoint["url"])):
                await _delete(session, endpoint["id"])
        if not page["has_more"]:
            return
        after = f"&after={page['next']}"


async def _takes(url: str) -> bool:
    """Whether somebody listens there."""
    parts = urlsplit(url)
    try:
        async with asyncio.timeout(_CONNECT_S):
            _, writer = await asyncio.open_connection(parts.hostname, parts.port)
    except TimeoutError:
        return True  # who hangs is there
    except OSError:
        return False
    writer.close()
    return True


async def _with_endpoint(session: aiohttp.ClientSession, listener: Listener, url: str, types: tuple[str, ...]) -> None:
    made = await _ask(session, _ENDPOINTS, {"url": url, "types": types, "description": _DESCRIPTION})
    listener.secret = str(made["secret"])
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, listener.ended.set)
    print(f"listening at {url} as {made['id']}, secret {listener.secret}; Ctrl-C ends", flush=True)
    try:
        await listener.ended.wait()
    finally:
        await _delete(session, made["id"])


async def _delete(session: aiohttp.ClientSession, id: str) -> None:
    await _ask(session, f"{_ENDPOINTS}/{id}/deletions", None, method="POST")
    print(f"{id} is deleted", flush=True)


async def _ask(
    session: aiohttp.ClientSession, path: str, body: dict[str, Any] | None = None, *, method: str | None = None
) -> dict[str, Any]:
    """The answer's body; with a body it is a POST. Raises SettingError with what the API says when it refuses."""
    method = method or ("GET" if body is None else "POST")
    headers = {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}
    async with session.request(method, path, json=body, headers=headers) as response:
        answer: dict[str, Any] = await response.json(content_type=None)
        if response.status >= 400:
            fields = "; ".join(f"{error['field']}: {error['detail']}" for error in answer.get("errors", ()))
            raise SettingError(f"caudal refuses {path}: {answer.get('detail')}{f' ({fields})' if fields else ''}")
        return answer
