"""`caudal-load capacity` as it is called: steps that are kept and fitted again, exit statuses, refusals, the page."""

import json
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from typer.testing import CliRunner, Result

from caudal_load.capacity.kept import KeptStep, load, save
from caudal_load.cli import app
from tests.caudal_load.capacity_cast import RATES, closed, kept, opened
from tests.caudal_load.test_load_run import FAKE


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["capacity", "--draws", "5", *map(str, arguments)])


@pytest.fixture
def steps(tmp_path: Path) -> Path:
    save(kept(), tmp_path / "steps.json")
    return tmp_path / "steps.json"


def written(path: Path, taken: Sequence[KeptStep], **other: object) -> Path:
    save(msgspec.structs.replace(kept(*taken), **other), path)
    return path


def test_what_was_kept_is_read_again_as_it_was(steps: Path) -> None:
    assert load(steps) == kept()


def test_kept_steps_are_answered_in_json_and_in_words(steps: Path) -> None:
    done = call("--steps", steps, "--slo-ms", "30", "--for", "100", "--for", "20000", "--json")
    said = json.loads(done.stdout)
    assert done.exit_code == 0 and said["check"]["passed"] and said["safe"]
    assert said["figures"]["within_slo_per_s"]["value"] == pytest.approx(7241, rel=0.01)
    assert [one["shards"]["value"] for one in said["needs"]] == [1, 3]
    assert said["saturates"][0]["resource"] == "chain" and len(said["steps"]) == len(kept().steps)
    words = call("--steps", steps, "--slo-ms", "30", "--for", "100")
    assert words.exit_code == 0
    assert "First to saturate: chain (batches of 1 shard)" in " ".join(words.stdout.split())
    assert "is predicted within 15%" in words.stdout
    assert "note: memory of the processes is what they had here" in words.stdout and said["remarks"]


def test_a_step_that_is_not_predicted_is_three(tmp_path: Path) -> None:
    odd = [opened(r, stretch=1.4 if r == 6000 else 1.0) for r in RATES]
    path = written(tmp_path / "odd.json", [*kept().closed, *odd])
    done = call("--steps", path, "--slo-ms", "30")
    assert done.exit_code == 3 and "is NOT predicted within 15%" in done.stdout


def test_something_lost_is_one_whatever_is_predicted(tmp_path: Path) -> None:
    whole = kept().steps
    path = written(tmp_path / "lost.json", [msgspec.structs.replace(whole[0], safe=False), *whole[1:]])
    done = call("--steps", path, "--slo-ms", "30")
    assert done.exit_code == 1 and "lost, double or wrong" in done.stdout


def test_too_few_steps_are_one(tmp_path: Path) -> None:
    path = written(tmp_path / "few.json", [closed(1), closed(2), opened(500.0)])
    done = call("--steps", path)
    assert done.exit_code == 1 and "no fit: the law of delay needs 4 different rates" in done.stderr


def test_several_files_are_one_run_if_they_are_of_the_same(steps: Path, tmp_path: Path) -> None:
    half = written(tmp_path / "half.json", kept().closed)
    other = written(tmp_path / "other.json", kept().open)
    assert call("--steps", f"{half},{other}", "--slo-ms", "30").exit_code == 0
    for name, value in (("scenario", "reads"), ("shards", 2), ("machine", {"cores": 4})):
        unlike = written(tmp_path / "unlike.json", kept().open, **{name: value})
        done = call("--steps", f"{steps},{unlike}")
        assert done.exit_code == 2 and ("machines" if name == "machine" else name) in done.stderr


@pytest.mark.parametrize("text", ["", "{}", '{"scenario": 1}', "[]"])
def test_what_holds_no_steps_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "none.json").write_text(text)
    done = call("--steps", tmp_path / "none.json")
    assert done.exit_code == 2 and "holds no steps" in " ".join(done.stderr.split())
    assert call("--steps", tmp_path / "nowhere.json").exit_code == 2


def test_a_table_of_prices_that_is_none_is_refused(steps: Path, tmp_path: Path) -> None:
    (tmp_path / "p.toml").write_text("core_month = -")
    assert call("--steps", steps, "--prices", tmp_path / "p.toml").exit_code == 2
    assert call("no-such-scenario").exit_code == 2


def test_the_page_needs_nothing_else_and_shows_measured_and_fitted(steps: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    assert call("--steps", steps, "--slo-ms", "30", "--for", "10000", "--report", page).exit_code == 0
    text = page.read_text()
    assert not re.search(r"https?://|<script|@import|url\(|src=", text)
    plots = {
        plot.attrib["aria-label"]: plot
        for plot in map(ElementTree.fromstring, re.findall(r"<svg.*?</svg>", text, re.S))
    }
    assert set(plots) == {"Throughput against concurrency", "Delay against rate", "CPU against rate"}
    assert len(list(plots["Throughput against concurrency"].iter("circle"))) == len(kept().closed)
    assert "held out" in text and "For 10,000/s" in text and "API processes" in text


def test_a_caudal_is_climbed_and_its_steps_are_kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("caudal_load.caudal_up.COMMAND", FAKE)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    short = ["--seconds", "0.1", "--warm-up", "0", "--most", "8", "--between", "0", "--merchants", "2"]
    done = call("spei-create", *short, "--slo-ms", "10000", "--save", tmp_path / "kept.json", "--json")
    found = load(tmp_path / "kept.json")
    assert {1, 2, 4, 8} <= {step.connections for step in found.closed} and all(step.safe for step in found.steps)
    first, second = found.open[:2]
    assert first.offered == pytest.approx(max(step.rate for step in found.closed) / 8, rel=0.05)
    assert second.offered == pytest.approx(2 * (first.offered or 0), rel=0.01) or second.offered == first.offered
    assert found.closed[0].cores["web"] >= 0 and found.disk is None and found.scenario == "spei-create"
    assert done.exit_code in (0, 1, 3) and ("no fit" in done.stderr) is (done.exit_code == 1)
