"""docs/capacity.md says what its files say: its tables are written again, and what it must not have is refused."""

from pathlib import Path

import pytest

from caudal_load.capacity import pages
from caudal_load.capacity.kept import BadSteps, save
from caudal_load.capacity.pages import KINDS, Missing, rendered
from tests.caudal_load.capacity_cast import above, kept
from tests.house.tree import ROOT

PAGE = ROOT / "docs" / "capacity.md"


def test_the_tables_of_the_page_are_those_of_its_files() -> None:
    text = PAGE.read_text("utf-8")
    assert rendered(text, PAGE.with_suffix("")) == text, "python -m caudal_load.capacity.pages writes them again"
    assert text.count("<!-- figures: ") == text.count("<!-- end -->") > len(KINDS)


def test_it_finds_the_page_wherever_it_is_called_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "capacity.md").write_text("<!-- figures: runs chain -->\nold\n<!-- end -->\n")
    monkeypatch.chdir(tmp_path)
    assert pages.PAGE == PAGE and PAGE.is_absolute()
    monkeypatch.setattr(pages, "PAGE", tmp_path / "none.md")
    assert pages.main([]) == 2
    monkeypatch.setattr(pages, "PAGE", tmp_path / "capacity.md")
    assert (pages.main(["--check"]), pages.main([]), pages.main(["--check"])) == (1, 0, 0)
    assert "Not measured yet." in (tmp_path / "capacity.md").read_text()


def test_every_file_is_on_the_page() -> None:
    text = PAGE.read_text("utf-8")
    for file in PAGE.with_suffix("").glob("*.json"):
        assert f"`{file.stem}`" in text and file.stat().st_size < 50_000


def test_a_figure_is_written_from_its_file(tmp_path: Path) -> None:
    save(kept(), tmp_path / "chain.json")
    said = rendered("before\n<!-- figures: within chain -->\nold\n<!-- end -->\nafter\n", tmp_path)
    assert "old" not in said and said.startswith("before\n") and said.endswith("<!-- end -->\nafter\n")
    assert "| `chain` |" in said and "6,000 within, 7,000 beyond" in said and "chain (batches of 1 shard)" in said


def test_the_arithmetic_has_the_figures_that_the_plan_has(tmp_path: Path) -> None:
    save(kept(), tmp_path / "chain.json")
    said = rendered(
        "<!-- figures: arithmetic chain -->\n<!-- end -->\n<!-- figures: plan chain -->\n<!-- end -->", tmp_path
    )
    assert "shards: ⌈10,000 / 6,670⌉ = 2" in said, "1 + 8 / (1 − r / 10,000) is 25 at 6,667/s"
    assert "write-ahead log: 10,000 × 4,000 bytes = 40 MB/s" in said
    assert "API processes 2 × 100 MB + workers 1 × 50 MB + PostgreSQL 1 × 200 MB = 0.45 GB" in said
    assert "cache of the databases: 1,040 GB a day × 1 day = 1,040 GB" in said
    shards = next(line for line in said.splitlines() if line.startswith("| shards |"))
    counts = [int(cell.split()[0]) for cell in shards.split("|")[2:6]]
    assert counts[:3] == [1, 1, 2] and counts[3] in (15, 16)


def test_steps_above_the_most_of_the_law_are_under_the_table_of_fits(tmp_path: Path) -> None:
    save(above(), tmp_path / "above.json")
    save(kept(), tmp_path / "chain.json")
    said = rendered("<!-- figures: fits above chain -->\n<!-- end -->", tmp_path)
    assert "of `above`, " in said and "9,905/s (128 connections)." in said
    assert "of `chain`, " not in said


@pytest.mark.parametrize(("asked", "refusal"), [("nothing chain", Missing), ("within broken", BadSteps)])
def test_what_there_is_not_is_refused(asked: str, refusal: type[Exception], tmp_path: Path) -> None:
    save(kept(), tmp_path / "chain.json")
    (tmp_path / "broken.json").write_text("{}")
    with pytest.raises(refusal):
        rendered(f"<!-- figures: {asked} -->\n<!-- end -->", tmp_path)


def test_what_was_not_measured_has_no_figures(tmp_path: Path) -> None:
    save(kept(), tmp_path / "chain.json")
    said = rendered("<!-- figures: within chain none -->\n<!-- end -->", tmp_path)
    assert "`chain`" in said and "`none`" not in said
    for asked in ("plan none", "ratios chain none"):
        assert "Not measured yet." in rendered(f"<!-- figures: {asked} -->\n<!-- end -->", tmp_path)
