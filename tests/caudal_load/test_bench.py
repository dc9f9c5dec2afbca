"""`make bench`: every figure is one that a run has, missed ones are called so, and the table is the README's."""

import importlib.util
from dataclasses import fields
from types import ModuleType
from typing import Any

import pytest

from caudal_load.figures import Figures
from caudal_load.report import Report
from tests.house.tree import ROOT

MACHINE = {"cpu": "AMD EPYC", "cores": 2, "kernel": "6.1.0"}
RESULT = {
    "rate": 4283.4,
    "p99_ms": 41.26,
    "acknowledged": 38077,
    "lost": 0,
    "doubled": 0,
    "median_batch": 32,
    "cpu_us_per_request": {"generator": 25.2, "web": 179.5},
    "machine": MACHINE,
    "connections_by_process": {"web": 64},
    "rate_by_process": {"web": 4283.4},
    "thin_connections": 0,
}


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench", ROOT / ".ci" / "bench.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_figure_is_one_that_its_run_has(bench: ModuleType) -> None:
    known = {field.name for kind in (Figures, Report) for field in fields(kind)}
    known |= {"ratio", "wall_s", "first_s", "again_s", "install_s"}
    runs = bench.RUNS + bench.LONG_RUNS
    assert {figure.field.split(".")[0] for run in runs for figure in run.figures} <= known
    assert len({figure.what for run in runs for figure in run.figures if figure.what[0] != "…"}) == len(runs)


def test_what_both_books_and_the_receiver_say_is_shown(bench: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    figure = bench.Figure("webhooks.lag_max_ms", " ms", "≤", 1000, "The longest way of an event")
    more = {"disagreeing": 0, "unpaid": 2, "webhooks": {"received": 1500, "lag_max_ms": 240.5, "undelivered": 1}}
    _, out = printed(bench, [bench.Run("mixed", lambda: RESULT | more, (figure,))], capsys)
    assert "0 disagreeing, 2 unpaid" in out and "received 1,500" in out and "undelivered 1" in out
    assert "| The longest way of an event | ≤ 1,000 ms | 240 ms |" in out


def test_the_readme_has_the_table_with_every_figure(bench: ModuleType) -> None:
    page = (ROOT / "README.md").read_text("utf-8")
    assert "<!-- figures -->" not in page and "Measured on" in page
    runs = bench.RUNS + bench.LONG_RUNS
    missing = [figure.what for run in runs for figure in run.figures if f"| {figure.what} | " not in page]
    assert not missing, "the table that `make bench` prints"


def test_the_table_is_markdown_with_the_machine_once(bench: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    run = bench.Run(
        "64 connections",
        lambda: RESULT,
        (
            bench.Figure("rate", "/s", "≥", 4000, "Payins a second"),
            bench.Figure("p99_ms", " ms", "≤", 40, "… their 99th percentile"),
            bench.Figure("cpu_us_per_request.generator", " µs", "≤", 40, "… the generator's CPU"),
        ),
    )
    assert printed(bench, [run, run], capsys)[1].count("Measured on") == 1
    _, out = printed(bench, [run], capsys)
    *_, table, machine = out.strip().split("\n\n")
    assert table.splitlines() == [
        "| figure | target | measured |",
        "|---|---|---|",
        "| Payins a second | ≥ 4,000/s | 4,283/s |",
        "| … their 99th percentile | ≤ 40 ms | 41.3 ms (missed) |",
        "| … the generator's CPU | ≤ 40 µs | 25.2 µs |",
    ]
    assert machine == "Measured on AMD EPYC, 2 cores, Linux 6.1.0."


def test_a_run_that_failed_has_no_figures_and_fails_the_bench(
    bench: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> dict[str, Any]:
        raise bench.RunFailed("exit code 1")

    run = bench.Run("broken", fails, (bench.Figure("rate", "/s", "≥", 1, "Payins a second"),))
    status, out = printed(bench, [run], capsys)
    assert status == 1
    assert "FAILED" in out and "| Payins a second | ≥ 1/s | none (missed) |" in out


def test_what_is_lost_fails_the_bench_with_its_figures(bench: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    figure = bench.Figure("rate", "/s", "≥", 1, "Payins a second")
    run = bench.Run("lossy", lambda: {**RESULT, "lost": 1, "failed": True}, (figure,))
    status, out = printed(bench, [run], capsys)
    assert status == 1
    assert "1 lost" in out and "4,283/s" in out


def test_a_missed_target_fails_nothing(bench: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    run = bench.Run("slow", lambda: RESULT, (bench.Figure("rate", "/s", "≥", 9999, "Payins a second"),))
    status, out = printed(bench, [run], capsys)
    assert status == 0
    assert "MISSED" in out


def printed(bench: ModuleType, runs: list[Any], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit status and what a bench of these runs prints."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "RUNS", tuple(runs))
        status = bench.main([])
    return status, capsys.readouterr().out
