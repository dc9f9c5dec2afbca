"""Calls the API without a socket, on the test's own database: what its edge would hand it."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any
from uuid import UUID

from caudal.app.web import Opened, Web
from caudal.connectors import spei
from caudal.kernel.context import Context
from caudal.kernel.errors import Refused
from caudal.kernel.http import Response
from caudal.merchants import first_merchant, first_operator

_NUMBERS = itertools.count(1)


class Answered:
    """An answer: status, headers, and the body as bytes or JSON."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        return str(self.json.get("code"))

    @property
    def fields(self) -> dict[str, str]:
        """Field → code of the field's error."""
        return {error["field"]: error["code"] for error in self.json.get("errors", [])}


async def _answered(opened: Opened, response: Response) -> Answered:
    headers = {"content-type": response.content_type.decode(), "request-id": opened.request.id}
    headers |= {name.decode(): value.decode() for name, value in response.headers}
    parts = [] if response.stream is None else [part async for part in response.stream]
    return Answered(response.status, headers, response.body + b"".join(parts))


class Api:
    """The API as somebody with a key sees it. Ana is a merchant, the operator operates."""

    def __init__(self, context: Context) -> None:
        self.context, self._web = context, Web(context)
        self.key = ""

    async def ana(self, name: str = "Ana") -> UUID:
        """Makes a merchant and goes on with its test key."""
        merchant, self.key = await first_merchant(self.context, name, "MX")
        return merchant

    async def operator(self) -> str:
        return await first_operator(self.context)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> Answered:
        """One request. `body` is sent as JSON, or as it is when it is bytes."""
        raw = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"authorization": f"Bearer {self.key if key is None else key}"}
        if raw:
            sent["content-type"] = "application/json"
            sent["content-length"] = str(len(raw))
        sent |= {name.lower(): value for name, value in (headers or {}).items()}
        path, _, query = path.partition("?")
        named = {name.encode(): value.encode("latin-1") for name, value in sent.items() if value != "-"}
        opened = self._web.opened(method, path, query.encode(), named)
        if opened.body_limit is not None and len(raw) > opened.body_limit:  # by app/edge, where there is a socket
            opened.refuse(Refused("too_large", "the body"))
        self._web.arrived(opened, raw)
        response = await self._web.answer(opened, raw)
        self._web.answered(opened, response)
        answered = await _answered(opened, response)
        refused = answered.status == 422 and answered.code == "invalid_request"
        assert not refused or answered.fields, f"no field is named: {method} {path} {answered.body!r}"
        return answered

    async def get(self, path: str, **more: Any) -> Answered:
        return await self.call("GET", path, **more)

    async def post(self, path: str, body: Any = None, *, idempotency: str | None = "", **more: Any) -> Answered:
        """A POST with a fresh key, the key that is named, or none."""
        headers = dict(more.pop("headers", {}))
        if idempotency is not None:
            headers["idempotency-key"] = idempotency or f"key-{next(_NUMBERS)}"
        return await self.call("POST", path, body, headers=headers, **more)

    async def create(self, idempotency: str = "", **changed: Any) -> Answered:
        """A payin of 100.00 MXN, unless changed."""
        asked = {"amount": 10_000, "currency": "MXN", "country": "MX", "method": "spei", **changed}
        body = {name: value for name, value in asked.items() if value is not ...}
        return await self.post("/v1/payins", body, idempotency=idempotency)

    async def deposit(self, clabe: str, amount: int, tracking: str = "", **changed: Any) -> Answered:
        """The bank's callback, signed with the test secret unless changed."""
        body = {
            "tracking_key": tracking or f"T{next(_NUMBERS)}",
            "clabe": clabe,
            "amount": amount,
            "currency": changed.get("currency", "MXN"),
            "payer_name": "Beto Ruiz",
        }
        if "paid_at" in changed:
            body["paid_at"] = changed["paid_at"]
        raw = json.dumps(body).encode()
        at = changed.get("at", int(time.time()))
        signature = changed.get("signature") or spei.signature(changed.get("secret", "test secret"), at, raw)
        headers = {"spei-signature": signature, "authorization": "-"}
        return await self.call("POST", "/v1/callbacks/spei", changed.get("raw", raw), headers=headers)
