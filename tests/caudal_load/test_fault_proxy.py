"""The proxy over real sockets: what each trouble does to a connection, and what it counts as having struck."""

from __future__ import annotations

import asyncio
import functools
import inspect
import random
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import cast

import pytest
import uvloop

from caudal_load.faults.proxy import Address, Link
from caudal_load.faults.trouble import COMMITTED, Trouble, trouble_of

MESSAGES = 1_500
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Echo(asyncio.Protocol):
    """A server that says everything back, and remembers what it heard."""

    def __init__(self) -> None:
        self.heard, self.connections = b"", 0
        self.address: Address = ("", 0)
        self._server: asyncio.Server | None = None

    async def open(self, place: Path | None = None) -> Address:
        loop = asyncio.get_running_loop()
        if place is not None:
            self._server, self.address = await loop.create_unix_server(lambda: Line(self), str(place)), place
            return self.address
        self._server = await loop.create_server(lambda: Line(self), "127.0.0.1", 0)
        host, port = self._server.sockets[0].getsockname()
        self.address = (host, port)
        return self.address

    def close(self) -> None:
        assert self._server is not None
        self._server.close()


class Line(asyncio.Protocol):
    """One connection to it."""

    def __init__(self, echo: Echo) -> None:
        self._echo = echo
        echo.connections += 1

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)  # uvloop's are not derived from asyncio's

    def data_received(self, data: bytes) -> None:
        self._echo.heard += data
        self._transport.write(data)


OPEN: list[asyncio.StreamWriter] = []


def over_sockets(test: Callable[..., Coroutine[None, None, None]]) -> Callable[..., None]:
    """Runs a test in the loop that the proxy runs in, with an echo and a link to it; afterwards all is hung up."""

    async def whole(given: dict[str, object]) -> None:
        echo = Echo()
        link = Link(("127.0.0.1", 0), [await echo.open()])
        await link.open()
        try:
            await test(link, echo, **given)
        finally:
            for writer in OPEN:
                writer.transport.abort()
            OPEN.clear()
            await link.close()
            echo.close()

    @functools.wraps(test)
    def run(**given: object) -> None:
        uvloop.run(whole(given))

    shown = inspect.signature(test)
    kept = [each for name, each in shown.parameters.items() if name not in ("link", "echo")]
    vars(run)["__signature__"] = shown.replace(parameters=kept)
    return run


async def connected(to: Link | Address) -> Streams:
    address = to.address if isinstance(to, Link) else to
    if isinstance(address, Path):
        streams = await asyncio.open_unix_connection(address)
    else:
        streams = await asyncio.open_connection(*address)
    OPEN.append(streams[1])
    return streams


async def said_back(streams: Streams, data: bytes) -> bytes:
    reader, writer = streams
    writer.write(data)
    return await reader.readexactly(len(data))


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not true():  # noqa: ASYNC110 (what a socket does)
            await asyncio.sleep(0.005)


@over_sockets
async def test_without_trouble_everything_passes_and_a_polite_end_is_passed_on(link: Link, echo: Echo) -> None:
    reader, writer = await connected(link)
    large = random.Random(1).randbytes(3_000_000)
    writer.write(large)
    assert await reader.readexactly(len(large)) == large
    writer.write_eof()
    assert await reader.read() == b""
    await until(lambda: not link.connections)


@over_sockets
async def test_a_unix_socket_is_passed_on_too(link: Link, echo: Echo, tmp_path: Path) -> None:
    far = Echo()
    link = Link(tmp_path / "near", [await far.open(tmp_path / "far")])
    await link.open()
    assert await said_back(await connected(link), b"hello") == b"hello"
    await link.close()
    far.close()
    assert not (tmp_path / "near").exists()


