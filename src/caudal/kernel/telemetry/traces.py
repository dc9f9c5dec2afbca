"""Traces (W3C Trace Context): who asked, which batches committed it, whom we called. Decided late, recorded late.

- An object's trace is its id: the 32 digits of a payin's id are its trace id, the last 16 of them its first span. So a
  callback days later and a webhook know them without anything being kept (ADR 0016).
- A request that comes with a `traceparent` stays in its caller's trace, and the payin's trace links to it; one that
  comes without is the payin's trace itself. `tracestate` belongs to the caller's trace: spans and calls in it have it.
- Nothing is recorded while something runs but times in a list. At its end what is sampled is kept, and so is every
  error and everything slow, whatever the sampling; spans are made of what is kept alone.
- Where nobody collects, no `Trace` is made at all; `traceparent` still goes out with the object's id in it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context, ContextVar, copy_context
from functools import partial
from time import monotonic, time_ns
from typing import Final, Literal, Protocol
from uuid import UUID

import msgspec

from caudal.kernel import ids
from caudal.kernel.telemetry.tracestate import carried

Kind = Literal["internal", "server", "client", "consumer", "producer"]
Value = str | int | float | bool
Attributes = dict[str, Value]
Place = tuple[int, int]  # a trace's id and a span's
Headers = Mapping[bytes, bytes]

_HEADER: Final = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_FIRST_VERSION: Final = b"00", 55  # and how long one of it is; later ones may go on
_SPAN_BITS: Final = (1 << 64) - 1
_CHANCE_BITS: Final = (1 << 40) - 1  # of an id of ours these are random; of a random one all are
_NOBODY: Final[Headers] = {}


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Something that took its time. Times are Unix nanoseconds; `error` is what went wrong, if anything did; `state` is
    the `tracestate` of a caller's trace.
    """

    name: str
    kind: Kind
    place: Place
    parent: int | None
    began_ns: int
    ended_ns: int
    attributes: Mapping[str, Value]
    links: Sequence[Place] = ()
    error: str | None = None
    state: str = ""


class Sampling(msgspec.Struct, frozen=True, kw_only=True):
    """Which traces are kept although nothing is wrong with them: a share, or what callers say where `by_parent`."""

    share: float
    by_parent: bool = False
    below: int = 0  # what a trace's last bits have to stay under; follows from the share

    def __post_init__(self) -> None:
        msgspec.structs.force_setattr(self, "below", round(self.share * (_CHANCE_BITS + 1)))

    def takes(self, trace: int, said: bool | None = None) -> bool:
        """Whether this trace is kept; `said` is the flag that came with it. The same in every process, at any time."""
        if self.by_parent and said is not None:
            return said
        return (trace & _CHANCE_BITS) < self.below


def first_span(trace: int) -> int:
    """The span at the root of an object's trace."""
    return trace & _SPAN_BITS


def parent_of(header: bytes) -> tuple[int, int, bool] | None:
    """Trace, span and whether it is sampled, of a `traceparent`; None for one that is none."""
    found = _HEADER.fullmatch(header)
    if found is None or not int(found[1], 16) or not int(found[2], 16):
        return None
    version, length = _FIRST_VERSION
    if header.startswith(version) and len(header) != length:
        return None
    return int(found[1], 16), int(found[2], 16), bool(int(found[3], 16) & 1)


def header(trace: int, span: int, *, sampled: bool) -> str:
    """A `traceparent`."""
    return f"00-{trace:032x}-{span:016x}-{sampled:02x}"


class Committed:
    """One batch, as the requests in it see it. Its trace is its own, under its id; its span is made if one is kept."""

    __slots__ = ("_attributes", "_links", "_told", "_tracer", "began", "ended", "span")

    def __init__(
        self, tracer: Tracer, batch: UUID, began: float, ended: float, attributes: Attributes, links: list[Place]
    ) -> None:
        self._tracer, self.began, self.ended, self._attributes = tracer, began, ended, attributes
        self.span: Place = (batch.int, first_span(batch.int))
        self._links, self._told = links, False

    def tell(self, link: Place | None = None) -> None:
        """Makes its span, once."""
        if self._told:
            return
        self._told = True
        outcome = self._attributes["caudal.outcome"]
        self._tracer.keep(
            Span(
                name="batch",
                kind="internal",
                place=self.span,
                parent=None,
                began_ns=self._tracer.unix_ns(self.began),
                ended_ns=self._tracer.unix_ns(self.ended),
                attributes=self._attributes,
                links=[*self._links, *([link] if link else [])],
                error=None if outcome == "committed" else str(outcome),
            )
        )


