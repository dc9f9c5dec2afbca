"""Whose trace a line of the log carries: that of what it is about, never of who happened to begin a task."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Iterator, Sequence
from contextvars import copy_context
from time import monotonic

import psycopg
import pytest

from caudal.kernel.context import Context
from caudal.kernel.errors import CaudalError
from caudal.kernel.gather import Gathered
from caudal.kernel.telemetry import CURRENT, Sampling, Tracer, apart
from tests.api import Api
from tests.kernel.test_redaction import Log, configured
from tests.kernel.toy import Note

CALLER = "4bf92f3577b34da6a3ce929d0e0e4736"
HEADER = f"00-{CALLER}-00f067aa0ba902b7-01"


@pytest.fixture
def log() -> Iterator[Log]:
    yield from configured(as_json=True)


@pytest.fixture
def traced(context: Context) -> Iterator[Tracer]:
    context.tracer = Tracer(Sampling(share=1.0), lambda span: None, slow_s=9.0)
    yield context.tracer
    context.tracer = None


async def in_a_request(tracer: Tracer, asked: object) -> None:
    """Waits for something in a task whose trace is the caller's."""

    async def run() -> None:
        tracer.begin({b"traceparent": HEADER.encode()}, monotonic())
        await asked  # type: ignore[misc]

    await asyncio.create_task(run(), context=copy_context())


def of(log: Log, logger: str) -> list[dict[str, object]]:
    return [line for line in log.lines if line["logger"] == logger]


async def test_a_shards_lines_are_not_in_the_trace_of_its_first_request(
    context: Context, traced: Tracer, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    await in_a_request(traced, context.commit(0, Note(text="begins the shard's task")))

    async def breaks(*_: object) -> None:
        raise psycopg.errors.lookup("22021")("no text")

    monkeypatch.setattr(context.shard(0)._port, "write", breaks)
    with pytest.raises(CaudalError):
        await in_a_request(traced, context.commit(0, Note(text="breaks")))
    [line] = of(log, "caudal.kernel.commit.shard")
    assert "did not commit" in str(line["event"]) and "trace_id" not in line


async def test_who_reads_keys_for_all_is_in_nobodys_trace(
    context: Context, traced: Tracer, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("caudal.merchants.store.callers", breaks)
    ana = Api(context)
    key = f"sk_test_{'Zq' * 21}x"
    assert (await ana.call("GET", "/v1/payins", key=key, headers={"traceparent": HEADER})).status == 500
    [line] = of(log, "caudal.merchants.commands.callers")
    assert "could not be read" in str(line["event"]) and "trace_id" not in line
    [broke] = of(log, "caudal.app.web")
    assert broke["trace_id"] == CALLER


async def test_a_look_for_many_is_in_nobodys_trace(traced: Tracer) -> None:
    seen = list[object]()

    async def look(keys: Sequence[int]) -> dict[int, int]:
        seen.append(CURRENT.get())
        return {key: key for key in keys}

    await in_a_request(traced, Gathered(look).get(7))
    assert seen == [None]


async def test_who_stands_apart_keeps_everything_but_the_trace(traced: Tracer) -> None:
    async def run() -> None:
        traced.begin({}, monotonic())
        variables = apart()
        assert variables.get(CURRENT) is None and CURRENT.get() is not None
        assert set(variables) == set(copy_context())

    await asyncio.create_task(run())


async def test_without_a_collector_what_is_broken_still_names_the_callers_trace(
    context: Context, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr("caudal.merchants.store.callers", breaks)
    for headers in ({"traceparent": HEADER}, {"traceparent": "00-0-0-0"}, {}):
        key = f"sk_test_{'Zq' * 21}x"
        assert (await Api(context).call("GET", "/v1/payins", key=key, headers=headers)).status == 500
    named = [(line.get("trace_id"), line.get("parent_id")) for line in of(log, "caudal.app.web")]
    assert named == [(CALLER, "00f067aa0ba902b7"), (None, None), (None, None)]


def test_what_ends_the_process_is_a_line_without_values(log: Log) -> None:
    try:
        raise ExceptionGroup("in all", [ValueError("Key (email)=(maria@example.com)"), KeyError("Maria Lopez")] * 3)
    except ExceptionGroup as error:
        sys.excepthook(type(error), error, error.__traceback__)
    [line] = of(log, "caudal")
    assert (line["level"], line["event"]) == ("critical", "this ends the process")
    told = str(line["exception"])
    assert "maria" not in told.lower()
    assert "ExceptionGroup" in told and "  | ValueError" in told and "  | KeyError" in told and "and 2 more" in told


async def test_what_a_task_died_of_is_told_without_values(log: Log) -> None:
    async def dies() -> None:
        raise ValueError("of Maria Lopez")

    task = asyncio.create_task(dies())
    await asyncio.wait({task})
    del task
    gc.collect()
    [line] = of(log, "asyncio")
    assert line["event"] == "Task exception was never retrieved"
    assert "ValueError" in str(line["exception"]) and "test_log_traces" in str(line["exception"])
    assert "Maria" not in str(line)
