"""The parser of named queries: what a block is, and every way in which a file can be wrong."""

from pathlib import Path

import pytest

from caudal.kernel.sqlfile import Query, SqlFileError, parse, queries

TWO_BLOCKS = """\
-- The queries of a bakery.

-- name: bread_by_id
-- One loaf.
-- Parameters: loaf.
select *
  from bread  -- fresh only
 where loaf = %(loaf)s;

-- name: bake
insert into bread (loaf) values (%(loaf)s)
"""


def test_a_block_has_a_name_a_doc_and_one_statement() -> None:
    assert parse(TWO_BLOCKS)[0] == Query(
        name="bread_by_id",
        doc="One loaf.\nParameters: loaf.",
        sql="select *\n  from bread  -- fresh only\n where loaf = %(loaf)s",
    )


def test_blocks_keep_the_order_of_the_file() -> None:
    assert [query.name for query in parse(TWO_BLOCKS)] == ["bread_by_id", "bake"]


def test_a_block_needs_no_doc() -> None:
    assert parse(TWO_BLOCKS)[1].doc == ""


def test_a_file_is_a_mapping_that_nobody_can_change(tmp_path: Path) -> None:
    path = tmp_path / "queries.sql"
    path.write_text(TWO_BLOCKS)
    found = queries(path)
    assert found["bake"] == "insert into bread (loaf) values (%(loaf)s)"
    with pytest.raises(TypeError):
        found["bake"] = "drop table bread"  # type: ignore[index]


def test_a_folder_is_one_mapping_of_all_its_files(tmp_path: Path) -> None:
    (tmp_path / "a.sql").write_text(TWO_BLOCKS)
    (tmp_path / "b.sql").write_text("-- name: count\nselect 1\n")
    assert sorted(queries(tmp_path)) == sorted([*queries(tmp_path / "a.sql"), "count"])
    (tmp_path / "c.sql").write_text("-- name: count\nselect 2\n")
    with pytest.raises(SqlFileError, match="'count' is there twice"):
        queries(tmp_path)


def test_comments_inside_the_statement_stay_in_it() -> None:
    assert parse("-- name: count\nselect 1\n-- one\n")[0].sql == "select 1\n-- one"


def test_a_file_without_a_block_is_empty_and_legal() -> None:
    assert parse("-- nothing yet\n\n") == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("-- name: bake\nselect 1\n-- name: bake\nselect 2", "'bake' is there twice"),
        ("-- name: bake\n-- name: eat\nselect 1", "'bake' is empty"),
        ("-- name: bake\n-- only a comment\n", "'bake' is empty"),
        ("-- name: bake\n;\n", "'bake' is empty"),
        ("-- name: \nselect 1", "'' is no name"),
        ("-- name: Bake-Bread\nselect 1", "'Bake-Bread' is no name"),
        ("select 1;\n-- name: bake\nselect 2", "before the first"),
        ("select 1", "before the first"),
    ],
)
def test_a_broken_file_says_what_is_wrong(text: str, complaint: str) -> None:
    with pytest.raises(SqlFileError, match=rf"bread\.sql: .*{complaint}"):
        parse(text, "bread.sql")
