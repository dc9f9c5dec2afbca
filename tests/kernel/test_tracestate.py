"""`tracestate` of a caller: what of it goes on, by the rules of W3C Trace Context, and where it does."""

from __future__ import annotations

from contextvars import copy_context
from time import monotonic

import pytest
from opentelemetry.trace import TraceState

from caudal.kernel import ids
from caudal.kernel.context import Context
from caudal.kernel.telemetry import Outgoing, Sampling, Span, Trace, Tracer, about
from caudal.kernel.telemetry.tracestate import LENGTH_MAX, MEMBERS_MAX, carried
from tests.api import Api

PARENT = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
MANY = ",".join(f"k{number}={number}" for number in range(MEMBERS_MAX))
NEW_RELIC = "33@nr=0-0-33-2827902-7d3efb1b173fecfa-e8b91a159289ff74-1-1.23456-1518469636035"
WHOLE = [
    "rojo=00f067aa0ba902b7",
    "rojo=1,congo=2",
    "dd=s:2;o:rum;t.dm:-4;t.usr.id:aGVsbG8~",
    "fw529a3039@dt=FfAAAAAABP//+A;8af9b;0;3",
    "foo= a b",
    f"a{'-' * 255}=1",
    f"{'t' * 241}@{'s' * 14}=1",
    f"k={'v' * 256}",
    MANY,
    NEW_RELIC,
]
NOTHING = [
    "",
    ",, ,",
    "foo",
    "=1",
    "foo=",
    "foo=1=2",
    "Foo=1",
    "foo bar=1",
    "foo =1",
    "1foo=1",
    "@foo=1",
    "foo@=1",
    "foo@bar@baz=1",
    "foo=1,foo=2",
    "foo=1,bar",
    "foo=\x7f",
    "foo=é",
    "foo=1\x00",
    f"a{'-' * 256}=1",
    f"{'t' * 242}@v=1",
    f"t@{'s' * 15}=1",
    f"k={'v' * 257}",
    f"{MANY},one=more",
]


@pytest.mark.parametrize("given", WHOLE)
def test_what_is_right_goes_on_as_it_came(given: str) -> None:
    assert carried(given.encode()) == given
    assert TraceState.from_header([given]).to_header() == given, "as another library reads it"


@pytest.mark.parametrize("given", NOTHING)
def test_of_what_is_wrong_nothing_goes_on(given: str) -> None:
    assert carried(given.encode("latin-1")) == ""


def test_space_around_members_and_empty_ones_mean_nothing() -> None:
    assert carried(b" foo=1 ,\t, ,bar=2\t") == "foo=1,bar=2"


def test_what_is_too_long_loses_long_members_first_and_then_the_last() -> None:
    long, short = f"long={'v' * 200}", [f"k{number:02}={'v' * 60}" for number in range(8)]
    assert carried(f"{long},{','.join(short[:4])}".encode()) == f"{long},{','.join(short[:4])}"
    assert carried(f"{long},{','.join(short[:5])}".encode()) == ",".join(short[:5])
    assert carried(",".join(short).encode()) == ",".join(short[:7])
    for count in range(1, 9):
        assert len(carried(",".join(short[:count]).encode())) <= LENGTH_MAX


def test_a_cards_number_goes_nowhere() -> None:
    assert carried(b"rojo=1,card=x4111111111111111,congo=2") == "rojo=1,congo=2"


def gone_out(**headers: bytes) -> str:
    def run() -> str:
        tracer = Tracer(Sampling(share=0.0), lambda _: None, slow_s=9.0)
        tracer.begin({name.encode(): value for name, value in headers.items()}, monotonic())
        return Outgoing(tracer, None).lines

    return copy_context().run(run)


def test_it_goes_out_with_a_traceparent_of_the_same_trace_and_never_without() -> None:
    lines = gone_out(traceparent=PARENT, tracestate=b"rojo=1")
    assert lines.startswith("traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-")
    assert lines.endswith("\r\ntracestate: rojo=1\r\n") and lines.count("\r\n") == 2
    for headers in (
        {"tracestate": b"rojo=1"},
        {"traceparent": PARENT[:-1], "tracestate": b"rojo=1"},
        {"traceparent": PARENT},
        {"traceparent": PARENT, "tracestate": b"rojo"},
    ):
        assert "tracestate" not in gone_out(**headers), headers
        assert gone_out(**headers).startswith("traceparent: 00-"), "the call has a trace all the same"
    assert Outgoing(None, 7 << 64 | 7).lines == f"traceparent: 00-{7:016x}{7:016x}-{7:016x}-00\r\n"
    assert Outgoing(None, None).lines == ""


def test_spans_of_the_callers_trace_have_it_and_those_of_the_object_do_not() -> None:
    kept: list[Span] = []

    def run() -> None:
        tracer = Tracer(Sampling(share=1.0), kept.append, slow_s=9.0)
        trace = tracer.begin({b"traceparent": PARENT, b"tracestate": b"rojo=1"}, monotonic())
        about(ids.uuid7(5), creates=True)
        tracer.batch([Asked(trace)], ids.uuid7(0), 0.0, 1.0, {"caudal.outcome": "committed"})
        Outgoing(tracer, None).ended("submit", dict, None)
        trace.end("POST", "server", {}, error=None, ended=monotonic())

    copy_context().run(run)
    states = {span.name: span.state for span in kept}
    assert states == {"POST": "rojo=1", "submit": "rojo=1", "commit": "rojo=1", "payin": "", "batch": ""}


class Asked:
    def __init__(self, trace: Trace) -> None:
        self.trace, self.since = trace, 0.0


@pytest.mark.parametrize("state", ["rojo=1", "no state", "x" * 9_000, "\xe9", f"{MANY},one=more"])
async def test_no_request_fails_for_it(context: Context, state: str) -> None:
    ana, kept = Api(context), list[Span]()
    await ana.ana()
    ana.context.tracer = Tracer(Sampling(share=1.0), kept.append, slow_s=9.0)
    headers = {"traceparent": PARENT.decode(), "tracestate": state}
    assert (await ana.call("GET", "/v1/payins", headers=headers)).status == 200
    ana.context.tracer = None
    assert [span.state for span in kept if span.kind == "server"] == ["rojo=1" if state == "rojo=1" else ""]
