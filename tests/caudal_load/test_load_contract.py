"""`caudal-load` against caudal itself, by its command line: whole, short, and every figure of its contract there."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable

import pytest

COMMAND = [sys.executable, "-m", "caudal_load", "run", "spei-create", "--up", "--connections", "16", "--json"]
LATENCIES = ("p50_ms", "p99_ms", "p999_ms", "worst_connection_p99_ms")
BATCHES = ("weighted_median_batch", "commands_per_batch", "batches_per_s")
NUMBERS = ("rate", *LATENCIES, "ratio", *BATCHES, "web_rss_mb")
COUNTS = ("acknowledged", "refused", "lost", "doubled", "unknown", "malformed", "unsent", "thin_connections")
PROCESSES = {"generator", "conductor", "web", "worker", "sandbox", "postgres"}
START_AND_END_S = 34
"""What the two sides may take beside their seconds: with 8 s a side the whole ends within 50 s."""


@pytest.mark.alone
@pytest.mark.server
def test_a_comparison_of_caudal_with_itself_has_every_figure(say: Callable[[str], None]) -> None:
    began_s = time.monotonic()
    command = [*COMMAND, "--seconds", "1", "--warm-up", "0.5", "--versus", "max_batch=1"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    took_s = time.monotonic() - began_s
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    for side in (figures, figures["other"] | {"ratio": 1.0}):
        assert all(isinstance(side[name], int | float) and side[name] > 0 for name in NUMBERS), side
        assert all(isinstance(side[name], int) for name in COUNTS), side
        assert (side["lost"], side["doubled"], side["refused"], side["refused_by_status"]) == (0, 0, 0, {})
        assert side["acknowledged"] >= side["rate"]
        assert side["p50_ms"] <= side["p99_ms"] <= side["p999_ms"]
        assert set(side["cpu_us_per_request"]) == PROCESSES
        assert side["connections_by_process"] == {"web": 16}
        assert 0 < side["least_connection_share"] <= 1
    assert figures["other"]["weighted_median_batch"] == 1 < figures["weighted_median_batch"]
    assert figures["ratio"] == pytest.approx(figures["rate"] / figures["other"]["rate"], rel=0.01)
    assert took_s < 2 * 1.5 + START_AND_END_S
    say(f"{figures['rate']:.0f}/s, {figures['ratio']} of single commits, {took_s:.1f} s in all")


@pytest.mark.server
def test_six_flows_come_to_their_end_and_both_books_and_every_webhook_say_so(say: Callable[[str], None]) -> None:
    command = [*COMMAND, "--seconds", "3", "--warm-up", "0.5"]
    command[command.index("spei-create")] = "mixed"
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    figures = json.loads(done.stdout)
    assert (figures["lost"], figures["doubled"], figures["disagreeing"], figures["unpaid"]) == (0, 0, 0, 0)
    assert (figures["refused"], figures["unknown"], figures["malformed"]) == (0, 0, 0)
    assert figures["paid_rate"] > 0
    heard = figures["webhooks"]
    assert (heard["undelivered"], heard["unseen"], heard["unreadable"]) == (0, 0, 0)
    assert heard["received"] > 2 * figures["acknowledged"]
    assert 0 < heard["lag_p50_ms"] <= heard["lag_p99_ms"] <= heard["lag_max_ms"]
    assert set(figures["memory_mb_start"]) == set(figures["memory_mb_end"]) == PROCESSES - {"generator", "conductor"}
    say(f"{figures['rate']:.0f}/s, {figures['paid_rate']:.0f}/s paid, lag {heard['lag_p99_ms']:.0f} ms")
