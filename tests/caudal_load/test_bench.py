"""`make bench`: every figure is one that a run has, missed ones are called so, and the table is the README's."""

import importlib.util
import sys
from collections.abc import Iterator
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
    "weighted_median_batch": 32,
    "cpu_us_per_request": {"generator": 25.2, "web": 179.5},
    "machine": MACHINE,
    "connections_by_process": {"web": 64},
    "rate_by_process": {"web": 4283.4},
    "thin_connections": 0,
}


@pytest.fixture(scope="module")
def bench() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ROOT / ".ci"))
    spec = importlib.util.spec_from_file_location("bench", ROOT / ".ci" / "bench.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(ROOT / ".ci"))
    del sys.modules["figures"]


def test_every_figure_is_one_that_its_run_has(bench: ModuleType) -> None:
    known = {field.name for kind in (Figures, Report) for field in fields(kind)}
    known |= {"ratio", "wall_s", "first_s", "again_s", "install_s", "payins_per_s", "request_p99_ms", "kept"}
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


def test_of_several_runs_the_median_is_shown(bench: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    rates = iter([4000.0, 9000.0, 5000.0])
    run = bench.Run("thrice", lambda: RESULT | {"rate": next(rates)}, (bench.Figure("rate", "/s", "≥", 4500, "Rate"),))
    _, out = printed(bench, [run], capsys, "--times", "3")
    assert "| Rate | ≥ 4,500/s | 5,000/s |" in out and out.rstrip().endswith("Medians of 3 runs.")


def test_a_figure_that_one_of_several_runs_has_not_is_none(bench: ModuleType) -> None:
    assert bench.median_of([{"rate": 1}, {"failed": True}, {"rate": 2}], "rate") is None


def test_a_figure_of_which_nothing_is_asked_is_shown(bench: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    run = bench.Run("worst", lambda: {"p99_ms": 135.2}, (bench.Figure("p99_ms", " ms", "≤", None, "The worst"),))
    _, out = printed(bench, [run], capsys)
    assert "| The worst | – | 135 ms |" in out and "MISSED" not in out and "target" not in out.split("| figure")[0]


@pytest.mark.parametrize(("at_64", "at_256", "half"), [(4283.4, 5870.0, "2935"), (4283.4, 3000.0, "2142")])
def test_half_of_the_highest_rate_is_offered(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch, at_64: float, at_256: float, half: str
) -> None:
    rates, offered = {"64": at_64, "256": at_256}, list[str]()

    def loaded(*arguments: str, **_: str) -> dict[str, Any]:
        asked = dict(zip(arguments[4::2], arguments[5::2], strict=True))
        offered.extend(asked[name] for name in asked if name == "--rate")
        rate = rates[asked["--connections"]] if "--connections" in asked else float(asked["--rate"])
        return RESULT | {"rate": rate, "failed": rate == at_256}

    monkeypatch.setattr(bench, "_loaded", loaded)
    result = bench.at_half()
    assert offered == [half] and (result["rate"], result["highest_rate"]) == (float(half), max(rates.values()))
    assert result["failed"], "also where the run failed that says what half is of"


def test_what_telemetry_leaves_is_the_other_side_of_the_ratio(
    bench: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "_loaded", lambda *_, **__: {"ratio": 1.25})
    assert bench.with_telemetry()["kept"] == 0.8


def printed(bench: ModuleType, runs: list[Any], capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit status and what a bench of these runs prints."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "RUNS", tuple(runs))
        status = bench.main([*arguments])
    return status, capsys.readouterr().out
