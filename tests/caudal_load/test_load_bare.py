"""The bare write path: it writes what it says, refuses what it has seen, and stands beside the product in a figure."""

from __future__ import annotations

import asyncio
import json
import os
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from typer.testing import CliRunner

from caudal_load.bare import SESSION, TABLES, Bare, rate
from caudal_load.cli import app

COUNTS = (
    "select (select count(*) from bare.payin), (select count(*) from bare.key), (select count(*) from bare.due),"
    " (select count(*) from bare.event), (select count(*) from bare.batch), (select seq from bare.shard)"
)


async def committed(database_url: str, keys: list[bytes]) -> tuple[list[bool], Any]:
    """One create for each key, all at once; which were new, and how many rows there are."""
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True, prepare_threshold=0) as connection:
        await connection.execute(SESSION.encode(), prepare=False)
        await connection.execute(TABLES.encode(), prepare=False)
        bare = Bare(connection)
        committing = asyncio.create_task(bare.run())
        try:
            new = [await bare.create((1, key, b"p" * 16, uuid4(), 1000, b"x")) for key in keys]
        finally:
            committing.cancel()
            await asyncio.gather(committing, return_exceptions=True)
        return new, await (await connection.execute(COUNTS)).fetchone()


async def test_a_create_is_a_row_of_each_table(database_url: str) -> None:
    new, counts = await committed(database_url, [b"a" * 16, b"b" * 16])
    assert new == [True, True]
    assert counts == (2, 2, 2, 2, 2, 2)


async def test_a_key_that_was_there_writes_nothing_but_its_batch(database_url: str) -> None:
    new, counts = await committed(database_url, [b"a" * 16, b"a" * 16])
    assert new == [True, False]
    assert counts == (1, 1, 1, 1, 2, 1)


async def test_an_error_ends_the_run(database_url: str) -> None:
    with pytest.raises(psycopg.Error):
        async with asyncio.timeout(30):
            await committed(database_url, [os.urandom(16), None])  # type: ignore[list-item]


async def test_its_rate_is_counted_and_its_tables_are_gone(database_url: str) -> None:
    assert await rate(database_url, 8, 0.5) > 100
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        there = await (await connection.execute("select to_regnamespace('bare') is null")).fetchone()
    assert there == (True,)


@pytest.mark.alone
@pytest.mark.server
def test_the_product_stands_beside_it() -> None:
    result = CliRunner().invoke(app, ["bare", "--connections", "8", "--seconds", "1"])
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert set(figures) == {"rate", "bare_rate", "ratio", "lost", "doubled", "machine"}
    assert figures["bare_rate"] > figures["rate"] > 0
    assert figures["ratio"] == pytest.approx(figures["rate"] / figures["bare_rate"], rel=0.01)
    assert (figures["lost"], figures["doubled"]) == (0, 0)
