"""The figures of one side of a run, from what its processes counted and what was found afterwards."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from caudal_load.connection import Connection
from caudal_load.crew import Crew
from caudal_load.crew.job import Seat
from caudal_load.histogram import Histogram
from caudal_load.meters import Interval
from caudal_load.plan import Plan
from caudal_load.processes import resident_mb
from caudal_load.seconds import Second, milliseconds
from caudal_load.side import CONDUCTOR, GENERATOR, Side
from caudal_load.tally import Tally
from caudal_load.verify import Batched, Verdict

_ENOUGH_FOR_A_P99 = 100
_LATE_SHARE = 0.01
_BUSY_CORES = 0.9
_WHOLE_S = 0.99
_ENOUGH_TO_STAND_STILL = 10
"""So many arrivals of a second, none of which was answered in it, are no chance."""
_LONGER, _LONGER_S = 1.05, 0.5
_OF_CAUDAL = ("web", "worker", "postgres")
_ms = milliseconds


@dataclass(frozen=True, kw_only=True, slots=True)
class Webhooks:
    """What came at the receiver. The lag is from the event to its arrival, milliseconds."""

    received: int
    lag_p50_ms: float | None
    lag_p99_ms: float | None
    lag_max_ms: float | None
    behind: int
    undelivered: int
    unseen: int
    repeated: int
    unreadable: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Kind:
    """One kind of request in a scenario that asks for more than payins."""

    acknowledged: int
    """With a latency that belongs to the window."""
    p50_ms: float | None
    p99_ms: float | None
    instead: int
    """Payins that were created because there was none for it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """One phase of the window."""

    name: str
    begin_s: float
    end_s: float
    offered_per_s: float
    rate: float
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """One side. Latencies are milliseconds, CPU is microseconds per answered request of the window."""

    rate: float
    paid_rate: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    p999_ms: float | None
    max_ms: float | None
    sent_p50_ms: float | None
    sent_p99_ms: float | None
    sent_p999_ms: float | None
    late_share: float | None
    lateness_p99_ms: float | None
    error_share: float
    worst_connection_p99_ms: float | None
    least_connection_share: float | None
    thin_connections: int
    acknowledged: int
    refused: int
    refused_by_status: Mapping[str, int]
    unknown: int
    malformed: int
    unsent: int
    submitting: int
    lost: int
    doubled: int
    disagreeing: int | None
    unpaid: int | None
    webhooks: Webhooks | None
    connections_by_process: Mapping[str, int]
    rate_by_process: Mapping[str, float]
    cpu_us_per_request: Mapping[str, float]
    cpu_us_per_payment: float | None
    wal_bytes_per_request: float | None
    disk_bytes_per_request: float | None
    cores: Mapping[str, float]
    weighted_median_batch: int | None
    """The batch that the median command was in."""
    commands_per_batch: float | None
    """The mean: commands ÷ batches of the window."""
    batches_per_s: float | None
    web_rss_mb: float | None
    memory_mb_start: Mapping[str, float]
    memory_mb_end: Mapping[str, float]
    memory_growth_mb: float | None
    requests: int | None
    connections: int | None
    open_connections: int
    arrivals_per_s: float | None
    processes: int
    merchants: int
    seeded: int
    settings: Mapping[str, str]
    operations: int
    differing: int
    requests_by_kind: Mapping[str, Kind]
    phases: tuple[Part, ...]
    warnings: tuple[str, ...]
    seconds: tuple[Second, ...]
    intervals: tuple[Interval, ...]
    sent_buckets: tuple[tuple[int, int], ...]

    @property
    def passed(self) -> bool:
        """Whether enough was acknowledged, nothing is lost or double, and the sandbox's books say the same."""
        wrong = [self.lost, self.doubled, self.disagreeing, self.unpaid, self.differing]
        if self.webhooks is not None:
            wrong += [self.webhooks.undelivered, self.webhooks.unseen, self.webhooks.unreadable]
        return self.acknowledged >= (self.requests or 1) and not any(wrong)


async def figures(side: Side, verdict: Verdict) -> Figures:
    """What one side came to."""
    tally, plan, seats = side.loop.tally, side.plan, side.loop.seats
    cores = {name: round(used_s * 1e9 / max(1, tally.window_ns), 3) for name, used_s in side.cpu_s.items()}
    late = None if plan.connections is not None else _late_share(tally)
    return Figures(
        rate=tally.rate,
        paid_rate=await side.paid_rate(),
        **_latencies(side),
        late_share=late,
        error_share=_error_share(tally),
        least_connection_share=least_share(seats) if plan.connections is not None else None,
        thin_connections=sum(seat.histogram.total < _ENOUGH_FOR_A_P99 for seat in seats),
        acknowledged=tally.acknowledged,
        refused=tally.refused,
        refused_by_status={str(status): count for status, count in sorted(tally.refused_by_status.items())},
        unknown=tally.unknown,
        malformed=tally.malformed,
        unsent=tally.unsent,
        submitting=tally.submitting,
        operations=len(tally.operations) // 16,
        differing=tally.differing,
        **_found(side, verdict),
        **_used(side),
        cores=cores,
        **_batched(side, await side.batched()),
        requests=plan.requests,
        connections=plan.connections,
        open_connections=len(seats),
        arrivals_per_s=plan.rate,
        processes=plan.processes,
        merchants=plan.merchants,
        seeded=plan.seed,
        settings=dict(plan.settings),
        requests_by_kind=_kinds(side),
        phases=tuple(_parts(side)),
        warnings=tuple(_warnings(late, cores, plan.processes, tally) + _standstills(tally, plan)),
        seconds=tuple(tally.seconds),
        intervals=tuple(side.intervals),
        sent_buckets=tuple(tally.service.pairs()),
    )


