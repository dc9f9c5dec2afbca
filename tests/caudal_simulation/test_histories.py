"""Histories from seeds: the same seed is the same history; and the first five hundred. The next ones are in files of
their own, so that they are played side by side.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from caudal.kernel.idempotency import digest
from caudal_load.faults.checks.states import TABLE
from caudal_simulation.checks import MOVES, one_effect_a_key
from caudal_simulation.clients import Asked
from caudal_simulation.database import Database
from caudal_simulation.database.byhand import statement_of
from caudal_simulation.plants import DIRECTORY, read
from tests.caudal_simulation.simulating import nothing_is_wrong_in, simulate

PLANT = "module: caudal.kernel.ids\ncaught by: keys\nseed: 1\nwhy: it is not there\n- x = 1\n+ x = 2\n"


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


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--histories", "0"), "--histories"),
        (("--workers", "0"), "--workers"),
        (("--plant", "nowhere"), "No such file"),
        (("--without", "bogus"), "--without: there is no check bogus; there is: ledger, statement"),
        (("--find",), "--find: only --plants"),
    ],
)
def test_arguments_that_mean_nothing_are_refused(arguments: tuple[str, ...], says: str) -> None:
    refused(arguments, says)


@pytest.mark.parametrize(
    ("plant", "says"),
    [
        ("", "is no plant: it has no line 'module'"),
        (PLANT.replace("seed: 1", "seed: one"), "is no plant: invalid literal"),
        (PLANT.replace("keys", "kees"), "there is no check kees"),
        (PLANT, "its line stands 0 times in caudal.kernel.ids: x = 1"),
        (PLANT.replace("kernel.ids", "nowhere"), "no history imports caudal.nowhere"),
    ],
)
def test_a_file_that_plants_nothing_is_refused(plant: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.plant"
    path.write_text(plant)
    refused(("--plant", str(path), "--histories", "1"), says)
    refused(("--plant", str(path), "--show"), says)


def refused(arguments: tuple[str, ...], says: str) -> None:
    done = simulate(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("answers", "stored", "is_seen"),
    [
        ([(409, b'{"code":"forbidden_transition"}')], 201, True),
        ([(0, b""), (404, b"{}")], 200, True),
        ([(409, b'{"code":"forbidden_transition"}')], 409, False),
        ([(409, b'{"code":"key_in_progress"}')], 201, False),
        ([(422, b'{"code":"invalid_request"}')], 201, False),  # its key was free for another request
        ([(503, b"{}"), (201, b"{}")], 201, False),
    ],
)
def test_a_key_that_was_refused_and_has_made_something_is_seen(
    answers: list[tuple[int, bytes]], stored: int, is_seen: bool
) -> None:
    asked = Asked("k", "/v1/payins", b"{}")
    asked.answers = answers
    row = {"book": 4, "digest": digest("api", "k"), "status": stored, "subject": "payin"}
    rows: dict[str, list[dict[str, Any]]] = {"key": [row], "payin": [], "payin_operation": []}
    client: Any = SimpleNamespace(merchant=SimpleNamespace(slot=2), reads=[], asked=[asked])
    world: Any = SimpleNamespace(database=SimpleNamespace(dicts=rows.__getitem__))
    assert bool(list(one_effect_a_key(world, [client]))) == is_seen


def test_changes_are_held_against_the_table_of_the_harness_which_is_that_of_the_docs() -> None:
    theirs = {(state, event, after) for state, moves in TABLE.items() for event, after in moves.items()}
    assert theirs == MOVES
