"""What becomes of a callback on the wire."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from caudal_sandbox.carrier import Carrier, NoAnswer

OK = b"HTTP/1.1 204 No Content\r\n\r\n"


@asynccontextmanager
async def serving(
    said: bytes, *, hangs_up: bool = False, kept_s: float = 60.0
) -> AsyncIterator[tuple[Carrier, list[bytes]]]:
    """A server that says the same to everybody; what it was asked, with the number of connections before."""
    asked, served = list[bytes](), set[asyncio.Task[None] | None]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(b"connection")
        served.add(asyncio.current_task())
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                asked.append(head + await reader.readexactly(2))
                writer.write(said)
                if hangs_up:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    carrier = Carrier(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/there/", kept_s=kept_s)
    try:
        yield carrier, asked
    finally:
        carrier.close()
        listening.close()
        await asyncio.gather(*(task for task in served if task is not None))


async def post(carrier: Carrier) -> tuple[int, bytes]:
    return await carrier.post("/a", b"{}", {"X": "1"}, 0.3)


async def test_a_connection_is_kept_and_the_request_is_as_it_was_made() -> None:
    async with serving(OK) as (carrier, asked):
        assert [await post(carrier), await post(carrier)] == [(204, b"")] * 2
    assert [one[:6] for one in asked] == [b"connec", b"POST /", b"POST /"]
    head = asked[1].split(b"\r\n")
    assert head[0] == b"POST /there/a HTTP/1.1" and {b"content-length: 2", b"X: 1", b"{}"} <= {*head}


@pytest.mark.parametrize(("hangs_up", "kept_s"), [(True, 60.0), (False, 0.0)])
async def test_one_that_was_closed_or_idle_for_long_is_not_used_again(hangs_up: bool, kept_s: float) -> None:
    async with serving(OK, hangs_up=hangs_up, kept_s=kept_s) as (carrier, asked):
        await post(carrier)
        await asyncio.sleep(0.02)
        assert await post(carrier) == (204, b"")
    assert asked.count(b"connection") == 2


@pytest.mark.parametrize("said", [b"220 mail.example\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nno", b""])
async def test_what_is_no_whole_answer_is_none_and_its_connection_goes(said: bytes) -> None:
    async with serving(said, hangs_up=True) as (carrier, _):
        with pytest.raises(NoAnswer):
            await post(carrier)
        assert carrier._idle == []


async def test_silence_ends_in_time_and_nobody_there_is_an_error() -> None:
    async with serving(b"") as (carrier, _):
        with pytest.raises(TimeoutError):
            await post(carrier)
        assert carrier._idle == []
    with pytest.raises(OSError):
        await Carrier("http://127.0.0.1:1", kept_s=1.0).post("/", b"", {}, 1.0)