def _batched(side: Side, found: Batched | None) -> dict[str, Any]:
    return {
        "weighted_median_batch": None if found is None else found.weighted_median,
        "commands_per_batch": None if found is None else found.mean,
        "batches_per_s": None if found is None else side.loop.tally.per_s(found.batches),
    }


def _latencies(side: Side) -> dict[str, Any]:
    """All of the window, from the scheduled arrival and from the sending."""
    latencies, service = Histogram(), side.loop.tally.service
    for seat in side.loop.seats:
        latencies.merge(seat.histogram)
    shown = (("p50_ms", 50), ("p95_ms", 95), ("p99_ms", 99), ("p999_ms", 99.9), ("max_ms", 100))
    sent = (("sent_p50_ms", 50), ("sent_p99_ms", 99), ("sent_p999_ms", 99.9))
    return {
        **{name: _ms(latencies.percentile_ns(percent)) for name, percent in shown},
        **{name: _ms(service.percentile_ns(percent)) for name, percent in sent},
        "lateness_p99_ms": _ms(side.loop.tally.lateness.percentile_ns(99)),
        "worst_connection_p99_ms": _worst_p99_ms(side.loop.seats),
    }


def _found(side: Side, verdict: Verdict) -> dict[str, Any]:
    """What was looked for afterwards."""
    return {
        "lost": len(verdict.lost),
        "doubled": len(verdict.doubled),
        "disagreeing": None if verdict.books is None else len(verdict.books.disagreeing),
        "unpaid": None if verdict.books is None else len(verdict.books.unpaid),
        "webhooks": _webhooks(side, verdict),
    }


def _used(side: Side) -> dict[str, Any]:
    """What the processes did and used."""
    tally, start, end = side.loop.tally, side.memory_mb[0], side.memory_mb[-1]
    held, answered = side.seats_by_process, max(1, tally.window_answered)
    resident = [mb for pid in side.web_pids().values() if (mb := resident_mb(pid)) is not None]
    return {
        "connections_by_process": {name: len(seats) for name, seats in held.items()},
        "rate_by_process": {name: tally.per_s(sum(seat.acknowledged for seat in held[name])) for name in held},
        "cpu_us_per_request": {name: round(used_s * 1e6 / answered, 1) for name, used_s in side.cpu_s.items()},
        "cpu_us_per_payment": _cpu_us(side.cpu_s, tally),
        **_bytes_per_request(side.intervals, tally),
        "web_rss_mb": max(resident, default=None),
        "memory_mb_start": start,
        "memory_mb_end": end,
        "memory_growth_mb": max((round(end[name] - start[name], 1) for name in start.keys() & end), default=None),
    }


def of_caudal(name: str) -> bool:
    """Whether a process of this name is one of caudal's: the outside in a box and the generator are not."""
    return name.split("-")[0] in _OF_CAUDAL


def _late_share(tally: Tally) -> float:
    offered = sum(second.offered for second in tally.seconds)
    return round(sum(second.late for second in tally.seconds) / offered, 5) if offered else 0.0


def _error_share(tally: Tally) -> float:
    errors = sum(second.errors.total() for second in tally.seconds)
    return round(errors / (errors + tally.window_acknowledged), 6) if errors else 0.0


def _cpu_us(cpu_s: Mapping[str, float], tally: Tally) -> float | None:
    """CPU of caudal itself per acknowledged request of the window."""
    own = [used_s for name, used_s in cpu_s.items() if of_caudal(name)]
    return round(sum(own) * 1e6 / tally.window_acknowledged, 1) if own and tally.window_acknowledged else None


def _bytes_per_request(intervals: Sequence[Interval], tally: Tally) -> dict[str, float | None]:
    """Of the write-ahead log, and to the disk that holds the data, per acknowledged request."""
    count = max(1, tally.window_acknowledged)
    logged = [each.wal_bytes for each in intervals if each.wal_bytes is not None]
    written = [each.device_bytes for each in intervals if each.device_bytes is not None]
    return {
        "wal_bytes_per_request": round(sum(logged) / count, 1) if logged else None,
        "disk_bytes_per_request": round(sum(written) / count, 1) if written else None,
    }


