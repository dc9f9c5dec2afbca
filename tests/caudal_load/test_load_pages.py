"""Lists and search, timed: what is asked is found, and a wrong page ends the run."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import aiohttp
import psycopg
import pytest
from typer.testing import CliRunner

from caudal_load import pages as module
from caudal_load.caudal_up import CaudalFailed, up_in
from caudal_load.cli import app
from caudal_load.merchants import post
from caudal_load.pages import Asker, Kind, Pages, pages, table_of
from tests.whole import Whole

SPEI = {"amount": 12050, "currency": "MXN", "country": "MX", "method": "spei"}
PAYER = {"name": "Ana Souza", "email": "ana@example.com"}


async def merchant_with_a_past(running: Whole) -> str:
    headers = {"Authorization": f"Bearer {running.operator_key}"}
    named = {
        "name": "Load",
        "country": "MX",
        "fee_plan": [{"family": "instant_transfer", "currency": "MXN", "fixed_minor": 0, "basis_points": 0}],
    }
    async with aiohttp.ClientSession(running.api_url, headers=headers) as session:
        merchant = str((await post(session, "/v1/operator/merchants", named))["id"])
        key = str((await post(session, f"/v1/operator/merchants/{merchant}/keys", {"mode": "test"}))["secret"])
        for number in range(25):
            await post(session, "/v1/payins", {**SPEI, "reference": f"order-{number}", "payer": PAYER}, key)
        await searchable(session, key, number)
    return merchant


async def keys_in_use(running: Whole, merchant: str) -> int:
    headers = {"Authorization": f"Bearer {running.operator_key}"}
    async with aiohttp.ClientSession(running.api_url, headers=headers) as session:
        async with session.get(f"/v1/operator/merchants/{merchant}/keys") as response:
            return sum(key["revoked_at"] is None for key in (await response.json())["data"])


def analyzed(running: Whole) -> int:
    """How often somebody has had the payins' statistics taken."""
    with psycopg.connect(running.database_url) as connection:
        row = connection.execute("select analyze_count from pg_stat_user_tables where relname = 'payin'").fetchone()
    assert row is not None
    return int(row[0])


async def searchable(session: aiohttp.ClientSession, key: str, number: int) -> None:
    """What is found follows what there is."""
    async with asyncio.timeout(30):
        while True:
            headers = {"Authorization": f"Bearer {key}"}
            async with session.get(f"/v1/payins?reference=order-{number}", headers=headers) as response:
                if (await response.json())["data"]:
                    return
            await asyncio.sleep(0.05)


async def test_each_kind_of_page_is_timed_and_looked_at(running: Whole, monkeypatch: pytest.MonkeyPatch) -> None:
    merchant = await merchant_with_a_past(running)
    caudal, said, before = up_in(running.var), list[str](), analyzed(running)
    found = await pages(caudal, Pages(requests=5, connections=2, merchant=merchant), said.append)
    assert found["payins"] >= 25 and found["requests_of_each"] == 5
    assert {"the newest 20", "20 of a day", "by reference", "a filter that finds nothing"} <= set(found["pages"])
    assert all(0 < row["p50_ms"] <= row["p99_ms"] <= row["p100_ms"] for row in found["pages"].values())
    assert len(said) == len(found["pages"]) and "by reference" in table_of(found)
    assert analyzed(running) == before, "what is timed is left as it is"
    assert await keys_in_use(running, merchant) == 1, "only the one that its past was made with"
    wrong = Kind("wrong", lambda _: "/v1/payins?limit=20", lambda page: not page["data"])
    monkeypatch.setattr(module, "_kinds", lambda _: [wrong])
    with pytest.raises(CaudalFailed, match="another page"):
        await pages(caudal, Pages(requests=2, merchant=merchant), said.append)
    monkeypatch.setattr(module, "_kinds", lambda _: [replace(wrong, path=lambda _: "/v1/payins?limit=0")])
    with pytest.raises(CaudalFailed, match="was answered 422"):
        await pages(caudal, Pages(requests=2, merchant=merchant), said.append)

    close = Asker.aclose

    async def aclose(asker: Asker) -> None:
        await close(asker)
        raise OSError("a connection does not end")

    monkeypatch.setattr(Asker, "aclose", aclose)
    with pytest.raises(OSError, match="does not end"):
        await pages(caudal, Pages(requests=2, merchant=merchant), said.append)
    assert await keys_in_use(running, merchant) == 1, "its own is revoked whatever ended it"


def test_the_command_prints_what_it_found(running: Whole) -> None:
    merchant = asyncio.run(merchant_with_a_past(running))
    done = CliRunner().invoke(
        app, ["pages", "--var", str(running.var), "--requests", "2", "--merchant", merchant, "--json"]
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["pages"]


def test_where_no_caudal_runs_it_says_so(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["pages", "--var", str(tmp_path)])
    assert done.exit_code == 1 and "no caudal runs on" in done.stderr
