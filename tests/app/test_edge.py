"""The API's socket: requests however they come, each answered in its turn and in one write; what is no request too."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

from caudal.app.edge import protocol
from caudal.app.web import Web
from caudal.kernel.http import Response
from tests.api import Api
from tests.app.edge import BODY, LAST, LIVE, READY, Edge, chunked, creating, until

NOT_HTTP = [
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS on the plain port
    b"hello\r\n\r\n",
    b"GET\r\n\r\n",
    b"LOOK /livez HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /livez HTTP/9.9\r\nHost: x\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"CONNECT bank:443 HTTP/1.1\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost x\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost : x\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: x\r\n folded\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: x\x00y\r\n\r\n",
    b"GET /livez HTTP/1.1\nHost: x\n\n",
    b"GET /livez HTTP/1.1\r\nHost: x\n\r\n",
    b"GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
    b"POST /v1/payins HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
    b"POST /v1/payins HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
    b"POST /v1/payins HTTP/1.1\r\nHost: x\r\nContent-Length: \r\n\r\n",
    b"POST /v1/payins HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999999\r\n\r\n",
    b"POST /v1/payins HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    b"POST /v1/payins HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
    b"POST /v1/payins HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /v1/payins HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    b"POST /v1/payins HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\nzz\r\n",
]


# What is no request


async def test_what_is_not_http_gets_a_problem_and_the_end(edge: Edge) -> None:
    for number, raw in enumerate(NOT_HTTP, 1):
        answer, rest = await edge.ask(raw)
        assert (answer.status, rest) == (400, b""), raw
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["connection"] == "close"
        problem = answer.json
        assert (problem["code"], problem["status"], problem["retry"]) == ("malformed_http", 400, "no")
        assert answer.headers["request-id"] == problem["request_id"]
        assert len(edge.writes) == number


async def test_what_came_before_it_is_answered_first(edge: Edge) -> None:
    caller = await edge.call(READY + LIVE + b"hello\r\n\r\n" + LIVE)
    assert [(await caller.answer()).status for _ in range(3)] == [200, 200, 400]
    assert not await caller.rest()


async def test_a_defect_of_the_edge_is_a_500_and_not_the_callers_fault(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Web, "opened", broken)
    answer, _ = await edge.ask(LIVE)
    assert (answer.status, answer.json["code"]) == (500, "internal_error")


HEADS = {
    "many headers": b"GET /livez HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(101)) + b"\r\n",
    "a long header": b"GET /livez HTTP/1.1\r\nX: " + b"y" * 33_000 + b"\r\n\r\n",
    "a long target": b"GET /" + b"y" * 33_000 + b" HTTP/1.1\r\n\r\n",
    "a header without end": b"GET /livez HTTP/1.1\r\nX: " + b"y" * 400_000,
    "headers without end": b"GET /livez HTTP/1.1\r\n" + b"X: y\r\n" * 100_000,
    "a target without end": b"GET /" + b"y" * 400_000,
}


async def test_a_head_that_is_too_large_is_refused(edge: Edge) -> None:
    for what, raw in HEADS.items():
        for size in (len(raw), 10_000):
            caller = await edge.call()
            sending = asyncio.create_task(caller.send(*(raw[i : i + size] for i in range(0, len(raw), size))))
            answer = await caller.answer()
            assert (answer.status, answer.json["code"]) == (431, "head_too_large"), what
            assert (answer.headers["connection"], await caller.rest()) == ("close", b"")
            caller.leave()
            await asyncio.gather(sending, return_exceptions=True)


@pytest.mark.parametrize(
    "name",
    [
        "Authorization",
        "Idempotency-Key",
        "Content-Type",
        "Caudal-Signature",
        "Request-Timeout-Ms",
        "Host",
        "Request-Id",
    ],
)
async def test_a_header_that_is_one_thing_comes_once(edge: Edge, ana: Api, name: str) -> None:
    twice = b"%b: 1\r\n%b: 1" % (name.lower().encode(), name.upper().encode())
    answer, rest = await edge.ask(creating(ana, twice) + BODY)
    assert (answer.status, answer.json["code"], rest) == (400, "malformed_http", b"")
    assert [(error["field"], error["code"]) for error in answer.json["errors"]] == [(name, "repeated")]


async def test_lines_of_one_name_are_one_list_and_all_are_counted(edge: Edge, ana: Api) -> None:
    key = b"Authorization: Bearer " + ana.key.encode()
    head = b"GET /v1/balance_transactions HTTP/1.1\r\n%b\r\nAccept: text/csv\r\nAccept: image/png\r\n" % key
    answer, _ = await edge.ask(head + b"Connection: close\r\n\r\n")
    assert (answer.status, answer.headers["content-type"].split(";")[0]) == (200, "text/csv")
    for many, status in ((96, 200), (99, 431)):
        answer, _ = await edge.ask(head + b"X: y\r\n" * many + b"Connection: close\r\n\r\n")
        assert answer.status == status


async def test_a_head_that_is_just_not_too_large_is_read(edge: Edge) -> None:
    many = b"".join(b"X-%d: y\r\n" % i for i in range(99))
    for lines in (many, b"X: " + b"y" * 32_000 + b"\r\n"):
        raw = LAST.replace(b"Host: x\r\n", lines)
        for size in (len(raw), 1_000):
            answer, _ = await edge.ask(*(raw[i : i + size] for i in range(0, len(raw), size)))
            assert answer.status == 200, lines[:50]


# Requests however they come


async def test_every_response_is_one_write(edge: Edge, ana: Api) -> None:
    asked = (
        LIVE,
        b"GET /v1/lost HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/balances HTTP/1.1\r\nAuthorization: Bearer " + ana.key.encode() + b"\r\n\r\n",
        creating(ana) + BODY,
    )
    caller = await edge.call()
    for number, (raw, status) in enumerate(zip(asked, (200, 404, 200, 201), strict=True), 1):
        await caller.send(raw)
        answer = await caller.answer()
        assert (answer.status, "connection" in answer.headers) == (status, False)
        assert answer.json and len(edge.writes) == number, edge.writes
    assert edge.state.total_requests == 4


async def test_a_request_that_comes_byte_by_byte_is_one_request(edge: Edge, ana: Api) -> None:
    whole = creating(ana) + BODY
    caller = await edge.call(*(whole[i : i + 1] for i in range(len(whole))))
    assert (await caller.answer()).status == 201


async def test_a_body_that_is_split_is_one_body(edge: Edge, ana: Api) -> None:
    caller = await edge.call()
    for cut in (1, 30, len(BODY) - 1):
        await caller.send(creating(ana) + BODY[:cut])
        await asyncio.sleep(0.01)
        await caller.send(BODY[cut:])
        assert (await caller.answer()).json["amount"] == 10_000


async def test_a_body_in_chunks_is_one_body(edge: Edge, ana: Api) -> None:
    head = creating(ana, b"Transfer-Encoding: chunked", length=None)
    for size in (1, 7, 1_000):
        caller = await edge.call(creating(ana, b"Transfer-Encoding: chunked", length=None) + chunked(BODY, size))
        assert (await caller.answer()).json["amount"] == 10_000
    trailed = chunked(BODY, 10)[:-2] + b"Authorization: Bearer x\r\nIdempotency-Key: other\r\n\r\n"
    caller = await edge.call(head + trailed, head + chunked(BODY, 7))
    first, again = await caller.answer(), await caller.answer()
    assert (first.status, again.status, again.headers["idempotent-replayed"]) == (201, 201, "true")


async def test_a_get_with_a_body_is_answered_as_without(edge: Edge) -> None:
    lengths = b"Content-Length: 80000\r\n\r\n" + b"{" * 80_000
    for body in (lengths, b"Transfer-Encoding: chunked\r\n\r\n" + chunked(b"{" * 80_000, 5_000)):
        caller = await edge.call(LIVE[:-2] + body + LAST)
        assert [(await caller.answer()).status for _ in range(2)] == [200, 200]


async def test_requests_one_behind_the_other_are_answered_in_order(edge: Edge, ana: Api) -> None:
    lost = b"GET /lost-%d HTTP/1.1\r\n\r\n"
    caller = await edge.call(READY + lost % 1 + creating(ana) + BODY + lost % 2 + LIVE + LAST)
    answers = [await caller.answer() for _ in range(6)]
    assert [answer.status for answer in answers] == [200, 404, 201, 404, 200, 200]
    assert "lost-1" in answers[1].json["detail"] and "lost-2" in answers[3].json["detail"]
    assert not await caller.rest() and len(edge.writes) == 6


async def test_nothing_is_read_while_requests_wait(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, go = 0, asyncio.Event()
    answer = Web.answer

    async def slow(self: Web, *more: Any) -> Response:
        nonlocal asked
        asked += 1
        await go.wait()
        return await answer(self, *more)

    monkeypatch.setattr(Web, "answer", slow)
    caller = await edge.call(LIVE + LIVE)
    await until(lambda: asked == 1)
    sending = asyncio.create_task(caller.send(*[LIVE * 10_000] * 40))
    await asyncio.sleep(0.05)
    assert asked == 1 and not sending.done() and len(edge.only._exchanges) == 2
    go.set()
    assert [(await caller.answer()).status for _ in range(10)] == [200] * 10
    caller.leave()
    await asyncio.gather(sending, return_exceptions=True)


async def test_a_connection_ends_behind_more_requests_than_may_wait(edge: Edge) -> None:
    caller = await edge.call(LIVE * (protocol.WAITING_MAX + 10))
    answers = [await caller.answer() for _ in range(protocol.WAITING_MAX)]
    assert [answer.headers.get("connection") for answer in answers] == [None] * (protocol.WAITING_MAX - 1) + ["close"]
    assert not await caller.rest()


# Bodies that are refused


async def test_a_body_that_is_too_large_is_refused_before_it_is_read(edge: Edge, ana: Api) -> None:
    for length in (65_537, 10**15):
        answer, rest = await edge.ask(creating(ana, length=length) + b" " * 100)
        assert (answer.status, answer.json["code"], rest) == (413, "too_large", b"")
        assert answer.headers["connection"] == "close" and answer.json["detail"] == "at most 65536 bytes"
    caller = await edge.call(creating(ana, length=65_536) + b" " * (65_536 - len(BODY)) + BODY)
    assert (await caller.answer()).status == 201


async def test_a_body_without_a_length_is_read_no_further_than_the_limit(edge: Edge, ana: Api) -> None:
    head = creating(ana, b"Transfer-Encoding: chunked", length=None)
    endless = (b"7530\r\n" + b" " * 30_000 + b"\r\n" for _ in itertools.count())
    caller = await edge.call(head, *itertools.islice(endless, 3))
    answer = await caller.answer()
    assert (answer.status, answer.json["code"], await caller.rest()) == (413, "too_large", b"")


async def test_frames_without_end_are_too_large_like_what_is_in_them(edge: Edge, ana: Api) -> None:
    head = creating(ana, b"Transfer-Encoding: chunked", length=None)
    for endless in (b"1;" + b"x" * 10_000, b"0\r\nTrailer: " + b"x" * 10_000):
        caller = await edge.call(head + endless)
        sending = asyncio.create_task(caller.send(*[b"x" * 60_000] * 20))
        assert (await caller.answer()).status == 413
        caller.leave()
        await asyncio.gather(sending, return_exceptions=True)


async def test_who_still_sends_what_was_refused_reads_why(edge: Edge, ana: Api) -> None:
    caller = await edge.call(creating(ana, length=1_000_000), *[b" " * 20_000] * 50)
    assert (await caller.answer()).status == 413


async def test_a_refusal_waits_for_the_body_so_that_the_connection_goes_on(edge: Edge) -> None:
    caller = await edge.call(b"POST /v1/lost HTTP/1.1\r\nContent-Length: 50000\r\n\r\n" + b" " * 49_999)
    assert not edge.writes
    await caller.send(b" " + LIVE)
    first, second = await caller.answer(), await caller.answer()
    assert (first.status, second.status, "connection" in first.headers) == (404, 200, False)


async def test_who_waits_to_be_asked_for_its_body_is_asked(edge: Edge, ana: Api) -> None:
    expecting = creating(ana, b"Expect: 100-continue")
    caller = await edge.call(READY + expecting)
    assert [(await caller.answer()).status for _ in range(2)] == [200, 100]
    await caller.send(BODY + LIVE)
    assert [(await caller.answer()).status for _ in range(2)] == [201, 200]


async def test_who_waits_for_nothing_is_told_at_once(edge: Edge, ana: Api) -> None:
    for head, status in (
        (creating(ana, b"Expect: 100-continue", length=70_000), 413),
        (creating(ana, b"Expect: 100-Continue").replace(b"/v1/payins", b"/v1/lost"), 404),
    ):
        answer, rest = await edge.ask(head)
        assert (answer.status, answer.headers["connection"], rest) == (status, "close", b"")
