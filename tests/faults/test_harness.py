"""A whole run of `caudal-load faults`, as short as fits: its table is printed, and the kept run is checked again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from caudal_load.faults import evidence as kept
from caudal_load.faults.checks import examine
from caudal_load.faults.history import What
from caudal_load.faults.report import print_report
from caudal_load.faults.run import recheck

pytestmark = pytest.mark.server

SEED = 20261127
SECONDS = 26
KINDS = (
    "kill:web,kill:worker,kill:postgres,lost_answer:database,lost_answer:webhook,reset:callback,refuse:webhook,"
    "provider:insufficient_funds,provider:reset_after,provider:twice,outage:declines"
)


def test_nothing_is_lost_or_doubled_under_faults(tmp_path: Path, say: Callable[[str], None]) -> None:
    options = ["--seconds", f"{SECONDS}", "--kinds", KINDS, "--seed", f"{SEED}", "--keep", str(tmp_path / "kept")]
    command = [sys.executable, "-m", "caudal_load", "faults", *options, "--connections", "16", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.stdout, done.stderr
    console = Console(width=120)
    with console.capture() as captured:
        print_report(recheck(tmp_path / "kept"), console)
    say("\n" + captured.get())
    report = json.loads(done.stdout)
    assert done.returncode == 0 and report["passed"], (report["violations"][:5], report["missed"], done.stderr[-2_000:])
    assert len(report["planned"]) == 11 and not report["missed"]
    assert min(op["acknowledged"] for name, op in report["ops"].items() if name != "reuse") > 0, report["ops"]
    assert sum(op["unknown"] for op in report["ops"].values()) > 0, "every answer came: this tested nothing"
    assert report["later_attempts"] > 0, "no payin went on to the second provider"
    assert sum(op["retried"] for op in report["ops"].values()) > 0 and report["messages"] > 100
    _a_lie_in_what_was_kept_is_seen(tmp_path / "kept")
    _what_is_checked_again_is_the_run_that_it_was(tmp_path / "kept")


def _what_is_checked_again_is_the_run_that_it_was(directory: Path) -> None:
    was = json.loads((directory / "begun.json").read_text())
    (directory / "begun.json").write_text(json.dumps(was | {"commit": "0123456789", "machine": {"cpu": "another"}}))
    again = recheck(directory)
    assert (again.commit, again.machine) == ("0123456789", {"cpu": "another"})
    assert again.connections == was["connections"]


def _a_lie_in_what_was_kept_is_seen(directory: Path) -> None:
    found = kept.load(directory)
    place = next(at for at, line in enumerate(found.lines) if line.what is What.OK and line.op == "refund")
    found.lines[place] = msgspec.structs.replace(found.lines[place], answer=found.lines[place].answer + " ")
    assert [one.check for one in examine(found)] and not examine(found, ["2"])
