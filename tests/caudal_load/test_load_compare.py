"""Comparing runs: a difference that is there is seen, one that is not is not, and the words say which."""

import json
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pytest
from typer.testing import CliRunner

from caudal_load.cli import app
from caudal_load.compare import BadReport, Difference, compare, load
from caudal_load.seconds import Second


@pytest.fixture(autouse=True)
def a_few_lots_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caudal_load.compare.TIMES", 120)


def run(tmp_path: Path, name: str, seed: int, rate: float = 100.0, latency_ms: float = 5.0, seconds: int = 20) -> Path:
    """A report of a run with Poisson-like rates and latencies."""
    random, timeline, intervals = Random(seed), list[dict[str, Any]](), list[dict[str, Any]]()
    for number in range(seconds):
        second = Second()
        second.acknowledged = second.answered = round(random.gauss(rate, rate / 20))
        for _ in range(second.acknowledged):
            second.latencies.record(int(random.expovariate(1 / latency_ms) * 1e6))
        timeline.append(second.as_json())
        cores = {"web": second.acknowledged * 100e-6, "postgres": second.acknowledged * 100e-6, "generator": 0.5}
        intervals.append({"begin_s": number, "end_s": number + 1.0, "cores": cores})
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps({"scenario": "spei-create", "timeline": timeline, "intervals": intervals}))
    return path


def differences(first: Path, second: Path) -> dict[str, Difference]:
    return {each.name: each for each in compare([load(first)], [load(second)]).differences}


def test_of_two_runs_of_one_thing_no_difference_is_seen(tmp_path: Path) -> None:
    found = differences(run(tmp_path, "a", 1), run(tmp_path, "b", 2))
    assert set(found) == {"rate", "p50_ms", "p99_ms", "p999_ms", "cpu_us_per_payment"}
    assert not found["rate"].seen and not found["p50_ms"].seen
    assert "no difference seen at 95 %" in found["rate"].statement


def test_a_difference_is_seen_with_its_size(tmp_path: Path) -> None:
    found = differences(run(tmp_path, "a", 1), run(tmp_path, "b", 2, rate=120, latency_ms=4))
    assert found["rate"].seen and found["rate"].change == pytest.approx(0.2, abs=0.05)
    assert found["p50_ms"].seen and found["p50_ms"].change == pytest.approx(-0.2, abs=0.06)
    assert found["p50_ms"].statement.startswith("lower at 95 % (-")
    low, high = found["rate"].low, found["rate"].high
    assert low is not None and high is not None and low < found["rate"].change < high


def test_false_alarms_are_about_as_rare_as_the_level_says(tmp_path: Path) -> None:
    runs = [run(tmp_path, str(seed), seed, rate=20) for seed in range(20)]
    assert sum(differences(first, second)["rate"].seen for first, second in pairwise(runs)) <= 4


def test_percentiles_are_those_of_all_seconds_together(tmp_path: Path) -> None:
    path = run(tmp_path, "a", 1)
    whole = Second()
    for second in load(path).seconds:
        whole.add(second)
    found = differences(path, path)
    assert found["p99_ms"].first == pytest.approx((whole.latencies.percentile_ns(99) or 0) / 1e6)
    assert found["cpu_us_per_payment"].first == pytest.approx(200), "the generator's is not caudal's"
    assert found["rate"].change == 0 and not found["rate"].seen


def test_several_runs_a_side_vary_as_runs_do(tmp_path: Path) -> None:
    calm = [load(run(tmp_path, f"a{n}", n, rate=rate)) for n, rate in enumerate((80, 100, 120))]
    other = [load(run(tmp_path, f"b{n}", n + 10, rate=rate)) for n, rate in enumerate((85, 105, 125))]
    of_runs = {each.name: each for each in compare(calm, other).differences}["rate"]
    of_one = {each.name: each for each in compare(calm[1:2], other[1:2]).differences}["rate"]
    assert not of_runs.seen, "5 % are less than what runs differ by themselves"
    assert (of_runs.high or 0) - (of_runs.low or 0) > 3 * ((of_one.high or 0) - (of_one.low or 0))


def test_too_few_seconds_make_no_statement(tmp_path: Path) -> None:
    found = differences(run(tmp_path, "a", 1, seconds=4), run(tmp_path, "b", 2))
    assert not found["rate"].seen and found["rate"].statement.startswith("no statement")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"timeline": [{}], "intervals": []}'])
def test_what_is_no_report_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)
    with pytest.raises(BadReport, match="no report"):
        load(path)


def test_the_command_says_it_in_words_and_in_json(tmp_path: Path) -> None:
    first, second = (str(run(tmp_path, name, seed)) for name, seed in (("a", 1), ("b", 2)))
    told = CliRunner().invoke(app, ["compare", first, second], env={"COLUMNS": "200"})
    assert told.exit_code == 0 and "no difference seen at 95 %" in told.stdout
    said = json.loads(CliRunner().invoke(app, ["compare", f"{first},{second}", second, "--json"]).stdout)
    assert said["first"] == [first, second] and {each["name"] for each in said["differences"]} > {"rate", "p99_ms"}
    assert CliRunner().invoke(app, ["compare", first, str(tmp_path / "none.json")]).exit_code == 2
