"""The bank takes far more than 500 transfers a second, each durable before its answer, and delivers them as well."""

import asyncio
import time

import aiohttp
import pytest

from tests.caudal_sandbox.rig import Bank, Receiver, clabe_of, until

CONNECTIONS = 32
EACH = 60


async def pay_all(bank: Bank) -> float:
    """Pay over all connections at once; return transfers acknowledged per second."""

    async def pay(session: aiohttp.ClientSession, number: int) -> None:
        order = {"clabe": clabe_of(6_000_000 + number), "amount": 1, "currency": "MXN", "payer_name": "Ana"}
        for _ in range(EACH):
            async with session.post(f"{bank.url}/v1/bank/transfers", json=order) as answer:
                assert answer.status == 201
                await answer.read()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:
        began_s = time.monotonic()
        await asyncio.gather(*(pay(session, number) for number in range(CONNECTIONS)))
        return CONNECTIONS * EACH / (time.monotonic() - began_s)


@pytest.mark.alone
def test_it_takes_more_than_500_transfers_a_second(bank: Bank, receiver: Receiver) -> None:
    began_s = time.monotonic()
    rate = asyncio.run(pay_all(bank))
    clabes = [clabe_of(6_000_000 + number) for number in range(CONNECTIONS)]
    until(lambda: all(len(receiver.calls[clabe]) >= EACH for clabe in clabes))
    print(f"{rate:.0f} transfers/s, delivered after {time.monotonic() - began_s:.1f} s")
    assert rate > 500
