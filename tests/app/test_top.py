"""`caudal top`: what two looks at every process say, and what a terminal of eighty columns shows of it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from time import monotonic, time

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from rich.console import Console

from caudal.app.top import Page, figures, parsed, read
from caudal.app.top.figures import percentile
from caudal.app.top.reading import Samples
from caudal.app.top.view import frame
from tests.whole import Whole

WEB = """\
# HELP http_server_request_duration_seconds How long requests took.
# TYPE http_server_request_duration_seconds histogram
http_server_request_duration_seconds_bucket{http_request_method="POST",http_route="/v1/payins",http_response_status_code="201",le="0.005"} %(fast)d
http_server_request_duration_seconds_bucket{http_request_method="POST",http_route="/v1/payins",http_response_status_code="201",le="0.01"} %(all)d
http_server_request_duration_seconds_bucket{http_request_method="POST",http_route="/v1/payins",http_response_status_code="201",le="+Inf"} %(all)d
http_server_request_duration_seconds_count{http_request_method="POST",http_route="/v1/payins",http_response_status_code="201"} %(all)d
http_server_request_duration_seconds_count{http_request_method="POST",http_route="/v1/payins",http_response_status_code="503"} %(no)d
caudal_http_problems_total{error_type="overloaded"} %(no)d
caudal_commit_commands_total{caudal_shard="0"} %(all)d
caudal_commit_batch_duration_seconds_count{caudal_shard="0"} %(batches)d
caudal_commit_queue_length{caudal_shard="0",caudal_lane="normal"} 7
caudal_provider_breaker_state{caudal_provider="norte",caudal_mode="test",caudal_state="open"} 1
caudal_provider_breaker_state{caudal_provider="norte",caudal_mode="test",caudal_state="closed"} 0
caudal_money_in_flight{caudal_shard="0",caudal_mode="live",caudal_currency="MXN",caudal_state="capture"} 1234500
caudal_ledger_check_violations{caudal_shard="0",caudal_check="balances"} %(broken)d
process_cpu_time_seconds_total{cpu_mode="user"} %(cpu)d
process_memory_usage_bytes 95000000
"""  # noqa: E501


WORKER = """\
caudal_job_duration_seconds_count{caudal_job="settle",caudal_outcome="done"} %(done)d
caudal_job_duration_seconds_count{caudal_job="settle",caudal_outcome="broken"} %(broke)d
caudal_due_oldest_age_seconds{caudal_shard="0",caudal_job="settle"} 70
caudal_due_oldest_age_seconds{caudal_shard="1",caudal_job="settle"} 6
caudal_webhook_lag_seconds{caudal_shard="0",caudal_state="first"} 6
caudal_webhook_lag_seconds{caudal_shard="1",caudal_state="first"} 5
caudal_webhook_lag_seconds{caudal_shard="1",caudal_state="unmade"} 3
caudal_consumer_lag{caudal_shard="0",caudal_consumer="webhooks"} 40
caudal_consumer_lag{caudal_shard="1",caudal_consumer="webhooks"} 2
caudal_provider_breaker_state{caudal_provider="sur",caudal_mode="live",caudal_state="closed"} 1
caudal_provider_drained{caudal_provider="sur",caudal_mode="live"} 1
caudal_commit_queue_wait_seconds_bucket{caudal_shard="0",caudal_lane="normal",le="0.05"} %(done)d
caudal_commit_queue_wait_seconds_bucket{caudal_shard="0",caudal_lane="normal",le="+Inf"} %(done)d
caudal_watch_last_run_timestamp_seconds 1000
"""


FORCED = 'caudal_provider_forced{caudal_provider="norte",caudal_mode="test",caudal_state="%s"} 1\n'
OUTAGE = """\
http_server_request_duration_seconds_count{http_request_method="POST",http_route="/v1/payins",http_response_status_code="503"} %(at)d0
http_server_request_duration_seconds_count{http_request_method="POST",http_route="/v1/payins",http_response_status_code="429"} %(at)d
caudal_http_problems_total{error_type="database_unavailable"} %(at)d0
caudal_http_problems_total{error_type="too_many_requests"} %(at)d
caudal_ready{caudal_check="running"} 1
caudal_ready{caudal_check="shard"} 0
caudal_ready{caudal_check="database"} 0
"""  # noqa: E501
CROWDED = 'caudal_ready{caudal_check="database"} 1\ncaudal_ready{caudal_check="queue"} 0\n'
SHARD = """\
caudal_commit_queue_length{caudal_shard="%(id)d",caudal_lane="normal"} %(wait)d
caudal_commit_queue_length{caudal_shard="%(id)d",caudal_lane="bulk"} 0
caudal_commit_commands_total{caudal_shard="%(id)d"} %(commands)d
caudal_commit_batch_duration_seconds_count{caudal_shard="%(id)d"} %(commands)d
caudal_commit_queue_wait_seconds_bucket{caudal_shard="%(id)d",caudal_lane="normal",le="0.05"} %(commands)d
caudal_commit_queue_wait_seconds_bucket{caudal_shard="%(id)d",caudal_lane="normal",le="+Inf"} %(commands)d
"""
ALARMS = 'caudal_commit_alarms_total{caudal_shard="0"} %d\n'
IN_VAIN = 'caudal_due_in_vain{caudal_shard="%d",caudal_job="payin.submit"} %d\n'


def shards(at: float, first: int, second: int) -> Page:
    told = [(0, first, 412), (1, second, 0)]
    return Page(at, parsed("".join(SHARD % {"id": id, "commands": done, "wait": wait} for id, done, wait in told)))


def work(at: float, done: int, broke: int) -> Page:
    return Page(at, parsed(WORKER % {"done": done, "broke": broke}), clock=1_012.0)


def page(at: float, fast: int, all: int, no: int, batches: int, cpu: int, broken: int = 0) -> Page:
    told = {"fast": fast, "all": all, "no": no, "batches": batches, "cpu": cpu, "broken": broken}
    return Page(at, parsed(WEB % told))


def shown(before: dict[str, Page], now: dict[str, Page]) -> str:
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(frame(figures(before, now), "caudal"))
    return console.export_text()


def test_rates_and_percentiles_are_of_what_grew_in_all_processes() -> None:
    before = {"web-1": page(10, 50, 100, 0, 10, 3), "web-2": page(10, 0, 0, 0, 0, 1)}
    now = figures(before, {"web-1": page(14, 130, 200, 8, 20, 5), "web-2": page(14, 100, 100, 0, 30, 1)})
    assert (now.seconds, now.requests["rate"], now.requests["refused"]) == (4, 52, 2)
    assert (now.requests["2xx"], now.requests["5xx"]) == (50, 0), "refusals are told apart from what is broken"
    assert now.requests["p50"] == pytest.approx(0.005 * 100 / 180) and now.requests["p99"] == pytest.approx(0.0095)
    assert (now.commits["size"], now.queue) == (200 / 40, {"normal": 14})
    [route] = now.routes
    assert (route["route"], route["rate"], route["not_2xx"]) == ("POST /v1/payins", 52, 2)
    assert [(of["process"], of["cpu"]) for of in now.processes] == [("web-1", 0.5), ("web-2", 0)]


def test_what_has_no_route_is_a_line_of_its_own() -> None:
    none = 'http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="404"} %d'
    now = figures({"web": Page(10, parsed(none % 0))}, {"web": Page(12, parsed(none % 8))})
    assert [(of["route"], of["rate"]) for of in now.routes] == [("GET", 4)]


def test_a_process_that_began_anew_counts_from_its_beginning_and_one_that_is_away_is_told() -> None:
    before = {"web": page(10, 50, 100, 0, 10, 3), "worker": page(10, 50, 100, 0, 10, 3)}
    now = figures(before, {"web": page(12, 10, 20, 0, 2, 1), "worker": Page(12, {}, "refused")})
    assert now.requests["rate"] == 10 and now.commits["batches"] == 1
    assert now.processes[1] == {"process": "worker", "trouble": "refused"}


def test_a_percentile_above_the_last_bound_is_that_bound_and_nothing_has_none() -> None:
    samples: Samples = {"t_bucket": {(("le", "1"),): 1.0, (("le", "+Inf"),): 10.0}}
    assert percentile(samples, "t", 0.99) == 1.0 and percentile({}, "t", 0.5) is None


def test_labels_are_read_with_what_is_escaped_in_them() -> None:
    assert parsed('a{b="x\\"y\\\\z",c="\\n"} 1.5\n# a comment\nnot one\n') == {
        "a": {(("b", 'x"y\\z'), ("c", "\n")): 1.5}
    }


def test_of_ages_the_oldest_counts_and_of_what_is_many_the_sum() -> None:
    now = figures({"worker": work(10, 0, 0)}, {"worker": work(15, 100, 0)})
    assert (now.webhooks["lag_first"], now.webhooks["lag_unmade"]) == (6, 3)
    assert now.behind == {"settle due for": 70, "events behind, webhooks": 42}
    twice = figures({}, {"worker-1": work(15, 100, 0), "worker-2": work(15, 100, 0)})
    assert twice.behind["settle due for"] == 70, "both say so while the watch goes from one to the other"


def test_what_one_worker_gathers_has_its_age_and_without_one_nothing_is_known() -> None:
    now = figures({}, {"web": page(14, 1, 1, 0, 1, 1), "worker": work(14, 0, 0)})
    assert now.gathered_s == 12
    assert "12.0 s ago: how late webhooks are" in shown(before={}, now={"worker": work(14, 0, 0)})
    nobody = shown(before={}, now={"web": page(14, 1, 1, 0, 1, 1)})
    assert "by no worker" in nobody and "not known" in nobody and "nothing " not in nobody.partition("behind")[2]


def test_jobs_that_break_are_behind_and_stay_counted_while_their_leases_run() -> None:
    begun = {"worker": work(10, 0, 2)}
    now = figures(begun, {"worker": work(14, 8, 5)})
    assert now.jobs == {"rate": 11 / 4, "broken": 3, "broken_in_all": 5}
    text = shown(begun, {"worker": work(14, 8, 5)})
    assert "3 settle broke" in text and "3 broke now, 5 since the processes began" in text
    later = shown(begun, {"worker": work(14, 8, 2)})
    assert "settle broke" not in later and "0 broke now, 2 since" in later
    assert "broke" not in shown({"worker": work(10, 0, 0)}, {"worker": work(14, 8, 0)})


def test_a_database_that_is_away_is_no_crowd_and_says_which_process_misses_it() -> None:
    before, now = ({"web": Page(at, parsed(OUTAGE % {"at": at}))} for at in (10, 14))
    found = figures(before, now | {"web-2": Page(14, parsed(CROWDED)), "gone": Page(14, {}, "away")})
    assert (found.requests["5xx"], found.requests["refused"], found.requests["4xx"]) == (10, 1, 0)
    assert (found.not_ready, found.see_to) == ({"web": ["database", "shard"]}, {"web-2": ["queue"]})
    text = shown(before, now | {"web-2": Page(14, parsed(CROWDED)), "web-3": now["web"]})
    assert (
        "not ready web, web-3: database, shard\n" in text and "see to    web-2: queue\n" in text and "10.0 5xx" in text
    )
    well = shown({}, {"web-2": Page(14, parsed(CROWDED.replace(" 0", " 1")))})
    assert "not ready" not in well and "see to" not in well


def test_a_breaker_that_is_forced_is_shown_as_such_whatever_it_would_say_itself() -> None:
    for state in ("open", "closed"):
        forced = Page(
            14, parsed(WORKER % {"done": 1, "broke": 0} + FORCED % state + WEB.partition("caudal_provider")[0])
        )
        norte = parsed(
            'caudal_provider_breaker_state{caudal_provider="norte",caudal_mode="test",caudal_state="closed"} 1'
        )
        forced.samples["caudal_provider_breaker_state"] |= norte["caudal_provider_breaker_state"]
        rows = figures({}, {"web": forced}).providers
        assert [(of["provider"], of["breaker"], of["forced"]) for of in rows] == [
            ("norte (test)", "closed", state),
            ("sur (live)", "closed", None),
        ]
        assert f"forced {state}" in shown({}, {"web": forced})


def test_work_that_was_tried_in_vain_is_behind_once_however_many_workers_tell_it() -> None:
    both = {name: Page(14, parsed(IN_VAIN % (0, 90) + IN_VAIN % (1, 14))) for name in ("worker", "worker-2")}
    assert figures({}, both).behind == {"payin.submit tried in vain": 104}
    assert "104 payin.submit tried in vain" in shown({}, {"worker": work(14, 1, 0), **both})


def test_alarms_say_which_process_has_the_reason_in_its_log() -> None:
    before, now = (
        {"web": Page(at, parsed(ALARMS % of)), "web-2": Page(at, parsed(ALARMS % 0))} for at, of in ((10, 2), (14, 5))
    )
    text = shown(before, now)
    assert "alarms    web: 3 broke now, 5 since it began\n" in text
    assert "alarms" not in shown({}, {"web-2": now["web-2"]})


def test_each_of_several_shards_has_a_row_and_one_alone_has_none() -> None:
    before, now = (
        {"web": shards(10, 0, 0), "web-2": shards(10, 0, 0)},
        {"web": shards(14, 400, 4), "web-2": shards(14, 0, 4)},
    )
    rows = figures(before, now).shards
    assert [(of["shard"], of["commands"], of["waiting"]) for of in rows] == [("0", 100, 824), ("1", 2, 0)]
    assert rows[0]["wait_p99"] == pytest.approx(0.0495)
    [full] = [line for line in shown(before, now).splitlines() if line.startswith("0 ")]
    assert full.split() == ["0", "100", "100", "1.0", "–", "824", "49.5", "ms"]
    assert "waited p99" not in shown({}, {"web": page(14, 1, 1, 0, 1, 1)})
    idle = figures({}, {"web": page(14, 1, 1, 0, 1, 1), "worker": work(14, 1, 0)}).shards
    assert [of["shard"] for of in idle] == ["0", "1"], (
        "the second, of which only the watch knows: nobody has written there"
    )


def test_a_drained_provider_lags_and_waits_are_on_the_frame() -> None:
    text = shown({"worker": work(10, 0, 0)}, {"worker": work(14, 100, 0)})
    for told in ("closed drained", "first 6.0 s", "unmade 3.0 s", "settle due for 70.0 s", "waited p99 49.5 ms"):
        assert told in text, (told, text)


def test_a_frame_fits_eighty_columns_and_says_what_is_wrong() -> None:
    before = {"web": page(10, 50, 100, 0, 10, 3), "worker": Page(10, {}, "away")}
    now = page(14, 130, 200, 8, 20, 5, broken=3)
    text = shown(before, {"web": now, "worker": Page(14, {}, "away")})
    assert max(len(line) for line in text.splitlines()) <= 80
    rest = (
        "".join(SHARD % {"id": id, "commands": 10**6, "wait": 9_999} for id in (0, 1)) + ALARMS % 12 + FORCED % "closed"
    )
    many = {f"web-{n}": Page(14, now.samples | parsed(rest + OUTAGE % {"at": 14})) for n in range(2, 18)}
    full = shown(before, many)
    assert (
        max(len(line) for line in full.splitlines()) <= 80
        and "…" not in full
        and " ".join(full.split()).count("web-17: database, shard") == 1
    )
    for told in ("open", "12,345.00 MXN", "3 rows that break a law of the books", "away", "normal 7", "refused"):
        assert told in text, (told, text)


def test_an_address_in_brackets_is_no_markup() -> None:
    away = {"[fe80::1]:8702": Page(10, {}, "away")}
    assert "[fe80::1]:8702" in shown(away, away)


async def test_a_page_that_is_read_knows_when_it_was_by_both_clocks() -> None:
    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text=WORKER % {"done": 1, "broke": 0})

    app = web.Application()
    app.router.add_get("/metrics", metrics)
    async with TestServer(app) as server, ClientSession() as session:
        began = monotonic(), time()
        pages = await read(session, {"worker": str(server.make_url("")).rstrip("/"), "gone": "http://127.0.0.1:9"})
        ended = monotonic(), time()
    found = pages["worker"]
    assert began[0] <= found.at <= ended[0] and began[1] <= found.clock <= ended[1]
    assert found.samples["caudal_watch_last_run_timestamp_seconds"] == {(): 1000}
    assert pages["gone"].samples == {} and pages["gone"].trouble


def test_the_command_shows_the_caudal_of_its_directory_once(running: Whole) -> None:
    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "caudal", "top", "--once", "--every", "0.3", *options]
        outside = {name: value for name, value in os.environ.items() if not name.startswith("CAUDAL_")}
        known = {**outside, "CAUDAL_VAR": str(running.var)}
        return subprocess.run(command, env=known, capture_output=True, text=True, check=False, timeout=60)

    shown = run("--json")
    assert shown.returncode == 0, shown.stderr
    found = json.loads(shown.stdout)
    assert {of["process"].partition("-")[0] for of in found["processes"]} == {"web", "worker"}
    assert all(of["memory"] > 10**7 for of in found["processes"]) and found["providers"]
    nobody = run("--metrics", "http://127.0.0.1:9")
    assert (nobody.returncode, nobody.stderr) == (2, "caudal: nobody answers at http://127.0.0.1:9\n")
    assert "--metrics x: an address is" in run("--metrics", "x").stderr
