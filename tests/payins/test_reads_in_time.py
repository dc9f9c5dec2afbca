"""What a POST reads before it writes anything takes no longer than the request may: nothing has happened then."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, NoReturn

import pytest

from caudal.kernel import context as kept
from caudal.kernel import idempotency
from caudal.kernel.context import Context
from caudal.kernel.gather import Gathered
from caudal.payins import store
from tests.payins.cast import Merchant
from tests.payins.desk import Desk
from tests.payins.several import merchant, routed, rule, three_providers

SHORT = {"request-timeout-ms": "60"}


async def hangs(*_: Any) -> NoReturn:
    """A read of a server that stands still."""
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


async def refused(asking: Any) -> None:
    async with asyncio.timeout(60):
        answer = await asking
    assert (answer.status, answer.code, answer.json["retry"]) == (503, "database_unavailable", "after"), answer.body


async def test_captures_cancellations_and_refunds(ana: Merchant, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    held = await ana.card(capture="manual")
    path = f"/v1/payins/{held['id']}"
    with monkeypatch.context() as patched:
        patched.setattr(store, "payin_row", hangs)
        await refused(ana.post(f"{path}/captures", {}, headers=SHORT))
        await refused(ana.post(f"{path}/cancellations", headers=SHORT))
        await refused(ana.post(f"{path}/refunds", {}, headers=SHORT))
    assert desk.count("capture") + desk.count("void") + desk.count("refund") == 0
    assert (await ana.seen(held))["status"] == "authorized"


async def test_a_payin_that_nobody_could_take_asks_whether_its_key_is_known(
    ana: Merchant, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.open = False
    monkeypatch.setattr(idempotency, "is_known", hangs)
    body = {"amount": 10_000, "currency": "BRL", "country": "BR", "method": "pix"}
    await refused(ana.post("/v1/payins", body, headers=SHORT))


async def test_a_payin_that_is_routed_by_a_profile(
    database_url: str, tmp_path: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with three_providers(database_url, tmp_path) as context:
        ana = await merchant(context)
        instrument = await ana.instrument()
        await routed(ana, rule("visa", "order", {"bins": ["4111"]}, providers=["bravo"]))
        monkeypatch.setattr(store, "instrument", hangs)
        body = {"amount": 10_000, "currency": "BRL", "country": "BR", "method": "card"}
        await refused(ana.post("/v1/payins", body | {"instrument": {"id": instrument}}, headers=SHORT))
        assert not desk.sent and await _payins(context) == 0


async def _payins(context: Context) -> int:
    [(count,)] = await context.rows("select count(*) from payin")
    return int(count)


async def test_a_return_of_a_deposit(ana: Merchant, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    deposit = await ana.paid(await ana.payin(), 1_000)
    monkeypatch.setattr(store, "deposit", hangs)
    await refused(ana.post(f"/v1/operator/deposits/{deposit}/returns", key=ana.olga, headers=SHORT))


OTHERS = """
/v1/webhook_deliveries/delivery_{id}/redeliveries
/v1/events/{event}/redeliver
/v1/routing/simulate                              {"replay": {"days": 7}}
/v1/operator/discrepancies/disc_{id}/corrections  {"correction": "ask_again", "facts": "c1"}
/v1/operator/deposits/dep_{id}/returns
"""


async def test_every_other_post_that_names_a_time_reads_no_longer(
    ana: Merchant, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database stands still for whatever is read but the callers, who are known already."""
    await ana.payin()
    await ana.odd()
    event = (await ana.events())[0]["id"]
    read = Context._read

    async def stands_still(self: Context, query: Any, parameters: Any, pool: Any = None) -> Any:
        return await (hangs() if pool is None else read(self, query, parameters, pool))

    monkeypatch.setattr(Context, "_read", stands_still)
    for line in OTHERS.strip().splitlines():
        path, _, body = line.partition(" ")
        filled = path.replace("{id}", "0" * 12 + "7000" + "8" + "0" * 15).replace("{event}", event)
        who = {"key": ana.olga} if "/operator/" in path else {}
        await refused(ana.post(filled, json.loads(body) if body else None, headers=SHORT, **who))


async def test_one_who_asked_first_ends_no_look_of_the_others(context: Context) -> None:
    looks = list[float | None]()

    async def look(keys: Any) -> dict[int, int]:
        looks.append(kept._UNTIL.get())
        return {key: key for key in keys}

    gathered = Gathered[int, int](look)
    with kept.reading_until(0.0):
        assert await gathered.get(7) == 7
    assert looks == [None]
