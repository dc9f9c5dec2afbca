"""Files that are written at the end are looked at before the beginning, and files that are read are named in words."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from caudal_load.cli import app
from caudal_load.places import writable, written

RUN = ("run", "spei-create", "--up", "--connections", "1", "--seconds", "0.1")


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments), env={"COLUMNS": "400"})


@pytest.fixture(autouse=True)
def a_caudal_that_must_not_be_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("caudal_load.caudal_up.COMMAND", ("/bin/false",))


@pytest.mark.parametrize(
    "command",
    [
        (*RUN, "--report"),
        (*RUN, "--save"),
        ("capacity", "--save"),
        ("capacity", "--report"),
        ("compare", "a.json", "b.json", "--report"),
        ("report", "a.json"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(("place", "why"), [("no/x.html", "no such file or directory"), (".", "is a directory")])
def test_where_nothing_can_be_written_nothing_starts(
    command: tuple[str, ...], place: str, why: str, tmp_path: Path
) -> None:
    result = call(*command, str(tmp_path / place))
    assert result.exit_code == 2, result.output
    assert f"{tmp_path / place} cannot be written: {why}" in result.stderr


def test_looking_leaves_nothing_and_changes_nothing(tmp_path: Path) -> None:
    there = tmp_path / "there.json"
    there.write_text("mine")
    assert (writable(there), writable(tmp_path / "new.json"), writable(None)) == (there, tmp_path / "new.json", None)
    assert there.read_text() == "mine" and list(tmp_path.iterdir()) == [there]


@pytest.mark.parametrize("command", [RUN, ("capacity",)], ids=["run", "capacity"])
def test_one_file_is_not_taken_for_both(command: tuple[str, ...], tmp_path: Path) -> None:
    place = str(tmp_path / "x")
    result = call(*command, "--save", place, "--report", place)
    assert result.exit_code == 2 and "--save and --report are the same file" in result.stderr


def test_a_place_that_is_gone_at_the_end_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        written(tmp_path / "gone" / "x.json", "{}")
    assert ended.value.exit_code == 1
    assert capsys.readouterr().err.endswith("x.json cannot be written: no such file or directory\n")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "cannot be read: no such file or directory"),
        ("{", "is no report of a run: it is not JSON"),
        ("{}", "is no report of a run: it has no 'timeline'"),
        ("[]", "is no report of a run: --save did not write it"),
    ],
)
def test_what_is_no_report_is_said_in_words(text: str | None, says: str, tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    if text is not None:
        path.write_text(text)
    for result in (call("compare", str(path), str(path)), call("report", str(path), str(tmp_path / "a.html"))):
        assert result.exit_code == 2 and f"{path} {says}" in result.stderr
        assert "Error(" not in result.stderr and "Errno" not in result.stderr


def test_a_report_with_a_part_missing_makes_no_page(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"timeline": [], "intervals": []}')
    result = call("report", str(tmp_path / "a.json"), str(tmp_path / "a.html"))
    assert result.exit_code == 2 and "a part of it is missing" in result.stderr
    assert not (tmp_path / "a.html").exists()


def test_steps_prices_and_scenarios_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    nowhere = str(tmp_path / "x.json")
    result = call("capacity", "--steps", nowhere)
    assert result.exit_code == 2 and f"{nowhere} cannot be read: no such file or directory" in result.stderr
    result = call("capacity", "--steps", nowhere, "--prices", str(tmp_path))
    assert result.exit_code == 2 and f"{tmp_path} cannot be read: is a directory" in result.stderr
    (tmp_path / "x.toml").write_bytes(b"\xff")
    result = call("run", str(tmp_path / "x.toml"), "--up")
    assert result.exit_code == 2 and "x.toml: " in result.stderr
