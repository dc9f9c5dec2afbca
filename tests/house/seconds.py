"""A pytest plugin: each suite (a folder below tests) says how many tests it ran and how many seconds they took.

The seconds of one suite are those of its tests added up, fixtures included; side by side they pass faster. Those of
CPU are the test process's and those of every process that it started and waited for; of what it killed by way of
another, and of the run's own PostgreSQL, nothing.
"""

import os
from collections import Counter, defaultdict
from collections.abc import Generator

import pytest

_SECONDS: defaultdict[str, float] = defaultdict(float)
_CPU: defaultdict[str, float] = defaultdict(float)
_TESTS: Counter[str] = Counter()
_BEGAN = pytest.StashKey[float]()
_PROPERTY = "cpu_s"


def _cpu_s() -> float:
    return sum(os.times()[:4])


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Looks at the clock of the CPU, where the test runs."""
    item.stash[_BEGAN] = _cpu_s()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Looks again at the end; the report takes it to where it is summed."""
    report = yield
    if report.when == "teardown":
        report.user_properties.append((_PROPERTY, _cpu_s() - item.stash.get(_BEGAN, _cpu_s())))
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Counts one phase (setup, call, teardown) of one test; with xdist the controller sees all of them."""
    parts = report.nodeid.split("::")[0].split("/")
    suite = parts[1] if len(parts) > 2 else parts[-1]
    _SECONDS[suite] += report.duration
    _TESTS[suite] += report.when == "call"
    if report.when == "teardown":
        _CPU[suite] += sum(float(str(value)) for name, value in report.user_properties if name == _PROPERTY)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints one line per suite, the slowest first."""
    for suite, seconds in sorted(_SECONDS.items(), key=lambda item: -item[1]):
        terminalreporter.write_line(f"{suite:<14} {_TESTS[suite]:>6} tests {seconds:>8.1f} s {_CPU[suite]:>8.1f} s CPU")
