"""Payers with one card, who buy again and again; a third has an answer that comes 1.5 s after its effect.

So most kills of web find some between their provider's effect and the second commit.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import psycopg

from tests.faults.asking import Ask, Asker, History, Verdict
from tests.faults.books import rows
from tests.faults.restless import Restless, until
from tests.payins.cast import CARD

SEED, BUYERS, IN_FLIGHT = 20261127, 48, 32
LATE_ANSWER = 9_107  # of 10,000 minor units: the effect at once, the answer 1.5 s later
WAITS_MS = 3_000
THINKS_S = 0.2  # who was refused
HEALED_S = 60.0
UNDONE = "select count(*) from payin where status = 'submitting'"
REFERENCES = "select reference, id, status, amount_minor from payin where method = 'card' and reference is not null"


class Buyers:
    """Payers with one card, who buy again and again; `told` is what each order was answered with in the end."""

    def __init__(self, asker: Asker, instrument: str, name: str) -> None:
        self.asker, self._instrument, self._name, self._random = asker, instrument, name, random.Random(SEED)
        self.told: dict[str, dict[str, Any]] = {}
        self.refused: set[str] = set()
        self.verdicts = Counter[str]()
        self._stopping = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._buy_again(number)) for number in range(BUYERS)]

    async def stop(self) -> None:
        self._stopping = True
        await asyncio.gather(*self._tasks)

    async def _buy_again(self, buyer: int) -> None:
        nth = 0
        while not self._stopping:
            nth += 1
            await self._buy(f"{self._name}-{buyer}-{nth}")

    async def _buy(self, reference: str) -> None:
        amount = 20_000 + (LATE_ANSWER if self._random.random() < 0.34 else self._random.randint(0, 8_000))
        body = {"amount": amount, "currency": "BRL", "country": "BR", "method": "card", "reference": reference}
        raw = json.dumps({**body, "instrument": {"id": self._instrument}}).encode()
        ask = Ask(path="/v1/payins", key=reference, body=raw, timeout_ms=WAITS_MS)
        verdict, answer = await self.asker.post(ask)
        self.verdicts[verdict] += 1
        if verdict is Verdict.UNKNOWN or (answer is not None and answer.status == 409):
            answer = await self.asker.settle(ask)
        if answer is None or answer.status != 201:
            self.refused.add(reference)
            await asyncio.sleep(THINKS_S)
        else:
            self.told[reference] = answer.json


@asynccontextmanager
async def asked(whole: Restless, name: str) -> AsyncIterator[tuple[Buyers, aiohttp.ClientSession]]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        asker = Asker(session, whole.ready["api_url"], whole.ready["demo_key"], History())
        kept = await asker.answer(
            Ask(path="/v1/instruments", key=f"{name}-card", body=json.dumps({"type": "card", "card": CARD}).encode())
        )
        assert kept is not None and kept.status == 201, kept
        yield Buyers(asker, kept.json["id"], name), session


def busy(buyers: Buyers) -> Callable[[], Any]:
    async def is_busy() -> bool:
        return buyers.asker.in_flight >= IN_FLIGHT

    return is_busy


async def found(whole: Restless, query: str) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(whole.database_url, autocommit=True) as connection:
        return await rows(connection, query)


async def nothing_is_undone(whole: Restless) -> None:
    async def is_done() -> bool:
        return await found(whole, UNDONE) == [(0,)]

    await until(is_done, "every payment has an outcome", HEALED_S, every_s=0.2)


async def statement(session: aiohttp.ClientSession, whole: Restless) -> dict[str, int]:
    """What providers have taken, by the key of the attempt."""
    async with session.get(f"{whole.sandbox_url}/v1/provider/statement") as answer:
        told = [json.loads(line) for line in (await answer.text()).splitlines()]
    return {payment["key"]: payment["captured"] for payment in told}


async def judged(whole: Restless, buyers: Buyers, charged: dict[str, int]) -> None:
    """One payin an order, one charge a payin, and the books agree with the provider's."""
    assert not buyers.asker.history.strange, buyers.asker.history.strange[:5]
    payins = await found(whole, REFERENCES)
    times = Counter(reference for reference, _, _, _ in payins)
    assert max(times.values()) == 1, "an order became two payins"
    statuses = {reference: (id.hex, status, amount) for reference, id, status, amount in payins}
    for reference, told in buyers.told.items():
        id, status, _ = statuses[reference]
        assert told["id"] == f"payin_{id}", "what was acknowledged is there"
        assert told["status"] in ("submitting", status), (reference, told["status"], status)
    assert not buyers.refused & set(statuses), "refused, and yet there"
    ours = {id for id, _, _ in statuses.values()}
    taken = {id: amount for id, status, amount in statuses.values() if status == "paid"}
    attempts = [(key[:32], amount) for key, amount in charged.items() if amount and key[:32] in ours]
    assert len(attempts) == len(dict(attempts)), "charged in two attempts"
    assert dict(attempts) == taken, "charged otherwise than we know"
    checked = whole.caudal("check", "--replay", "--against-sandbox")
    assert checked.returncode == 0, checked.stdout + checked.stderr
