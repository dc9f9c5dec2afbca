"""A process that is asked to end: what it says first, whom it still answers, and what it gives back."""

from __future__ import annotations

import asyncio
import signal
import socket
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from caudal.app import worker
from caudal.app.edge.server import take_no_more
from caudal.app.worker import Worker
from caudal.kernel.commit import Due
from caudal.kernel.context import Context
from caudal.kernel.due import GiveBack
from tests.api import Api
from tests.app.edge import BODY, LIVE, READY, Edge, creating
from tests.app.test_exits import answers, begun, free_port, serves

# Web


async def test_who_is_about_to_end_says_so_to_balancers_and_ends_each_connection(edge: Edge, context: Context) -> None:
    caller = await edge.call(READY)
    first = await caller.answer()
    assert (first.status, "connection" in first.headers) == (200, False)
    context.stopping = True
    await caller.send(READY)
    answer = await caller.answer()
    assert (answer.status, answer.json["reasons"]) == (503, ["this process is stopping"])
    assert answer.headers["connection"] == "close" and not await caller.rest()


async def test_what_is_here_already_is_answered_before_the_connection_ends(edge: Edge, context: Context) -> None:
    ana = Api(context)
    await ana.ana()
    context.stopping = True
    caller = await edge.call(creating(ana) + BODY + LIVE + creating(ana) + BODY[:10])
    assert [(await caller.answer()).status for _ in range(2)] == [201, 200]
    await caller.send(BODY[10:])
    last = await caller.answer()
    assert (last.status, last.headers["connection"]) == (201, "close") and not await caller.rest()


def test_a_port_that_takes_no_more_keeps_those_who_have_come() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(16)
        address = listener.getsockname()
        came = [socket.create_connection(address) for _ in range(3)]
        take_no_more(listener)
        with pytest.raises(TimeoutError):
            socket.create_connection(address, timeout=0.2)
        for caller in came:
            caller.sendall(b"hello")
            taken, _ = listener.accept()
            assert taken.recv(5) == b"hello"
            taken.close()
            caller.close()


@pytest.mark.server
def test_the_api_takes_connections_while_balancers_look_and_a_second_signal_ends_it_at_once(database_url: str) -> None:
    port = free_port()
    settings = {"CAUDAL_DATABASE_URL": database_url, "CAUDAL_PORT": str(port), "CAUDAL_STOP_NOTICE_S": "60"}
    with begun("web", **settings) as web:
        serves(web, port)
        web.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert answers(port), "it is alive, and new connections are taken"
        web.send_signal(signal.SIGTERM)
        web.communicate(timeout=60)
        assert web.returncode == 128 + signal.SIGTERM


@pytest.mark.server
def test_what_does_not_end_is_broken_off(database_url: str) -> None:
    port = free_port()
    settings = {"CAUDAL_DATABASE_URL": database_url, "CAUDAL_PORT": str(port)}
    with begun("web", **settings, CAUDAL_STOP_NOTICE_S="60", CAUDAL_STOP_S="0.3") as web:
        serves(web, port)
        web.send_signal(signal.SIGTERM)
        said, _ = web.communicate(timeout=60)
        assert web.returncode == 1 and "is broken off" in said


# Worker


async def due_of(context: Context) -> list[tuple[Any, ...]]:
    return await context.rows("select kind, attempt, at <= clock_timestamp() from due where kind = 'toy' order by at")


async def a_piece(context: Context, at: datetime, attempt: int) -> Due:
    piece = Due(at=at, kind="toy", subject=uuid4(), book=2, attempt=attempt)
    query = "insert into due (shard, at, kind, subject, book, attempt) values (0, %s, 'toy', %s, 2, %s) returning 1"
    await context.rows(query, (piece.at, piece.subject, attempt))
    return piece


async def test_work_that_does_not_end_is_given_back_and_due_at_once(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, broken = asyncio.Event(), list[str]()

    async def job(context: Context, shard: int, due: Due) -> None:
        began.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            broken.append(due.kind)
            raise

    monkeypatch.setattr(worker, "JOBS", {"toy": job})
    monkeypatch.setattr(worker, "LAST_JOBS_S", 0.05)
    await a_piece(context, datetime.now(UTC) - timedelta(seconds=1), 0)
    running = Worker(context)
    task = asyncio.create_task(running.run())
    async with asyncio.timeout(60):
        await began.wait()
        assert await due_of(context) == [("toy", 1, False)], "it is held"
        running.stop()
        await task
    assert broken == ["toy"] and await due_of(context) == [("toy", 0, True)]


async def test_work_that_ends_in_time_is_waited_for(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    began, go_on, ended = asyncio.Event(), asyncio.Event(), list[str]()

    async def job(context: Context, shard: int, due: Due) -> None:
        began.set()
        await go_on.wait()
        ended.append(due.kind)

    monkeypatch.setattr(worker, "JOBS", {"toy": job})
    await a_piece(context, datetime.now(UTC) - timedelta(seconds=1), 0)
    running = Worker(context)
    task = asyncio.create_task(running.run())
    async with asyncio.timeout(60):
        await began.wait()
        running.stop()
        await asyncio.sleep(0.05)
        go_on.set()
        await task
    assert ended == ["toy"]


async def test_what_has_ended_meanwhile_does_not_come_back(context: Context) -> None:
    later = datetime.now(UTC) + timedelta(seconds=30)
    there = await a_piece(context, later, 3)
    gone = Due(at=later, kind="toy", subject=uuid4(), book=2, attempt=1)
    given = await context.commit(0, GiveBack(held=(there, gone)))
    assert given.outcome == 1 and await due_of(context) == [("toy", 2, True)]