class Asking(Protocol):
    """What waits for a batch."""

    @property
    def trace(self) -> Trace | None: ...
    @property
    def since(self) -> float: ...


class Trace:
    """What is under way for one request or piece of work."""

    __slots__ = (
        "_batches", "_calls", "_span", "_state", "_trace", "about", "began", "creates", "failed", "parent", "sampled",
        "tracer",
    )  # fmt: skip

    def __init__(self, tracer: Tracer, headers: Headers, began: float) -> None:
        """In its caller's trace where the headers name one."""
        self.tracer, self.began = tracer, began
        self._trace: int | None = None
        self.parent: int | None = None
        self.sampled = False  # whether it is kept even if nothing is wrong, as far as that is known yet
        self._state: bytes | str = ""
        given = headers.get(b"traceparent")
        if given is not None and (parent := parent_of(given)) is not None:
            self._trace, self.parent, said = parent
            self.sampled = tracer.sampling.takes(self._trace, said)
            self._state = headers.get(b"tracestate", "")
        self._span: int | None = None
        self.about: int | None = None
        self.creates = False
        self._calls: list[Callable[[], Span]] | None = None
        self._batches: list[tuple[Committed, float]] | None = None
        self.failed: str | None = None  # what went wrong although the answer as a whole does not say so

    def belongs(self, object: int, *, creates: bool) -> None:
        """It is about an object, or makes it."""
        self.about, self.creates = object, creates
        said = self.parent is not None and self.tracer.sampling.by_parent  # and then it is the caller's to say
        if not self.sampled and not said:
            self.sampled = self.tracer.sampling.takes(object)

    @property
    def place(self) -> Place:
        """Where it stands: in its caller's trace, in its object's, or in one of its own."""
        if self._span is None:
            if self._trace is None and self.about is not None:
                self._trace, first = self.about, first_span(self.about)
                self._span, self.parent = (first, None) if self.creates else (_new(8), first)
            else:
                self._span = _new(8)
        if self._trace is None:  # and whoever asked may say so: a call, a line of the log
            self._trace = _new(16)
            self.sampled = self.sampled or self.tracer.sampling.takes(self._trace)
        return self._trace, self._span

    @property
    def state(self) -> str:
        """The `tracestate` that goes on with the caller's trace, read where it is needed."""
        if isinstance(self._state, bytes):
            self._state = carried(self._state)
        return self._state

    def note(self, batch: Committed, since: float) -> None:
        """A command of it, which waited since then, was in a batch."""
        if self._batches is None:
            self._batches = []
        self._batches.append((batch, since))

    def call(self, span: Callable[[], Span]) -> None:
        """A call of it has ended; `span` makes its span."""
        if self._calls is None:
            self._calls = []
        self._calls.append(span)

    def is_kept(self, error: str | None, ended: float) -> bool:
        """Whether it is worth it, now that it is over: sampled, gone wrong, or slow."""
        if self.sampled or error is not None or ended - self.began >= self.tracer.slow_s:
            return True
        if self._trace is None and self.about is None:
            _ = self.place  # which decides it
        return self.sampled

    def end(self, name: str, kind: Kind, attributes: Attributes, *, error: str | None, ended: float) -> None:
        """It is over: told if it is worth it."""
        if not self.is_kept(error, ended):
            return
        tracer, (trace, span) = self.tracer, self.place
        place = trace, span
        links: list[Place] = []
        if self.about is not None:
            attributes["caudal.object.id"] = f"{self.about:032x}"
            if trace != self.about:
                links.append((self.about, first_span(self.about)))
        if trace == self.about and span == first_span(trace):
            self.parent = None
        own = Span(
            name=name,
            kind=kind,
            place=place,
            parent=self.parent,
            began_ns=tracer.unix_ns(self.began),
            ended_ns=tracer.unix_ns(ended),
            attributes=attributes,
            links=links,
            error=error,
            state=self.state,
        )
        tracer.keep(own)
        if self.creates and self.about is not None and trace != self.about:
            root = (self.about, first_span(self.about))
            tracer.keep(
                msgspec.structs.replace(
                    own, name="payin", kind="internal", place=root, parent=None, links=[place], state=""
                )
            )
        for call in self._calls or ():
            tracer.keep(call())
        for batch, since in self._batches or ():
            tracer.keep(_commit(own, tracer, batch, since))
            batch.tell(place)


def _commit(of: Span, tracer: Tracer, batch: Committed, since: float) -> Span:
    """From the queue to the answer of the COMMIT."""
    trace, parent = of.place
    return Span(
        name="commit",
        kind="internal",
        place=(trace, _new(8)),
        parent=parent,
        began_ns=tracer.unix_ns(since),
        ended_ns=tracer.unix_ns(batch.ended),
        attributes={"caudal.batch.id": f"{batch.span[0]:032x}", "caudal.queue.wait_s": max(0.0, batch.began - since)},
        links=[batch.span],
        state=of.state,
    )


