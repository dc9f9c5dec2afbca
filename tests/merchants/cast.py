"""The cast: Olga operates the platform, Ana is a merchant, Caro is another one."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec

from caudal.app.web import Web
from caudal.kernel.context import Context
from caudal.merchants import first_merchant

_NUMBERS = itertools.count(1)


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """What came back."""

    status: int
    body: bytes
    headers: dict[bytes, bytes]

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def code(self) -> str:
        return str(self.json["code"])

    @property
    def wrong(self) -> dict[str, str]:
        """Fields and the codes of their errors."""
        return {found["field"]: found["code"] for found in self.json.get("errors", ())}


class Desk:
    """Asks the API in this process, as a holder of one key."""

    def __init__(self, context: Context, key: str | None) -> None:
        self._web, self._key = Web(context), key

    async def get(self, path: str, **headers: str) -> Reply:
        return await self.ask("GET", path, None, headers)

    async def post(self, path: str, body: object = None, **headers: str) -> Reply:
        """With an Idempotency-Key of its own, unless one is given."""
        return await self.ask("POST", path, body, {"idempotency_key": f"test-{next(_NUMBERS)}", **headers})

    async def ask(self, method: str, path: str, body: object, headers: dict[str, str]) -> Reply:
        raw = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        sent = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items() if value]
        if self._key is not None:
            sent.append((b"authorization", f"Bearer {self._key}".encode()))
        if raw:
            sent += [(b"content-type", b"application/json"), (b"content-length", str(len(raw)).encode())]
        path, _, query = path.partition("?")
        opened = self._web.opened(method, path, query.encode(), dict(sent))
        response = await self._web.answer(opened, raw)
        named = {b"content-type": response.content_type, b"request-id": opened.request.id.encode()}
        return Reply(status=response.status, body=response.body, headers=named | dict(response.headers))


class Cast(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant's public id, the text of its test key, and its desk."""

    id: str
    key: str
    desk: Desk

    @property
    def path(self) -> str:
        return f"/v1/operator/merchants/{self.id}"


async def cast(context: Context, name: str) -> Cast:
    id, key = await first_merchant(context, name, "MX")
    return Cast(id=f"mer_{id.hex}", key=key, desk=Desk(context, key))
