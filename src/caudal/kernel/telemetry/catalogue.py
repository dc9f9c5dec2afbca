"""Everything that is measured: one table, from which the Prometheus page, OTLP's metrics and docs/telemetry.md come.

Names are OpenTelemetry's (semantic conventions where they have one); Prometheus' names follow from name, unit and kind
by OpenTelemetry's own rules. An `updowncounter` is a gauge whose values add up: a sum in OTLP, a gauge for Prometheus.
An attribute has few values: a route's pattern, never a path; no merchant, no id. One that is empty is left out.
"""

from __future__ import annotations

from typing import Final, Literal

import msgspec

Kind = Literal["counter", "updowncounter", "gauge", "histogram"]
By = Literal["every process", "web", "worker", "one worker"]

# Attributes that are numbers in OTLP; all others are text.
NUMBERS: Final = frozenset({"http.response.status_code", "cpython.gc.generation", "caudal.shard"})

_WORDS: Final = {"s": "seconds", "By": "bytes", "1": "ratio"}

# Upper bounds in seconds: the standard's, with those between which our promises lie.
REQUEST_S: Final = (
    0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.04, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
)  # fmt: skip
COMMIT_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.015, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
CALL_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
WEBHOOK_S: Final = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 15.0, 30.0, 60.0)
PAUSE_S: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)
COMMANDS: Final = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)


