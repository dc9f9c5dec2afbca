"""Whatever providers answer and tell, in whatever order: one attempt at most is open, one at most keeps money."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from caudal.connectors import Declined, PaymentOrder
from caudal.kernel.context import Context
from tests.payins.books import broken_laws
from tests.payins.cast import Merchant, key_of
from tests.payins.desk import Counter, Desk
from tests.payins.several import NAMES, merchant, three_providers

AMOUNT = 7_000
NONE = {"captured_minor": 0, "authorized_minor": 0}
SOFT: dict[str, Any] = {"status": "declined", "reason": "do_not_honor", **NONE}
HARD: dict[str, Any] = {"status": "declined", "reason": "lost_or_stolen", **NONE}
PENDING: dict[str, Any] = {"status": "pending", **NONE}
ANSWERS: list[Any] = [{}, SOFT, SOFT, SOFT, HARD, "busy", "busy", "lost", "nothing", PENDING]
ANSWERS += [Declined(reason="processing_error", detail="no")]
WORK = ("payin.submit", "payin.operate", "deposit.return")


@pytest.fixture
async def context(database_url: str, tmp_path: Path) -> AsyncIterator[Context]:
    async with three_providers(database_url, tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("seed", range(3))
async def test_whatever_happens_one_attempt_is_open_and_one_keeps_money(
    context: Context, desk: Desk, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    ana, random = await merchant(context), Random(seed)
    watched(desk, monkeypatch)
    payins = [await go_through(ana, desk, random) for _ in range(16)]
    for _ in range(4):
        await healed(ana, desk)
    kinds = set()
    for payin in payins:
        kinds.add(await look(ana, desk, payin))
    assert len(kinds) > 6, kinds
    async with context.pool.connection() as connection:
        assert await broken_laws(connection) == []


def watched(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """No provider is asked while the payment may be with another one."""
    pay = Counter._pay

    def checked(counter: Counter, order: PaymentOrder, changed: dict[str, Any]) -> Any:
        payin = order.key.partition("-")[0]
        others = [state for key, state in desk.payments.items() if key.startswith(payin) and key != order.key]
        late = desk.said_late
        assert all(state.status == "declined" or state.key in late for state in others), (order.key, others)
        return pay(counter, order, changed)

    monkeypatch.setattr(Counter, "_pay", checked)


async def go_through(ana: Merchant, desk: Desk, random: Random) -> dict[str, Any]:
    """A card payin, and what its providers say in the course of it."""
    desk.says["submit"] = random.choices(ANSWERS, k=4)
    desk.away = {random.choice(NAMES)} if random.random() < 0.2 else set()
    manual = random.random() < 0.3
    payin = await ana.card(amount=AMOUNT, capture="manual" if manual else "automatic")
    desk.says["submit"], desk.away = random.choices(ANSWERS, k=2), set()
    for _ in range(random.randrange(4)):
        keys = [key for key in desk.payments if key.startswith(key_of(payin))]
        match random.choice(("tell", "late", "sweep", "away")):
            case "tell" if keys:
                await tell(ana, desk, random.choice(keys))
            case "late" if keys:
                key = random.choice(keys)
                if desk.payments[key].status == "declined":
                    desk.said_late.add(key)
                    desk.pay(key, reason=None)
                    await tell(ana, desk, key)
            case "sweep":
                desk.says["payment"] = random.choices(["nothing", {}], k=1)
                await ana.work("payin.submit")
    return payin


async def tell(ana: Merchant, desk: Desk, key: str) -> None:
    provider = next(name for name, sent in desk.sent if sent == key)
    code = {"do_not_honor": "05", "lost_or_stolen": "41"}.get(str(desk.payments[key].reason))
    told = desk.told(key, code=code)
    answered = await ana.told(desk.methods[key], "payment", told, provider=provider, secret=provider)
    assert answered.status == 200, answered.body


async def healed(ana: Merchant, desk: Desk) -> None:
    """Everybody answers, and what is due is done."""
    desk.says.clear()
    for kind in WORK:
        await ana.work(kind)


async def look(ana: Merchant, desk: Desk, payin: dict[str, Any]) -> str:
    """What became of a payin; its attempts, and its money in both books."""
    seen, key = await ana.seen(payin), key_of(payin)
    listed = (await ana.get(f"/v1/payins/{payin['id']}/attempts")).json["data"]
    assert all(one["ended_at"] is not None for one in listed[:-1]), "one attempt is open"
    assert all(one["status"] in ("declined", "unavailable") for one in listed[:-1])
    payments = {name: state for name, state in desk.payments.items() if name.startswith(key)}
    kept = {name: state.captured_minor - state.refunded_minor for name, state in payments.items()}
    carrier = key if len(listed) == 1 else f"{key}-{len(listed)}"
    assert sum(kept.values()) == seen["amount_received"], (seen["status"], kept)
    assert not [name for name, money in kept.items() if money and name != carrier], "one attempt keeps money"
    held = {name: desk.held(name) for name in payments if desk.held(name)}
    assert held == ({carrier: AMOUNT} if seen["status"] == "authorized" else {}), (seen["status"], held)
    return f"{seen['status']} after {len(listed)}"