def _warnings(late: float | None, cores: Mapping[str, float], processes: int, tally: Tally) -> list[str]:
    """Where the generator, and not the server, may have been the limit."""
    said = []
    if late is not None and late > _LATE_SHARE:
        said.append(
            f"the generator was late for {late:.1%} of the arrivals: latencies hold its own delay; "
            "give it more --processes, or a machine of its own"
        )
    if cores.get(GENERATOR, 0.0) > _BUSY_CORES * processes:
        said.append(f"the generator used {cores[GENERATOR]:.2f} cores in {processes} processes: it was the limit")
    if cores.get(CONDUCTOR, 0.0) > _BUSY_CORES:
        said.append("the process that receives webhooks was busy all the time: their lag holds its own delay")
    if tally.unsent:
        said.append(f"{tally.unsent:,} arrivals found no connection before the end")
    return said


def _standstills(tally: Tally, plan: Plan) -> list[str]:
    """Where nothing went on for a while, which a closed loop's percentiles do not show: it asks nothing meanwhile."""
    said, window_s = [], tally.window_ns / 1e9
    whole = [second for second in tally.seconds if second.lasts_s >= _WHOLE_S]
    enough = 0 if plan.connections is not None else _ENOUGH_TO_STAND_STILL
    silent = sum(not second.answered and second.offered >= enough for second in whole)
    if silent:
        said.append(
            f"nothing was answered in {silent:,} of {len(whole):,} whole seconds, caudal or this machine stood still: "
            "whoever would have come meanwhile is in no percentile of a closed loop"
        )
    if window_s > plan.seconds * _LONGER + _LONGER_S:
        said.append(
            f"{window_s:.1f} s were measured where {plan.seconds:g} s were asked for: "
            "the generator, or this machine, stood still"
        )
    return said


def _kinds(side: Side) -> dict[str, Kind]:
    if not isinstance(side.loop, Crew):
        return {}
    return {
        deed.value: Kind(
            acknowledged=histogram.total,
            p50_ms=_ms(histogram.percentile_ns(50)),
            p99_ms=_ms(histogram.percentile_ns(99)),
            instead=side.loop.instead[deed.value],
        )
        for deed, histogram in side.loop.deeds.items()
    }


def _parts(side: Side) -> list[Part]:
    """The phases, by the whole seconds that lie in them."""
    found, begin_s = [], 0.0
    for phase in side.plan.shape if len(side.slices) == 1 else ():
        within = side.loop.tally.seconds[round(begin_s) : max(round(begin_s) + 1, round(begin_s + phase.seconds))]
        lasts_s = sum(second.lasts_s for second in within) or 1.0
        latencies = Histogram()
        for second in within:
            latencies.merge(second.latencies)
        found.append(
            Part(
                name=phase.name,
                begin_s=round(begin_s, 3),
                end_s=round(begin_s + phase.seconds, 3),
                offered_per_s=round(sum(second.offered for second in within) / lasts_s, 1),
                rate=round(sum(second.acknowledged for second in within) / lasts_s, 1),
                p50_ms=_ms(latencies.percentile_ns(50)),
                p99_ms=_ms(latencies.percentile_ns(99)),
                max_ms=_ms(latencies.percentile_ns(100)),
            )
        )
        begin_s += phase.seconds
    return found


def _webhooks(side: Side, verdict: Verdict) -> Webhooks | None:
    if side.outside is None or verdict.heard is None:
        return None
    receiver = side.outside.receiver
    return Webhooks(
        received=len(receiver.events),
        lag_p50_ms=_ms(receiver.lag.percentile_ns(50)),
        lag_p99_ms=_ms(receiver.lag.percentile_ns(99)),
        lag_max_ms=_ms(receiver.lag.percentile_ns(100)),
        behind=side.outside.behind,
        undelivered=verdict.heard.undelivered,
        unseen=verdict.heard.unseen,
        repeated=receiver.repeated,
        unreadable=receiver.unreadable,
    )


def _worst_p99_ms(seats: Sequence[Connection | Seat]) -> float | None:
    """The highest p99 of one connection, of those with enough answers to have one, or of all if none has.

    How many have not is `thin_connections`, and how few one of them had is `least_connection_share`.
    """
    enough = [seat for seat in seats if seat.histogram.total >= _ENOUGH_FOR_A_P99] or list(seats)
    values = [value for seat in enough if (value := seat.histogram.percentile_ns(99)) is not None]
    return _ms(max(values, default=None))


def least_share(seats: Sequence[Connection | Seat]) -> float | None:
    """The fewest acknowledgements of one connection, divided by the mean: 1 if all are alike, 0 if one starves."""
    counts = [seat.acknowledged for seat in seats]
    return round(min(counts) * len(counts) / sum(counts), 3) if any(counts) else None
