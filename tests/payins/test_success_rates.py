"""How providers have done lately: counted by whatever tells it, once an attempt, apart by mode, and known to a fresh
process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import psycopg
import pytest

from caudal.kernel import ids
from caudal.kernel.context import Context
from caudal.kernel.errors import Retry
from caudal.payins import store
from caudal.payins.calls import routes
from caudal.payins.model import Payin
from tests.payins.cast import Merchant, key_of
from tests.payins.desk import Counter, Desk
from tests.payins.several import merchant, routed, rule, three_providers
from tests.payins.test_cascade import DECLINED, HARD, NONE
from tests.payins.test_shards import taken_in

PIX = {"amount": 5_000, "currency": "BRL", "country": "BR", "method": "pix"}
BY_RATE = rule("best", "success_rate")
BEST = {"name": "draft", "rules": [BY_RATE]}
MINUTE_S = 60
UNKNOWN = "50.0%"


@pytest.fixture
async def context(database_url: str, tmp_path: Path) -> AsyncIterator[Context]:
    async with three_providers(database_url, tmp_path, lease_s=0.5) as opened:
        yield opened


@pytest.fixture
async def ana(context: Context, desk: Desk) -> Merchant:
    """Ana at a process that has read what was before, which is nothing: the rest it counts itself."""
    ana = await merchant(context)
    assert await share(ana) == UNKNOWN
    return ana


@pytest.fixture
async def fresh(ana: Merchant, database_url: str, tmp_path: Path) -> AsyncIterator[Merchant]:
    """Ana at another process, which has counted nothing yet."""
    async with three_providers(database_url, tmp_path) as opened:
        yield Merchant(opened, ana.merchant, ana.key, ana.olga)


@pytest.fixture
def both(tmp_path: Path) -> Path:
    """The configuration of a provider that is there in both modes."""
    file = tmp_path / "both.toml"
    entry = '[[provider]]\nname = "acme"\nmode = "{}"\nurl = "http://127.0.0.1:9"\nsecret = "{}"\n'
    file.write_text(entry.format("test", "one") + entry.format("live", "two"))
    return file


async def share(ana: Merchant, provider: str = "acme", method: str = "pix") -> str:
    """What a provider's share of successes is expected to be, as a simulation says it."""
    payin = PIX | {"method": method} | ({"instrument": {"id": await ana.instrument()}} if method == "card" else {})
    found = await ana.post("/v1/routing/simulate", {"payin": payin, "profile": BEST}, idempotency=None)
    assert found.status == 200, found.body
    [reason] = [
        one["reason"] for one in found.json["considered"] if (one["rule"], one["provider"]) == ("best", provider)
    ]
    return str(reason).partition(" succeeded lately")[0]


async def told(ana: Merchant, desk: Desk, payin: dict[str, Any], number: int = 1, **changed: Any) -> None:
    """The provider of an attempt calls back."""
    key = key_of(payin) if number == 1 else f"{key_of(payin)}-{number}"
    provider = {key: provider for provider, key in desk.sent}[key]
    answered = await ana.told("pix", "payment", desk.told(key, **changed), secret=provider, provider=provider)
    assert answered.status == 200, answered.body


async def test_payments_that_are_told_as_paid_count_once_each(ana: Merchant, desk: Desk) -> None:
    payins = [await ana.pix() for _ in range(4)]
    assert await share(ana) == UNKNOWN, "who waits for a payer has come to nothing yet"
    for payin in payins:
        desk.pay(key_of(payin))
        await asyncio.gather(*(told(ana, desk, payin) for _ in range(3)))
        await told(ana, desk, payin)
    assert await share(ana) == "83.3%", "(4 + 1) / (4 + 2)"
    assert await share(ana, "bravo") == UNKNOWN


async def test_a_decline_that_is_told_counts_once(ana: Merchant, desk: Desk) -> None:
    payin = await ana.pix()
    desk.change(key_of(payin), status="declined", action=None)
    for _ in range(2):
        await told(ana, desk, payin)
    assert (await ana.seen(payin))["status"] == "declined"
    assert await share(ana) == "33.3%"


async def test_what_was_authorized_does_not_count_again_when_it_is_taken(ana: Merchant, desk: Desk) -> None:
    await ana.capture(await ana.card(capture="manual"))
    assert await share(ana, method="card") == "66.7%"


async def test_every_attempt_of_a_cascade_counts_for_its_provider(ana: Merchant, desk: Desk) -> None:
    desk.says["submit"] = ["busy", DECLINED]
    payin = await ana.pix()
    desk.pay(f"{key_of(payin)}-3")
    await told(ana, desk, payin, 3)
    assert [await share(ana, name) for name in ("acme", "bravo", "corto")] == ["33.3%", "33.3%", "66.7%"]


async def test_a_success_that_its_provider_confirms_after_the_end_does_not_count(ana: Merchant, desk: Desk) -> None:
    desk.says["submit"] = [HARD | NONE | {"action": None}]
    payin = await ana.pix()
    desk.pay(key_of(payin))
    await told(ana, desk, payin)
    assert [found["kind"] for found in await ana.odd()] == ["late_success"], "it was asked back, and says so"
    assert await share(ana) == "33.3%"


async def test_what_the_sweep_finds_out_counts(ana: Merchant, desk: Desk) -> None:
    desk.says["submit"] = ["lost"]
    payin = await ana.card()
    assert (payin["status"], await share(ana, method="card")) == ("submitting", UNKNOWN)
    await ana.work("payin.submit")
    assert ((await ana.seen(payin))["status"], await share(ana, method="card")) == ("paid", "66.7%")


