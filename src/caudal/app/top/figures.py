"""Two looks at every process → what happened in between. Pure.

Percentiles are interpolated in the buckets of histograms, whose bounds docs/metrics.md has: they are as fine as those.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from caudal.app.top.reading import Labels, Page, Samples

_ROUTES: Final = 6
_HTTP: Final = "http_server_request_duration_seconds"
_CALLS: Final = "caudal_provider_call_duration_seconds"
_BATCH: Final = "caudal_commit_batch_duration_seconds"
_QUEUE: Final = "caudal_commit_queue_length"
_WEBHOOK: Final = "caudal_webhook_attempt_duration_seconds"
_JOBS: Final = "caudal_job_duration_seconds"
_DUE: Final = "caudal_due_oldest_age_seconds"
_LAG: Final = "caudal_webhook_lag_seconds"
_GATHERED: Final = "caudal_watch_last_run_timestamp_seconds"
_OLDEST: Final = frozenset({_DUE, _LAG, _GATHERED})  # of several shards or processes the highest: ages do not add up
_BY_ONE: Final = _OLDEST | {"caudal_due_in_vain"}  # while the watch goes from one worker to another, both tell it
_READY: Final = "caudal_ready"
_TOLD: Final = frozenset({"queue", "shard"})  # checks for which a process is ready all the same
_ALARMS: Final = "caudal_commit_alarms_total"
_PROBLEMS: Final = "caudal_http_problems_total"

Row = dict[str, str | float | None]


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What `caudal top` shows: rates a second, times in seconds, money in minor units. None: nothing was measured.

    `gathered_s` ago one worker asked the database how late webhooks are, what is in flight and what is behind; None:
    no worker has. `not_ready` has the checks that fail of each process that is not, `see_to` those of one that is.
    """

    seconds: float
    gathered_s: float | None
    not_ready: dict[str, list[str]]
    see_to: dict[str, list[str]]
    requests: Row
    routes: list[Row]
    commits: Row
    shards: list[Row]
    queue: dict[str, float]
    providers: list[Row]
    webhooks: Row
    jobs: Row
    behind: dict[str, float]
    money: list[Row]
    processes: list[Row]


def figures(before: Mapping[str, Page], now: Mapping[str, Page]) -> Figures:
    """Of all processes that answered both times; one that began anew in between counts from its beginning."""
    pairs = {name: (before[name], page) for name, page in now.items() if name in before}
    answered = [pair for pair in pairs.values() if pair[0].samples and pair[1].samples]
    seconds = max([late.at - early.at for early, late in answered], default=0.0)
    grown, level = _grown(answered), _level([page.samples for page in now.values()])
    failing = {name: checks for name, page in now.items() if (checks := _failing(page.samples))}
    return Figures(
        seconds=seconds,
        gathered_s=_gathered_s(now),
        not_ready={name: checks for name, checks in failing.items() if not _TOLD.issuperset(checks)},
        see_to={name: checks for name, checks in failing.items() if _TOLD.issuperset(checks)},
        requests=_requests(grown, level, seconds),
        routes=_routes(grown, seconds),
        commits=_commits(grown, seconds),
        shards=_shards(grown, level, seconds),
        queue=_by(level, _QUEUE, "caudal_lane"),
        providers=_providers(grown, level, seconds),
        webhooks=_webhooks(grown, level, seconds),
        jobs=_jobs(grown, level, seconds),
        behind=_behind(grown, level),
        money=_money(level),
        processes=[_process(name, *pair) for name, pair in pairs.items()],
    )


def _grown(answered: list[tuple[Page, Page]]) -> Samples:
    """By how much everything that counts has grown, in all processes together."""
    found: Samples = {}
    for early, late in answered:
        for name, samples in late.samples.items():
            if not name.endswith(("_total", "_bucket", "_count", "_sum")):
                continue
            known, into = early.samples.get(name, {}), found.setdefault(name, {})
            for labels, value in samples.items():
                was = known.get(labels, 0.0)
                into[labels] = into.get(labels, 0.0) + (value - was if value >= was else value)
    return found


def _level(pages: list[Samples]) -> Samples:
    """What stands now. One worker at a time tells what only the database knows; levels of processes add up."""
    found: Samples = {}
    for page in pages:
        for name, samples in page.items():
            into = found.setdefault(name, {})
            for labels, value in samples.items():
                known = into.get(labels, 0.0)
                into[labels] = max(known, value) if name in _BY_ONE else known + value
    return found


def _together(name: str, one: float, other: float) -> float:
    return max(one, other) if name in _OLDEST else one + other


def _failing(samples: Samples) -> list[str]:
    """The checks of `/readyz` that a process does not pass."""
    return sorted(dict(labels)["caudal_check"] for labels, passes in samples.get(_READY, {}).items() if not passes)


def _gathered_s(now: Mapping[str, Page]) -> float | None:
    """How long ago, by the clock of whoever looks."""
    times = [(page.clock, at) for page in now.values() for at in page.samples.get(_GATHERED, {}).values()]
    return min((max(0.0, clock - at) for clock, at in times), default=None)


