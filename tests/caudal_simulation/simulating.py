"""Runs the simulation as its user does: it takes over its process, so every run has one of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Final

from tests.house.tree import ROOT

KINDS: Final = {
    "a commit of the dead",
    "a transaction is lost",
    "a transaction's end is unheard",
    "answer lost",
    "callback twice",
    "commit late",
    "commit lost",
    "commit refused",
    "commit silent",
    "commit unheard",
    "database killed",
    "half-open session",
    "late callback",
    "no connection",
    "provider away",
    "provider broken",
    "provider changes its mind",
    "provider gives back",
    "provider refuses connections",
    "provider takes back",
    "provider tells what is not so",
    "provider withdraws",
    "provider busy",
    "provider lost",
    "provider slow",
    "provider unheard",
    "provider wandering",
    "receiver answers 500",
    "receiver lost the message",
    "receiver's answer unheard",
    "refused before the write",
    "request lost",
    "slow message",
    "web killed",
    "worker killed",
}
_FIGURE: Final = re.compile(r"^ *(\S.*?) {2,}(\d+)", re.MULTILINE)


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m caudal_simulation` with these arguments."""
    command = [sys.executable, "-m", "caudal_simulation", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def figures(told: str) -> dict[str, int]:
    """The figures of a report's head, and how often each fault happened."""
    return {name: int(number) for name, number in _FIGURE.findall(told)}


def nothing_is_wrong_in(seeds: range) -> None:
    """Plays the histories of these seeds: long enough, each with a fault, every kind of them, no check broken."""
    done = simulate("--histories", str(len(seeds)), "--seed", str(seeds.start))
    found = figures(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert found["histories"] == len(seeds)
    assert found["median length"] >= 20
    assert (found["without a fault"], found["violations"]) == (0, 0)
    assert {kind for kind in KINDS if not found.get(kind)} == set(), "a fault that never happened proves nothing"