@over_sockets
async def test_latency_holds_back_in_order_and_lets_go_at_its_end(link: Link, echo: Echo) -> None:
    reader, writer = await connected(link)
    assert await said_back((reader, writer), b"x") == b"x"
    trouble = trouble_of("latency", {"ms": 60_000, "jitter_ms": 20_000}, None, 1)
    await link.begin(trouble)
    for number in range(20):
        writer.write(bytes([number]))
        await asyncio.sleep(0)
    await until(lambda: trouble.struck == 20)
    assert echo.heard == b"x"
    await link.end(trouble)
    assert await reader.readexactly(20) == bytes(range(20))


@over_sockets
async def test_a_little_latency_passes_by_itself(link: Link, echo: Echo) -> None:
    streams = await connected(link)
    await link.begin(trouble_of("latency", {"ms": 20, "jitter_ms": 20}, None, 1))
    sent = b"".join([await said_back(streams, bytes([number])) for number in range(5)])
    assert sent == bytes(range(5))


@over_sockets
async def test_a_black_hole_swallows_and_takes_new_connections_which_are_reset_at_its_end(
    link: Link, echo: Echo
) -> None:
    old = await connected(link)
    assert await said_back(old, b"before") == b"before"
    trouble = trouble_of("black_hole", {}, None, 1)
    await link.begin(trouble)
    new = await connected(link)
    for _, writer in (old, new):
        writer.write(b"lost")
    await until(lambda: trouble.struck == 8)
    assert (echo.heard, echo.connections) == (b"before", 1)
    await link.end(trouble)
    for reader, _ in (old, new):
        with pytest.raises(ConnectionResetError):
            await reader.read()
    assert await said_back(await connected(link), b"after") == b"after"


@over_sockets
async def test_a_connection_that_said_nothing_in_a_black_hole_goes_on(link: Link, echo: Echo) -> None:
    streams = await connected(link)
    assert await said_back(streams, b"a") == b"a"
    trouble = trouble_of("black_hole", {}, None, 1)
    await link.begin(trouble)
    await link.end(trouble)
    assert await said_back(streams, b"b") == b"b"
    assert trouble.struck == 0


@over_sockets
async def test_a_reset_meets_the_next_message_with_a_rst(link: Link, echo: Echo) -> None:
    reader, writer = await connected(link)
    assert await said_back((reader, writer), b"before") == b"before"
    trouble = trouble_of("reset", {}, None, 1)
    await link.begin(trouble)
    writer.write(b"next")
    with pytest.raises(ConnectionResetError):
        await reader.read()
    assert (trouble.struck, echo.heard) == (1, b"before")


@pytest.mark.parametrize(("direction", "heard"), [("up", b"before"), ("down", b"beforeasked")])
@over_sockets
async def test_half_open_means_one_direction_is_dead(link: Link, echo: Echo, direction: str, heard: bytes) -> None:
    reader, writer = await connected(link)
    assert await said_back((reader, writer), b"before") == b"before"
    trouble = trouble_of("half_open", {"direction": direction}, None, 1)
    await link.begin(trouble)
    writer.write(b"asked")
    await until(lambda: trouble.struck == 5)
    assert echo.heard == heard
    await link.end(trouble)
    with pytest.raises(ConnectionResetError):
        await reader.read()


@over_sockets
async def test_what_is_asked_arrives_and_its_answer_is_lost(link: Link, echo: Echo) -> None:
    reader, writer = await connected(link)
    trouble = trouble_of("lost_answer", {}, None, 1)
    await link.begin(trouble)
    writer.write(b"asked")
    with pytest.raises(ConnectionResetError):
        await reader.read()
    assert (echo.heard, trouble.struck) == (b"asked", 1)


@over_sockets
async def test_only_the_answer_of_a_commit_is_lost_also_when_it_comes_in_pieces(link: Link, echo: Echo) -> None:
    reader, writer = await connected(link)
    trouble = trouble_of("lost_answer", {}, COMMITTED, 1)
    await link.begin(trouble)
    assert await said_back((reader, writer), b"rows") == b"rows"
    writer.write(b"more" + COMMITTED[:6])
    assert await reader.readexactly(4) == b"more"
    await until(lambda: echo.heard.endswith(COMMITTED[:6]))
    writer.write(COMMITTED[6:])
    with pytest.raises(ConnectionResetError):
        await reader.readexactly(1_000)
    assert echo.heard.endswith(COMMITTED)
    assert trouble.struck == 1


