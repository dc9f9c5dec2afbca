"""Programs beside Python that the tests need: a missing one is named with its Debian package, never skipped."""

import shutil

from tests.house.tree import ROOT


def test_the_programs_that_the_tests_need_are_here() -> None:
    lines = [line.split() for line in (ROOT / ".ci/packages").read_text("utf-8").splitlines()]
    needed = [(program, package) for program, package, *_ in (line for line in lines if line and line[0] != "#")]
    missing = [package for program, package in needed if shutil.which(program) is None]
    assert not missing, f"apt-get install {' '.join(missing)}"
