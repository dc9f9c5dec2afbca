"""A provider in the test's own process: it speaks the protocol, keeps books in memory, and misbehaves as it is told.

`faults` are taken one a request; where there are none it behaves. The signature is computed here once more, so that
caudal's is checked against the protocol and not against itself.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Self

SECRET = "quiet river"
ACTIONS: dict[str, dict[str, Any] | None] = {
    "card": None,
    "pix": {"type": "qr", "payload": "00020126580014br.gov.bcb.pix"},
    "boleto": {"type": "voucher", "line": "0" * 47, "barcode": "0" * 44, "due_on": "2026-12-01", "url": None},
    "pse": {"type": "redirect", "url": "http://127.0.0.1/pay"},
    "mpesa": {"type": "push", "phone": "+254712345678"},
}
# What takes the place of the whole answer, or of a field of it.
REPLACED: dict[str, tuple[int, bytes]] = {
    "error": (500, b'{"code": "internal_error"}'),
    "bad gateway": (502, b"<html>"),
    "busy": (503, b'{"code": "busy", "detail": "later"}'),
    "too many": (429, b'{"code": "busy", "detail": "later"}'),
    "not signed": (401, b'{"code": "signature_invalid"}'),
    "key reused": (409, b'{"code": "key_reused"}'),
    "a proxy's 404": (404, b"<html>not here</html>"),
    "a proxy's 422": (422, b"<html>no</html>"),
    "a proxy's 503": (503, b"<html>later</html>"),
    "elsewhere": (302, b""),
    "no content": (204, b""),
    "empty": (200, b""),
    "not JSON": (200, b"{"),
    "a list": (200, b"[]"),
    "too deep": (200, b"[" * 30_000),
    "not UTF-8": (200, b'{"id": "\xff"}'),
    "too long": (200, b" " * 65_537),
    "refused": (422, b'{"code": "invalid_request", "detail": "card 4111 1111 1111 1111\\n is odd' + b"!" * 300 + b'"}'),
}
CHANGED: dict[str, dict[str, Any]] = {
    "other key": {"key": "f" * 32},
    "other account": {"account": "8"},
    "other amount": {"amount": 99_999_999},
    "amount is text": {"amount": "12050"},
    "negative amount": {"amount": -12050},
    "fraction": {"amount": 12050.5},
    "other currency": {"currency": "USD"},
    "other method": {"method": "cheque"},
    "unknown status": {"status": "perhaps"},
    "refunded more than captured": {"refunded": 10**9},
    "authorized too much": {"authorized": 10**9},
    "action of nobody": {"action": {"type": "dance"}},
    "action of another method": {"action": {"type": "voucher", "line": "1", "barcode": "1", "due_on": "2026-12-01"}},
    "a text with U+0000": {"payer_page": "a\x00b"},
}
SILENT = ["silence before", "silence after", "reset before", "reset after", "drip", "half"]
WAITED_FOR = {"silence before", "silence after", "drip"}
BEFORE = {"silence before", "reset before"}
AFTER = {"silence after", "reset after", "drip", "half"}


@dataclass
class Asked:
    """One request as it arrived."""

    verb: str
    path: str
    headers: dict[str, str]
    raw: bytes

    @property
    def body(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.raw)
        return parsed


@dataclass
class Provider:
    """The running provider."""

    url: str = ""
    faults: list[str] = field(default_factory=list)
    asked: list[Asked] = field(default_factory=list)
    payments: dict[str, dict[str, Any]] = field(default_factory=dict)
    contents: dict[str, bytes] = field(default_factory=dict)
    operations: dict[str, dict[str, Any]] = field(default_factory=dict)
    connections: int = 0
    open: asyncio.Event | None = None
    """Where there is one, answers wait until it is set."""

    async def __aenter__(self) -> Self:
        self._tasks: set[asyncio.Task[Any]] = set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        with suppress(asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError):
            while await self._one(reader, writer):
                pass
        writer.close()
        self._tasks.discard(task)

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        verb, path, _ = head[0].split(" ")
        headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in head[1:] if line)}
        request = Asked(verb, path, headers, await reader.readexactly(int(headers.get("content-length", 0))))
        self.asked.append(request)
        if self.open is not None:
            await self.open.wait()
        fault = self.faults.pop(0) if self.faults else ""
        if fault in BEFORE:
            return await self._vanish(fault, writer)
        status, told = self._answer(request)
        if fault in CHANGED:
            told = {**told, **CHANGED[fault]}
            if fault == "action of another method" and "/boleto/" in path:  # a voucher is what a boleto has
                told["action"] = {"type": "push", "phone": "+254712345678"}
        body = json.dumps(told).encode()
        if fault in REPLACED:
            status, body = REPLACED[fault]
        head_out = f"HTTP/1.1 {status} X\r\nContent-Length: {len(body)}\r\nLocation: /elsewhere\r\n\r\n".encode()
        if fault in AFTER:
            return await self._vanish(fault, writer, head_out + body)
        if fault == "not HTTP":
            head_out = b"SSH-2.0-OpenSSH\r\n\r\n"
        writer.write(head_out + body)
        await writer.drain()
        return True

    async def _vanish(self, fault: str, writer: asyncio.StreamWriter, answer: bytes = b"") -> bool:
        if fault.startswith("silence"):
            await asyncio.sleep(3600)
        if fault == "half":
            writer.write(answer[:-5])
            await writer.drain()
            return False
        for place in range(len(answer) if fault == "drip" else 0):
            writer.write(answer[place : place + 1])
            await writer.drain()
            await asyncio.sleep(0.05)
        writer.transport.abort()
        return False

    def _answer(self, request: Asked) -> tuple[int, dict[str, Any]]:
        if request.path.startswith("/v1/provider/payers/"):
            return 200, self._by_payer(*request.path.split("/")[4:6])
        if not signed(request):
            return 401, {"code": "signature_invalid", "detail": ""}
        method, kind, *rest = request.path.partition("?")[0].split("/")[3:]
        if kind == "disputes":
            if rest[0] != "dp_1":
                return 404, {"code": "dispute_unknown"}
            return 200, {"reference": "dp_1", "status": "received"}
        if request.verb == "GET":
            found = (self.payments if kind == "payments" else self.operations).get(rest[0])
            return (404, {"code": "not_found", "detail": "no such key"}) if found is None else (200, found)
        if rest and rest[0] not in self.payments:
            return 404, {"code": "payment_unknown", "detail": ""}
        known = self.contents.get(request.body["key"])
        if known is not None and known != request.raw:
            return 409, {"code": "key_reused", "detail": ""}
        self.contents[request.body["key"]] = request.raw
        if not rest:
            return (200 if known else 201), self.payments.setdefault(request.body["key"], _made(method, request.body))
        return (200 if known else 201), self._operate(rest[0], rest[1], request.body)

    def _by_payer(self, key: str, verb: str) -> dict[str, Any]:
        payment = self.payments[key]
        card = payment["method"] == "card"
        if verb == "pay":
            payment.update(
                status="paid", action=None, captured=payment["amount"], authorized=payment["amount"] if card else 0
            )
        return payment

    def _operate(self, key: str, verb: str, asked: dict[str, Any]) -> dict[str, Any]:
        payment = self.payments[key]
        operation = self.operations.get(asked["key"])
        if operation is None:
            kind = verb.removesuffix("s")
            amount = asked.get("amount", payment["authorized"] - payment["captured"])
            same = {name: payment[name] for name in ("account", "currency", "updated_at")}
            status: dict[str, Any] = {"status": "succeeded", "amount": amount, "code": None}
            operation = {"id": "po_1", "key": asked["key"], "payment_key": key, "kind": kind, **same, **status}
            self.operations[asked["key"]] = operation
            if kind == "capture":
                payment.update(status="paid", captured=payment["captured"] + amount)
            elif kind == "refund":
                payment["refunded"] += amount
            else:
                payment.update(status="cancelled", action=None)
        return operation


def _made(method: str, asked: dict[str, Any]) -> dict[str, Any]:
    manual = asked["capture"] == "manual"
    waits = method != "card" or asked["three_ds"] == "demanded"
    same = {name: asked[name] for name in ("key", "account", "amount", "currency")}
    taken = 0 if waits else asked["amount"]
    redirect = {"type": "redirect", "url": "http://127.0.0.1/3ds"} if waits else None
    return {
        "id": "pp_1",
        "method": method,
        "status": "pending" if waits else "authorized" if manual else "paid",
        "authorized": taken,
        "captured": 0 if manual else taken,
        "refunded": 0,
        "code": None,
        "action": ACTIONS[method] or redirect,
        "payer_page": f"http://127.0.0.1/pay/{asked['key']}",
        "sequence": 1,
        "updated_at": "2026-11-27T10:00:00Z",
        **same,
    }


def signature(secret: str, at_s: int, verb: str, path: str, body: bytes) -> str:
    """The protocol's header for a request."""
    text = f"{at_s}.{verb}.{path}.".encode() + body
    return f"t={at_s},v1={hmac.new(secret.encode(), text, hashlib.sha256).hexdigest()}"


def signed(request: Asked) -> bool:
    """Whether a request carries the protocol's signature, made with the shared secret a moment ago."""
    given = request.headers.get("provider-signature", "t=0,v1=")
    at_s = int(given.partition(",")[0].removeprefix("t="))
    return abs(time.time() - at_s) < 300 and given == signature(SECRET, at_s, request.verb, request.path, request.raw)
