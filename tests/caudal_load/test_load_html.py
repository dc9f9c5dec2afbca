"""Report pages: one file that needs nothing else, with plots that are well formed, and the verdict in words."""

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from caudal_load.cli import app
from caudal_load.html import report_page
from caudal_load.html.plot import HEIGHT, WIDTH, Plot, Series, percentile_points
from tests.caudal_load.test_load_run import FAKE

SCENARIO = """
about = "mine <b>bold</b>"
merchants = 2

[[requests]]
ask = "create"
share = 3
method = "spei"

[[requests]]
ask = "replay"
share = 1

[[phases]]
name = "calm"
shape = "constant"
seconds = 1
rate = 40

[[phases]]
name = "ramp"
shape = "ramp"
arrivals = "poisson"
seconds = 1
first = 40
last = 80

[slo]
p99_ms = 10000
rate = 1000
"""


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], str, int]:
    """A run of a scenario's file by two processes against a stand-in: its JSON, its page, its exit status."""
    place = tmp_path_factory.mktemp("run")
    (place / "mine.toml").write_text(SCENARIO)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("caudal_load.caudal_up.COMMAND", FAKE)
        patch.setenv("TMPDIR", str(place))
        asked = ["run", str(place / "mine.toml"), "--up", "--processes", "2", "--warm-up", "0.2"]
        done = CliRunner().invoke(app, [*asked, "--save", f"{place}/a.json", "--report", f"{place}/a.html"])
    return json.loads((place / "a.json").read_text()), (place / "a.html").read_text(), done.exit_code


def test_a_missed_objective_is_three_and_a_kept_one_is_said(saved: tuple[dict[str, Any], str, int]) -> None:
    said, page, status = saved
    assert status == 3, "all is there, but the rate was not kept"
    assert {one["name"]: one["met"] for one in said["slo"]} == {"p99_ms": True, "rate": False}
    assert "The SLO was missed." in page and "Everything that was acknowledged is there, once." in page


def test_the_page_needs_nothing_else_and_what_users_write_is_text(saved: tuple[dict[str, Any], str, int]) -> None:
    _, page, _ = saved
    assert not re.search(r"https?://|<script|@import|url\(|src=", page)
    assert "prefers-color-scheme: dark" in page
    assert "mine &lt;b&gt;bold&lt;/b&gt;" in page and "<b>bold" not in page


def test_every_plot_is_well_formed_and_inside_its_frame(saved: tuple[dict[str, Any], str, int]) -> None:
    _, page, _ = saved
    plots = [ElementTree.fromstring(svg) for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL)]
    titles = {plot.attrib["aria-label"] for plot in plots}
    assert titles >= {"Latency over time", "Latency by percentile", "Throughput", "CPU", "Memory", "Open files"}
    for plot in plots:
        for path in plot.iter("path"):
            for x, y in re.findall(r"(-?[\d.]+),(-?[\d.]+)", path.attrib["d"]):
                assert 0 <= float(x) <= WIDTH and 0 <= float(y) <= HEIGHT


def test_seconds_add_up_to_the_run_and_phases_to_the_schedule(saved: tuple[dict[str, Any], str, int]) -> None:
    said, _, _ = saved
    timeline = said["timeline"]
    assert sum(second["lasts_s"] for second in timeline) == pytest.approx(2, abs=0.1)
    # 40 a second, then 60 on average at random
    assert sum(second["offered"] for second in timeline) == pytest.approx(100, abs=35)
    assert timeline[0]["offered"] == pytest.approx(40, abs=1), "both processes' shares of the schedule together"
    assert sum(second["acknowledged"] for second in timeline) == pytest.approx(said["rate"] * 2, rel=0.1)
    assert [phase["name"] for phase in said["phases"]] == ["calm", "ramp"]
    assert (said["processes"], said["lost"], said["doubled"], said["unknown"]) == (2, 0, 0, 0)
    assert said["sent_buckets"] and said["late_share"] is not None
    kinds = said["requests_by_kind"]
    assert kinds["replay"]["acknowledged"] > 5 and said["differing"] == 0


def test_a_saved_run_is_drawn_again_and_compared(saved: tuple[dict[str, Any], str, int], tmp_path: Path) -> None:
    said, page, _ = saved
    (tmp_path / "a.json").write_text(json.dumps(said))
    drawn = CliRunner().invoke(app, ["report", str(tmp_path / "a.json"), str(tmp_path / "again.html")])
    assert drawn.exit_code == 0 and (tmp_path / "again.html").read_text() == page
    both = [str(tmp_path / "a.json")] * 2
    compared = CliRunner().invoke(app, ["compare", *both, "--report", str(tmp_path / "c.html")])
    assert compared.exit_code == 0
    page = (tmp_path / "c.html").read_text()
    assert "no statement: a side has fewer than 5 whole seconds" in page and page.count("<svg") == 4
    assert CliRunner().invoke(app, ["report", str(tmp_path / "none.json"), str(tmp_path / "x.html")]).exit_code == 2


def test_errors_are_drawn_by_their_code(saved: tuple[dict[str, Any], str, int]) -> None:
    said = json.loads(json.dumps(saved[0]))
    assert "Errors: none." in report_page(said)
    said["timeline"][0]["errors"] = {"503 overloaded": 12, "<no answer>": 1}
    page = report_page(said)
    assert ">503 overloaded</span>" in page and "&lt;no answer&gt;" in page


def test_a_percentile_stands_where_its_share_is() -> None:
    points = percentile_points([(1.0, 90), (2.0, 9), (3.0, 1)])
    assert [(round(x, 3), y) for x, y in points[:3]] == [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]


def test_a_gap_in_a_line_is_not_drawn_over() -> None:
    series = Series(name="p99", points=[(0, 1.0), (1, 2.0), (2, None), (3, 1.0), (4, 2.0)], colour=0)
    assert Plot(title="t", unit="ms", series=[series]).svg().count('class="line') == 2
