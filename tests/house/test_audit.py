"""`make audit` never takes silence for a clean bill: whatever was not looked at is said in the last line."""

import importlib.util
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.house.tree import ROOT

FLAW = {"id": "PYSEC-2026-1", "fix_versions": ["2.0"]}
CLEAN = {"name": "msgspec", "version": "0.20", "vulns": []}
KNOWN = {"name": "rich", "version": "1.0", "vulns": [FLAW]}
SKIPPED = {"name": "uvloop", "skip_reason": "no advisory source answered"}

# What pip-audit answers: exit status, standard output, standard error; then our exit status and last line.
ANSWERS: list[tuple[int, str, str, int, str]] = [
    (0, json.dumps({"dependencies": [CLEAN]}), "", 0, "1 packages audited, 0 known vulnerabilities"),
    (1, json.dumps({"dependencies": [CLEAN, KNOWN]}), "", 1, "2 packages audited, 1 known vulnerabilities"),
    (
        0,
        json.dumps({"dependencies": [CLEAN, SKIPPED]}),
        "",
        0,
        "NOT AUDITED: 1 packages; 1 packages audited, 0 known vulnerabilities",
    ),
    (
        1,
        json.dumps({"dependencies": [SKIPPED] * 5 + [KNOWN]}),
        "",
        1,
        "NOT AUDITED: 5 packages; 1 packages audited, 1 known vulnerabilities",
    ),
    (1, "", "Traceback\nConnectionError: no route to host\n", 0, "NOT AUDITED: ConnectionError: no route to host"),
    (2, "", "usage: pip-audit\nerror: no such option", 0, "NOT AUDITED: error: no such option"),
    (0, "", "", 0, "NOT AUDITED: no reason was given"),
]


@pytest.fixture
def audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program, with a pip-audit that is installed already."""
    spec = importlib.util.spec_from_file_location("audit", ROOT / ".ci" / "audit.py")
    assert spec is not None and spec.loader is not None
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "pip-audit").touch()
    monkeypatch.setattr(program, "HOME", tmp_path)
    return program


def answering(status: int, output: str, error: str) -> Callable[..., Any]:
    def run(command: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        return subprocess.CompletedProcess(command, status, output, error)

    return run


@pytest.mark.parametrize(("status", "output", "error", "exits", "last"), ANSWERS)
def test_the_last_line_says_what_was_audited(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    status: int, output: str, error: str, exits: int, last: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(subprocess, "run", answering(status, output, error))
    assert audit.main() == exits
    assert capsys.readouterr().out.splitlines()[-1] == last


def test_a_flaw_is_named_with_what_fixes_it(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(subprocess, "run", answering(1, json.dumps({"dependencies": [KNOWN]}), ""))
    audit.main()
    assert "rich 1.0: PYSEC-2026-1, fixed in 2.0" in capsys.readouterr().out


def test_an_answer_that_takes_too_long_is_none(
    audit: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(command: list[str], **_: object) -> None:
        raise subprocess.TimeoutExpired(command, audit.TIMEOUT_S)

    monkeypatch.setattr(subprocess, "run", run)
    assert audit.main() == 0
    assert capsys.readouterr().out == f"NOT AUDITED: no answer within {audit.TIMEOUT_S} s\n"
