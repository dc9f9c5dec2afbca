"""The write path when all is well: chained batches, keys, refusals, gap-free numbers."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest

from caudal.kernel.commit import Lane, Limits
from caudal.kernel.commit.lanes import Lanes, Waiting
from caudal.kernel.errors import Overloaded, Refused
from tests.kernel.stores import RealStore
from tests.kernel.toy import Note, key, soon


async def rows(database_url: str, query: str) -> list[tuple[Any, ...]]:
    async with await psycopg.AsyncConnection.connect(database_url, autocommit=True) as connection:
        return await (await connection.execute(query.encode())).fetchall()


async def test_a_command_is_answered_after_its_commit(store: RealStore) -> None:
    written = store.shard()
    result = await written.submit(Note(text="one", key=key("a")), soon())
    assert result.answer is not None
    assert (result.answer.status, result.answer.body, result.answer.replayed) == (201, b"one", False)
    assert await store.rows("select seq, type, data from event") == [(1, "note.written", b"one")]
    assert await store.rows("select status, answer from key") == [(201, b"one")]
    await written.stop()


async def test_what_queues_while_a_batch_commits_is_the_next_batch(store: RealStore) -> None:
    written = store.shard()
    first = written.submit(Note(text="first"), soon())
    await asyncio.sleep(0.001)
    others = [written.submit(Note(text=f"n{i}"), soon()) for i in range(50)]
    await asyncio.gather(first, *others)
    assert written.counts.batches < 10
    numbers = await store.rows("select seq from event order by seq")
    assert numbers == [(i,) for i in range(1, 52)]
    batches = await store.rows("select commands, first_event_seq, last_event_seq from batch order by 2")
    assert sum(row[0] for row in batches) == 51
    await written.stop()


async def test_the_same_key_twice_in_one_batch_is_answered_from_the_first(store: RealStore) -> None:
    written = store.shard()
    results = await asyncio.gather(*(written.submit(Note(text="x", key=key("same")), soon()) for _ in range(20)))
    assert [r.answer.replayed for r in results if r.answer] == [False] + [True] * 19
    assert len(await store.rows("select 1 from event")) == 1
    again = await written.submit(Note(text="x", key=key("same")), soon())
    assert again.answer is not None and again.answer.replayed and again.answer.body == b"x"
    await written.stop()


async def test_a_key_with_another_request_is_refused_and_changes_nothing(store: RealStore) -> None:
    written = store.shard()
    await written.submit(Note(text="x", key=key("k")), soon())
    with pytest.raises(Refused) as refused:
        await written.submit(Note(text="y", key=key("k", b"g" * 16)), soon())
    assert refused.value.code == "key_reused"
    assert len(await store.rows("select 1 from event")) == 1
    await written.stop()


async def test_a_refusal_leaves_its_key_and_nothing_else(store: RealStore) -> None:
    written = store.shard()
    for replayed in (False, True):
        result = await written.submit(Note(text="x", key=key("k"), refuse=True), soon())
        assert result.answer is not None
        assert (result.answer.status, result.answer.replayed) == (409, replayed)
    assert await store.rows("select count(*) from event") == [(0,)]
    assert await store.rows("select status, answer from key") == [(409, b"forbidden_transition")]
    await written.stop()


async def test_the_caller_that_gives_up_cancels_its_wait_and_not_the_batch(store: RealStore) -> None:
    written = store.shard()

    async def ask() -> None:
        await written.submit(Note(text="given up", key=key("k")), soon())

    task = asyncio.create_task(ask())
    await asyncio.sleep(0)  # it waits in the queue
    await asyncio.sleep(0)
    neighbour = written.submit(Note(text="neighbour"), soon())
    await asyncio.sleep(0.0005)  # the batch is on its way by now
    task.cancel()
    await neighbour
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await store.rows("select data from event order by seq") == [(b"given up",), (b"neighbour",)]
    again = await written.submit(Note(text="given up", key=key("k")), soon())
    assert again.answer is not None and (again.answer.status, again.answer.replayed) == (201, True)
    assert await store.rows("select count(*) from event where data = 'given up'") == [(1,)]
    await written.stop()


async def test_bulk_work_never_keeps_the_others_waiting_twice(store: RealStore) -> None:
    written = store.shard(max_batch=16)
    bulk = [written.submit(Note(text="bulk", lane=Lane.BULK), soon()) for _ in range(200)]
    await asyncio.sleep(0.002)
    batches = written.counts.batches
    await written.submit(Note(text="urgent", lane=Lane.URGENT), soon())
    assert written.counts.batches - batches <= 2
    await asyncio.gather(*bulk)
    await written.stop()


async def test_what_cannot_be_done_in_time_is_refused_at_the_door(store: RealStore) -> None:
    written = store.shard()
    waiting = [written.submit(Note(text="x", book=number), soon(30)) for number in range(600)]
    with pytest.raises(Overloaded) as refused:
        written.submit(Note(text="late"), soon(0.001))
    assert refused.value.after_s > 0
    fact = written.submit(Note(text="fact", recorded=True), soon(0.001))
    await asyncio.gather(*waiting, fact)
    await written.stop()


async def test_an_expired_command_is_dropped_before_it_is_decided(store: RealStore) -> None:
    written = store.shard()
    first = written.submit(Note(text="first"), soon())
    late = written.lanes
    future = asyncio.get_running_loop().create_future()
    late.push(Waiting(command=Note(text="late"), future=future, deadline=soon(-1)))
    with pytest.raises(Overloaded):
        await future
    await first
    assert await store.rows("select count(*) from event") == [(1,)]
    await written.stop()


@pytest.mark.parametrize("others_first", [True, False])
async def test_one_merchant_cannot_fill_the_queue(store: RealStore, others_first: bool) -> None:
    written = store.shard(queue_limit=100, merchant_share=0.5)
    waiting = [written.submit(Note(text="other", book=4), soon())] if others_first else []
    waiting += [written.submit(Note(text="x"), soon()) for _ in range(50)]
    with pytest.raises(Overloaded) as refused:
        written.submit(Note(text="x"), soon())
    assert refused.value.code == "too_many_requests"
    waiting += [written.submit(Note(text="other", book=4), soon()) for _ in range(49)]
    waiting.append(written.submit(Note(text="fact", recorded=True), soon()))
    await asyncio.gather(*waiting)
    await written.stop()


async def test_what_has_happened_takes_the_room_of_what_is_asked(store: RealStore) -> None:
    written = store.shard(queue_limit=100)
    waiting = [written.submit(Note(text="fact", recorded=True), soon()) for _ in range(120)]
    with pytest.raises(Overloaded) as refused:
        written.submit(Note(text="x"), soon())
    assert refused.value.code == "overloaded"
    with pytest.raises(Overloaded):
        written.submit(Note(text="bulk", lane=Lane.BULK), soon())
    waiting.append(written.submit(Note(text="urgent", lane=Lane.URGENT), soon()))
    await asyncio.gather(*waiting)
    await written.stop()


@pytest.mark.parametrize(("drain_per_s", "taken"), [(100.0, 1), (2_000.0, 10), (40_000.0, 200)])
async def test_bulk_work_holds_the_lock_for_about_five_milliseconds(drain_per_s: float, taken: int) -> None:
    lanes = Lanes(Limits(max_batch=256))
    lanes.drain_per_s = drain_per_s
    for _ in range(300):
        command = Note(text="bulk", lane=Lane.BULK, recorded=True)
        future = asyncio.get_running_loop().create_future()
        lanes.push(Waiting(command=command, future=future, deadline=soon()))
    assert len(lanes.take()) == taken
    future = asyncio.get_running_loop().create_future()
    lanes.push(Waiting(command=Note(text="normal"), future=future, deadline=soon()))
    assert [waiting.command.lane for waiting in lanes.take()] == [Lane.NORMAL], "the others do not wait twice"


async def test_a_merchant_that_asks_more_often_than_agreed_is_told_so(store: RealStore) -> None:
    written = store.shard(merchant_rate=10)
    waiting = [written.submit(Note(text="x"), soon()) for _ in range(10)]
    with pytest.raises(Overloaded) as refused:
        written.submit(Note(text="x"), soon())
    assert refused.value.code == "too_many_requests"
    waiting += [written.submit(Note(text="other", book=4), soon())]
    waiting += [written.submit(Note(text="fact", recorded=True), soon())]
    await asyncio.gather(*waiting)
    await written.stop()
