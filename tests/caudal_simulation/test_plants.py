"""Faults planted in the code: each is seen by the checks that are named for it, and by nothing without them."""

from __future__ import annotations

import pytest

from caudal_simulation.plants import PlantError, all_plants, planted, read
from caudal_simulation.trying import SEEDS_MAX, table
from tests.caudal_simulation.simulating import simulate
from tests.house.tree import ROOT, SOURCE


def test_every_planted_fault_is_caught_and_survives_without_its_check() -> None:
    done = simulate("--plants")
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(lines) == len(all_plants()) >= 28
    assert all(line.startswith("caught ") for line in lines)


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


def test_a_file_that_is_no_plant_is_named(tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "bad.plant"
    path.write_text("module: caudal.kernel.ids\n")
    with pytest.raises(PlantError, match="bad"):
        read(path)
