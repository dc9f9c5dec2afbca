"""`caudal-load faults`: what does not fit is said before anything is started, and what can be asked for is shown."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest
from typer.testing import CliRunner

from caudal_load.cli import app
from caudal_load.faults import command
from caudal_load.faults.checks import CHECKS
from caudal_load.faults.kinds import BY_NAME, KINDS
from caudal_load.faults.model import Plan
from caudal_load.faults.plan import plan_of
from caudal_load.faults.run import Begun, Options
from tests.house.tree import ROOT


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--kinds", "flood"], "there is no kind of fault 'flood'"),
        (["--kinds", "kill:console"], "not to 'console'"),
        (["--seconds", "5"], "and there are 5"),
        (["--kinds", "kill:web", "--seconds", "20", "--without", "3,9"], "there is no check 9"),
        (["--recheck", "/nowhere"], "holds no run that came to its end"),
        (["--replay", "/nowhere"], "/nowhere holds no run"),
        (["--replay", "/tmp", "--seconds", "60"], "does not follow --seconds"),
        (["--replay", "/tmp", "--kinds", "kill", "--seed", "4"], "does not follow --kinds, --seed"),
        (["--replay", "/tmp", "--each", "2", "--connections", "4"], "does not follow --connections, --each"),
        (["--recheck", "/tmp", "--quiet", "4"], "does not follow --quiet"),
        (["--recheck", "/tmp", "--replay", "/tmp"], "does not follow --replay"),
        (["--list", "--json"], "does not follow --json"),
        (["--quiet", "-4"], "--quiet"),
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


def test_a_plan_alone_is_no_run_that_could_be_run_again(tmp_path: Path) -> None:
    (tmp_path / "plan.json").write_bytes(plan_of(7, 20.0, ["kill:web"]).as_json())
    result = CliRunner().invoke(app, ["faults", "--replay", str(tmp_path)], env={"COLUMNS": "400"})
    assert result.exit_code == 2 and "holds no run" in result.output and "begun.json" in result.output


async def test_a_run_is_run_again_with_its_own_plan_and_clients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan, told, asked = plan_of(7, 20.0, ["kill:web"]), list[str](), list[object]()
    (tmp_path / "plan.json").write_bytes(plan.as_json())
    (tmp_path / "begun.json").write_bytes(msgspec.json.encode(Begun(5, "0123456789", {"cores": 2})))

    @contextlib.asynccontextmanager
    async def world(*_: object) -> AsyncIterator[SimpleNamespace]:
        yield SimpleNamespace(processes=dict)

    async def carry_out(_: object, plan: Plan, options: Options, *more: object) -> SimpleNamespace:
        asked.extend((plan, options))
        return SimpleNamespace(passed=True)

    monkeypatch.setattr(command, "_world", world)
    monkeypatch.setattr(command, "carry_out", carry_out)
    await command.faults(command.Asked(replay=tmp_path, quiet_s=9.0), told.append)
    assert asked == [plan, Options(connections=5, quiet_s=9.0)]
    assert told[0].startswith(f"{tmp_path} is of commit 0123456789, this one of ")


def test_a_kept_run_that_is_not_there_cannot_be_run_again(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["faults", "--replay", str(tmp_path)], env={"COLUMNS": "400"})
    assert result.exit_code == 2 and "cannot be read: no such file or directory" in result.output


def test_a_kept_run_that_is_broken_cannot_be_checked_again(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{")
    result = CliRunner().invoke(app, ["faults", "--recheck", str(tmp_path)], env={"COLUMNS": "400"})
    assert result.exit_code == 2 and str(tmp_path) in result.output


def test_a_place_where_nothing_can_be_kept_is_refused_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    options = ["--kinds", "kill:web", "--seconds", "20", "--keep", str(tmp_path / "file" / "run")]
    result = CliRunner().invoke(app, ["faults", *options], env={"COLUMNS": "400"})
    assert result.exit_code == 2 and "cannot be written: not a directory" in result.output


def test_the_page_has_a_row_for_every_fault_as_it_is_and_for_every_check() -> None:
    page = (ROOT / "docs" / "faults.md").read_text()
    for kind in KINDS:
        assert f"| `{kind.name}` |" in page and f"| {kind.does} | {kind.evidence} |" in page, kind.name
    assert all(f"\n| {name} | " in page for name in CHECKS)


def test_all_faults_and_checks_are_listed() -> None:
    result = CliRunner().invoke(app, ["faults", "--list"], env={"COLUMNS": "200"})
    assert result.exit_code == 0
    assert all(name in result.stdout for name in (*BY_NAME, *CHECKS))
