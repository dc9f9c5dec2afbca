"""The rules, by Debian's promtool: for every alert figures that fire it, and the same without what is wrong."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from caudal.kernel.telemetry import INSTRUMENTS
from caudal_ops.__main__ import main as generate
from caudal_ops.dashboard import queries
from caudal_ops.files import ROOT, RULES, files
from caudal_ops.rules import Scale, groups, names
from caudal_ops.yaml import written

_HTTP = "http_server_request_duration_seconds"
_ASKED = f'{_HTTP}_count{{http_request_method="POST",http_route="/v1/payins",http_response_status_code="%s"}}'
_FAST = f'{_HTTP}_bucket{{http_request_method="POST",http_route="/v1/payins",http_response_status_code="201",le="1.0"}}'
_LAG = 'caudal_webhook_lag_seconds{caudal_shard="0",caudal_state="unmade"}'
_DUE = 'caudal_due_oldest_age_seconds{caudal_shard="0",caudal_job="payin.submit"}'
_CALLS = 'caudal_provider_%s_total{caudal_provider="norte",caudal_mode="test"}'
_LOOKED = 'caudal_ledger_check_last_run_timestamp_seconds{caudal_shard="0",caudal_check="balances"}'
_VIOLATIONS = 'caudal_ledger_check_violations{caudal_shard="0",caudal_check="balances"}'
_LOOPS = 'caudal_ready{instance="127.0.0.1:%s",caudal_check="loops"}'
_DATABASE = 'caudal_ready{instance="127.0.0.1:%s",caudal_check="database"}'
_EVENTS = 'caudal_consumer_lag{caudal_shard="0",caudal_consumer="webhooks"}'
_ALARMS = 'caudal_commit_alarms_total{caudal_shard="0",instance="web"}'
_AHEAD = 'caudal_shard_time_ahead_seconds{caudal_shard="0"}'
_BREAKER = 'caudal_provider_breaker_state{instance="web",caudal_provider="norte",caudal_mode="live",caudal_state="%s"}'
_FAILED = 'caudal_provider_failed_total{instance="web",caudal_provider="norte",caudal_mode="live"}'
_FORCED = 'caudal_provider_forced{instance="web",caudal_provider="norte",caudal_mode="live",caudal_state="%s"}'
_OF_MANY = 'caudal_bulk_payins_total{http_response_status_code="%s",error_type="%s"}'
_BROKEN = 'caudal_job_duration_seconds_count{caudal_job="release",caudal_outcome="broken",instance="worker"}'
_LINES = 'caudal_log_records_total{caudal_level="error",instance="worker"}'
_UPTIME = 'process_uptime_seconds{instance="worker"}'
_ONCE = {_BROKEN: "_x20 1x10", _UPTIME: "9000+60x"}
# Step, length, when it is looked at. A share over days is right after hours: nothing else is known of them.
_MINUTES, _HOURS, _DAYS = ("1m", "x32", "31m"), ("5m", "x102", "500m"), ("1h", "x32", "30h")
_SCRAPES = ("15s", "x24", "6m")
_LATER_DAYS = ("1h", "x100", "90h")
_RARELY = " ".join(["300 0x39"] * 15)  # a fortieth of the time


class Case(NamedTuple):
    """Series → values when something is wrong, and when nothing is; `x` stands for their length."""

    wrong: dict[str, str]
    calm: dict[str, str]
    over: tuple[str, str, str] = _MINUTES


def _level(series: str, wrong: str, calm: str, over: tuple[str, str, str] = _MINUTES) -> Case:
    return Case({series: wrong}, {series: calm}, over)


def _requests(code: str, good: int, bad: int, over: tuple[str, str, str]) -> Case:
    fine = {_ASKED % "201": f"0+{good + bad}x", _ASKED % code: "0+0x"}
    return Case({_ASKED % "201": f"0+{good}x", _ASKED % code: f"0+{bad}x"}, fine, over)


def _latency(good: int, bad: int, over: tuple[str, str, str]) -> Case:
    asked = {_ASKED % "201": f"0+{good + bad}x"}
    return Case(asked | {_FAST: f"0+{good}x"}, asked | {_FAST: f"0+{good + bad}x"}, over)


def _at(instance: str, series: dict[str, str]) -> dict[str, str]:
    return {name.replace("worker", instance): values for name, values in series.items()}


def _second(series: str) -> str:
    return series.replace('shard="0"', 'shard="1"').replace('"web"', '"web-2"')


CASES: dict[str, Case] = {
    "CaudalAvailabilityBurn": _requests("503", 970, 30, _MINUTES),
    "CaudalAvailabilityBurnSlow": _requests("500", 996, 4, _HOURS),
    "CaudalLatencyBurn": _latency(80, 20, _MINUTES),
    "CaudalLatencyBurnSlow": _latency(96, 4, _HOURS),
    "CaudalWebhooksBurn": _level(_LAG, "30x", "2x"),
    "CaudalWebhooksBurnSlow": _level(_LAG, _RARELY, "2x", _HOURS),
    "CaudalSweepsBurn": _level(_DUE, "200x", "20x"),
    "CaudalSweepsBurnSlow": _level(_DUE, _RARELY, "20x", _HOURS),
    "CaudalProvidersBurnSlow": Case(
        {_CALLS % "calls": "0+100x", _CALLS % "failed": "0+5x"},
        {_CALLS % "calls": "0+100x", _CALLS % "failed": "0+0x"},
        _HOURS,
    ),
    "CaudalDown": _level('up{job="caudal",instance="127.0.0.1:8702"}', "0x", "1x"),
    "CaudalDatabaseAway": _level('caudal_ready{caudal_check="database"}', "0x", "1x"),
    "CaudalWorkerStuck": _level('caudal_ready{instance="127.0.0.1:8703",caudal_check="loops"}', "0x", "1x"),
    "CaudalNotMigrated": _level('caudal_ready{instance="127.0.0.1:8702",caudal_check="migrations"}', "0x", "1x"),
    "CaudalJobsBreak": _level(_BROKEN, "5 5 10x", "5x"),  # a counter is there from its first on
    "CaudalErrorsLogged": _level('caudal_log_records_total{caudal_level="error"}', "0x29 1 1 1", "1x"),
    "CaudalDefect": _level(_ALARMS, "0x29 1 1 1", "7x"),
    "CaudalLedgerViolation": _level(_VIOLATIONS, "1x", "0x"),
    "CaudalLedgerUnchecked": _level(_LOOKED, "1x", "0+3599x", _DAYS),
    "CaudalWatchStale": _level("caudal_watch_last_run_timestamp_seconds", "1x", "0+60x"),
    "CaudalWebhooksStuck": Case({_LAG: "90x", _EVENTS: "5x"}, {_LAG: "0x", _EVENTS: "5x"}),
    "CaudalSweepStuck": _level(_DUE, "400x", "200x"),
    "CaudalBreakerOpen": Case(
        {_BREAKER % "open": "1x", _FAILED: "0+1x32"}, {_BREAKER % "open": "0x", _FAILED: "0+1x32"}
    ),
    "CaudalRefusing": Case(
        {_ASKED % "503": "0+100x", 'caudal_http_problems_total{error_type="overloaded"}': "0+5x"},
        {_ASKED % "503": "0+100x", 'caudal_http_problems_total{error_type="not_found"}': "0+5x"},
    ),
    "CaudalUnresolvedOld": _level("caudal_unresolved_oldest_age_seconds", "4000x", "3000x"),
    "CaudalDiscrepancyOld": _level("caudal_discrepancies_oldest_age_seconds", "4000x", "3000x"),
    "CaudalLoopBlocked": Case(
        {
            f'caudal_loop_delay_seconds_bucket{{le="{bound}"}}': f"0+{n}x"
            for bound, n in (("0.25", 1), ("0.5", 9), ("+Inf", 9))
        },
        {
            f'caudal_loop_delay_seconds_bucket{{le="{bound}"}}': f"0+{n}x"
            for bound, n in (("0.25", 9), ("0.5", 9), ("+Inf", 9))
        },
    ),
    "CaudalClockAhead": _level(_AHEAD, "9x", "1x"),
}


# The same alerts, by what else fires them, and what must not.
FURTHER: list[tuple[str, Case]] = [
    ("CaudalDown", Case({}, {'up{job="caudal",instance="127.0.0.1:8702"}': "1x"})),
    # One of two workers, whose database answers; loops wait with everything else for one that does not.
    (
        "CaudalWorkerStuck",
        Case(
            {_LOOPS % "8703": "1x", _LOOPS % "8704": "0x", _DATABASE % "8703": "0x", _DATABASE % "8704": "1x"},
            {_LOOPS % "8703": "1x", _LOOPS % "8704": "0x", _DATABASE % "8703": "1x", _DATABASE % "8704": "0x"},
        ),
    ),
    ("CaudalWorkerStuck", Case({_LOOPS % "8703": "1x28 0x3"}, {_LOOPS % "8703": "1x29 0 1"})),
    # Nobody has ever gathered; or whoever did is gone for longer than the window.
    ("CaudalWatchStale", Case({}, {"caudal_watch_last_run_timestamp_seconds": "0+60x"})),
    (
        "CaudalWatchStale",
        Case(
            {"caudal_watch_last_run_timestamp_seconds": "0+300x19 _x"},
            {"caudal_watch_last_run_timestamp_seconds": "0+300x"},
            _HOURS,
        ),
    ),
    # Never looked at, in no reading of a day; by a worker that is gone for days; one shard of two.
    ("CaudalLedgerUnchecked", Case({_LOOKED: "0x"}, {_LOOKED: "0x11 43200x"}, _DAYS)),
    ("CaudalLedgerUnchecked", Case({_LOOKED: "0+3600x9 _x"}, {_LOOKED: "0+3600x"}, _LATER_DAYS)),
    ("CaudalLedgerUnchecked", Case({}, {_LOOKED: "0+3600x"}, _DAYS)),
    (
        "CaudalLedgerUnchecked",
        Case(
            {_LOOKED: "0+3600x", _LOOKED.replace('"0"', '"1"'): "0x"},
            {_LOOKED: "0+3600x", _LOOKED.replace('"0"', '"1"'): "0+3600x"},
            _DAYS,
        ),
    ),
    # The worker that told of it has ended, and the next one tells nothing yet.
    ("CaudalLedgerViolation", Case({_VIOLATIONS: "1x30 stale"}, {_VIOLATIONS: "1x20 0x"})),
    # By processes that begin again and again, of another level, by one that has ended since.
    ("CaudalErrorsLogged", Case({_LINES: "1x", _UPTIME: "30x"}, {_LINES: "1x", _UPTIME: "0+60x"})),
    (
        "CaudalErrorsLogged",
        Case({_LINES.replace("error", "critical"): "0x29 1 1 1"}, {_LINES.replace("error", "warning"): "0x29 1 1 1"}),
    ),
    ("CaudalErrorsLogged", Case({_LINES: "0x25 1x2 0x2", _UPTIME: "30x"}, {_LINES: "0x", _UPTIME: "30x"})),
    # Twice: once by each worker, by one for the first time, by one that has just begun; once is no outage, nor is what
    # somebody counts who was away.
    ("CaudalJobsBreak", Case(_ONCE | _at("other", _ONCE), _ONCE)),
    ("CaudalJobsBreak", Case(_ONCE | {_BROKEN: "_x20 1x5 2x5"}, _ONCE)),
    ("CaudalJobsBreak", Case({_BROKEN: "2x", _UPTIME: "30x"}, {_BROKEN: "1x", _UPTIME: "30x"})),
    ("CaudalJobsBreak", Case(_ONCE | {_BROKEN: "_x25 7x6"}, {_BROKEN: "_x25 7x6", _UPTIME: "_x25 9000x6"})),
    # Silent, and tried every few seconds: as it was seen of one that was stopped for minutes. One that was open once,
    # and closed again, is well.
    (
        "CaudalBreakerOpen",
        Case(
            {
                _BREAKER % "open": "0x7 0 0 1 1 1 0 1 0 1 1 0 1 1 1 1 1 1",
                _BREAKER % "half_open": "0x7 1 1 0 0 0 1 0 1 0 0 1 0 0 0 0 0 0",
                _FAILED: "0x7 1+1x16",
            },
            {_BREAKER % "open": "0x14 1 0x8", _BREAKER % "closed": "1x14 0 1x8", _FAILED: "0+1x24"},
            _SCRAPES,
        ),
    ),
    # Tried seldom, and in vain; nobody has asked it for long, and nobody knows whether it is well.
    (
        "CaudalBreakerOpen",
        Case(
            {_BREAKER % "half_open": "1x", _FAILED: " ".join(f"{n}x9" for n in range(12))},
            {_BREAKER % "half_open": "1x", _FAILED: "0x30 9x80"},
            ("1m", "x110", "100m"),
        ),
    ),
    # It answers too seldom to stay closed, against one that does. What an operator forces counts, whatever else is so.
    (
        "CaudalBreakerOpen",
        Case(
            {_BREAKER % "open": " ".join(["1 0 0"] * 9), _FAILED: "0+1x24"},
            {_BREAKER % "open": "0x18 1 1 1 0x2", _FAILED: "0+1x24"},
            _SCRAPES,
        ),
    ),
    (
        "CaudalBreakerOpen",
        Case(
            {_FORCED % "open": "1x", _BREAKER % "closed": "1x", _BREAKER % "open": "0x", _FAILED: "0x"},
            {_FORCED % "closed": "1x", _BREAKER % "closed": "0x", _BREAKER % "open": "1x", _FAILED: "0+1x24"},
            _SCRAPES,
        ),
    ),
    # Payins in bulk, within requests that are all answered 200.
    (
        "CaudalAvailabilityBurn",
        Case(
            {_ASKED % "200": "0+10x", _OF_MANY % ("201", ""): "0+4000x", _OF_MANY % ("503", "overloaded"): "0+500x"},
            {_ASKED % "200": "0+10x", _OF_MANY % ("201", ""): "0+4000x", _OF_MANY % ("422", "key_reused"): "0+500x"},
        ),
    ),
    (
        "CaudalRefusing",
        Case(
            {_ASKED % "200": "0+10x", _OF_MANY % ("201", ""): "0+4000x", _OF_MANY % ("503", "overloaded"): "0+500x"},
            {_ASKED % "200": "0+10x", _OF_MANY % ("201", ""): "0+4000x", _OF_MANY % ("503", "overloaded"): "0+5x"},
        ),
    ),
]


# Of two shards or processes the second is in trouble: what the alert says of where.
PLACES: list[tuple[str, Case, str]] = [
    ("CaudalDatabaseAway", _level(_DATABASE % "8703", "0x", "1x"), '{instance="127.0.0.1:8703"}'),
    ("CaudalDefect", _level(_second(_ALARMS), "0x29 1 1 1", "7x"), '{caudal_shard="1", instance="web-2"}'),
    ("CaudalLedgerViolation", _level(_second(_VIOLATIONS), "1x", "0x"), '{caudal_shard="1"}'),
    ("CaudalSweepStuck", _level(_second(_DUE), "400x", "200x"), '{caudal_shard="1"}'),
    (
        "CaudalWebhooksStuck",
        Case({_second(_LAG): "90x", _second(_EVENTS): "5x"}, {_second(_LAG): "0x", _second(_EVENTS): "5x"}),
        '{caudal_shard="1"}',
    ),
    ("CaudalClockAhead", _level(_second(_AHEAD), "9x", "1x"), '{caudal_shard="1"}'),
]


def _test(alert: str, series: dict[str, str], over: tuple[str, str, str], expected: int) -> dict[str, object]:
    step, length, at = over
    expr = f'count(ALERTS{{alertname="{alert}",alertstate="firing"}}) or vector(0)'
    lasting = {name: values[:-1] + length if values.endswith("x") else values for name, values in series.items()}
    return {
        "interval": step,
        "input_series": [{"series": name, "values": values} for name, values in lasting.items()],
        "promql_expr_test": [{"expr": expr, "eval_time": at, "exp_samples": [{"labels": "{}", "value": expected}]}],
    }


def _alone(alert: str) -> dict[str, Any]:
    """An alert and what it reads, looked at with each step instead of every half minute: nothing else costs time."""
    rules = [rule for group in groups(Scale()) for rule in group["rules"]]
    [own] = [rule for rule in rules if rule.get("alert") == alert]
    of = own["labels"].get("slo")
    return {
        "name": alert,
        "rules": [*(rule for rule in rules if of and rule.get("record") and rule["labels"]["slo"] == of), own],
    }


def test_every_alert_has_a_case_and_a_runbook_with_the_same_headings() -> None:
    assert set(CASES) == set(names())
    for name in names():
        text = (ROOT / "docs" / "runbooks" / f"{name}.md").read_text()
        heads = [line for line in text.splitlines() if line.startswith("#")]
        parts = ("What it means", "What users see", "What to look at", "What to do", "How it ends")
        assert heads == [f"# {name}", *(f"## {part}" for part in parts)], name
    pages = {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")} - {"README"}
    assert pages == set(names()), "a page about no alert, or none about one"


def test_every_alert_fires_when_it_should_and_not_otherwise(tmp_path: Path) -> None:
    cases = [*CASES.items(), *FURTHER]
    tests = []
    for name in CASES:
        (tmp_path / f"{name}.rules.yml").write_text(written({"groups": [_alone(name)]}))
        of = [case for alert, case in cases if alert == name]
        for step in {case.over[0] for case in of}:
            asked = [_test(name, case.wrong, case.over, 1) for case in of if case.over[0] == step]
            asked += [_test(name, case.calm, case.over, 0) for case in of if case.over[0] == step]
            tests.append(tmp_path / f"{name}.{step}.yml")
            told = {"rule_files": [f"{name}.rules.yml"], "evaluation_interval": step, "tests": asked}
            tests[-1].write_text(written(told))
    _promtool("test", "rules", *tests)


def test_an_alert_says_which_shard_or_process_it_is_about(tmp_path: Path) -> None:
    tests = []
    for name, case, where in PLACES:
        (tmp_path / f"{name}.rules.yml").write_text(written({"groups": [_alone(name)]}))
        calm = {
            series.replace("8703", "8702").replace('"1"', '"0"').replace("web-2", "web"): of
            for series, of in case.calm.items()
        }
        asked = _test(name, case.wrong | calm, case.over, 1)
        asked["promql_expr_test"] = [
            {
                "expr": f'count by (instance, caudal_shard) (ALERTS{{alertname="{name}",alertstate="firing"}})',
                "eval_time": case.over[2],
                "exp_samples": [{"labels": where, "value": 1}],
            }
        ]
        tests.append(tmp_path / f"{name}.yml")
        told = {"rule_files": [f"{name}.rules.yml"], "evaluation_interval": case.over[0], "tests": [asked]}
        tests[-1].write_text(written(told))
    _promtool("test", "rules", *tests)


def _promtool(*asked: str | Path) -> None:
    """Debian's word that all is well."""
    promtool = shutil.which("promtool")
    assert promtool, "promtool is missing: apt-get install prometheus"
    done = subprocess.run([promtool, *asked], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_shard_that_nobody_looks_at_is_seen_beside_one_that_is(tmp_path: Path) -> None:
    [expr] = [expr for title, expr in queries() if title == "Last looked at"]
    shards = {'{caudal_shard="0",caudal_check="balances"}': 0, '{caudal_shard="1",caudal_check="balances"}': 1_860}
    looked = [{"series": _LOOKED, "values": "0+60x31"}, {"series": _LOOKED.replace('"0"', '"1"'), "values": "0.1x31"}]
    seen = [{"labels": of, "value": age_s} for of, age_s in shards.items()]
    asked = [{"expr": f"round({expr})", "eval_time": "31m", "exp_samples": seen}]
    tests = [{"interval": "1m", "input_series": looked, "promql_expr_test": asked}]
    (tmp_path / "panel.yml").write_text(written({"tests": tests}))
    _promtool("test", "rules", tmp_path / "panel.yml")


def test_what_is_committed_is_what_is_generated_and_prometheus_takes_it() -> None:
    for path, text in files(Scale()).items():
        assert (ROOT / path).read_text() == text, f"{path}: run python -m caudal_ops"
    _promtool("check", "config", ROOT / "ops/prometheus/prometheus.yml")


def test_nothing_is_asked_for_that_no_process_measures() -> None:
    known = {one.prometheus for one in INSTRUMENTS} | {label for one in INSTRUMENTS for label in one.labels}
    asked = files(Scale())[RULES] + " ".join(expr for _, expr in queries())
    asked = asked.replace("caudal_ops", "")
    words = set(re.findall(r"\b(?:caudal|http|process|db_client|error|cpython)_[a-z_]+\b", asked))
    named = {re.sub("_(bucket|count|sum)$", "", word) if word not in known else word for word in words}
    assert len(named) > 40 and not named - known, named - known


def test_rules_of_ones_own_are_written_beside_the_checkouts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    committed = (ROOT / RULES).read_text()
    own = ["--runbooks", "https://wiki.example/caudal"]
    for asked in (own, ["--scale", "60"], [*own, "--out", str(ROOT)]):
        monkeypatch.setattr("sys.argv", ["caudal_ops", *asked])
        with pytest.raises(SystemExit, match="2"):
            generate()
        assert (ROOT / RULES).read_text() == committed
    monkeypatch.setattr("sys.argv", ["caudal_ops", *own, "--out", str(tmp_path)])
    assert generate() == 0 and 'runbook_url: "https://wiki.example/caudal/' in (tmp_path / RULES).read_text()
    assert (ROOT / RULES).read_text() == committed


@pytest.mark.parametrize("factor", [1, 60])
def test_a_scale_makes_every_time_shorter_and_nothing_else(factor: int) -> None:
    scale = Scale(factor)
    assert (
        scale.filled("a > {3600:age} and b[{300:window}]")
        == f"a > {3600 // factor} and b[{'5m' if factor == 1 else '5s'}]"
    )
    assert (scale.time(15), scale.time(86_400)) == (("15s", "1d") if factor == 1 else ("250ms", "24m"))