class Outgoing:
    """A call to somebody else: what goes with it, and its end."""

    __slots__ = ("_began", "_parent", "_place", "_trace", "_tracer", "header")

    def __init__(self, tracer: Tracer | None, about: int | None) -> None:
        self._tracer, self._trace, self._began = tracer, None if tracer is None else CURRENT.get(), monotonic()
        if self._trace is not None:
            trace, self._parent = self._trace.place
            self._place = (trace, _new(8))
            self.header = header(*self._place, sampled=self._trace.sampled)
        elif about is None:
            self._place, self._parent, self.header = (0, 0), 0, ""
        else:
            self._parent = first_span(about)
            self._place = (about, self._parent if tracer is None else _new(8))
            self.header = header(*self._place, sampled=tracer is not None and tracer.sampling.takes(about))

    @property
    def lines(self) -> str:
        """What goes with it as lines of a request's head; in the caller's trace its `tracestate`, too."""
        if not self.header:
            return ""
        line = f"traceparent: {self.header}\r\n"
        return line if self._trace is None or not self._trace.state else f"{line}tracestate: {self._trace.state}\r\n"

    def ended(self, name: str, told: Callable[[], Attributes], error: str | None) -> None:
        """It is over. What is told of it is asked for only if it is kept, which a request's end decides for its own."""
        tracer, ended = self._tracer, monotonic()
        if tracer is None or not self._place[0]:
            return
        if self._trace is not None:
            self._trace.call(partial(self._span, tracer, ended, name, told, error))
        elif error is not None or ended - self._began >= tracer.slow_s or tracer.sampling.takes(self._place[0]):
            tracer.keep(self._span(tracer, ended, name, told, error))

    def _span(self, tracer: Tracer, ended: float, name: str, told: Callable[[], Attributes], error: str | None) -> Span:
        return Span(
            name=name,
            kind="client",
            place=self._place,
            parent=self._parent,
            began_ns=tracer.unix_ns(self._began),
            ended_ns=tracer.unix_ns(ended),
            attributes=told() if error is None else {"error.type": error} | told(),
            error=error,
            state="" if self._trace is None else self._trace.state,
        )


CURRENT: Final[ContextVar[Trace | None]] = ContextVar("trace", default=None)


def apart() -> Context:
    """What a task runs in that a request happens to begin and that goes on behind it, for everybody: in no trace."""
    variables = copy_context()
    variables.run(CURRENT.set, None)
    return variables


def about(object: UUID, *, creates: bool = False) -> None:
    """What runs here is about an object, or makes it: their traces belong together."""
    trace = CURRENT.get()
    if trace is not None:
        trace.belongs(object.int, creates=creates)


def failed(error: str) -> None:
    """A part of what runs here went wrong: its trace is kept as an error, however the whole of it is answered."""
    trace = CURRENT.get()
    if trace is not None:
        trace.failed = error


class Tracer:
    """Begins traces, and keeps the spans of those that are worth it: `keep` is called with each."""

    def __init__(self, sampling: Sampling, keep: Callable[[Span], None], *, slow_s: float) -> None:
        self.sampling, self.keep, self.slow_s = sampling, keep, slow_s
        self._zero_ns = time_ns() - round(monotonic() * 1e9)

    def unix_ns(self, at: float) -> int:
        """A monotonic time as Unix nanoseconds."""
        return self._zero_ns + round(at * 1e9)

    def begin(self, headers: Headers, began: float) -> Trace:
        """A request, in its caller's trace where it names one. It is what runs here from now on."""
        trace = Trace(self, headers, began)
        CURRENT.set(trace)
        return trace

    def work(self, object: UUID) -> Trace:
        """Work on an object that nobody waits for."""
        trace = Trace(self, _NOBODY, monotonic())
        trace.belongs(object.int, creates=False)
        CURRENT.set(trace)
        return trace

    def batch(self, asking: Sequence[Asking], batch: UUID, began: float, ended: float, attributes: Attributes) -> None:
        """A batch has ended; what waited for it knows it, and those that are sampled are linked."""
        links: list[Place] = []
        committed = Committed(self, batch, began, ended, attributes, links)
        for one in asking:
            trace = one.trace
            if trace is not None:
                trace.note(committed, one.since)
                if trace.sampled:
                    links.append(trace.place)
        if links or attributes["caudal.outcome"] != "committed":
            committed.tell()


def _new(size: int) -> int:
    return int.from_bytes(ids.random_bytes(size)) or 1
