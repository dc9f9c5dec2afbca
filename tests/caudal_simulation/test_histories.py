"""Histories from seeds: long enough, none without a fault, every kind of fault among them, and no check broken."""

from __future__ import annotations

import pytest

from tests.caudal_simulation.simulating import figures, simulate

KINDS = {
    "a commit of the dead",
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
    "provider away",
    "provider broken",
    "provider busy",
    "provider lost",
    "provider slow",
    "provider unheard",
    "receiver answers 500",
    "receiver lost the message",
    "receiver's answer unheard",
    "refused before the write",
    "request lost",
    "web killed",
    "worker killed",
}


def test_whatever_fails_nothing_is_lost_or_doubled() -> None:
    done = simulate("--histories", "500", "--seed", "1")
    found = figures(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    assert found["histories"] == 500
    assert found["median length"] >= 20
    assert (found["without a fault"], found["violations"]) == (0, 0)
    assert {kind for kind in KINDS if not found.get(kind)} == set(), "a fault that never happened proves nothing"


def test_a_seed_is_the_same_history_wherever_it_is_played() -> None:
    first, second = (simulate("--show", "--seed", "17") for _ in range(2))
    assert first.stdout == second.stdout
    assert len(first.stdout.splitlines()) > 40


def test_another_seed_is_another_history() -> None:
    assert simulate("--show", "--seed", "17").stdout != simulate("--show", "--seed", "18").stdout


@pytest.mark.parametrize("arguments", [("--histories", "0"), ("--workers", "0"), ("--plant", "nowhere")])
def test_arguments_that_mean_nothing_are_refused(arguments: tuple[str, ...]) -> None:
    done = simulate(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert arguments[0] in done.stderr
