"""`make soak`: its page says what was run, on what, and what came of it, whatever that is."""

import importlib.util
from dataclasses import replace
from types import ModuleType

import pytest

from caudal_load.faults.checks import Harm, Violation
from caudal_load.faults.recovery import Recovery
from caudal_load.faults.report import OfOp, Report
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
    recovery=[Recovery("web", 5.0, 100.0, 1.2), Recovery("web", 9.0, 100.0, 2.5), Recovery("web", 12.0, 100.0, None)],
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
    assert "| web | 3 | 2.5 | 2.5 | 1 |" in page, "the kill after which the rate never came back is counted"
    assert "violations 0 histories" in page


@pytest.mark.parametrize(
    ("report", "says"),
    [
        (replace(WELL, happened={"kill:web": 5}), "planned and not happened: {'lost_answer:database': 5}"),
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
