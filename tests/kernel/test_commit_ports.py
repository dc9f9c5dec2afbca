"""What the write path asks of its port when something goes wrong, of the real database and of the simulated one."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import psycopg
import pytest

from caudal.kernel.commit import View
from caudal.kernel.errors import Fault
from tests.kernel.faulty import kill, lose_the_answer, raising
from tests.kernel.stores import RealStore
from tests.kernel.toy import Note, key, soon


async def test_a_backend_killed_between_the_round_trips_means_that_nothing_happened(store: RealStore) -> None:
    port = store.faulty(between=kill)
    written = store.shard(port=port)
    results = await asyncio.gather(*(written.submit(Note(text="x", key=key(f"k{i}")), soon()) for i in range(8)))
    assert all(r.answer is not None and r.answer.status == 201 for r in results)
    assert port.happened == ["between"]
    assert await store.rows("select seq from event order by seq") == [(seq,) for seq in range(1, 9)]
    await written.stop()


async def test_a_backend_killed_after_the_commit_is_found_and_not_run_again(store: RealStore) -> None:
    port = store.faulty(after_commit=lose_the_answer)
    written = store.shard(port=port)
    results = await asyncio.gather(*(written.submit(Note(text="x"), soon()) for _ in range(8)))
    assert len(results) == 8
    assert (port.finds, written.counts.unknowns) == (1, 1)
    assert await store.rows("select count(*) from event") == [(8,)]
    await written.stop()


async def test_nobody_is_answered_while_a_commit_is_unknown(store: RealStore) -> None:
    gate = asyncio.Event()

    async def wait(_: object) -> None:
        await gate.wait()

    port = store.faulty(after_commit=lose_the_answer, before_find=wait)
    written = store.shard(port=port)
    first = written.submit(Note(text="first"), soon())
    await asyncio.sleep(0.3)
    second = written.submit(Note(text="second"), soon())
    await asyncio.sleep(0.1)
    assert not first.done() and not second.done()
    gate.set()
    await asyncio.gather(first, second)
    assert await store.rows("select data from event order by seq") == [(b"first",), (b"second",)]
    await written.stop()


@pytest.mark.parametrize("error", [ValueError("too many values"), AssertionError(), RuntimeError("a defect of ours")])
async def test_whatever_goes_wrong_behind_the_commit_is_looked_for_and_not_run_again(
    store: RealStore, error: Exception
) -> None:
    port = store.faulty(after_commit=raising(error))
    written = store.shard(port=port)
    result = await written.submit(Note(text="x"), soon())
    assert (result.outcome, port.finds, written.counts.alarms) == ("x", 1, 0)
    assert await store.rows("select count(*) from event") == [(1,)]
    await written.stop()


async def test_a_decision_that_breaks_stops_nobody(store: RealStore) -> None:
    written = store.shard()

    def broken(_: View) -> None:
        raise RuntimeError("a defect of ours")

    neighbour = written.submit(Note(text="neighbour"), soon())
    with pytest.raises(Fault, match="a decision broke"):
        await written.submit(Note(text="broken", looks=broken), soon())
    await neighbour
    assert await store.rows("select count(*) from event") == [(1,)]
    await written.stop()


@pytest.mark.parametrize("error", [psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected])
async def test_a_batch_that_lost_a_race_runs_again(store: RealStore, error: type[psycopg.Error]) -> None:
    port = store.faulty(instead_of_commit=raising(error("race")), between=raising(error("race")))
    written = store.shard(port=port)
    await written.submit(Note(text="x"), soon())
    assert port.finds == 0 and written.counts.reruns == 2
    assert len(set(port.backends)) == 3, "a connection that failed is replaced, never reused"
    assert await store.rows("select count(*) from event") == [(1,)]
    await written.stop()


async def test_a_statement_of_ours_that_is_wrong_is_a_fault_and_the_chain_goes_on(store: RealStore) -> None:
    port = store.faulty(instead_of_commit=raising(psycopg.errors.UndefinedTable("no such table")))
    written = store.shard(port=port)
    with pytest.raises(Fault, match="the database would not take this request"):
        await written.submit(Note(text="x"), soon())
    assert written.counts.alarms == 1
    await written.submit(Note(text="y"), soon())
    await written.stop()


async def test_a_batch_is_found_once_it_has_committed(store: RealStore) -> None:
    written = store.shard()
    await written.submit(Note(text="x"), soon())
    await written.stop()
    [(batch,)] = await store.rows("select id from batch")
    port = store.faulty()
    assert await port.find(0, batch)
    assert not await port.find(0, uuid4())
    await port.close()


async def test_a_shard_that_is_not_there_is_named(store: RealStore) -> None:
    port = store.faulty()
    await port.open()
    with pytest.raises(LookupError, match="no shard 9"):
        await port.read(9, [])
    await port.close()


async def test_a_second_writer_waits_for_the_first(store: RealStore) -> None:
    first, second = store.faulty(), store.faulty()
    await first.open()
    await first.read(0, [])
    await second.open()
    waiting = asyncio.create_task(second.read(0, []))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    await first.close()
    await waiting
    await second.close()
