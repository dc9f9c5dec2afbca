"""What the tests of the sandbox bank stand on: the bank as a real process, and a receiver in caudal's place."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlencode

from caudal_sandbox.bank.model import Delivery, Transfer
from caudal_sandbox.delivery import Status

SECRET = b"quiet-river"
NORTE_SECRET = b"north-wind"


@dataclass(frozen=True, kw_only=True)
class Call:
    """One callback as it arrived."""

    path: str
    signature: str | None
    content_type: str | None
    raw: bytes
    at_s: float

    @property
    def body(self) -> dict[str, Any]:
        parsed: dict[str, Any] = json.loads(self.raw)
        return parsed


@dataclass
class Receiver:
    """Stands where caudal stands; answers 200 unless a script says otherwise, per CLABE or payment, in order."""

    port: int = 0
    calls: dict[str, list[Call]] = field(default_factory=lambda: defaultdict(list))
    scripts: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    pause_s: dict[str, float] = field(default_factory=dict)

    def __enter__(self) -> Self:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def do_POST(self) -> None:
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                answer = receiver._take(self.path, self.headers, raw)
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                return

        class Server(ThreadingHTTPServer):
            request_queue_size = 256
            block_on_close = False

            def handle_error(self, *_: object) -> None:
                return

        self._server = Server(("127.0.0.1", self.port), Handler)
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _take(self, path: str, headers: Message[str, str], raw: bytes) -> int:
        clabe = subject_of(json.loads(raw))
        call = Call(
            path=path,
            signature=headers.get("Spei-Signature") or headers.get("Provider-Signature"),
            content_type=headers.get("Content-Type"),
            raw=raw,
            at_s=time.time(),
        )
        self.calls[clabe].append(call)
        time.sleep(self.pause_s.get(clabe, 0))
        script = self.scripts[clabe]
        return script.pop(0) if script else 200


def subject_of(told: dict[str, Any]) -> str:
    """What a callback is about: a transfer's CLABE, or the key of a payment."""
    if "clabe" in told:
        return str(told["clabe"])
    about = told[told["type"]]
    return str(about.get("payment_key") or about["key"])


@dataclass(frozen=True, kw_only=True)
class Answer:
    """An HTTP answer of the bank."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def wrong(self) -> dict[str, str]:
        """The wrong fields of a problem and their codes; checks that it is one."""
        assert self.headers["Content-Type"] == "application/problem+json"
        assert self.json["status"] == self.status
        return {error["field"]: error["code"] for error in self.json.get("errors", [])}


@dataclass
class Bank:
    """A `caudal-sandbox` process. It may be stopped, killed and started again on the same books."""

    data: Path
    caudal_url: str
    port: int = 0
    public_url: str | None = None
    process: subprocess.Popen[str] | None = None

    def start(self) -> Self:
        secrets = {"CAUDAL_SANDBOX_SPEI_SECRET": SECRET.decode(), "CAUDAL_SANDBOX_PROVIDER_SECRET": "still-lake"}
        secrets["CAUDAL_SANDBOX_PROVIDERS"] = f"norte={NORTE_SECRET.decode()}"
        environment = {**os.environ, **secrets}
        command = [sys.executable, "-m", "caudal_sandbox", "--port", str(self.port), "--data", str(self.data)]
        command += ["--url", self.public_url] if self.public_url else []
        log = (self.data.parent / f"{self.data.name}.log").open("a")
        self.process = subprocess.Popen(
            [*command, "--caudal-url", self.caudal_url], env=environment, stdout=subprocess.PIPE, stderr=log, text=True
        )
        log.close()
        assert self.process.stdout is not None
        ready = self.process.stdout.readline()
        assert "listening on http://127.0.0.1:" in ready, self.log
        self.port = int(ready.rsplit(":", 1)[1])
        return self

    @property
    def log(self) -> str:
        return (self.data.parent / f"{self.data.name}.log").read_text()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; return the exit code."""
        assert self.process is not None and self.process.stdout is not None
        self.process.send_signal(number)
        code = self.process.wait(timeout=60)
        self.process.stdout.close()
        self.process = None
        return code

    def call(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, dict(headers or {}))
            answer = connection.getresponse()
            return Answer(status=answer.status, headers=dict(answer.getheaders()), text=answer.read().decode())
        finally:
            connection.close()

    def get(self, path: str, **query: str | int) -> Answer:
        return self.call("GET", path + (f"?{urlencode(query)}" if query else ""))

    def post(self, path: str, given: object, headers: Mapping[str, str] | None = None) -> Answer:
        sent = {"Content-Type": "application/json", **(headers or {})}
        return self.call("POST", path, json.dumps(given).encode(), sent)

    def form(self, path: str, **fields: str) -> Answer:
        sent = {"Content-Type": "application/x-www-form-urlencoded"}
        return self.call("POST", path, urlencode(fields).encode(), sent)

    def pay(self, clabe: str, amount: int = 12050, **more: object) -> Answer:
        """Send a transfer as a program does."""
        given = {"clabe": clabe, "amount": amount, "currency": "MXN", "payer_name": "Ana Pérez"}
        return self.post("/v1/bank/transfers", given | more)

    def transfer(self, tracking_key: str) -> dict[str, Any]:
        found: dict[str, Any] = self.get(f"/v1/bank/transfers/{tracking_key}").json
        return found

    def becomes(self, tracking_key: str, status: str) -> dict[str, Any]:
        """Wait until the callback of a transfer has a status."""
        until(lambda: self.transfer(tracking_key)["status"] == status)
        return self.transfer(tracking_key)

    def statement(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.get("/v1/bank/statement").text.splitlines()]


def until(true: Callable[[], bool], within_s: float = 60.0) -> None:
    """Wait for something that another process does."""
    give_up = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < give_up, "it did not happen in time"
        time.sleep(0.01)


def a_transfer() -> Transfer:
    """Make a transfer that was just booked, for what can be judged without a bank."""
    return Transfer(
        seq=1,
        tracking_key="SBX1",
        clabe="646180110400000007",
        amount_minor=12050,
        currency="MXN",
        payer_name="Ana Pérez",
        paid_ms=1_795_000_000_000,
        returned_minor=0,
        asked=Delivery(),
        status=Status.WAITING,
        round=1,
        copies=1,
        fault=None,
        copies_delivered=0,
        attempts=0,
        failures=0,
        next_attempt_ms=0,
        delivered_ms=None,
        answer_status=None,
        answer_detail=None,
        answered_ms=None,
    )


def free_port() -> int:
    """Find a port where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def clabe_of(account: int) -> str:
    """Make a valid CLABE; the check digit by trying all ten with the rule read the other way round.

    With the check digit itself weighted 1, the sum of all 18 weighted digits is a multiple of ten.
    """
    first = f"646180{account:011d}"
    weights = (3, 7, 1) * 6
    for last in "0123456789":
        products = [int(digit) * weight % 10 for digit, weight in zip(first, weights, strict=False)]
        if (sum(products) + int(last)) % 10 == 0:
            return first + last
    raise AssertionError("unreachable")
