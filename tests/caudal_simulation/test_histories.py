"""Histories from seeds: the same seed is the same history; and the first five hundred. The next ones are in files of
their own, so that they are played side by side.
"""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from caudal_simulation.database import Database
from caudal_simulation.database.byhand import statement_of
from caudal_simulation.plants import DIRECTORY, read
from tests.caudal_simulation.simulating import nothing_is_wrong_in, simulate


def test_whatever_fails_nothing_is_lost_or_doubled() -> None:
    nothing_is_wrong_in(range(1, 501))


def test_a_failing_seed_is_the_same_history_wherever_it_is_played() -> None:
    plant = read(DIRECTORY / "cascade_over_an_unresolved_attempt.plant")
    shown = ("--show", "--seed", str(plant.seed), "--plant", str(DIRECTORY / f"{plant.name}.plant"))
    first, second = (simulate(*shown) for _ in range(2))
    assert first.stdout == second.stdout
    assert len(first.stdout.splitlines()) > 30
    assert first.returncode == 1 and "\nattempts: " in first.stdout, "a cascade is in play, and goes wrong"


def test_sessions_that_end_at_once_end_in_the_order_in_which_they_were_made() -> None:
    database, ended = Database(statement_of, lambda: datetime.now(UTC)), list[int]()

    def look() -> None:
        ended.extend(one.number for one in sessions if not one.alive and one.number not in ended)
        database.waiting.append(look)

    sessions = [database.session() for _ in range(64)]
    for session in sessions:
        session.lock("shard", (session.number,))
    look()
    database.crash()
    assert ended == [session.number for session in sessions], "a set's order is that of addresses: no seed replays"


def test_another_seed_is_another_history() -> None:
    assert simulate("--show", "--seed", "17").stdout != simulate("--show", "--seed", "18").stdout


@pytest.mark.parametrize("arguments", [("--histories", "0"), ("--workers", "0"), ("--plant", "nowhere")])
def test_arguments_that_mean_nothing_are_refused(arguments: tuple[str, ...]) -> None:
    done = simulate(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert arguments[0] in done.stderr
