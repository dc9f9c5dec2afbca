"""The provider of cards is down for more than a minute: refused for a part of it, silent for the rest.

Five other methods go on beside it as if nothing were, no card is charged twice or forgotten, and what was not resolved
while it was away is afterwards. Everything is compared within one run; no bound is a machine's.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from tests.faults.asking import Answer, Ask, Asker, History
from tests.faults.books import FORGOTTEN, provider_rows, rows
from tests.faults.gate import Gate
from tests.faults.restless import Restless, until
from tests.payins.cast import ASKED, CARD

pytestmark = pytest.mark.server

BEFORE_S, REFUSED_S, SILENT_S = 15.0, 25.0, 37.0
BUYERS = {"card": 8, "pix": 2, "boleto": 2, "pse": 2, "mpesa": 2, "spei": 2}
OTHERS = [method for method in BUYERS if method != "card"]
PAUSE_S, SEED, HEALED_S = 0.4, 20261129, 120.0
TRY_S = 2.0  # that a card waits for a silent provider
PAYINS = "select reference, id, method, status, amount_minor from payin where reference like '%-%'"
UNDONE = "select count(*) from payin where status = 'submitting'"
CHARGED = "select substr(key, 1, 32), captured_minor from payment where method = 'card' and captured_minor > 0"
LATE = """
    select extract(epoch from max(c.at - p.expires_at))::float from payin p
    join payin_change c on c.shard = p.shard and c.payin = p.id and c.event = 'time_passed'"""


@pytest.fixture
async def gate() -> AsyncIterator[Gate]:
    """Open, and leads nowhere yet."""
    opened = Gate()
    await opened.open()
    yield opened
    await opened.refuse()


@pytest.fixture
async def whole(open_tmp: Path, gate: Gate) -> AsyncIterator[Restless]:
    """A caudal whose cards go through the gate."""
    timing = {"CAUDAL_LEASE_S": "0.5", "CAUDAL_PROVIDER_TIMEOUT_MS": str(int(TRY_S * 1000))}
    started = Restless(open_tmp / "down", CARD_PROVIDER_URL=gate.url, **timing)
    started.module = "tests.faults.card_elsewhere"
    await asyncio.to_thread(started.start)
    await gate.open(started.sandbox_url)
    yield started
    assert await asyncio.to_thread(started.stop) == 0, started.log


class Market:
    """Buyers by every method, and what each was told, when."""

    def __init__(self, whole: Restless, session: aiohttp.ClientSession) -> None:
        self.asker = Asker(session, whole.ready["api_url"], whole.ready["demo_key"], History())
        self._session, self._sandbox, self._random = session, whole.sandbox_url, random.Random(SEED)
        self.phase, self._stopping, self._tasks = "before", False, list[asyncio.Task[None]]()
        self.took = defaultdict[tuple[str, str], list[float]](list)  # method and phase: seconds
        self.said = defaultdict[str, Counter[str]](Counter)  # phase: what cards were answered
        self.told: dict[str, Any] = {}
        self.refused, self.paid = set[str](), set[str]()
        self._instrument = ""

    async def open(self) -> None:
        card = Ask(path="/v1/instruments", key="card", body=json.dumps({"type": "card", "card": CARD}).encode())
        kept = await self.asker.answer(card)
        assert kept is not None and kept.status == 201, kept
        self._instrument = kept.json["id"]
        for method, number in BUYERS.items():
            self._tasks += [asyncio.create_task(self._go_on(method, buyer)) for buyer in range(number)]

    async def close(self) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def _go_on(self, method: str, buyer: int) -> None:
        nth = 0
        while not self._stopping:
            nth += 1
            await self._buy(method, f"{method}-{buyer}-{nth}")
            await asyncio.sleep(self._random.uniform(0.5, 1.5) * PAUSE_S)

    async def _buy(self, method: str, reference: str) -> None:
        spei = {"country": "MX", "currency": "MXN"}
        body = {"amount": 20_000 + self._random.randint(0, 8_000), **ASKED.get(method, spei)}
        body |= {"method": method, "reference": reference}
        if method == "card":
            body["instrument"] = {"id": self._instrument}
        elif method in ("pix", "spei") and self._random.random() < 0.3:
            soon = datetime.now(UTC) + timedelta(seconds=4)
            body["expires_at"] = soon.isoformat().replace("+00:00", "Z")
        began, phase = time.monotonic(), self.phase
        ask = Ask(path="/v1/payins", key=reference, body=json.dumps(body).encode())
        _, answer = await self.asker.post(ask)
        self.took[method, phase].append(time.monotonic() - began)
        if answer is None:
            answer = await self.asker.settle(ask)
        if answer.status != 201:
            assert method == "card", (reference, answer)
            self.refused.add(reference)
        else:
            self.told[reference] = answer.json
        if method == "card":
            self.said[phase][f"{answer.status} {answer.json.get('code', answer.json['status'])}"] += 1
        elif self._random.random() < 0.5 and "expires_at" not in body:
            await self._pay(answer)

    async def _pay(self, answer: Answer) -> None:
        """As the payer does: at the bank, or at the provider."""
        payin = answer.json
        path, order = f"/v1/provider/payers/{payin['id'].removeprefix('payin_')}/pay", {}
        if payin["method"] == "spei":
            path = "/v1/bank/transfers"
            order = {"clabe": payin["next_action"]["clabe"], "amount": payin["amount"], "currency": "MXN"}
            order |= {"payer_name": "Beto Ruiz"}
        async with self._session.post(self._sandbox + path, json=order) as paid:
            assert paid.status in (200, 201), await paid.text()
        self.paid.add(payin["id"])


async def test_others_go_on_and_nothing_is_lost_while_the_provider_of_cards_is_down_for_a_minute(
    whole: Restless, gate: Gate, say: Callable[[str], None]
) -> None:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        market = Market(whole, session)
        await market.open()
        await asyncio.sleep(BEFORE_S)
        await until(lambda: is_usual(market), "enough was sold to say what is usual", HEALED_S)
        market.phase = "refused"
        await gate.refuse()
        await asyncio.sleep(REFUSED_S)
        market.phase = "silent"
        await gate.be_silent()
        await asyncio.sleep(SILENT_S)
        market.phase = "afterwards"
        await gate.open()

        async def cards_are_paid() -> bool:
            return market.said["afterwards"]["201 paid"] > 0

        back_s = await until(cards_are_paid, lambda: f"cards are paid again: {market.said}", HEALED_S)
        await market.close()
        resolved_s = await until(lambda: is_resolved(whole, market), "everything is resolved", HEALED_S, every_s=0.2)
    say(f"cards were paid again after {back_s:.1f} s, all was resolved {resolved_s:.1f} s after the last order")
    for phase, said in market.said.items():
        say(f"cards, {phase}: " + ", ".join(f"{number} × {what}" for what, number in said.most_common()))
    compared(market, say)
    await judged(whole, market, say)


async def is_usual(market: Market) -> bool:
    return min(len(market.took[method, "before"]) for method in OTHERS) > 20


async def is_resolved(whole: Restless, market: Market) -> bool:
    """No card is submitting, what payers paid is paid, what was to expire has expired."""
    async with await psycopg.AsyncConnection.connect(whole.database_url, autocommit=True) as connection:
        paid = {f"payin_{id.hex}" for _, id, _, status, _ in await rows(connection, PAYINS) if status == "paid"}
        undone = [*await rows(connection, UNDONE), *await rows(connection, FORGOTTEN)]
    return market.paid <= paid and undone == [(0,), (0,)]


def compared(market: Market, say: Callable[[str], None]) -> None:
    """The others' times before and while it was down. A wait for the provider of cards would be seconds."""
    before = [seconds for method in OTHERS for seconds in market.took[method, "before"]]
    for method in OTHERS:
        meanwhile = market.took[method, "refused"] + market.took[method, "silent"]
        median, usual = statistics.median(meanwhile), statistics.median(market.took[method, "before"])
        say(
            f"{method}: {len(meanwhile)} meanwhile, median {median * 1000:.0f} ms (before {usual * 1000:.0f}),"
            f" worst {max(meanwhile) * 1000:.0f} ms (before {max(market.took[method, 'before']) * 1000:.0f})"
        )
        assert median < 3 * usual
        assert max(meanwhile) < max(10 * max(before), TRY_S), "somebody waited as long as a card does"