def _sum(samples: Samples, name: str, wanted: Callable[[dict[str, str]], bool] = lambda _: True) -> float:
    return sum(value for labels, value in samples.get(name, {}).items() if wanted(dict(labels)))


def _by(
    samples: Samples, name: str, label: str, wanted: Callable[[dict[str, str]], bool] = lambda _: True
) -> dict[str, float]:
    found: dict[str, float] = {}
    for labels, value in samples.get(name, {}).items():
        of = dict(labels)
        if wanted(of):
            found[of.get(label, "")] = _together(name, found.get(of.get(label, ""), 0.0), value)
    return found


def percentile(
    grown: Samples, name: str, share: float, wanted: Callable[[dict[str, str]], bool] = lambda _: True
) -> float | None:
    """The value below which this share of what a histogram counted lies; None where it counted nothing.

    What lies above its last bound is told as that bound.
    """
    bounds: dict[float, float] = {}
    for labels, value in grown.get(f"{name}_bucket", {}).items():
        of = dict(labels)
        if wanted(of):
            bound = math.inf if of["le"] == "+Inf" else float(of["le"])
            bounds[bound] = bounds.get(bound, 0.0) + value
    total = bounds.get(math.inf, 0.0)
    low, below = 0.0, 0.0
    for bound in sorted(bounds):
        if total and bounds[bound] >= share * total:
            if bound == math.inf:
                return low
            inside = bounds[bound] - below
            return low + (bound - low) * ((share * total - below) / inside if inside else 1.0)
        low, below = bound, bounds[bound]
    return None


def _rate(amount: float, seconds: float) -> float:
    return amount / seconds if seconds else 0.0


