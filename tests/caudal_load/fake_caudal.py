"""A stand-in for caudal, so that the generator is tested against a server that does exactly what a test wants.

It keeps what it was asked, answers as `answer` says, and can be run as a program that behaves like `caudal up`.
"""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

HANG_UP = b"\0"
CREATED, OK, OVERLOADED = "201 Created", "200 OK", "503 Service Unavailable"


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body, read."""
        return json.loads(self.body)


Answer = Callable[["FakeCaudal", Asked], Awaitable[bytes]]


def http(status: str, body: object, *headers: str) -> bytes:
    """An answer on the wire."""
    content = json.dumps(body, separators=(",", ":")).encode()
    lines = [f"HTTP/1.1 {status}", "content-type: application/json", f"content-length: {len(content)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + content


async def obliging(fake: "FakeCaudal", asked: Asked) -> bytes:
    """Does what it is asked."""
    path = urlsplit(asked.target).path
    if path == "/v1/operator/merchants":
        return http(CREATED, {"id": f"mer_{len(fake.asked):032x}"})
    if path.endswith("/keys"):
        return http(CREATED, {"id": f"key_{len(fake.asked):032x}", "secret": f"sk_test_{len(fake.asked)}"})
    if path == "/v1/instruments":
        return http(CREATED, {"id": f"instr_{len(fake.asked):032x}"})
    if asked.method == "GET":
        return fake.page(asked)
    status = "paid" if asked.json.get("method") == "card" else "pending"
    return http(CREATED, {"id": f"payin_{fake.book(asked).hex}", "status": status})


@dataclass
class FakeCaudal:
    """A server on a free port of 127.0.0.1."""

    answer: Answer = obliging
    asked: list[Asked] = field(default_factory=list)
    payins: list[tuple[UUID, str]] = field(default_factory=list)
    connections: int = 0
    keys: dict[str, UUID] = field(default_factory=dict)
    forgets_keys: bool = False
    loses: int = 0
    """How many of the latest payins it forgets."""
    url: str = ""

    def book(self, asked: Asked) -> UUID:
        """Keep a payin for ever, one for each key."""
        key = asked.headers.get("idempotency-key", "")
        if key in self.keys:
            return self.keys[key]
        id = UUID(int=(1_800_000_000_000 << 80) + len(self.payins))
        self.payins.append((id, asked.json["reference"]))
        if key and not self.forgets_keys:
            self.keys[key] = id
        return id

    def page(self, asked: Asked) -> bytes:
        """A page of payins, newest first; the cursor is a position."""
        query = parse_qs(urlsplit(asked.target).query)
        first, limit = int(query.get("after", ["0"])[0]), int(query["limit"][0])
        newest = self.payins[: -self.loses or None][::-1]
        data = [{"id": f"payin_{id.hex}", "reference": reference} for id, reference in newest[first : first + limit]]
        more = first + limit < len(newest)
        return http(OK, {"data": data, "next": str(first + limit) if more else None})

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; an answer that ends with HANG_UP is its last."""
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
                method, target, _ = head[0].split(" ")
                headers = {
                    name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:-1])
                }
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.asked.append(Asked(method=method, target=target, headers=headers, body=body))
                answer = await self.answer(self, self.asked[-1])
                writer.write(answer.removesuffix(HANG_UP))
                if answer.endswith(HANG_UP):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


@asynccontextmanager
async def running(fake: FakeCaudal, port: int = 0) -> AsyncIterator[FakeCaudal]:
    """Serve until the block ends."""
    server = await asyncio.start_server(fake.serve, "127.0.0.1", port)
    fake.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield fake
    finally:
        server.close()


async def up() -> None:
    """Behave like `caudal up`: say where it is in up.json, serve until SIGINT."""
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, over.set)
    fake = FakeCaudal(
        loses=int(os.environ.get("FAKE_CAUDAL_LOSES", "0")), forgets_keys="FAKE_CAUDAL_FORGETS_KEYS" in os.environ
    )
    print("the fake is starting")
    if os.environ.get("CAUDAL_MAX_BATCH") == "0":
        raise SystemExit("max_batch has to be above 0")
    if "CAUDAL_NOSUCH" in os.environ:
        print("caudal: CAUDAL_NOSUCH is not a setting")
        raise SystemExit(2)
    if (slow_s := float(os.environ.get("FAKE_CAUDAL_SLOW_S", "0"))) > 0:

        async def slow(fake: FakeCaudal, asked: Asked) -> bytes:
            await asyncio.sleep(slow_s if asked.target == "/v1/payins" else 0)
            return await obliging(fake, asked)

        fake.answer = slow
    async with running(fake, int(os.environ["CAUDAL_PORT"])):
        path = Path(os.environ["CAUDAL_VAR"]) / "up.json"
        path.parent.mkdir()
        path.write_text(
            json.dumps(
                {
                    "pid": os.getpid(),
                    "api_url": fake.url,
                    "database_url": None,
                    "operator_key": "op_x",
                    "processes": {"web": os.getpid()},
                }
            )
        )
        await over.wait()


if __name__ == "__main__":
    sys.exit(asyncio.run(up()))
