"""pgbench beside the product: it is found, works on tables of its own in the same server, and is read rightly."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from caudal_load.merchants import SetupFailed
from caudal_load.tpcb import Tpcb, own_database, pgbench, rate_of

SAID = """\
number of transactions actually processed: 4321
number of failed transactions: {failed} (0.000%)
tps = 2634.118 (without initial connection time)
"""


async def test_it_transacts_in_a_database_of_its_own_which_is_gone_afterwards(database_url: str) -> None:
    async with own_database(database_url, "tpcb_test") as conninfo:
        bench = Tpcb(name="one_branch", program=pgbench(), conninfo=conninfo, clients=2, scale=1, protocol="prepared")
        await bench.fill()
        rate = await bench.load(1)
        async with await psycopg.AsyncConnection.connect(conninfo) as connection:
            found = await (await connection.execute("select count(*) from pgbench_history")).fetchone()
        assert found is not None and found[0] > rate / 2 > 0
    async with await psycopg.AsyncConnection.connect(database_url) as connection:
        cursor = await connection.execute("select from pg_database where datname = 'tpcb_test'")
        assert await cursor.fetchone() is None


async def test_a_pgbench_that_fails_says_why(database_url: str) -> None:
    bench = Tpcb(name="spread", program=pgbench(), conninfo=database_url, clients=1, scale=1)
    with pytest.raises(SetupFailed, match=r"pgbench_branches.* does not exist"):
        await bench.load(1)


def test_its_rate_is_the_one_without_the_connecting() -> None:
    assert rate_of(SAID.format(failed=0)) == 2634.118


@pytest.mark.parametrize(
    ("said", "says"), [(SAID.format(failed=3), "3 transactions of pgbench failed"), ("nothing", "said no rate")]
)
def test_a_run_that_proves_nothing_has_no_rate(said: str, says: str) -> None:
    with pytest.raises(SetupFailed, match=says):
        rate_of(said)


def test_without_the_wheel_one_has_to_be_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("caudal_load.tpcb._PACKAGE", "caudal_load")
    with pytest.raises(SetupFailed, match="name one with --pgbench"):
        pgbench()
