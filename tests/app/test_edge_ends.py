"""How the API's connections end: callers that go, stop or are slow, answers in parts, a process that stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from caudal.app.edge import protocol
from caudal.app.edge.exchange import Exchange, bytes_of
from caudal.app.web import Web, refused
from caudal.kernel.commit import Shard
from caudal.kernel.context import Context
from caudal.kernel.errors import Refused
from caudal.kernel.http import Response
from tests.api import Api
from tests.app.edge import BODY, LAST, LIVE, READY, Edge, creating, until

# How a connection ends, and how it does not


async def test_a_connection_goes_on_until_somebody_ends_it(edge: Edge) -> None:
    caller = await edge.call()
    for raw in (LIVE, b"GET /v1/lost HTTP/1.1\r\n\r\n", b"\r\n" + LIVE, b"DELETE /livez HTTP/1.1\r\n\r\n"):
        await caller.send(raw)
        assert "connection" not in (await caller.answer()).headers
    await caller.send(LAST + LIVE)
    assert (await caller.answer()).headers["connection"] == "close"
    assert not await caller.rest()


async def test_http_1_0_gets_an_answer_and_the_end(edge: Edge) -> None:
    for line in (b"", b"Connection: keep-alive\r\n"):
        answer, rest = await edge.ask(b"GET /livez HTTP/1.0\r\n" + line + b"\r\n")
        assert (answer.status, answer.headers["connection"], rest) == (200, "close", b"")


async def test_a_head_request_gets_no_body(edge: Edge) -> None:
    caller = await edge.call(b"HEAD /livez HTTP/1.1\r\n\r\n", LAST)
    answer = await caller.answer(bare=True)
    assert (answer.status, answer.headers["allow"]) == (405, "GET") and int(answer.headers["content-length"]) > 0
    assert (await caller.answer()).status == 200


async def test_no_other_protocol_is_taken_up(edge: Edge, ana: Api) -> None:
    upgrade = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n"
    caller = await edge.call(LIVE[:-2] + upgrade + LIVE, LIVE)
    assert [(await caller.answer()).status for _ in range(3)] == [200, 200, 200]
    answer, rest = await edge.ask(creating(ana)[:-2] + upgrade + BODY + LIVE)
    assert (answer.status, answer.json["code"], rest) == (400, "malformed_http", b"")
    assert "without Upgrade" in answer.json["detail"]


async def test_a_caller_that_has_said_all_still_gets_its_answers(edge: Edge) -> None:
    caller = await edge.call(READY + LIVE + LIVE[:20])
    caller.stop_sending()
    assert [(await caller.answer()).status for _ in range(2)] == [200, 200]
    assert not await caller.rest()


async def test_a_caller_that_hangs_up_in_the_middle_of_its_body_has_asked_for_nothing(
    edge: Edge, context: Context, ana: Api
) -> None:
    caller = await edge.call(creating(ana) + BODY[:-1])
    caller.stop_sending()
    assert not await caller.rest()
    assert await context.rows("select count(*) from payin") == [(0,)]


async def test_what_a_caller_asked_for_before_it_went_is_done(
    edge: Edge, context: Context, ana: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit, seen = Shard.submit, asyncio.Event()

    def watched(self: Shard, *more: Any) -> Any:
        seen.set()
        caller.leave()
        return submit(self, *more)

    monkeypatch.setattr(Shard, "submit", watched)
    caller = await edge.call(creating(ana) + BODY)
    await seen.wait()
    await until(lambda: not edge.state.connections)
    await until(lambda: not edge.state.tasks)
    assert await context.rows("select count(*) from payin") == [(1,)]


# Time


async def test_a_request_that_does_not_come_to_its_end_is_given_up(
    edge: Edge, ana: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "REQUEST_S", 0.1)
    monkeypatch.setattr(protocol, "LOOK_S", 0.02)
    for raw in (LIVE[:20], creating(ana) + BODY[:-1], LIVE + LIVE[:-1]):
        caller = await edge.call(raw)
        if raw.startswith(LIVE):
            assert (await caller.answer()).status == 200
        answer = await caller.answer()
        assert (answer.status, answer.json["code"], answer.json["retry"]) == (408, "request_timeout", "after")
        assert not await caller.rest()


async def test_a_connection_on_which_nothing_comes_is_closed(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "IDLE_S", 0.1)
    monkeypatch.setattr(protocol, "LOOK_S", 0.02)
    assert not await (await edge.call()).rest()
    caller = await edge.call(LIVE)
    assert (await caller.answer()).status == 200 and not await caller.rest()


async def test_who_does_not_hang_up_after_a_refusal_is_hung_up_on(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(protocol, "LINGER_S", 0.05)
    monkeypatch.setattr(protocol, "LOOK_S", 0.02)
    await edge.ask(b"hello\r\n\r\n")
    await until(lambda: not edge.state.connections)


# Answers in parts


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Parts that the next answers are made of, taken one by one."""
    parts: list[bytes] = []

    async def stream() -> AsyncIterator[bytes]:
        while parts:
            part = parts.pop(0)
            if part == b"broken":
                raise ConnectionError("the database has gone")
            yield part
            await asyncio.sleep(0)

    async def answer(*_: object) -> Response:
        return Response(content_type=b"text/csv", stream=stream())

    monkeypatch.setattr(Web, "answer", answer)
    return parts


