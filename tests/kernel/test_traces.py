"""Traces: whose they are, what is kept, and what goes out, without any process or collector."""

from __future__ import annotations

from contextvars import copy_context
from time import monotonic
from typing import Any
from uuid import UUID, uuid4

import pytest

from caudal.kernel import ids
from caudal.kernel.telemetry import CURRENT, Outgoing, Sampling, Span, Tracer, about
from caudal.kernel.telemetry.collector import Endpoint
from caudal.kernel.telemetry.otlp import Exporter
from caudal.kernel.telemetry.traces import first_span, parent_of

T, S = 0x4BF92F3577B34DA6A3CE929D0E0E4736, 0x00F067AA0BA902B7
GIVEN = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def told(*, share: float = 0.0, by_parent: bool = False, header: bytes | None = None, **asked: Any) -> list[Span]:
    """The spans of one request: `object` it is about, `creates`, `error`, `slow`."""
    kept: list[Span] = []

    def run() -> None:
        tracer = Tracer(Sampling(share=share, by_parent=by_parent), kept.append, slow_s=1.0)
        began = monotonic()
        trace = tracer.begin({} if header is None else {b"traceparent": header}, began)
        if asked.get("object") is not None:
            about(asked["object"], creates=asked.get("creates", False))
        ended = began + (2.0 if asked.get("slow") else 0.1)
        trace.end("GET /x", "server", {}, error=asked.get("error"), ended=ended)

    copy_context().run(run)
    return kept


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ({"share": 0.0}, 0),
        ({"share": 1.0}, 1),
        ({"share": 0.0, "error": "internal_error"}, 1),
        ({"share": 0.0, "slow": True}, 1),
        ({"share": 0.0, "header": GIVEN}, 0),
        ({"share": 0.0, "header": GIVEN, "by_parent": True}, 1),
        ({"share": 1.0, "header": GIVEN[:-1] + b"0", "by_parent": True}, 0),
        ({"share": 1.0, "header": GIVEN[:-1] + b"0", "by_parent": True, "object": UUID(int=T)}, 0),
        ({"share": 1.0, "header": GIVEN[:-1] + b"0"}, 1),
    ],
)
def test_what_is_kept(asked: dict[str, Any], kept: int) -> None:
    assert len(told(**asked)) == kept


def test_whoever_asks_again_hears_the_same() -> None:
    kept: list[Span] = []
    tracer = Tracer(Sampling(share=1.0), kept.append, slow_s=9.0)
    trace = copy_context().run(tracer.begin, {}, monotonic())
    assert trace.is_kept(None, monotonic()), "as the edge asks, before it says what the span tells"
    trace.end("GET /x", "server", {}, error=None, ended=monotonic())
    assert len(kept) == 1


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_who_asks_for_its_place_while_it_runs_changes_nothing(share: float) -> None:
    kept: list[Span] = []
    tracer = Tracer(Sampling(share=share), kept.append, slow_s=9.0)

    def run() -> str:
        trace = tracer.begin({}, monotonic())
        call = Outgoing(tracer, None)  # as a line of the log would
        call.ended("submit", dict, None)
        trace.end("GET /x", "server", {}, error=None, ended=monotonic())
        return call.header

    assert copy_context().run(run).endswith(f"-{share:02.0f}"), "what is sampled is said"
    assert len(kept) == 2 * share


def test_a_request_that_makes_an_object_is_the_root_of_its_trace() -> None:
    id = ids.uuid7(5)
    [own] = told(share=1.0, object=id, creates=True)
    assert (own.place, own.parent, own.links) == ((id.int, first_span(id.int)), None, [])


def test_a_request_about_an_object_is_in_its_trace() -> None:
    id = ids.uuid7(5)
    [own] = told(share=1.0, object=id)
    assert own.place[0] == id.int and own.place[1] != first_span(id.int) and own.parent == first_span(id.int)


def test_a_caller_with_a_trace_keeps_it_and_both_are_linked() -> None:
    id = ids.uuid7(5)
    own, root = told(share=1.0, header=GIVEN, object=id, creates=True)
    assert (own.place[0], own.parent, own.links) == (T, S, [(id.int, first_span(id.int))])
    assert (root.place, root.parent, root.links) == ((id.int, first_span(id.int)), None, [own.place])


def test_a_share_of_objects_is_sampled_and_always_the_same_ones() -> None:
    sampling, objects = Sampling(share=0.1), [ids.uuid7(77).int for _ in range(5_000)]
    taken = [one for one in objects if sampling.takes(one)]
    assert 350 < len(taken) < 650
    assert all(Sampling(share=0.1).takes(one) for one in taken)
    assert not any(Sampling(share=0.0).takes(one) for one in objects)
    assert all(Sampling(share=1.0).takes(one) for one in objects)


