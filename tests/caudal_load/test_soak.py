"""`make soak`: its page says what was run, on what, and what came of it, whatever that is."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path
from subprocess import CompletedProcess
from types import ModuleType

import pytest
from rich.console import Console

from caudal_load.faults.checks import Harm, Violation
from caudal_load.faults.recovery import Recovery
from caudal_load.faults.report import OfOp, Report, print_report
from tests.house.tree import ROOT

WELL = Report(
    seed=7,
    seconds=600.0,
    connections=32,
    planned={"kill:web": 5, "lost_answer:database": 5},
    happened={"kill:web": 5, "lost_answer:database": 6},
    ops={"create": OfOp(requests=1_200, acknowledged=1_000, refused=3, nothing=7, unknown=11, retried=11)},
    reads=10,
    asked_again=500,
    events=3_000,
    messages=3_001,
    transfers=2_000,
    later_attempts=40,
    later_taken=30,
    recovery=[
        Recovery("web", 5.0, 100.0, 1.2),
        Recovery("web", 9.0, 100.0, 5.0),
        Recovery("postgres", 12.0, 80.0, 9.5),
    ],
    lost=0,
    doubled=0,
    stuck=0,
    wrong=0,
    violations=[],
    without=(),
    quiet_s=12.3,
    kept="/tmp/kept",
    machine={"cpu": "AMD EPYC", "cores": 2, "kernel": "6.1.0"},
    commit="0123456789",
)


@pytest.fixture(scope="module")
def soak() -> ModuleType:
    spec = importlib.util.spec_from_file_location("soak", ROOT / ".ci" / "soak.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_of_a_run_that_went_well(soak: ModuleType) -> None:
    page = soak.page(WELL.as_json(), soak.Simulated("simulate 100000", "violations 0 histories", True), "2026-11-27")
    assert page.startswith("# Passed: 2026-11-27, commit 0123456789\n")
    assert "--seed 7` on cpu AMD EPYC, cores 2, kernel 6.1.0." in page
    assert "**0 lost, 0 doubled, 0 stuck, 0 wrong**." in page
    assert "| `kill:web` | 5 | 5 |" in page and "| `lost_answer:database` | 5 | 6 |" in page
    assert "| create | 1,200 | 1,000 | 3 | 7 | 11 |" in page
    assert "| web | 2 | 5.0 | 5.0 | 5 | 0 |" in page and "| postgres | 1 | 9.5 | 9.5 | 15 | 0 |" in page
    assert "went on to another provider 40 times, 30 of these attempts took money." in page
    assert "violations 0 histories" in page


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (replace(WELL, happened={"kill:web": 5}), "faults that never happened: {'lost_answer:database': 5}"),
        (
            replace(WELL, recovery=[Recovery("worker", 9.0, 100.0, 5.1)]),
            "- worker, killed at 9 s: the rate of 100/s was back after 5.1 s; at most 5 s are promised",
        ),
        (
            replace(WELL, recovery=[Recovery("postgres", 9.0, 100.0, 15.1)]),
            "- postgres, killed at 9 s: the rate of 100/s was back after 15.1 s; at most 15 s are promised",
        ),
        (
            replace(WELL, recovery=[Recovery("web", 9.0, 100.0, None)]),
            "- web, killed at 9 s: the rate of 100/s never came back; at most 5 s are promised",
        ),
        (replace(WELL, lost=1, violations=[Violation("2", Harm.LOST, "k is gone")]), "- check 2: lost: k is gone"),
    ],
)
def test_a_run_that_failed_is_called_so(soak: ModuleType, report: Report, says: str) -> None:
    page = soak.page(report.as_json(), None, "2026-11-27")
    assert page.startswith("# FAILED") and says in page


FAILOVER = {
    "fault": "kill",
    "acknowledged": 16_416,
    "refused": 12,
    "unknown": 40,
    "lost": 0,
    "doubled": 0,
    "without_service_s": 1.19,
    "recovered_s": 2.5,
    "passed": True,
}


def test_failovers_have_a_table_and_count(soak: ModuleType) -> None:
    promoted = [FAILOVER, FAILOVER | {"fault": "pause"}]
    page = soak.page(WELL.as_json(), None, "day", promoted)
    assert page.startswith("# Passed") and "| killed | 16,416 | 12 | 40 | 0 | 0 | 1.19 | 2.5 |" in page
    assert "| frozen, and back | 16,416 |" in page
    promoted[1] |= {"recovered_s": None, "passed": False}
    page = soak.page(WELL.as_json(), None, "day", promoted)
    assert page.startswith("# FAILED") and "| 1.19 | never |" in page


def test_histories_that_failed_fail_the_whole(soak: ModuleType) -> None:
    assert soak.page(WELL.as_json(), soak.Simulated("simulate", "seed 3: lost", False), "day").startswith("# FAILED")


@pytest.mark.parametrize("lacking", ["faults", "failover", None])
def test_the_page_is_written_whatever_came_of_it(
    soak: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: str | None
) -> None:
    reports = {"faults": json.dumps(WELL.as_json(), default=str), "failover": json.dumps(FAILOVER)}

    def run(command: list[str], **_: object) -> CompletedProcess[str]:
        asked = command[3]
        return CompletedProcess(command, 3, "") if asked == lacking else CompletedProcess(command, 0, reports[asked])

    monkeypatch.setattr(soak.subprocess, "run", run)
    monkeypatch.setattr(soak, "PROOF", tmp_path / "proof")
    monkeypatch.setattr(soak, "commit", lambda: WELL.commit)
    monkeypatch.setattr(soak.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["soak.py", "--failovers", "2", "--histories", "0", "--seed", "7"])
    assert soak.main() == int(lacking is not None)
    (path,), kept = (tmp_path / "proof").glob("*-0123456789.md"), list(tmp_path.glob("caudal-soak-*"))
    page = path.read_text()
    if lacking is None:
        assert page.startswith("# Passed") and kept == [] and "kept in" not in page
        return
    assert page.startswith("# FAILED") and f"are kept in `{kept[0]}`" in page
    assert f"`caudal-load {lacking} " in page and "ended without a report, exit code 3" in page
    assert ("| `kill:web` | 5 | 5 |" in page) == (lacking == "failover"), "what there is stands on it"
    assert ("| killed | 16,416 |" in page) == (lacking == "faults")


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (WELL, ""),
        (replace(WELL, recovery=[Recovery("web", 9.0, 100.0, 60.0)]), ""),
        (replace(WELL, recovery=[Recovery("web", 9.0, 100.0, None)]), "the rate was never back after web was killed"),
        (
            replace(WELL, planned={"outage:down": 1}, happened={"outage:down": 1}, later_attempts=0),
            "to another provider",
        ),
        (replace(WELL, ops={}), "nothing was acknowledged"),
    ],
)
def test_a_run_under_faults_says_what_it_lacks(report: Report, says: str) -> None:
    console = Console(width=120)
    with console.capture() as captured:
        print_report(report, console)
    assert report.passed == (says == "") and says in captured.get()
    assert ("passed: " if report.passed else "FAILED: ") in captured.get()
