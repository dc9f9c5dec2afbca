"""Faults planted in the code: each is seen by the checks that are named for it, and by nothing without them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from caudal_simulation import trying
from caudal_simulation.plants import DIRECTORY, PlantError, all_plants, planted, read
from caudal_simulation.trying import SEEDS_MAX, table
from tests.caudal_simulation.simulating import simulate
from tests.house.tree import ROOT, SOURCE


def test_every_planted_fault_is_caught_and_survives_without_its_check() -> None:
    done = simulate("--plants")
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(lines) == len(all_plants()) >= 28
    assert all(line.startswith("caught ") for line in lines)


@pytest.mark.parametrize(
    ("seed", "find", "came", "says"),
    [
        (41, False, "caught", 41),
        (40, False, "NOT CAUGHT", 40),  # a seed near by is another one than the page names
        (41, True, "caught", 41),
        (40, True, "new seed", 41),
        (50, True, "new seed", 41),  # none behind it catches
    ],
)
def test_a_fault_is_tried_on_its_own_seed_and_the_seed_that_catches_is_written_down(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, seed: int, find: bool, came: str, says: int
) -> None:
    text = (DIRECTORY / "forget_the_key.plant").read_text("utf-8")
    path = tmp_path / "forget_the_key.plant"
    path.write_text(re.sub(r"seed: \d+", f"seed: {seed}", text), "utf-8")
    monkeypatch.setattr(trying, "DIRECTORY", tmp_path)
    monkeypatch.setattr(trying, "prepare", lambda plant: None)
    monkeypatch.setattr(trying, "_caught", lambda plant, seed: seed == 41)
    assert trying.WORDS[trying._try(read(path), find=find)] == came
    assert read(path).seed == says


def test_most_checks_have_a_fault_that_they_alone_catch() -> None:
    alone = {plant.caught_by[0] for plant in all_plants() if len(plant.caught_by) == 1}
    assert alone >= {"ledger", "statement", "answers", "books", "charges", "attempts", "leases", "payers", "disputes"}
    assert alone >= {"states", "delivered", "order", "stuck"}


def test_the_page_lists_them_with_their_seeds_and_checks() -> None:
    assert table() in (ROOT / "docs" / "simulation.md").read_text("utf-8"), "--table prints what has to stand there"
    assert max(plant.seed for plant in all_plants()) <= SEEDS_MAX


@pytest.mark.parametrize("plant", all_plants(), ids=lambda plant: plant.name)
def test_a_plant_changes_one_line_of_the_code_as_it_stands(plant: object) -> None:
    assert plant in all_plants()
    [found] = [one for one in all_plants() if one == plant]
    path = (SOURCE / found.module.replace(".", "/")).with_suffix(".py")
    text = (path if path.exists() else path.with_suffix("") / "__init__.py").read_text("utf-8")
    after = planted(text, found)
    changed = [pair for pair in zip(text.split("\n"), after.split("\n"), strict=True) if pair[0] != pair[1]]
    assert len(changed) == 1


def test_a_file_that_is_no_plant_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bad.plant"
    path.write_text("module: caudal.kernel.ids\n")
    with pytest.raises(PlantError, match="bad"):
        read(path)
