"""`caudal-load faults`: what does not fit is said before anything is started, and what can be asked for is shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from caudal_load.cli import app
from caudal_load.faults.checks import CHECKS
from caudal_load.faults.kinds import BY_NAME, KINDS
from tests.house.tree import ROOT


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--kinds", "flood"], "there is no kind of fault 'flood'"),
        (["--kinds", "kill:console"], "not to 'console'"),
        (["--seconds", "5"], "and there are 5"),
        (["--kinds", "kill:web", "--seconds", "20", "--without", "3,9"], "there is no check 9"),
        (["--recheck", "/nowhere"], "holds no run that came to its end"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_is_started(options: list[str], says: str) -> None:
    result = CliRunner().invoke(app, ["faults", *options], env={"COLUMNS": "400"})
    assert result.exit_code == 2, result.output
    assert says in result.output


def test_a_run_is_kept_in_a_directory_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "else").write_text("")
    options = ["--kinds", "kill:web", "--seconds", "20", "--keep", str(tmp_path)]
    result = CliRunner().invoke(app, ["faults", *options], env={"COLUMNS": "400"})
    assert result.exit_code == 2 and "is not empty" in result.output


def test_a_kept_run_that_is_not_there_cannot_be_run_again(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["faults", "--replay", str(tmp_path)])
    assert result.exit_code == 1


def test_the_page_has_a_row_for_every_fault_as_it_is_and_for_every_check() -> None:
    page = (ROOT / "docs" / "faults.md").read_text()
    for kind in KINDS:
        assert f"| `{kind.name}` |" in page and f"| {kind.does} | {kind.evidence} |" in page, kind.name
    assert all(f"\n| {name} | " in page for name in CHECKS)


def test_all_faults_and_checks_are_listed() -> None:
    result = CliRunner().invoke(app, ["faults", "--list"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert all(name in result.stdout for name in (*BY_NAME, *CHECKS))
