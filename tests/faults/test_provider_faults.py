"""kill -9 of web with cards at their provider, and a provider that goes silent: nobody is charged twice or forgotten.

A kill falls before the intent, between the provider's effect and the second commit, or behind it: a third of the
payments has an answer that comes 1.5 s after its effect, so that most kills find some of them in between.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import psycopg
import pytest

from tests.faults.asking import Answer, Ask, Asker, History, Verdict
from tests.faults.books import provider_rows, rows
from tests.faults.restless import Restless, is_answered, kill, until
from tests.payins.cast import CARD

pytestmark = pytest.mark.server

KILLS = int(os.environ.get("KILLS_OF_EACH_KIND", "20"))
SEED, BUYERS, IN_FLIGHT = 20261127, 48, 32
LATE_ANSWER = 9_107  # of 10,000 minor units: the effect at once, the answer 1.5 s later
WAITS_MS = 3_000
SILENT_S = 6.0
HEALED_S = 60.0
UNDONE = "select count(*) from payin where status = 'submitting'"
REFERENCES = "select reference, id, status, amount_minor from payin where method = 'card'"
SUBMITTING = "select id from payin where status = 'submitting' and method = 'card'"
CHARGED = "select key from payment where status = 'paid'"


@pytest.fixture
def whole(open_tmp: Path) -> Iterator[Restless]:
    """A caudal whose leases end after a second."""
    started = Restless(open_tmp / "cards", CAUDAL_LEASE_S="1", CAUDAL_PROVIDER_TIMEOUT_MS="2500")
    started.start()
    yield started
    assert started.stop() == 0, started.log


@asynccontextmanager
async def asked(whole: Restless, name: str) -> AsyncIterator[tuple[Buyers, aiohttp.ClientSession]]:
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        asker = Asker(session, whole.ready["api_url"], whole.ready["demo_key"], History())
        kept = await asker.answer(
            Ask(path="/v1/instruments", key=f"{name}-card", body=json.dumps({"type": "card", "card": CARD}).encode())
        )
        assert kept is not None and kept.status == 201, kept
        yield Buyers(asker, kept.json["id"], name), session


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
            await asyncio.sleep(0.05)
        else:
            self.told[reference] = answer.json


async def test_nobody_is_charged_twice_however_web_dies(whole: Restless, say: Callable[[str], None]) -> None:
    chance, least, waiting, between = random.Random(SEED), BUYERS, 0, 0
    async with asked(whole, "killed") as (buyers, session):
        buyers.start()
        for _ in range(KILLS):
            await until(busy(buyers), "enough requests are in flight", HEALED_S, every_s=0.001)
            await asyncio.sleep(chance.uniform(0.02, 0.8))
            await until(busy(buyers), "enough requests are in flight", HEALED_S, every_s=0.001)
            least = min(least, buyers.asker.in_flight)
            pid, charged_by_then = whole.pid_of("web"), {key for (key,) in provider_rows(whole.var, CHARGED)}
            kill(pid)
            submitted = {id.hex for (id,) in await found(whole, SUBMITTING)}
            waiting, between = waiting + len(submitted), between + len(submitted & charged_by_then)

            async def is_back(dead: int = pid) -> bool:
                return whole.pid_of("web") != dead and await is_answered(session, f"{whole.api_url}/readyz")

            await until(is_back, "web is back", HEALED_S)
        await buyers.stop()
        await nothing_is_undone(whole)
        charged = await statement(session, whole)
    await judged(whole, buyers, charged)
    say(
        f"{KILLS} kills, {least} in flight at least, {waiting} payins submitted when web died,"
        f" {between} of them charged by then; {dict(buyers.verdicts)}"
    )
    assert least >= IN_FLIGHT and buyers.verdicts[Verdict.UNKNOWN]
    assert between, "no kill fell between the provider's effect and the second commit: this tested nothing"


async def test_a_provider_that_goes_silent_disturbs_nobody_else_and_loses_nothing(
    whole: Restless, say: Callable[[str], None]
) -> None:
    async with asked(whole, "silent") as (buyers, session):
        buyers.start()
        await until(busy(buyers), "enough requests are in flight", HEALED_S)
        sandbox = whole.pid_of("sandbox")
        os.kill(sandbox, signal.SIGSTOP)
        try:
            took = await transfers(buyers.asker, SILENT_S)
        finally:
            os.kill(sandbox, signal.SIGCONT)
        await asyncio.sleep(1)
        await buyers.stop()
        await nothing_is_undone(whole)
        charged = await statement(session, whole)
    await judged(whole, buyers, charged)
    slowest = max(took)
    say(f"{len(took)} transfers meanwhile, the slowest {slowest * 1000:.0f} ms; {dict(buyers.verdicts)}")
    assert buyers.refused, "the breaker let everybody through"
    assert sum(payin["status"] == "submitting" for payin in buyers.told.values()), "nobody noticed"
    assert slowest < WAITS_MS / 1000


def busy(buyers: Buyers) -> Callable[[], Any]:
    async def is_busy() -> bool:
        return buyers.asker.in_flight >= IN_FLIGHT

    return is_busy


async def transfers(asker: Asker, for_s: float) -> list[float]:
    """Payins by SPEI, one after the other; how long each took, seconds."""
    took, end = list[float](), time.monotonic() + for_s
    while time.monotonic() < end:
        began, number = time.monotonic(), len(took)
        body = b'{"amount":12050,"currency":"MXN","country":"MX","method":"spei"}'
        answer: Answer | None = await asker.answer(Ask(path="/v1/payins", key=f"transfer-{number}", body=body))
        assert answer is not None and answer.status == 201, answer
        took.append(time.monotonic() - began)
        await asyncio.sleep(0.02)
    return took


async def found(whole: Restless, query: str) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(whole.database_url, autocommit=True) as connection:
        return await rows(connection, query)


async def nothing_is_undone(whole: Restless) -> None:
    async def is_done() -> bool:
        return await found(whole, UNDONE) == [(0,)]

    await until(is_done, "every payment has an outcome", HEALED_S, every_s=0.2)


async def statement(session: aiohttp.ClientSession, whole: Restless) -> dict[str, int]:
    """What the provider has taken, by its key."""
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
    taken = {id: amount for id, status, amount in statuses.values() if status == "paid"}
    assert {key: amount for key, amount in charged.items() if amount} == taken, "charged otherwise than we know"
    checked = whole.caudal("check", "--replay", "--against-sandbox")
    assert checked.returncode == 0, checked.stdout + checked.stderr
