"""The locks: everything pinned with hashes, nothing that says where it came from, a line of reason for each choice."""

import re
import tomllib
from collections.abc import Iterator

import pytest

from tests.house.tree import ROOT

LOCKS = ("requirements.txt", "requirements-test.txt")
PIN = re.compile(r"^(?P<name>[a-z0-9][a-z0-9._-]*)==(?P<version>[^\s\\]+)(?: ;[^\\]*)? \\$")


@pytest.mark.parametrize("lock", LOCKS)
def test_every_pin_has_its_hashes_and_nothing_else_is_locked(lock: str) -> None:
    for line in _lines(lock):
        assert PIN.match(line) or re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}(?: \\)?", line), line
    assert len(_pins(lock)) == sum(not line.startswith(" ") for line in _lines(lock))


def test_the_test_lock_is_the_runtime_lock_and_more() -> None:
    assert _pins("requirements.txt").items() <= _pins("requirements-test.txt").items()


def test_every_dependency_is_locked() -> None:
    assert _declared("dependencies") | {"setuptools"} <= _pins("requirements.txt").keys()
    assert _declared("test") <= _pins("requirements-test.txt").keys()


def test_every_dependency_has_its_line_in_the_docs() -> None:
    page = (ROOT / "docs/dependencies.md").read_text("utf-8")
    explained = {name for line in re.findall(r"^\| ([^|]*) \|", page, re.M) for name in re.findall(r"`([^`]+)`", line)}
    assert _declared("dependencies") | _declared("test") | {"setuptools"} == explained


def _lines(lock: str) -> Iterator[str]:
    for line in (ROOT / lock).read_text("utf-8").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            yield line


def _pins(lock: str) -> dict[str, str]:
    return {match["name"]: match["version"] for line in _lines(lock) if (match := PIN.match(line))}


def _declared(what: str) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    lines: list[str] = project["dependencies"] if what == "dependencies" else project["optional-dependencies"][what]
    return {re.split(r"[\[<>=!~; ]", line)[0].lower() for line in lines}