async def judged(whole: Restless, market: Market, say: Callable[[str], None]) -> None:
    """One payin an order, one charge a card, and the books agree with the provider's."""
    assert not market.asker.history.strange, market.asker.history.strange[:5]
    async with await psycopg.AsyncConnection.connect(whole.database_url, autocommit=True) as connection:
        payins = await rows(connection, PAYINS)
        [(late_s,)] = await rows(connection, LATE)
    say(f"{len(payins)} payins; the latest expiry came {late_s:.1f} s after its time")
    assert max(Counter(reference for reference, *_ in payins).values()) == 1, "an order became two payins"
    ids = {reference: f"payin_{id.hex}" for reference, id, *_ in payins}
    assert {reference: told["id"] for reference, told in market.told.items()} == ids, "what was acknowledged, no more"
    taken = {id.hex: amount for _, id, method, status, amount in payins if method == "card" and status == "paid"}
    assert dict(provider_rows(whole.var, CHARGED)) == taken, "charged otherwise than we know"
    down = market.said["refused"] + market.said["silent"]
    assert down["201 submitting"] and down["503 provider_unavailable"], "nobody noticed"
    checked = await asyncio.to_thread(whole.caudal, "check", "--replay", "--against-sandbox")
    assert checked.returncode == 0, checked.stdout + checked.stderr
