"""What tests say reaches whoever runs them: passed tests too, and side by side."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.house.said import lines
from tests.house.tree import ROOT

SAYING = """
import os

def test_one(say):
    say("seven statements")

def test_two(say):
    say("a share\\nof two lines")
    end = sum(os.times()[:2]) + 0.2
    while sum(os.times()[:2]) < end:
        pass
"""


@pytest.mark.parametrize("options", [["-p", "no:xdist"], ["-n", "2"]], ids=["alone", "side by side"])
def test_what_passed_tests_say_and_cost_is_in_the_summary(options: list[str], tmp_path: Path) -> None:
    (tmp_path / "test_saying.py").write_text(SAYING)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "tests.house.said", "-p", "tests.house.seconds", *options]
    done = subprocess.run(
        [*command, "--rootdir", str(tmp_path), str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("test_saying: ")]
    assert said == ["test_saying: seven statements", "test_saying: a share", "test_saying: of two lines"]
    cost = re.search(r"^test_saying.py +2 tests +[\d.]+ s +([\d.]+) s CPU$", done.stdout, re.MULTILINE)
    assert cost is not None and float(cost[1]) >= 0.2, done.stdout


def test_lines_stand_file_by_file() -> None:
    assert list(lines([("tests/b/test_b.py::x", "late"), ("tests/a/test_a.py::y[1]", "early")])) == [
        "test_a: early",
        "test_b: late",
    ]