async def test_test_and_live_do_not_mix(ana: Merchant, desk: Desk, both: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Counter, "available", lambda *_: True)
    settings = msgspec.structs.replace(ana.context.settings, providers=str(both))
    keys = {ana.key: "25.0%", await ana.key_of("live"): UNKNOWN}
    desk.says["submit"] = [HARD | NONE, HARD | NONE]
    for name in ("one that sees it", "one that begins later"):
        async with Context(settings, name="test") as opened:
            for key, expected in keys.items():
                at = Merchant(opened, ana.merchant, key, ana.olga)
                while desk.says["submit"]:
                    await at.pix()
                assert await share(at) == expected, name


async def made(ana: Merchant, desk: Desk, monkeypatch: pytest.MonkeyPatch, minutes: int, *said: Any) -> None:
    """Cards that were paid, or declined, some minutes ago."""
    desk.says["submit"] = [*said]
    card = {"id": await ana.instrument()}
    with monkeypatch.context() as then:
        then.setattr(ids, "time", SimpleNamespace(time_ns=lambda: time.time_ns() - minutes * MINUTE_S * 10**9))
        for _ in range(5):
            await ana.card(instrument=card)


async def test_a_fresh_process_knows_what_was_when(
    ana: Merchant, fresh: Merchant, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(ana, desk, monkeypatch, 70)  # longer ago than it looks
    await made(ana, desk, monkeypatch, 50, *[HARD | NONE] * 5)
    await made(ana, desk, monkeypatch, 2)
    assert await share(fresh, method="card") == "69.2%", "5 failures weigh 1.57, 5 successes 4.77"
    assert await share(fresh, method="card") == "69.2%", "and they are read once"


async def test_what_a_process_has_counted_it_does_not_read_besides(fresh: Merchant, desk: Desk) -> None:
    desk.says["submit"] = [HARD | NONE]
    await fresh.pix()
    assert await share(fresh) == "33.3%"


async def test_what_could_not_be_read_is_read_by_the_next_who_asks(
    ana: Merchant, fresh: Merchant, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: object) -> None:
        raise Retry("database_unavailable", "it is away")

    await ana.card()
    asked = {"payin": PIX, "profile": BEST}
    with monkeypatch.context() as then:
        then.setattr(store, "recent_payins", away)
        assert (await fresh.post("/v1/routing/simulate", asked, idempotency=None)).status == 503
    assert await share(fresh, method="card") == "66.7%"


async def test_no_payin_waits_until_the_last_hour_is_read_and_all_of_them_for_one_reading(
    ana: Merchant, fresh: Merchant, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ana.card()
    await routed(fresh, BY_RATE)
    real, readings, go = store.recent_payins, 0, asyncio.Event()

    async def slow(*asked: Any) -> list[Payin]:
        nonlocal readings
        readings += 1
        await go.wait()
        return await real(*asked)

    monkeypatch.setattr(store, "recent_payins", slow)
    for _ in range(3):  # the first deadline is over long before that reading is
        made = await fresh.post("/v1/payins", PIX, headers={"Request-Timeout-Ms": "4000"})
        assert (made.status, made.json["status"]) == (201, "pending"), made.body
    waiting = asyncio.create_task(share(fresh, method="card"))
    await asyncio.sleep(0)
    go.set()
    assert (await waiting, readings) == ("66.7%", 1)


async def test_what_was_counted_while_the_last_hour_was_read_stays_and_counts_once(
    ana: Merchant, fresh: Merchant, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    await ana.card()
    real = store.recent_payins

    async def and_then(*asked: Any) -> list[Payin]:
        rows = await real(*asked)
        desk.says["submit"] = [HARD | NONE]
        await fresh.pix()
        return rows

    monkeypatch.setattr(store, "recent_payins", and_then)
    assert await share(fresh) == "33.3%", "it is not among what was read"
    assert await share(fresh, method="card") == "66.7%", "and this is"


async def test_after_a_reading_that_failed_payins_begin_none_for_a_while(
    fresh: Merchant, desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    readings = 0

    async def away(*_: object) -> None:
        nonlocal readings
        readings += 1
        raise Retry("database_unavailable", "it is away")

    await routed(fresh, BY_RATE)
    monkeypatch.setattr(store, "recent_payins", away)
    monkeypatch.setattr(routes, "_AGAIN_S", 86_400.0)
    for _ in range(3):
        assert (await fresh.pix())["status"] == "pending"
    assert readings == 1 and "the last hour is not known: it is away" in caplog.text
    monkeypatch.setattr(routes, "_AGAIN_S", 0.0)
    fresh.context.once(routes.Recent)._again_at = 0.0  # what time does otherwise
    for _ in range(2):
        await fresh.pix()
    assert readings == 3


async def test_a_fresh_process_reads_every_shard(
    ana: Merchant, fresh: Merchant, desk: Desk, database_url: str, tmp_path: Path
) -> None:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        await connection.execute("insert into shard (id) values (1)")
    caro = await taken_in(fresh.context, ana.olga, "Caro", shard=1)
    desk.says["submit"] = [HARD | NONE]
    await caro.pix()
    async with three_providers(database_url, tmp_path) as another:
        there = Merchant(another, ana.merchant, ana.key, ana.olga)
        assert await share(there) == "33.3%", "she asks for Ana, who is on the first one"