class Instrument(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is measured. `bounds` are a histogram's; `by` says which processes have it."""

    name: str
    kind: Kind
    unit: str
    help: str
    attributes: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    by: By = "every process"

    @property
    def prometheus(self) -> str:
        """Its name on a Prometheus page: the unit in words behind the name, `_total` behind a counter."""
        name, unit = self.name.replace(".", "_"), self.unit
        if unit.startswith("{"):
            unit = unit.partition("}")[2]
        per = unit.startswith("/s")
        word = "per_second" if per else _WORDS.get(unit, "")
        if word == "ratio" and self.kind != "gauge":
            word = ""
        if word and not name.endswith(f"_{word}"):
            name = f"{name}_{word}"
        return f"{name}_total" if self.kind == "counter" else name

    @property
    def prometheus_kind(self) -> str:
        """What a Prometheus page calls it."""
        return "gauge" if self.kind == "updowncounter" else self.kind

    @property
    def labels(self) -> tuple[str, ...]:
        """Its attributes as Prometheus' labels."""
        return tuple(attribute.replace(".", "_") for attribute in self.attributes)


def _counter(name: str, unit: str, help: str, *attributes: str, by: By = "every process") -> Instrument:
    return Instrument(name=name, kind="counter", unit=unit, help=help, attributes=attributes, by=by)


def _gauge(name: str, unit: str, help: str, *attributes: str, by: By = "every process") -> Instrument:
    return Instrument(name=name, kind="gauge", unit=unit, help=help, attributes=attributes, by=by)


def _updown(name: str, unit: str, help: str, *attributes: str, by: By = "every process") -> Instrument:
    return Instrument(name=name, kind="updowncounter", unit=unit, help=help, attributes=attributes, by=by)


def _histogram(
    name: str, unit: str, help: str, bounds: tuple[float, ...], *attributes: str, by: By = "every process"
) -> Instrument:
    return Instrument(name=name, kind="histogram", unit=unit, help=help, attributes=attributes, bounds=bounds, by=by)


_PROVIDER: Final = ("caudal.provider", "caudal.mode")
_SHARD: Final = "caudal.shard"

HTTP: Final = (
    _histogram(
        "http.server.request.duration",
        "s",
        "How long requests took, from their last byte to the answer's handing over.",
        REQUEST_S,
        "http.request.method",
        "http.route",
        "http.response.status_code",
        "url.scheme",
        "error.type",
        by="web",
    ),
    _updown(
        "http.server.active_requests",
        "{request}",
        "Requests whose handler runs.",
        "http.request.method",
        "url.scheme",
        by="web",
    ),
    _counter(
        "caudal.http.problems",
        "{request}",
        "Requests that were answered with a problem, by its code: docs/errors.md.",
        "error.type",
        by="web",
    ),
    _counter(
        "caudal.bulk.payins",
        "{payin}",
        "Payins asked for by `POST /v1/payins/bulk`, by the status of each one's own answer and, where that is a "
        "problem, its code. What is refused whole is one request and none of these.",
        "http.response.status_code",
        "error.type",
        by="web",
    ),
)

COMMIT: Final = (
    _updown(
        "caudal.commit.queue.length",
        "{command}",
        "Commands that wait, by urgency; `again` are those that go first because they needed another row.",
        _SHARD,
        "caudal.lane",
    ),
    _histogram(
        "caudal.commit.queue.wait",
        "s",
        "How long commands waited until their batch began.",
        COMMIT_S,
        _SHARD,
        "caudal.lane",
    ),
    _histogram("caudal.commit.batch.size", "{command}", "Commands of a batch that committed.", COMMANDS, _SHARD),
    _histogram("caudal.commit.batch.duration", "s", "How long batches took that committed.", COMMIT_S, _SHARD),
    _counter(
        "caudal.commit.batches",
        "{batch}",
        "Tries of batches: `committed`, or why not (`again`, `halve`, `lost`, `unknown`, `defect`).",
        _SHARD,
        "caudal.outcome",
    ),
    _counter("caudal.commit.commands", "{command}", "Commands that committed.", _SHARD),
    _counter("caudal.commit.events", "{event}", "Events that committed.", _SHARD),
    _counter("caudal.commit.alarms", "{command}", "Commands and batches that broke: look into the log.", _SHARD),
    _gauge("caudal.commit.drain_rate", "{command}/s", "Commands that the shard commits a second, as learned.", _SHARD),
)

DATABASE: Final = (
    _updown(
        "db.client.connection.count",
        "{connection}",
        "Connections to read with, by state (`idle`, `used`).",
        "db.client.connection.pool.name",
        "db.client.connection.state",
    ),
    _updown(
        "db.client.connection.max",
        "{connection}",
        "Connections that a pool may have.",
        "db.client.connection.pool.name",
    ),
    _updown(
        "db.client.connection.pending_requests",
        "{request}",
        "Reads that wait for a connection.",
        "db.client.connection.pool.name",
    ),
    _counter(
        "db.client.connection.timeouts",
        "{timeout}",
        "Reads that got no connection in time, or found too many waiting.",
        "db.client.connection.pool.name",
    ),
)

PROVIDERS: Final = (
    _histogram(
        "caudal.provider.call.duration",
        "s",
        "How long tries of calls to providers took. Outcome: `answered`, `retry` (nothing happened) or `unknown`.",
        CALL_S,
        *_PROVIDER,
        "caudal.method",
        "caudal.operation",
        "caudal.outcome",
    ),
    _counter("caudal.provider.calls", "{call}", "Calls, each of one or more tries.", *_PROVIDER),
    _counter("caudal.provider.failed", "{call}", "Calls that stayed without an outcome.", *_PROVIDER),
    _counter("caudal.provider.repeated", "{try}", "Tries beyond a call's first.", *_PROVIDER),
    _counter("caudal.provider.turned_away", "{try}", "Tries that were not made: breaker, slots, no time.", *_PROVIDER),
    _updown("caudal.provider.in_flight", "{try}", "Tries under way.", *_PROVIDER),
    _updown("caudal.provider.concurrency_limit", "{try}", "Tries that one process may have under way.", *_PROVIDER),
    _gauge(
        "caudal.provider.breaker.state",
        "",
        "1 for the state that the breaker is in (`closed`, `half_open`, `open`).",
        *_PROVIDER,
        "caudal.state",
    ),
    _gauge(
        "caudal.provider.forced",
        "",
        "1 where an operator has forced the breaker to this state (`closed`, `open`).",
        *_PROVIDER,
        "caudal.state",
    ),
    _gauge("caudal.provider.drained", "", "1 where no new payments go.", *_PROVIDER),
    _gauge("caudal.provider.failure_share", "1", "Part of the last seconds' calls that failed.", *_PROVIDER),
    _gauge("caudal.provider.slow_share", "1", "Part of the last seconds' calls that took too long.", *_PROVIDER),
    _updown("caudal.door.inside", "{request}", "Requests that wait for a provider, queue included.", *_PROVIDER),
    _counter(
        "caudal.door.turned_away", "{request}", "Requests refused because too many wait for a provider.", *_PROVIDER
    ),
)

WORK: Final = (
    _updown("caudal.job.running", "{job}", "Pieces of due work that run.", "caudal.job", by="worker"),
    _histogram(
        "caudal.job.duration",
        "s",
        "How long pieces of due work took: `done`, `again` (due again after its lease) or `broken`.",
        CALL_S,
        "caudal.job",
        "caudal.outcome",
        by="worker",
    ),
    _gauge(
        "caudal.due.oldest_age",
        "s",
        "For how long the oldest piece of work of a kind has been due and nobody has taken it (sweeps, expiries, "
        "releases; of the 1,000 that are due longest); 0: none is.",
        _SHARD,
        "caudal.job",
        by="one worker",
    ),
    _gauge(
        "caudal.due.in_vain",
        "{job}",
        "Pieces of work that were tried and did not end: each waits for the end of its lease and is tried again "
        "(1,000: so many or more).",
        _SHARD,
        "caudal.job",
        by="one worker",
    ),
    _gauge(
        "caudal.consumer.lag",
        "{event}",
        "Events behind the newest (`webhooks`, `payin_search`).",
        _SHARD,
        "caudal.consumer",
        by="one worker",
    ),
    _histogram(
        "caudal.webhook.attempt.duration",
        "s",
        "How long endpoints took: `accepted`, `refused` (another status) or `failed` (no answer).",
        WEBHOOK_S,
        "caudal.outcome",
        by="worker",
    ),
    _counter(
        "caudal.webhook.deliveries",
        "{delivery}",
        "Deliveries that ended (`delivered`, `failed`, `cancelled`), and attempts after which one waits (`again`).",
        "caudal.outcome",
        by="worker",
    ),
    _gauge(
        "caudal.webhook.lag",
        "s",
        "How late webhooks are: `unmade`, the oldest event without deliveries; `first`, the oldest delivery that is "
        "due and was never tried; `again`, the oldest that is due once more.",
        _SHARD,
        "caudal.state",
        by="one worker",
    ),
)

MONEY: Final = (
    _gauge(
        "caudal.ledger.check.last_run_timestamp",
        "s",
        "Unix time at which a law of the books was last looked at in full; 0: never, as it stands now.",
        _SHARD,
        "caudal.check",
        by="one worker",
    ),
    _gauge(
        "caudal.ledger.check.violations",
        "{row}",
        "Rows that break a law of the books, in its last full look or the one under way, whichever has more.",
        _SHARD,
        "caudal.check",
        by="one worker",
    ),
    _counter(
        "caudal.ledger.check.ranges", "{range}", "Ranges of rows that laws were held against.", _SHARD, by="one worker"
    ),
    _gauge(
        "caudal.money.in_flight",
        "{minor_unit}",
        "Money that is on its way, in minor units: `capture`, `refund`, `void` under way at a provider, `return` to "
        "who sent it (each of the first 10,000); `authorized` and not captured, as of the last whole look at the "
        "books.",
        _SHARD,
        "caudal.mode",
        "caudal.currency",
        "caudal.state",
        by="one worker",
    ),
    _gauge(
        "caudal.money.house",
        "{minor_unit}",
        "Balances of the house's accounts, in minor units (docs/money.md), debits less credits: "
        "`provider_receivable` is what providers owe us.",
        _SHARD,
        "caudal.mode",
        "caudal.currency",
        "caudal.account",
        by="one worker",
    ),
    _gauge(
        "caudal.unresolved.outcomes",
        "{outcome}",
        "Outcomes that are unknown for longer than five minutes: docs/unknown-outcomes.md.",
        by="one worker",
    ),
    _gauge("caudal.unresolved.oldest_age", "s", "For how long the oldest of them is unknown.", by="one worker"),
    _gauge(
        "caudal.discrepancies.open",
        "{discrepancy}",
        "Discrepancies that nobody has resolved (1,000: so many or more).",
        _SHARD,
        by="one worker",
    ),
    _gauge("caudal.discrepancies.oldest_age", "s", "How old the oldest of them is.", _SHARD, by="one worker"),
    _gauge(
        "caudal.shard.time_ahead",
        "s",
        "By how much the shard's time is ahead of the server's clock.",
        _SHARD,
        by="one worker",
    ),
    _gauge(
        "caudal.watch.last_run_timestamp",
        "s",
        "Unix time at which the figures of `one worker` were last gathered.",
        by="one worker",
    ),
)

PROCESS: Final = (
    _counter("process.cpu.time", "s", "CPU time, by mode (`user`, `system`).", "cpu.mode"),
    _updown("process.memory.usage", "By", "Resident memory."),
    _updown("process.unix.file_descriptor.count", "{file_descriptor}", "Open file descriptors."),
    _gauge("process.uptime", "s", "How long the process runs."),
    _histogram("caudal.loop.delay", "s", "How late the event loop calls what is due, looked at 10 times/s.", PAUSE_S),
    _histogram(
        "caudal.gc.pause", "s", "How long looks for garbage held the process up.", PAUSE_S, "cpython.gc.generation"
    ),
    _counter("caudal.log.records", "{record}", "Lines logged, by level.", "caudal.level"),
    _counter(
        "caudal.trace.spans",
        "{span}",
        "Spans of traces: `sent`, `failed` where the collector did not take them, `dropped` because too many waited.",
        "caudal.outcome",
    ),
    _gauge(
        "caudal.ready",
        "",
        "1 where a check of `/readyz` passes (`database`, `migrations`, `shard`, `queue`, `running`, `loops`).",
        "caudal.check",
    ),
)

INSTRUMENTS: Final = (*HTTP, *COMMIT, *DATABASE, *PROVIDERS, *WORK, *MONEY, *PROCESS)
BY_NAME: Final = {instrument.name: instrument for instrument in INSTRUMENTS}
