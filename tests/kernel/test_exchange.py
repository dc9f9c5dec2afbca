"""One request, one whole answer, over connections that are kept; and what it is called when there is none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from caudal.kernel.exchange import AnswerTooLong, ExchangeBroken, Lines, NotConnected

ASK = b"GET /a HTTP/1.1\r\nHost: here\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
Told = Callable[[asyncio.StreamWriter, int], Awaitable[None]]


class Server:
    """Does with each request as it is told; counts connections."""

    def __init__(self, told: Told) -> None:
        self.told, self.connections, self.requests, self.url = told, 0, 0, ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                await self.told(writer, self.requests)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(
    told: Told, *, kept_s: float = 60.0, largest: int = 1000, beginning: bool = False
) -> AsyncIterator[tuple[Server, Lines]]:
    server = Server(told)
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    lines = Lines(server.url, kept_s=kept_s, largest=largest, beginning=beginning)
    try:
        yield server, lines
    finally:
        await lines.close()
        listening.close()


async def ask(lines: Lines, within_s: float = 60.0) -> tuple[int, bytes]:
    return await lines.exchange(ASK, within_s=within_s, connect_s=30.0)


def saying(*parts: bytes) -> Told:
    async def told(writer: asyncio.StreamWriter, number: int) -> None:
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0.005)

    return told


async def test_a_connection_is_kept_and_used_again() -> None:
    async with serving(saying(OK)) as (server, lines):
        assert [await ask(lines) for _ in range(5)] == [(200, b"ok")] * 5
    assert (server.connections, server.requests) == (1, 5)


async def test_exchanges_side_by_side_have_a_connection_each() -> None:
    async with serving(saying(b"", OK)) as (server, lines):
        assert await asyncio.gather(*(ask(lines) for _ in range(4))) == [(200, b"ok")] * 4
        await ask(lines)
    assert server.connections == 4


@pytest.mark.parametrize(
    ("parts", "answer"),
    [
        ((OK[:9], OK[9:30], OK[30:]), (200, b"ok")),
        ((b"HTTP/1.1 422 No\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n", b"1\r\n!\r\n0\r\n\r\n"), (422, b"no!")),
        ((b"HTTP/1.1 100 Continue\r\n\r\n", OK), (200, b"ok")),
        ((b"HTTP/1.1 204 No Content\r\n\r\n",), (204, b"")),
        ((b"HTTP/1.1 302 Elsewhere\r\nLocation: http://b/\r\nContent-Length: 0\r\n\r\n",), (302, b"")),
    ],
)
async def test_an_answer_is_read_however_it_comes(parts: tuple[bytes, ...], answer: tuple[int, bytes]) -> None:
    async with serving(saying(*parts)) as (_, lines):
        assert await ask(lines) == answer
        assert await ask(lines) == answer


async def test_a_server_that_keeps_no_connection_is_asked_on_a_new_one() -> None:
    async with serving(saying(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))) as (server, lines):
        assert await ask(lines) == await ask(lines) == (200, b"ok")
    assert server.connections == 2


async def test_one_that_was_idle_for_too_long_is_not_used() -> None:
    async with serving(saying(OK), kept_s=0.0) as (server, lines):
        await ask(lines)
        await ask(lines)
    assert server.connections == 2


async def test_one_that_the_server_has_closed_is_not_used() -> None:
    async def hangs_up_later(writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(OK)
        writer.close()

    async with serving(hangs_up_later) as (server, lines):
        await ask(lines)
        await asyncio.sleep(0.05)
        assert await ask(lines) == (200, b"ok")
    assert server.connections == 2


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n", OK[:-1], b"HTTP/1.1 200 OK\r\n\r\nuntil the end"])
async def test_an_answer_that_ends_before_it_is_whole_is_broken(said: bytes) -> None:
    async def hangs_up(writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(said)
        writer.close()

    async with serving(hangs_up) as (_, lines):
        with pytest.raises(ExchangeBroken):
            await ask(lines)


async def test_what_is_not_http_is_broken() -> None:
    async with serving(saying(b"220 mail.example ESMTP\r\n")) as (_, lines):
        with pytest.raises(ExchangeBroken, match="the answer is not HTTP"):
            await ask(lines)


async def test_an_answer_that_is_too_long_is_not_read_to_its_end() -> None:
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 1001
    async with serving(saying(long)) as (server, lines):
        with pytest.raises(AnswerTooLong):
            await ask(lines)
        server.told = saying(OK)
        assert await ask(lines) == (200, b"ok")
    assert server.connections == 2


async def test_whoever_wants_the_beginning_gets_it_and_the_connection_goes() -> None:
    long = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 1500
    async with serving(saying(long), beginning=True) as (server, lines):
        assert await ask(lines) == (200, b"x" * 1000)
        server.told = saying(OK)
        assert await ask(lines) == await ask(lines) == (200, b"ok")
    assert server.connections == 2


@pytest.mark.parametrize(
    ("said", "got"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", (200, b"until the end")),
        (b"HTTP/1.0 500 No\r\n\r\n", (500, b"")),
        (OK[:-1], "the answer broke off"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno", "the answer broke off"),
        (b"HTTP/1.1 200 OK\r\n", "the answer broke off"),
        (b"", "the connection ended without an answer"),
        (b"220 mail.example ESMTP\r\n", "the answer is not HTTP"),
    ],
)
async def test_for_the_beginning_an_answer_without_a_length_ends_with_its_connection(
    said: bytes, got: tuple[int, bytes] | str
) -> None:
    async def hangs_up(writer: asyncio.StreamWriter, number: int) -> None:
        writer.write(said)
        writer.close()

    async with serving(hangs_up, beginning=True) as (_, lines):
        if isinstance(got, str):
            with pytest.raises(ExchangeBroken, match=got):
                await ask(lines)
        else:
            assert await ask(lines) == got


async def test_a_connection_comes_about_as_the_caller_wants() -> None:
    async with serving(saying(OK)) as (server, _):
        port = int(server.url.rpartition(":")[2])

        async def connect(protocol: Callable[[], asyncio.Protocol]) -> object:
            return await asyncio.get_running_loop().create_connection(protocol, "127.0.0.1", port)

        lines = Lines("http://shop.example", kept_s=60.0, largest=10, connect=connect)
        assert await ask(lines) == (200, b"ok") and lines.host == "shop.example"
        await lines.close()


async def test_what_was_idle_for_long_is_given_up_and_what_is_under_way_is_not() -> None:
    async with serving(saying(b"", OK), kept_s=0.0) as (_, lines):
        assert not lines.give_up_idle()
        asking = asyncio.create_task(ask(lines))
        await asyncio.sleep(0)
        assert lines.give_up_idle()
        await asking
        await asyncio.sleep(0.001)
        assert not lines.give_up_idle() and lines._idle == []


async def test_silence_ends_in_time_and_so_does_its_connection() -> None:
    async with serving(saying(b"")) as (server, lines):
        with pytest.raises(TimeoutError):
            await ask(lines, within_s=0.1)
        server.told = saying(OK)
        assert await ask(lines) == (200, b"ok")
    assert server.connections == 2


async def test_a_late_answer_is_nobody_elses() -> None:
    async def late(writer: asyncio.StreamWriter, number: int) -> None:
        await asyncio.sleep(0.1)
        writer.write(OK.replace(b"ok", b"%02d" % number))

    async with serving(late) as (_, lines):
        with pytest.raises(TimeoutError):
            await ask(lines, within_s=0.05)
        assert await ask(lines) == (200, b"02")


async def test_an_answer_that_nobody_asked_for_ends_the_connection() -> None:
    async with serving(saying(OK, OK)) as (server, lines):
        await ask(lines)
        await asyncio.sleep(0.05)
        await ask(lines)
    assert server.connections == 2


async def test_who_gives_up_takes_the_connection_along() -> None:
    async with serving(saying(b"")) as (server, lines):
        task = asyncio.create_task(ask(lines))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        server.told = saying(OK)
        assert await ask(lines) == (200, b"ok")
    assert server.connections == 2


async def test_where_nobody_listens_nothing_was_sent() -> None:
    lines = Lines("http://127.0.0.1:1", kept_s=1.0, largest=10)
    with pytest.raises(NotConnected):
        await ask(lines)


def test_an_address_says_what_stands_in_the_head() -> None:
    lines = Lines("http://sandbox.example:8701/base/", kept_s=1.0, largest=10)
    assert (lines.host, lines.folder) == ("sandbox.example:8701", "/base")
