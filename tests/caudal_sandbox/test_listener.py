"""HTTP/1.1 on the sandbox's sockets: what callers may do beside one request and one answer, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from caudal_sandbox.http import HungUp, Request, Response, Route, Router, get, post, see_other
from caudal_sandbox.listener import Listener
from caudal_sandbox.problems import answering


class Rig:
    """A listener with a few handlers, and a caller with one connection."""

    def __init__(self) -> None:
        self.entered, self.free = asyncio.Event(), asyncio.Event()
        self.listener = Listener(Router(self.routes()), answering({}))

    def routes(self) -> list[Route]:
        return [
            post("/echo", self.echo, body_max=10),
            get("/things/{name}/{end:win|lose}", self.thing),
            get("/parts", self.parts),
            get("/waits", self.waits),
            get("/elsewhere", self.elsewhere),
            get("/hangs-up/{how}", self.hangs_up),
            get("/breaks", self.breaks),
        ]

    async def echo(self, request: Request) -> Response:
        return Response(body=request.body, content_type="text/plain")

    async def thing(self, request: Request) -> Response:
        shown = f"{request.parameters} {request.query} {request.header('X-One')}"
        return Response(body=shown.encode(), content_type="text/plain")

    async def parts(self, request: Request) -> Response:
        async def both() -> AsyncIterator[bytes]:
            yield b"one,"
            yield b"two"

        return Response(content_type="text/plain", stream=both(), length=7 if "length" in request.query else None)

    async def waits(self, request: Request) -> Response:
        self.entered.set()
        await self.free.wait()
        return Response(body=b"waited")

    async def elsewhere(self, request: Request) -> Response:
        return see_other("https://shop.example/caf\u00e9?of=\u6f22&a=%20")

    async def hangs_up(self, request: Request) -> Response:
        raise HungUp(reset=request.parameters["how"] == "hard")

    async def breaks(self, request: Request) -> Response:
        raise AssertionError("of ours")

    async def __aenter__(self) -> Rig:
        host, port = await self.listener.open("127.0.0.1", 0)
        self.reader, self.writer = await asyncio.open_connection(host, port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        await self.listener.close()

    def send(self, line: str, *headers: str, body: bytes = b"") -> None:
        self.writer.write("\r\n".join((f"{line} HTTP/1.1", *headers, "\r\n")).encode() + body)

    async def head(self) -> str:
        return (await self.reader.readuntil(b"\r\n\r\n")).decode()

    async def answer(self) -> tuple[str, bytes]:
        head = await self.head()
        length = next(line for line in head.split("\r\n") if line.startswith("Content-Length")).split()[1]
        return head, await self.reader.readexactly(int(length))


async def test_requests_that_come_at_once_are_answered_in_their_order() -> None:
    async with Rig() as rig:
        rig.send("POST /echo", "Content-Length: 3", body=b"one")
        rig.send("GET /things/a%20b/win?x=1&x=2&y=", "x-one: 1", "x-one: 2")
        rig.send("POST /echo", "Transfer-Encoding: chunked", body=b"2\r\nth\r\n3\r\nree\r\n0\r\n\r\n")
        assert (await rig.answer())[1] == b"one"
        assert (await rig.answer())[1] == b"{'name': 'a b', 'end': 'win'} {'y': '', 'x': '1'} 1"
        assert (await rig.answer())[1] == b"three"


async def test_more_than_may_wait_is_read_later() -> None:
    async with Rig() as rig:
        rig.send("GET /waits")
        for number in range(200):
            rig.send("POST /echo", "Content-Length: 3", body=b"%03d" % number)
        await rig.entered.wait()
        rig.free.set()
        assert (await rig.answer())[1] == b"waited"
        assert [int((await rig.answer())[1]) for _ in range(200)] == list(range(200))


@pytest.mark.parametrize(
    ("line", "headers", "status", "says"),
    [
        ("GET /nothing", (), 404, "not_found"),
        ("GET /things/a/draw", (), 404, "not_found"),
        ("PUT /echo", (), 405, "method_not_allowed"),
        ("POST /echo", ("Content-Length: 11",), 413, "body_too_large"),
        ("GET /breaks", (), 500, "internal_error"),
    ],
)
async def test_a_refusal_leaves_the_connection_as_it_was(
    line: str, headers: tuple[str, ...], status: int, says: str
) -> None:
    async with Rig() as rig:
        rig.send(line, *headers, body=b"12345678901"[: 11 if headers else 0])
        head, body = await rig.answer()
        assert head.startswith(f"HTTP/1.1 {status} ")
        assert says in body.decode()
        assert ("Allow: POST" in head) == (status == 405)
        rig.send("POST /echo", "Content-Length: 2", body=b"ok")
        assert (await rig.answer())[1] == b"ok"


@pytest.mark.parametrize("garbage", [b"garbage\r\n\r\n", b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000 + b"\r\n\r\n"])
async def test_what_is_not_http_is_told_so_and_ends_the_connection(garbage: bytes) -> None:
    async with Rig() as rig:
        rig.writer.write(garbage)
        head, body = await rig.answer()
        assert head.startswith("HTTP/1.1 400 ")
        assert "Connection: close" in head
        assert b"malformed_http" in body
        assert await rig.reader.read() == b""


async def test_an_answer_in_parts_has_its_length_or_is_chunked() -> None:
    async with Rig() as rig:
        rig.send("GET /parts?length")
        assert (await rig.answer())[1] == b"one,two"
        rig.send("GET /parts")
        assert "Transfer-Encoding: chunked" in await rig.head()
        assert await rig.reader.readuntil(b"0\r\n\r\n") == b"4\r\none,\r\n3\r\ntwo\r\n0\r\n\r\n"


async def test_http_1_0_knows_no_chunks_and_ends_behind_its_answer() -> None:
    async with Rig() as rig:
        rig.writer.write(b"GET /parts HTTP/1.0\r\n\r\n")
        assert "Connection: close" in await rig.head()
        assert await rig.reader.read() == b"one,two"


async def test_head_has_the_head_alone() -> None:
    async with Rig() as rig:
        rig.send("HEAD /things/a/win")
        assert "Content-Length: 35" in await rig.head()
        rig.send("GET /elsewhere", "Connection: close")
        assert "Location: https://shop.example/caf%C3%A9?of=%E6%BC%A2&a=%20" in await rig.head()
        assert await rig.reader.read() == b""


async def test_who_wants_to_be_asked_for_a_body_is_asked() -> None:
    async with Rig() as rig:
        rig.send("POST /echo", "Content-Length: 2", "Expect: 100-continue")
        assert await rig.head() == "HTTP/1.1 100 Continue\r\n\r\n"
        rig.writer.write(b"ok")
        assert (await rig.answer())[1] == b"ok"


async def test_an_upgrade_is_not_taken_up() -> None:
    async with Rig() as rig:
        rig.send("GET /things/a/win", "Connection: upgrade", "Upgrade: h2c")
        assert (await rig.answer())[0].startswith("HTTP/1.1 200 ")


async def test_who_hangs_up_says_nothing() -> None:
    async with Rig() as rig:
        rig.send("GET /hangs-up/softly")
        assert await rig.reader.read() == b""
    async with Rig() as rig:
        rig.send("GET /hangs-up/hard")
        with pytest.raises(ConnectionResetError):
            await rig.reader.read()


async def test_what_runs_is_answered_before_the_end() -> None:
    async with Rig() as rig:
        rig.send("GET /waits")
        await rig.entered.wait()
        closing = asyncio.create_task(rig.listener.close())
        await asyncio.sleep(0)
        rig.free.set()
        head, body = await rig.answer()
        assert (body, "Connection: close" in head) == (b"waited", True)
        assert await rig.reader.read() == b""
        await closing


async def test_who_is_idle_is_hung_up_on_and_who_waits_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caudal_sandbox.listener.IDLE_S", -1.0)
    async with Rig() as rig:
        rig.send("GET /waits")
        await rig.entered.wait()
        rig.listener._look()
        rig.free.set()
        assert (await rig.answer())[1] == b"waited"
        rig.listener._look()
        assert await rig.reader.read() == b""


async def test_what_does_not_end_is_cut_off(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("caudal_sandbox.listener.FAREWELL_S", 0.0)
    async with Rig() as rig:
        rig.send("GET /waits")
        await rig.entered.wait()
        await rig.listener.close()
        assert await rig.reader.read() == b""
    assert not caplog.records


async def test_a_defect_of_ours_is_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async with Rig() as rig:
        rig.writer.write(b"GET /caf\xc3\xa9 HTTP/1.1\r\n\r\n")
        assert (await rig.answer())[0].startswith("HTTP/1.1 400 ")
    assert not caplog.records
    async with Rig() as rig:
        monkeypatch.setattr(rig.listener.router, "find", {}.__getitem__)
        rig.send("GET /echo")
        assert (await rig.answer())[0].startswith("HTTP/1.1 400 ")
    assert [record.getMessage() for record in caplog.records] == ["a request broke the listener"]
