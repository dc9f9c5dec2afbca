"""kill -9 under load, at seeded moments: what was acknowledged is booked once, and caudal hears of all of it."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Callable

import aiohttp

from tests.caudal_sandbox.rig import Bank, Receiver, clabe_of

KILLS = 6
CONNECTIONS = 24
SEED = 20261123


async def payers(bank: Bank, acknowledged: dict[str, int], unknown: dict[str, int], prefix: str) -> None:
    """Pay over many connections until the bank dies; note what it said, and what it could not say any more."""

    async def pay(session: aiohttp.ClientSession, number: int) -> None:
        for nth in range(100_000):
            key, amount = f"{prefix}N{number}N{nth}", 1 + nth
            order = order_of(key, amount)
            try:
                async with session.post(f"{bank.url}/v1/bank/transfers", json=order) as answer:
                    assert answer.status == 201, await answer.text()
                    await answer.read()
            except aiohttp.ClientError:
                unknown[key] = amount
                return
            acknowledged[key] = amount

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        await asyncio.gather(*(pay(session, number) for number in range(CONNECTIONS)))


def order_of(key: str, amount: int) -> dict[str, object]:
    return {
        "clabe": clabe_of(5_000_000 + amount % 50),
        "amount": amount,
        "currency": "MXN",
        "payer_name": "Ana Pérez",
        "tracking_key": key,
    }


async def one_life(
    bank: Bank, moment_s: float, acknowledged: dict[str, int], unknown: dict[str, int], name: str
) -> None:
    paying = asyncio.create_task(payers(bank, acknowledged, unknown, name))
    await asyncio.sleep(moment_s)
    await asyncio.to_thread(bank.end, signal.SIGKILL)
    await paying


def test_kill_9_loses_no_booked_transfer_and_books_none_twice(
    new_bank: Callable[[str], Bank], say: Callable[[str], None]
) -> None:
    moments = random.Random(SEED)
    acknowledged: dict[str, int] = {}
    unknown: dict[str, int] = {}
    with Receiver() as receiver:
        bank = new_bank(receiver.url)
        for life in range(KILLS):
            asyncio.run(one_life(bank, moments.uniform(0.15, 0.7), acknowledged, unknown, f"L{life}"))
            bank.start()
        lines = bank.statement()
        booked = Counter(line["tracking_key"] for line in lines)
        lost = acknowledged.keys() - booked.keys()
        doubled = {key for key, times in booked.items() if times > 1}
        say(f"acknowledged {len(acknowledged)} unknown {len(unknown)} lost {len(lost)} doubled {len(doubled)}")
        assert not lost and not doubled
        assert len(unknown) >= KILLS, "nothing was in flight: the kills tested nothing"
        assert booked.keys() <= acknowledged.keys() | unknown.keys()
        assert all(line["amount"] == (acknowledged | unknown)[line["tracking_key"]] for line in lines)
        for key, amount in unknown.items():
            assert bank.post("/v1/bank/transfers", order_of(key, amount)).status == (200 if key in booked else 201)
        everything = acknowledged.keys() | unknown.keys()
        assert bank.get("/v1/bank/books").json["transfers"] == len(everything)
        heard = all_heard(bank, receiver)
        assert heard == everything


def all_heard(bank: Bank, receiver: Receiver) -> set[str]:
    give_up = time.monotonic() + 60
    while bank.get("/v1/bank/books").json["undelivered"]:
        assert time.monotonic() < give_up, "the outbox does not empty"
        time.sleep(0.05)
    return {call.body["tracking_key"] for calls in receiver.calls.values() for call in calls}
