"""Alerts on causes, beside those on objectives: what is wrong, before or although no objective suffers.

Times in seconds, as production has them. Runbooks, docs/runbooks/, say what to do.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

_BROKEN: Final = 'caudal_job_duration_seconds_count{caudal_outcome="broken"}'
_ERRORS: Final = 'caudal_log_records_total{caudal_level=~"error|critical"}'
_CROWD: Final = '{error_type=~"overloaded|too_many_requests"}[{300:window}]'


def _counted(series: str, seconds: int, by: str, above: float) -> str:
    """Where a counter of processes has counted more than that in so long.

    `increase` begins with the first value that was looked at. It knows nothing of what a process had counted by then,
    nor of what a series began with that is not there before something happens: all of it is of that time where the
    process is younger, or was looked at when there was no such series yet.
    """
    window, age, of = f"{{{seconds}:window}}", f"{{{seconds}:age}}", "on (instance) process_uptime_seconds"
    grown = f"increase({series}[{window}])"
    return (
        f"sum{by} ({grown}) > {above:g}\nor sum{by} (\n  {series} and {of} < {age}\n"
        f"  or {series} unless {series} offset {window} and {of} offset {window}\n  or {grown}\n) > {above:g}"
    )


# What tests make so in the rows of a database that is thrown away; all others are fired by what really happens.
EDITED: Final = {
    "CaudalUnresolvedOld": "when the open payins were first asked about, months back",
    "CaudalSweepStuck": "when twenty pieces of due work are due, seconds ahead; then their table is locked",
    "CaudalSweepsBurn": "the same",
    "CaudalSweepsBurnSlow": "the same",
    "CaudalJobsBreak": "due work of a kind that no job has is inserted",
    "CaudalLedgerViolation": "the version of an account",
    "CaudalDefect": "the same: the guard of the next batch finds it",
    "CaudalClockAhead": "the time of the shard",
    "CaudalNotMigrated": "a migration's row is gone as a worker begins, as before the migration",
    "CaudalDiscrepancyOld": "a discrepancy of two hours ago is inserted",
}


class Alert(NamedTuple):
    """An alert: `{n:age}` in `expr` is an age of n seconds, `{n:window}` a range. It fires after `after_s`."""

    name: str
    severity: Literal["page", "ticket"]
    expr: str
    after_s: int
    summary: str
    means: str


ALERTS: Final[tuple[Alert, ...]] = (
    Alert(
        "CaudalDown", "page", 'up{job="caudal"} == 0 or absent(up{job="caudal"})', 60,
        "{{ with $labels.instance }}{{ . }} does not answer{{ else }}No process of caudal is looked at{{ end }}",
        "A process of caudal does not answer on its operator's port: it ended, hangs or cannot be reached.",
    ),
    Alert(
        "CaudalDatabaseAway", "page", 'min by (instance) (caudal_ready{caudal_check="database"}) == 0', 30,
        "{{ $labels.instance }} cannot reach PostgreSQL",
        "It can write nothing; requests are answered 503 and nothing is lost of what was acknowledged.",
    ),
    Alert(
        "CaudalWorkerStuck", "page", # Where its database is away that is the cause, and has an alert of its own.
        'min by (instance) (caudal_ready{caudal_check="loops"}) == 0'
        ' unless on (instance) caudal_ready{caudal_check="database"} == 0', 60,
        "A loop of the worker {{ $labels.instance }} does not turn",
        "A worker is not ready: one of its loops hangs, or each of its turns fails, for a minute and longer.",
    ),
    Alert(
        "CaudalNotMigrated", "page", 'min by (instance) (caudal_ready{caudal_check="migrations"}) == 0', 60,
        "{{ $labels.instance }} waits for a migration of the database",
        "A process is not ready: its version needs a migration that has not run.",
    ),
    Alert(
        "CaudalDefect", "page", _counted("caudal_commit_alarms_total", 300, " by (instance, caudal_shard)", 0), 0,
        "A command broke inside {{ $labels.instance }}, shard {{ $labels.caudal_shard }}",
        "A decision or a guard failed where it must not: a defect, or rows that break a law. None of it was written.",
    ),
    Alert(
        "CaudalLedgerViolation", "page", # Between the end of a worker and the next one's figures nobody tells.
        "max by (caudal_shard, caudal_check) (max_over_time(caudal_ledger_check_violations[{120:window}])) > 0", 0,
        "Rows of shard {{ $labels.caudal_shard }} break the law {{ $labels.caudal_check }}",
        "The running check of the books found rows that must not be. Money may be wrong: stop payouts of it.",
    ),
    Alert(
        "CaudalLedgerUnchecked", "ticket",
        # Half a day's age for half a day, so that a law which was never looked at (0) has a day from its first reading.
        "time() - max by (caudal_shard, caudal_check)"
        " (max_over_time(caudal_ledger_check_last_run_timestamp_seconds[{172800:window}])) > {43200:age}"
        " or absent_over_time(caudal_ledger_check_last_run_timestamp_seconds[{86400:window}])", 43_200,
        "{{ with $labels.caudal_check }}{{ . }}{{ else }}No law{{ end }} was not looked at for a day",
        "The running check of the books does not come round: no worker does it, or its share of time is too small.",
    ),
    Alert(
        "CaudalWatchStale", "page", # Whoever gathered them may be gone, and its figures with it.
        # What nothing is known of for the whole window is absent: then, too, nobody gathers.
        "time() - max(max_over_time(caudal_watch_last_run_timestamp_seconds[{3600:window}])) > {120:age}"
        " or absent_over_time(caudal_watch_last_run_timestamp_seconds[{3600:window}])", 60,
        "No worker gathers what only the database knows",
        "Workers hang, are gone or have no database: sweeps and webhooks stand still, and their figures are old.",
    ),
    Alert(
        "CaudalWebhooksStuck", "page",
        'max by (caudal_shard) (caudal_consumer_lag{caudal_consumer="webhooks"}) > 0'
        ' and max by (caudal_shard) (caudal_webhook_lag_seconds{caudal_state="unmade"}) > {60:age}', 60,
        "Events of shard {{ $labels.caudal_shard }} are not sent on",
        "No worker makes deliveries of its events, although there are some.",
    ),
    Alert(
        "CaudalSweepStuck", "page", "max by (caudal_shard, caudal_job) (caudal_due_oldest_age_seconds) > {300:age}", 60,
        "{{ $labels.caudal_job }} of shard {{ $labels.caudal_shard }} is due for {{ $value | humanizeDuration }}",
        "Work that is due is not taken up: too few workers, or they cannot reach what it needs.",
    ),
    Alert(
        "CaudalJobsBreak", "page", # Twice at least: one that breaks once and is done at its next try is no outage.
        _counted(_BROKEN, 1_800, " by (caudal_job)", 1.5), 0,
        "{{ $labels.caudal_job }} breaks again and again",
        "A piece of due work raises whenever it is tried: what it is for stands still, and no repetition mends it.",
    ),
    Alert(
        "CaudalErrorsLogged", "ticket",
        _counted(_ERRORS, 600, " by (instance)", 0), 0,
        "{{ $labels.instance }} has logged errors",
        "A line of level error or critical is a defect, or waits for a person: somebody has to read it.",
    ),
    Alert(
        "CaudalBreakerOpen", "ticket",
        # A provider that is silent is tried every few seconds: its breaker is open and half open by turns. Half open is
        # one, too, that nobody asks any more, which is no trouble by itself: what failed is the sign of it.
        "max by (caudal_provider, caudal_mode) ("
        'max_over_time(caudal_provider_breaker_state{caudal_state!="closed"}[{60:window}]) == 1'
        " and on (instance, caudal_provider, caudal_mode) increase(caudal_provider_failed_total[{900:window}]) > 0)"
        ' unless on (caudal_provider, caudal_mode) caudal_provider_forced{caudal_state="closed"} == 1'
        '\nor max by (caudal_provider, caudal_mode) (caudal_provider_forced{caudal_state="open"}) == 1', 120,
        "{{ $labels.caudal_provider }} ({{ $labels.caudal_mode }}) is not asked, or only tried",
        "Its calls fail or are slow, or an operator forced its breaker open: payments"
        " go elsewhere, or are refused.",
    ),
    Alert(
        "CaudalRefusing", "page",
        f"((sum(rate(caudal_http_problems_total{_CROWD})) or vector(0))"
        f" + (sum(rate(caudal_bulk_payins_total{_CROWD})) or vector(0)))"
        " / (sum(rate(http_server_request_duration_seconds_count[{300:window}]))"
        " + (sum(rate(caudal_bulk_payins_total[{300:window}])) or vector(0))) > 0.01", 120,
        "{{ $value | humanizePercentage }} of the requests and of the payins in bulk are refused",
        "More is asked for than the shard commits: requests are refused early, and repeated by their callers.",
    ),
    Alert(
        "CaudalUnresolvedOld", "ticket", "max(caudal_unresolved_oldest_age_seconds) > {3600:age}", 300,
        "An outcome is unknown for {{ $value | humanizeDuration }}",
        "A provider was asked and nobody knows what became of it, for longer than it takes to find out by asking.",
    ),
    Alert(
        "CaudalDiscrepancyOld", "ticket", "max(caudal_discrepancies_oldest_age_seconds) > {3600:age}", 300,
        "What a provider says contradicts our books, since {{ $value | humanizeDuration }}",
        "Somebody has to decide: caudal proposes corrections and carries out none by itself.",
    ),
    Alert(
        "CaudalLoopBlocked", "ticket",
        "histogram_quantile(0.99, sum by (instance, le) (rate(caudal_loop_delay_seconds_bucket[{300:window}]))) > 0.25",
        120,
        "{{ $labels.instance }} is late by {{ $value | humanizeDuration }}",
        "A process does not come to its work: it has too much of it, or the machine gives it too little time.",
    ),
    Alert(
        "CaudalClockAhead", "ticket", "max by (caudal_shard) (caudal_shard_time_ahead_seconds) > {5:age}", 60,
        "The time of shard {{ $labels.caudal_shard }} is {{ $value | humanizeDuration }} ahead of the database's clock",
        "The database's clock was set back, or another server took over: the shard's time stands until then.",
    ),
)  # fmt: skip
