"""A pytest plugin: what a test has to say is printed at the end of the run, passed or not, side by side or alone.

pytest shows what a test prints only where it fails. `say` is for numbers that belong to a promise: how many statements,
which share, how long.
"""

from collections.abc import Callable, Iterator

import pytest

_PROPERTY = "said"
_SAID: list[tuple[str, str]] = []


@pytest.fixture
def say(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Says a line about what the test saw."""
    return lambda text: record_property(_PROPERTY, text)


def lines(said: list[tuple[str, str]]) -> Iterator[str]:
    """One line for each line that was said, after the name of the file that said it, file by file."""
    for nodeid, text in sorted(said, key=lambda one: one[0]):
        file = nodeid.split("::")[0].rpartition("/")[2].removesuffix(".py")
        yield from (f"{file}: {line}" for line in text.strip().splitlines())


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keeps what a test said until its end; with xdist the controller hears all of them."""
    if report.when == "teardown":
        _SAID.extend((report.nodeid, str(text)) for name, text in report.user_properties if name == _PROPERTY)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Prints it."""
    for line in lines(_SAID):
        terminalreporter.write_line(line)
