"""`caudal top`: what two looks at every process say, and what a terminal of eighty columns shows of it."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys

import pytest
from rich.console import Console

from caudal.app.top import Page, figures, parsed
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


def page(at: float, fast: int, all: int, no: int, batches: int, cpu: int, broken: int = 0) -> Page:
    told = {"fast": fast, "all": all, "no": no, "batches": batches, "cpu": cpu, "broken": broken}
    return Page(at, parsed(WEB % told))


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


def test_a_frame_fits_eighty_columns_and_says_what_is_wrong() -> None:
    before = {"web": page(10, 50, 100, 0, 10, 3), "worker": Page(10, {}, "away")}
    now = figures(before, {"web": page(14, 130, 200, 8, 20, 5, broken=3), "worker": Page(14, {}, "away")})
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(frame(now, "caudal"))
    text = console.export_text()
    assert max(len(line) for line in text.splitlines()) <= 80
    for told in ("open", "12,345.00 MXN", "3 rows that break a law of the books", "away", "normal 7", "refused"):
        assert told in text, (told, text)


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
