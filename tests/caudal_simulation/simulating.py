"""Runs the simulation as its user does: it takes over its process, so every run has one of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import Final

from tests.house.tree import ROOT

_FIGURE: Final = re.compile(r"^ *(\S.*?) {2,}(\d+)", re.MULTILINE)


def simulate(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`python -m caudal_simulation` with these arguments."""
    command = [sys.executable, "-m", "caudal_simulation", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def figures(told: str) -> dict[str, int]:
    """The figures of a report's head, and how often each fault happened."""
    return {name: int(number) for name, number in _FIGURE.findall(told)}
