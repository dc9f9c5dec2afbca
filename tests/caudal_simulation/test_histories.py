"""Histories from seeds: the same seed is the same history; and the first five hundred. The next ones are in files of
their own, so that they are played side by side.
"""

from __future__ import annotations

import pytest

from tests.caudal_simulation.simulating import nothing_is_wrong_in, simulate


def test_whatever_fails_nothing_is_lost_or_doubled() -> None:
    nothing_is_wrong_in(range(1, 501))


def test_a_seed_is_the_same_history_wherever_it_is_played() -> None:
    first, second = (simulate("--show", "--seed", "17") for _ in range(2))
    assert first.stdout == second.stdout
    assert len(first.stdout.splitlines()) > 30


def test_another_seed_is_another_history() -> None:
    assert simulate("--show", "--seed", "17").stdout != simulate("--show", "--seed", "18").stdout


@pytest.mark.parametrize("arguments", [("--histories", "0"), ("--workers", "0"), ("--plant", "nowhere")])
def test_arguments_that_mean_nothing_are_refused(arguments: tuple[str, ...]) -> None:
    done = simulate(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert arguments[0] in done.stderr