async def test_a_stream_goes_out_in_parts(edge: Edge, parts: list[bytes]) -> None:
    for _ in range(2):
        parts += [b"a,b\r\n", b"", b"1,2\r\n" * 1_000]
    caller = await edge.call(LIVE)
    answer = await caller.answer()
    assert answer.body == (b"a,b\r\n" + b"1,2\r\n" * 1_000) * 2
    assert (answer.headers["content-type"], answer.headers["transfer-encoding"]) == ("text/csv", "chunked")
    parts += [b"later"]
    await caller.send(LAST)
    assert (await caller.answer()).body == b"later"


async def test_http_1_0_gets_a_stream_until_the_end(edge: Edge, parts: list[bytes]) -> None:
    parts += [b"a,b\r\n", b"1,2\r\n"]
    caller = await edge.call(LIVE.replace(b"1.1", b"1.0"))
    head, _, body = (await caller.rest()).partition(b"\r\n\r\n")
    assert (body, b"transfer-encoding" in head) == (b"a,b\r\n1,2\r\n", False)


async def test_a_part_that_fails_breaks_the_body_off(
    edge: Edge, parts: list[bytes], caplog: pytest.LogCaptureFixture
) -> None:
    parts += [b"a,b\r\n", b"broken", b"1,2\r\n"]
    raw = await (await edge.call(LIVE)).rest()
    assert raw.endswith(b"5\r\na,b\r\n\r\n") and parts == [b"1,2\r\n"]
    assert "an answer broke off" in caplog.text


async def test_a_stream_waits_for_who_reads_slowly_and_ends_for_who_has_gone(edge: Edge, parts: list[bytes]) -> None:
    parts += [b"x" * 100_000] * 500
    caller = await edge.call(LIVE)
    await asyncio.sleep(0.1)
    left = len(parts)
    assert 0 < left < 500
    await asyncio.sleep(0.05)
    assert len(parts) == left
    caller.leave()
    await until(lambda: not edge.state.connections and not edge.state.tasks)
    assert len(parts) >= left - 2


async def test_who_never_reads_its_answer_loses_its_connection(
    edge: Edge, parts: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "IDLE_S", 0.1)
    monkeypatch.setattr(protocol, "LOOK_S", 0.02)
    parts += [b"x" * 100_000] * 500
    await edge.call(LIVE)
    await until(lambda: len(parts) < 500)
    await until(lambda: not edge.state.connections and not edge.state.tasks)
    assert parts


async def test_an_answer_that_breaks_off_for_who_does_not_read_ends_its_connection(
    edge: Edge, parts: list[bytes]
) -> None:
    parts += [b"x" * 100_000] * 500
    await edge.call(LIVE)
    await until(lambda: len(parts) < 500)
    parts[:] = [b"broken"]
    edge.only.resume_writing()  # a little was taken up, and then nothing more is
    await until(lambda: not edge.state.connections and not edge.state.tasks)


# The end of the process


async def test_a_process_that_stops_answers_what_it_has_and_nothing_after(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, answer = asyncio.Event(), Web.answer

    async def slow(self: Web, *more: Any) -> Response:
        await go.wait()
        return await answer(self, *more)

    monkeypatch.setattr(Web, "answer", slow)
    idle, busy = await edge.call(), await edge.call(LIVE + LIVE)
    await until(lambda: any(one._task for one in edge.state.connections))  # type: ignore[union-attr]
    for one in list(edge.state.connections):
        one.shutdown()
    assert not await idle.rest() and len(edge.state.tasks) == 1
    await busy.send(LIVE)
    go.set()
    assert [(await busy.answer()).headers.get("connection") for _ in range(2)] == [None, "close"]
    assert not await busy.rest()
    await until(lambda: not edge.state.connections and not edge.state.tasks)


async def test_a_body_that_is_on_its_way_when_the_process_stops_is_waited_for(edge: Edge, ana: Api) -> None:
    caller = await edge.call(creating(ana) + BODY[:-1])
    await until(lambda: bool(edge.only._exchanges))
    edge.only.shutdown()
    await caller.send(BODY[-1:] + LIVE)
    answer = await caller.answer()
    assert (answer.status, answer.headers["connection"], await caller.rest()) == (201, "close", b"")


# What we say


def test_no_header_of_ours_can_be_two() -> None:
    exchange = Exchange(refused(Refused("not_found", "nothing is here")))
    for value in (b"a\r\nb: c", b"a\nb", b"a\rb", b"a\0b"):
        for response in (Response(headers=((b"a", value),)), Response(headers=((value, b"a"),))):
            with pytest.raises(ValueError, match="end of a line"):
                bytes_of(exchange, response)
        with pytest.raises(ValueError, match="end of a line"):
            bytes_of(exchange, Response(content_type=value))


async def test_an_answer_that_cannot_be_written_ends_the_connection(
    edge: Edge, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def answer(*_: object) -> Response:
        return Response(headers=((b"a", b"b\r\nc: d"),))

    monkeypatch.setattr(Web, "answer", answer)
    assert not await (await edge.call(LIVE)).rest()
    assert "an answer broke off" in caplog.text
