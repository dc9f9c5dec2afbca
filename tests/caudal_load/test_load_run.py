"""Whole runs through the command line, against a stand-in that is started, loaded, asked and ended like caudal."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from caudal_load.cli import app
from caudal_load.figures import Figures
from tests.caudal_load import fake_caudal

FAKE = (sys.executable, fake_caudal.__file__)
FIGURES = {field.name for field in fields(Figures)} - {"seconds"} | {"timeline"}
RUN = {"scenario", "seconds", "warm_up_s", "versus", "ratio", "other", "machine"}
RUN |= {"passed", "slo", "began", "commit", "scenario_text"}


@pytest.fixture(autouse=True)
def a_fake_caudal_and_a_quiet_place(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("caudal_load.caudal_up.COMMAND", FAKE)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["run", "spei-create", "--warm-up", "0.1", *arguments])


def report(*arguments: str) -> dict[str, Any]:
    result = call(*arguments, "--json")
    assert result.exit_code == 0, result.output
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def test_a_run_reports_its_figures_and_leaves_nothing_behind(tmp_path: Path) -> None:
    answer = report("--connections", "4", "--seconds", "0.5", "--up")
    assert set(answer) == FIGURES | RUN
    assert answer["acknowledged"] > answer["rate"] * 0.5 > 0
    assert 0 < answer["p50_ms"] <= answer["p99_ms"] <= answer["p999_ms"]
    assert answer["worst_connection_p99_ms"] >= answer["p99_ms"] * 0.99
    assert (answer["lost"], answer["doubled"], answer["refused"], answer["refused_by_status"]) == (0, 0, 0, {})
    assert 0 < answer["least_connection_share"] <= 1
    assert answer["connections_by_process"] == {"web": 4}
    assert answer["rate_by_process"]["web"] == pytest.approx(answer["rate"], rel=0.01)
    assert set(answer["cpu_us_per_request"]) == {"generator", "conductor", "web"}
    assert answer["web_rss_mb"] > 5
    assert set(answer["memory_mb_start"]) == set(answer["memory_mb_end"]) == {"web"}
    assert (answer["paid_rate"], answer["webhooks"]) == (None, None)
    assert set(answer["machine"]) == {"cpu", "cores", "kernel"}
    assert list(tmp_path.iterdir()) == []


def test_cards_are_made_beforehand_and_take_turns() -> None:
    result = CliRunner().invoke(
        app, ["run", "card-captured", "--warm-up", "0.1", "--connections", "2", "--seconds", "0.2", "--up", "--json"]
    )
    assert result.exit_code == 0, result.output
    answer = json.loads(result.stdout)
    assert (answer["scenario"], answer["submitting"], answer["disagreeing"]) == ("card-captured", 0, None)
    assert answer["acknowledged"] > 0


def test_an_open_loop_run_keeps_its_rate() -> None:
    answer = report("--rate", "200", "--seconds", "0.5", "--up")
    assert answer["rate"] == pytest.approx(200, rel=0.1)
    assert (answer["arrivals_per_s"], answer["connections"], answer["unsent"]) == (200, None, 0)


def test_a_run_can_end_with_so_many_acknowledged() -> None:
    answer = report("--connections", "4", "--requests", "300", "--seconds", "30", "--up")
    assert answer["requests"] == 300
    assert 300 <= answer["acknowledged"] < answer["rate"] * 30


def test_too_few_acknowledged_fail_a_run_that_wanted_more() -> None:
    result = call("--connections", "1", "--requests", "1000000", "--seconds", "0.2", "--up", "--json")
    assert result.exit_code == 1
    assert 0 < json.loads(result.stdout)["acknowledged"] < 1_000_000


def test_a_comparison_loads_two_of_them_in_turn(tmp_path: Path) -> None:
    answer = report("--connections", "2", "--seconds", "0.4", "--up", "--versus", "max_batch=1")
    assert set(answer["other"]) == FIGURES
    assert answer["other"]["settings"] == {"CAUDAL_MAX_BATCH": "1"}
    assert answer["ratio"] == pytest.approx(answer["rate"] / answer["other"]["rate"], rel=0.01)
    assert list(tmp_path.iterdir()) == []


def test_merchants_are_made_and_share_the_requests() -> None:
    answer = report("--connections", "2", "--seconds", "0.2", "--up", "--versus", "merchants=20")
    assert (answer["merchants"], answer["other"]["merchants"]) == (1, 20)
    assert answer["other"]["lost"] == 0


def test_for_people_there_is_a_table() -> None:
    result = call("--connections", "1", "--seconds", "0.2", "--up")
    assert result.exit_code == 0
    assert "p99_ms" in result.stdout
    assert "CPU µs/request, generator" in result.stdout


def test_a_caudal_that_does_not_start_shows_its_log(tmp_path: Path) -> None:
    result = call("--connections", "1", "--seconds", "0.2", "--up", "--versus", "max_batch=0")
    assert result.exit_code == 1
    assert "max_batch has to be above 0" in result.stderr
    assert "the fake is starting" in result.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_setting_that_is_none_is_a_mistake_of_the_command_line_and_nothing_else_is_started(tmp_path: Path) -> None:
    result = call("--connections", "1", "--seconds", "0.2", "--up", "--versus", "nosuch=1")
    assert result.exit_code == 2
    assert "CAUDAL_NOSUCH is not a setting" in result.stderr and result.stderr.count("starting caudal") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_caudal_that_is_not_there_is_said() -> None:
    result = call("--connections", "1", "--seconds", "0.2", "--url", "http://127.0.0.1:9", "--key", "sk_test_x")
    assert result.exit_code == 1
    assert "caudal-load:" in result.stderr


def test_options_that_do_not_fit_together_are_said() -> None:
    result = call("--connections", "1", "--rate", "5", "--up")
    assert result.exit_code == 2
    assert "--connections N" in result.stderr


def test_an_unknown_scenario_is_said_with_the_known_ones() -> None:
    result = CliRunner().invoke(app, ["run", "pix-create", "--up"])
    assert result.exit_code == 2
    assert "spei-create" in result.stderr


def test_the_help_names_every_option() -> None:
    result = CliRunner().invoke(app, ["run", "--help"], env={"COLUMNS": "200"})
    for option in (
        "--connections",
        "--rate",
        "--seconds",
        "--up",
        "--url",
        "--key",
        "--versus",
        "--json",
        "--merchants",
    ):
        assert option in result.stdout


def test_a_lost_payin_fails_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_CAUDAL_LOSES", "1")
    result = call("--connections", "1", "--seconds", "0.2", "--up", "--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["lost"] == 1
    assert "lost: load-" in result.stderr


def test_a_closed_loop_that_stood_still_warns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAKE_CAUDAL_SLOW_S", "1.4")
    warnings = report("--connections", "1", "--seconds", "1.7", "--up")["warnings"]
    assert any(warning.startswith("nothing was answered in ") for warning in warnings), warnings


def test_a_server_that_forgets_keys_is_found_out(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FAKE_CAUDAL_FORGETS_KEYS", "1")
    path = tmp_path / "repeats.toml"
    creates = '[[requests]]\nask = "create"\nshare = 1\nmethod = "spei"\n'
    path.write_text('about = "repeats"\n' + creates + '[[requests]]\nask = "replay"\nshare = 1\n')
    result = CliRunner().invoke(
        app, ["run", str(path), "--up", "--warm-up", "0", "--rate", "100", "--seconds", "0.2", "--json"]
    )
    answer = json.loads(result.stdout)
    assert result.exit_code == 1
    assert answer["differing"] > 0 and answer["doubled"] > 0


def test_ctrl_c_ends_the_caudal_that_it_started(tmp_path: Path) -> None:
    command = (
        "import sys; from caudal_load import caudal_up, cli; "
        "caudal_up.COMMAND = sys.argv.pop(1), sys.argv.pop(1); cli.main()"
    )
    arguments = ["run", "spei-create", "--connections", "1", "--seconds", "30", "--up"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(
        [sys.executable, "-c", command, *FAKE, *arguments], env=environment, stderr=subprocess.PIPE, text=True
    ) as load:
        while not (ups := list(tmp_path.glob("*/var/up.json"))):
            time.sleep(0.02)
        time.sleep(0.2)
        pid = json.loads(ups[0].read_text())["pid"]
        load.send_signal(signal.SIGINT)
        assert load.wait(10) == 130
        assert load.stderr is not None
        assert "interrupted" in load.stderr.read()
    assert not Path(f"/proc/{pid}").exists()
    assert list(tmp_path.iterdir()) == []
