"""A connector on the bench, with a provider at the other end: in the test's own process, or the sandbox in its own."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import aiohttp

from caudal.connectors import Connector, PaymentOrder, PaymentState, ProviderHealth
from caudal.kernel.http import Request
from tests.connectors import orders
from tests.connectors.provider import SECRET, WAITED_FOR


@dataclass(kw_only=True)
class Bench:
    """A connector, its method, and where its provider is."""

    method: str
    connector: Connector
    url: str
    health: Callable[[], list[ProviderHealth]] = list

    async def by_payer(self, key: str, verb: str) -> None:
        """The payer of a payment does something."""
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.url}/v1/provider/payers/{key}/{verb}", json={}) as answer,
        ):
            assert answer.status == 200, await answer.text()

    async def payment(self, order: PaymentOrder) -> PaymentState:
        """How the payment of an order stands."""
        state = await self.connector.payment(orders.query(order))
        assert isinstance(state, PaymentState), state
        return state

    async def patience(self, fault: str) -> float | None:
        """Until when to wait for a provider with this fault: half a second where no answer comes.

        Connected by then: a busy machine may take longer for that, and it would be another outcome.
        """
        if fault not in WAITED_FOR:
            return None
        await self.connector.payment(orders.query(orders.order(self.method)))
        return time.monotonic() + 0.5

    async def paid(self, **changed: Any) -> PaymentOrder:
        """The order of a payment that has been paid."""
        order = orders.order(self.method, **changed)
        state = await self.connector.submit(order)
        assert isinstance(state, PaymentState), state
        if state.status == "pending":
            await self.by_payer(order.key, "pay")
        return order


@dataclass
class Called:
    """Stands where caudal stands, and keeps the callbacks."""

    requests: list[Request] = field(default_factory=list)

    def __enter__(self) -> Self:
        requests = self.requests

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower().encode(): value.encode("latin-1") for name, value in self.headers.items()}
                requests.append(callback(self.path, body, headers))
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def about(self, key: str) -> list[Request]:
        """The callbacks that speak of a key."""
        return [request for request in self.requests if key.encode() in request.body]


def callback(path: str, body: bytes, headers: dict[bytes, bytes]) -> Request:
    """A callback as caudal's server hands it on."""
    path, _, query = path.partition("?")
    return Request(method="POST", path=path, query=query.encode(), headers=headers, body=body, id="req_1", deadline=0.0)


class Sandbox:
    """A `caudal-sandbox` process with books of its own."""

    def __init__(self, folder: Path, caudal_url: str) -> None:
        self._log = folder / "sandbox.log"
        secrets = {"CAUDAL_SANDBOX_SPEI_SECRET": orders.SPEI_SECRET, "CAUDAL_SANDBOX_PROVIDER_SECRET": SECRET}
        command = [sys.executable, "-m", "caudal_sandbox", "--port", "0", "--data", str(folder / "books")]
        with self._log.open("a") as log:
            self._process = subprocess.Popen(
                [*command, "--caudal-url", caudal_url],
                env={**os.environ, **secrets},
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        ready = self._process.stdout.readline()
        assert "listening on http://" in ready, self._log.read_text()
        self.url = ready.strip().rpartition("listening on ")[2]

    def end(self) -> None:
        """Ends it."""
        self._process.terminate()
        assert self._process.wait(timeout=60) == 0
        assert self._process.stdout is not None
        self._process.stdout.close()