@over_sockets
async def test_a_drip_passes_little_and_all_of_it_at_its_end(link: Link, echo: Echo) -> None:
    reader, writer = await connected(link)
    trouble = trouble_of("drip", {"bytes_per_s": 40}, None, 1)
    await link.begin(trouble)
    writer.write(bytes(10_000))
    await until(lambda: len(echo.heard) > 0)
    assert len(echo.heard) < 5_000
    await link.end(trouble)
    assert await reader.readexactly(10_000) == bytes(10_000)


@over_sockets
async def test_where_connections_are_refused_nobody_listens_until_the_end(link: Link, echo: Echo) -> None:
    reader, _ = streams = await connected(link)
    assert await said_back(streams, b"a") == b"a"
    trouble, address = trouble_of("refuse", {}, None, 1), link.address
    await link.begin(trouble)
    with pytest.raises(ConnectionResetError):
        await reader.read()
    with pytest.raises(ConnectionRefusedError):
        await connected(link)
    assert trouble.struck == 1
    await link.end(trouble)
    assert link.address == address
    assert await said_back(await connected(link), b"b") == b"b"


@over_sockets
async def test_a_share_of_the_connections_is_met_and_the_others_are_not(link: Link, echo: Echo) -> None:
    streams = [await connected(link) for _ in range(40)]
    assert [await said_back(each, b"a") for each in streams] == [b"a"] * 40
    await link.begin(Trouble(share=0.5, resets=True, chance=random.Random(3)))
    met = 0
    for each in streams:
        try:
            await said_back(each, b"b")
        except (asyncio.IncompleteReadError, ConnectionError):
            met += 1
    assert 8 < met < 32


@over_sockets
async def test_the_first_connection_that_speaks_is_met_however_small_the_share(link: Link, echo: Echo) -> None:
    silent, speaks, other = [await connected(link) for _ in range(3)]
    trouble = Trouble(share=0.0, resets=True)
    await link.begin(trouble)
    speaks[1].write(b"a")
    with pytest.raises(ConnectionResetError):
        await speaks[0].read()
    assert [await said_back(each, b"b") for each in (silent, other)] == [b"b"] * 2
    assert trouble.struck == 1


@over_sockets
async def test_the_next_address_is_tried_where_one_does_not_answer(link: Link, echo: Echo) -> None:
    gone = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0)
    address: Address = gone.sockets[0].getsockname()
    gone.close()
    both = Link(("127.0.0.1", 0), [address, echo.address])
    await both.open()
    assert [await said_back(await connected(both), b"a") for _ in range(4)] == [b"a"] * 4
    await both.close()


@over_sockets
async def test_where_nobody_answers_behind_it_a_connection_is_reset(link: Link, echo: Echo) -> None:
    echo.close()
    reader, writer = await connected(link)
    writer.write(b"hello")
    with pytest.raises(ConnectionResetError):
        await reader.read()


@over_sockets
async def test_what_a_message_costs_is_said(link: Link, echo: Echo, say: Callable[[str], None]) -> None:
    """A question and an answer through the proxy, less the same without it."""

    async def cpu_s(streams: Streams) -> float:
        before = time.process_time()
        for _ in range(MESSAGES):
            await said_back(streams, b"x" * 200)
        return time.process_time() - before

    direct_s, proxied_s = await cpu_s(await connected(echo.address)), await cpu_s(await connected(link))
    assert link.messages == 2 * MESSAGES
    say(f"a message through the proxy costs {(proxied_s - direct_s) / (2 * MESSAGES) * 1e6:.0f} µs of CPU")
