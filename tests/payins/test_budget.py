"""How many statements a batch costs: as many as there are tables, however many commands are in it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest

from caudal.kernel.commit import Head, PostgresPort, Row, Shard, Statement
from caudal.kernel.context import Context, limits_of
from tests.payins.cast import Merchant

# Statements for a batch of 100, begin, lock and commit included. They may only fall.
CREATES, PAYMENTS, PARTS = 13, 21, 23


class Counting(PostgresPort):
    """Counts what is sent, per batch."""

    def __init__(self, database_url: str) -> None:
        super().__init__(database_url)
        self.batches: list[tuple[int, int]] = []

    async def read(self, shard: int, reads: Sequence[Statement]) -> tuple[Head, list[list[Row]]]:
        self.batches.append((2 + len(reads), 0))
        return await super().read(shard, reads)

    async def write(self, statements: Sequence[Statement]) -> None:
        self.batches[-1] = (self.batches[-1][0], len(statements) + 1)
        await super().write(statements)


@pytest.fixture
async def counting(context: Context, database_url: str) -> Counting:
    """The port of shard 0, put in place before anything is committed."""
    port = Counting(database_url)
    shard = Shard(0, port, limits_of(context.settings))
    shard.start()
    context._shards[0] = shard
    return port


def largest(port: Counting, what: str, say: Callable[[str], None]) -> int:
    """The statements of the batch with most of them, said aloud."""
    reads, writes = max(port.batches, key=sum)
    say(f"{what}: {reads} to read + {writes} to write = {reads + writes} statements")
    return reads + writes


@pytest.fixture
async def payer(counting: Counting, ana: Merchant) -> Merchant:
    """Ana, known to the process already, so that a hundred requests of hers come at once."""
    await ana.get("/v1/balances")
    counting.batches.clear()
    return ana


async def test_a_hundred_creates(counting: Counting, payer: Merchant, say: Callable[[str], None]) -> None:
    await asyncio.gather(*(payer.payin(reference="r", payer={"name": "Ana"}) for _ in range(100)))
    assert len(counting.batches) < 20
    assert largest(counting, "100 creates", say) <= CREATES


async def test_a_hundred_payments_in_full_with_a_surplus(
    counting: Counting, payer: Merchant, say: Callable[[str], None]
) -> None:
    payins = await asyncio.gather(*(payer.payin() for _ in range(100)))
    counting.batches.clear()
    await asyncio.gather(*(payer.paid(payin, 10_950) for payin in payins))
    assert largest(counting, "100 payments in full with a surplus", say) <= PAYMENTS


async def test_the_rest_of_a_hundred_payments_in_parts(
    counting: Counting, payer: Merchant, say: Callable[[str], None]
) -> None:
    payins = await asyncio.gather(*(payer.payin() for _ in range(100)))
    for part in (1000, 2000, 3000):
        await asyncio.gather(*(payer.paid(payin, part) for payin in payins))
    counting.batches.clear()
    await asyncio.gather(*(payer.paid(payin, 4000) for payin in payins))
    assert largest(counting, "the rest of 100 payments in parts", say) <= PARTS


async def test_a_replay_writes_nothing(counting: Counting, payer: Merchant) -> None:
    await payer.create("k")
    counting.batches.clear()
    assert (await payer.create("k")).headers["idempotent-replayed"] == "true"
    [(_, writes)] = counting.batches
    assert writes == 1, "a commit of nothing"