def _requests(grown: Samples, level: Samples, seconds: float) -> Row:
    def of(*begins: str) -> float:
        return _rate(
            _sum(grown, f"{_HTTP}_count", lambda labels: labels["http_response_status_code"].startswith(begins)),
            seconds,
        )

    def refused(code: str) -> float:
        return _rate(_sum(grown, _PROBLEMS, lambda labels: labels["error_type"] == code), seconds)

    crowd, share = refused("overloaded"), refused("too_many_requests")  # a 503 and a 429; others of these are no crowd
    return {
        "rate": of(""),
        "2xx": of("2"),
        "4xx": max(0.0, of("4") - share),
        "5xx": max(0.0, of("5") - crowd),
        "refused": crowd + share,
        "active": _sum(level, "http_server_active_requests"),
        **{name: percentile(grown, _HTTP, share) for name, share in (("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999))},
    }


def _routes(grown: Samples, seconds: float) -> list[Row]:
    """The busiest."""
    busiest: dict[tuple[str, str], float] = {}
    for labels, value in grown.get(f"{_HTTP}_count", {}).items():
        of = dict(labels)
        name = of["http_request_method"], of.get("http_route", "")
        busiest[name] = busiest.get(name, 0.0) + value
    chosen = sorted(busiest, key=lambda name: (-busiest[name], name))[:_ROUTES]
    return [_route(grown, method, route, seconds) for method, route in chosen if busiest[method, route]]


def _route(grown: Samples, method: str, route: str, seconds: float) -> Row:
    def same(labels: dict[str, str]) -> bool:
        return (labels["http_request_method"], labels.get("http_route", "")) == (method, route)

    def broken(labels: dict[str, str]) -> bool:
        return same(labels) and labels["http_response_status_code"][0] not in "23"

    return {
        "route": f"{method} {route}".rstrip(),
        "rate": _rate(_sum(grown, f"{_HTTP}_count", same), seconds),
        "not_2xx": _rate(_sum(grown, f"{_HTTP}_count", broken), seconds),
        "p50": percentile(grown, _HTTP, 0.5, same),
        "p99": percentile(grown, _HTTP, 0.99, same),
    }


def _commits(grown: Samples, seconds: float, wanted: Callable[[dict[str, str]], bool] = lambda _: True) -> Row:
    batches = _sum(grown, f"{_BATCH}_count", wanted)
    commands = _sum(grown, "caudal_commit_commands_total", wanted)
    return {
        "commands": _rate(commands, seconds),
        "batches": _rate(batches, seconds),
        "events": _rate(_sum(grown, "caudal_commit_events_total", wanted), seconds),
        "size": commands / batches if batches else None,
        "p50": percentile(grown, _BATCH, 0.5, wanted),
        "p99": percentile(grown, _BATCH, 0.99, wanted),
        "wait_p99": percentile(grown, "caudal_commit_queue_wait_seconds", 0.99, wanted),
    }


def _shards(grown: Samples, level: Samples, seconds: float) -> list[Row]:
    """The same of each shard, and how many commands wait for it. Nobody writes to what only the watch knows of."""
    known = {dict(labels)["caudal_shard"] for name in (_QUEUE, _DUE) for labels in level.get(name, {})}
    return [_shard(grown, level, seconds, name) for name in sorted(known, key=lambda name: (len(name), name))]


def _shard(grown: Samples, level: Samples, seconds: float, name: str) -> Row:
    def same(labels: dict[str, str]) -> bool:
        return labels["caudal_shard"] == name

    return {"shard": name, "waiting": _sum(level, _QUEUE, same), **_commits(grown, seconds, same)}


def _providers(grown: Samples, level: Samples, seconds: float) -> list[Row]:
    found = sorted({_provider_of(labels) for labels in level.get("caudal_provider_breaker_state", {})})
    return [_provider(grown, level, seconds, *of) for of in found]


def _provider_of(labels: Labels) -> tuple[str, str]:
    of = dict(labels)
    return of["caudal_provider"], of["caudal_mode"]


def _provider(grown: Samples, level: Samples, seconds: float, name: str, mode: str) -> Row:
    def same(labels: dict[str, str]) -> bool:
        return (labels["caudal_provider"], labels["caudal_mode"]) == (name, mode)

    def state(wanted: str) -> float:
        return _sum(level, "caudal_provider_breaker_state", lambda of: same(of) and of["caudal_state"] == wanted)

    forced = level.get("caudal_provider_forced", {}).items()
    by_hand = sorted(of["caudal_state"] for labels, value in forced if value and same(of := dict(labels)))
    states = [wanted for wanted in ("open", "half_open", "closed") if state(wanted)]
    calls = _sum(grown, "caudal_provider_calls_total", same)
    return {
        "provider": f"{name} ({mode})",
        "breaker": "/".join(states),  # where processes differ, all that there are
        "forced": "/".join(by_hand) or None,
        "drained": "drained" if _sum(level, "caudal_provider_drained", same) else None,
        "calls": _rate(calls, seconds),
        "failed": _sum(grown, "caudal_provider_failed_total", same) / calls if calls else None,
        "p95": percentile(grown, _CALLS, 0.95, same),
        "in_flight": _sum(level, "caudal_provider_in_flight", same),
        "limit": _sum(level, "caudal_provider_concurrency_limit", same),
    }


def _webhooks(grown: Samples, level: Samples, seconds: float) -> Row:
    ended = _by(grown, "caudal_webhook_deliveries_total", "caudal_outcome")
    lag = _by(level, _LAG, "caudal_state")
    return {
        "delivered": _rate(ended.get("delivered", 0.0), seconds),
        "again": _rate(ended.get("again", 0.0), seconds),
        "failed": _rate(ended.get("failed", 0.0), seconds),
        "p95": percentile(grown, _WEBHOOK, 0.95),
        **{f"lag_{state}": value for state, value in sorted(lag.items())},
    }


def _broken(labels: dict[str, str]) -> bool:
    return labels["caudal_outcome"] == "broken"


def _jobs(grown: Samples, level: Samples, seconds: float) -> Row:
    """Pieces of due work that ended. What broke is due again only after its lease, so all that ever broke is told."""
    return {
        "rate": _rate(_sum(grown, f"{_JOBS}_count"), seconds),
        "broken": _sum(grown, f"{_JOBS}_count", _broken),
        "broken_in_all": _sum(level, f"{_JOBS}_count", _broken),
    }


def _behind(grown: Samples, level: Samples) -> dict[str, float]:
    """What somebody should see to: nothing of it is there when all is well, but small ages."""
    broken = _by(grown, f"{_JOBS}_count", "caudal_job", _broken)
    return {
        **{f"{job} broke": count for job, count in broken.items() if count},
        **{
            f"{job} tried in vain": count
            for job, count in _by(level, "caudal_due_in_vain", "caudal_job").items()
            if count
        },
        **{f"{job} due for": age for job, age in _by(level, _DUE, "caudal_job").items() if age},
        **{
            f"events behind, {of}": lag
            for of, lag in _by(level, "caudal_consumer_lag", "caudal_consumer").items()
            if lag
        },
        **{
            meaning: value
            for meaning, name in (
                ("unknown outcomes", "caudal_unresolved_outcomes"),
                ("open discrepancies", "caudal_discrepancies_open"),
                ("rows that break a law of the books", "caudal_ledger_check_violations"),
            )
            if (value := _sum(level, name))
        },
    }


def _money(level: Samples) -> list[Row]:
    rows: list[Row] = []
    for labels, value in sorted(level.get("caudal_money_in_flight", {}).items()):
        of = dict(labels)
        if value:
            names = ("mode", "currency", "state")
            rows.append({**{name: of[f"caudal_{name}"] for name in names}, "minor": value})
    return rows


def _process(name: str, early: Page, late: Page) -> Row:
    if not late.samples:
        return {"process": name, "trouble": late.trouble}
    both = _grown([(early, late)]) if early.samples else {}
    return {
        "process": name,
        "cpu": _rate(_sum(both, "process_cpu_time_seconds_total"), late.at - early.at),
        "memory": _sum(late.samples, "process_memory_usage_bytes"),
        "files": _sum(late.samples, "process_unix_file_descriptor_count"),
        "loop_p99": percentile(both, "caudal_loop_delay_seconds", 0.99),
        "uptime": _sum(late.samples, "process_uptime_seconds"),
        "alarms": _sum(both, _ALARMS),
        "alarms_in_all": _sum(late.samples, _ALARMS),
    }