@pytest.mark.parametrize(
    "header",
    [
        b"", b"00", b"ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        b"00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        b"00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        GIVEN + b"-more",
    ],
)  # fmt: skip
def test_what_is_no_traceparent_is_nobodys_trace(header: bytes) -> None:
    assert parent_of(header) is None
    assert told(share=1.0, header=header)[0].parent is None


def test_a_later_version_may_say_more() -> None:
    assert parent_of(b"01" + GIVEN[2:] + b"-more") == parent_of(GIVEN) == (T, S, True)


def test_a_call_goes_out_with_the_objects_trace_even_where_nobody_collects() -> None:
    id = ids.uuid7(5)
    assert Outgoing(None, id.int).header == f"00-{id.hex}-{id.hex[16:]}-00"
    assert Outgoing(None, None).header == ""


def test_a_call_of_a_request_is_its_child_and_kept_with_it() -> None:
    kept: list[Span] = []

    def run(error: str | None) -> str:
        trace = Tracer(Sampling(share=0.0), kept.append, slow_s=1.0).begin({b"traceparent": GIVEN}, monotonic())
        call = Outgoing(trace.tracer, None)
        call.ended("submit", dict, None)
        trace.end("POST", "server", {}, error=error, ended=trace.began)
        return call.header

    assert copy_context().run(run, None).startswith("00-4bf92f3577b34da6a3ce929d0e0e4736-") and not kept
    header = copy_context().run(run, "unknown_outcome")
    own, call = kept
    assert call.parent == own.place[1]
    assert header == f"00-{T:032x}-{call.place[1]:016x}-00"


@pytest.mark.parametrize(("slow_s", "error", "kept"), [(9.0, None, 0), (0.0, None, 1), (9.0, "unknown", 1)])
def test_a_call_that_no_request_waits_for_is_kept_if_it_was_slow_or_failed(
    slow_s: float, error: str | None, kept: int
) -> None:
    spans, asked = list[Span](), list[str]()

    def described() -> dict[str, Any]:
        asked.append("for what it tells")
        return {"server.port": 443}

    def run() -> None:
        id = ids.uuid7(5)
        Outgoing(Tracer(Sampling(share=0.0), spans.append, slow_s=slow_s), id.int).ended("webhook", described, error)

    copy_context().run(run)
    assert (len(spans), len(asked)) == (kept, kept), "what nobody keeps is not described either"
    assert [one.attributes for one in spans] == [
        ({} if error is None else {"error.type": error}) | {"server.port": 443}
    ] * kept


class Asked:
    def __init__(self, trace: Any, since: float = 0.0) -> None:
        self.trace, self.since = trace, since


def test_a_batch_is_told_once_with_links_to_those_that_are_sampled() -> None:
    kept: list[Span] = []
    tracer = Tracer(Sampling(share=0.0, by_parent=True), kept.append, slow_s=1.0)
    sampled, failed, well = (
        copy_context().run(tracer.begin, headers, monotonic())
        for headers in ({b"traceparent": GIVEN}, {b"traceparent": GIVEN[:-1] + b"0"}, {})
    )
    batch, now = uuid4(), monotonic()
    asked = [Asked(trace, now - 0.2) for trace in (sampled, failed, well, None)]
    tracer.batch(asked, batch, now - 0.1, now, {"caudal.outcome": "committed"})
    for trace, error in ((sampled, None), (failed, "internal_error"), (well, None)):
        trace.end("POST", "server", {}, error=error, ended=now)
    batches = [one for one in kept if one.name == "batch"]
    commits = [one for one in kept if one.name == "commit"]
    assert [one.place for one in batches] == [(batch.int, first_span(batch.int))]
    assert batches[0].links == [sampled.place]
    assert {one.parent for one in commits} == {sampled.place[1], failed.place[1]}
    assert all(one.links == [batches[0].place] for one in commits)
    assert all(one.attributes["caudal.queue.wait_s"] == pytest.approx(0.1) for one in commits)


def test_a_batch_that_failed_is_told_whoever_was_in_it() -> None:
    kept: list[Span] = []
    tracer = Tracer(Sampling(share=0.0), kept.append, slow_s=1.0)
    tracer.batch([Asked(None)], uuid4(), 0.0, 1.0, {"caudal.outcome": "lost"})
    assert [(one.name, one.error) for one in kept] == [("batch", "lost")]


def test_what_does_not_fit_into_the_queue_is_dropped_and_counted() -> None:
    from caudal.kernel.telemetry import Meter

    meter = Meter()
    endpoint = Endpoint(
        traces=None, metrics=None, sampling=Sampling(share=1.0), every_s=1.0, delay_s=1.0, queue_max=2, at_once=2
    )
    exporter = Exporter(endpoint, meter, {})
    for span in told(share=1.0) * 3:
        exporter.keep(span)
    counted = {values: value for one, samples in meter.read() for values, value in samples}
    assert counted == {("sent",): 0, ("failed",): 0, ("dropped",): 1}, "what waits is neither"
    assert CURRENT.get() is None
