"""A pytest plugin: each suite (a folder below tests) says how many tests it ran and how many seconds they took.

The seconds of one suite are those of its tests added up, fixtures included; side by side they pass faster.
"""

from collections import Counter, defaultdict

import pytest

_SECONDS: defaultdict[str, float] = defaultdict(float)
_TESTS: Counter[str] = Counter()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Counts one phase (setup, call, teardown) of one test; with xdist the controller sees all of them."""
    parts = report.nodeid.split("::")[0].split("/")
    suite = parts[1] if len(parts) > 2 else parts[-1]
    _SECONDS[suite] += report.duration
    _TESTS[suite] += report.when == "call"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints one line per suite, the slowest first."""
    for suite, seconds in sorted(_SECONDS.items(), key=lambda item: -item[1]):
        terminalreporter.write_line(f"{suite:<14} {_TESTS[suite]:>6} tests {seconds:>8.1f} s")
