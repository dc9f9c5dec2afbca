"""Several processes write to one shard: each waits for the others' batches, and its own grow meanwhile."""

from __future__ import annotations

import asyncio
from typing import Any

from caudal.kernel.commit import Shard
from tests.kernel.faulty import kill
from tests.kernel.stores import RealStore
from tests.kernel.toy import Note, key, soon

WAITED_S = 0.01  # ten times as long as is called waiting
SOON_S = 30.0


class Holder:
    """Another process on the shard, which keeps the lock until it is told to commit."""

    def __init__(self, store: RealStore) -> None:
        self._holds, self._goes_on = asyncio.Event(), asyncio.Event()
        port = store.faulty(between=self._hold)
        port.always = True
        self.shard = store.shard(port=port)

    async def _hold(self, _: Any) -> None:
        self._holds.set()
        await self._goes_on.wait()

    async def hold(self) -> asyncio.Future[Any]:
        """Returns when the lock is held; what commits when it is let go."""
        self._holds.clear()
        self._goes_on.clear()
        committed = self.shard.submit(Note(text="held"), soon())
        await self._holds.wait()
        return committed

    async def let_go(self, committed: asyncio.Future[Any]) -> None:
        await asyncio.sleep(WAITED_S)
        self._goes_on.set()
        await committed


async def waited(holder: Holder, written: Shard) -> None:
    """A batch of `written` has waited for the other process, and it knows."""
    async with asyncio.timeout(SOON_S):
        while not written._contended:
            held = await holder.hold()
            first = written.submit(Note(text="first"), soon())
            await holder.let_go(held)
            await first


async def asked_while_it_waits(holder: Holder, written: Shard, port: Any, count: int) -> list[asyncio.Future[Any]]:
    """So many commands, of which all but the first come when the batch of that one waits already."""
    before, held = port.locks, await holder.hold()
    asked = [written.submit(Note(text="x", key=key("k0")), soon())]
    async with asyncio.timeout(SOON_S):
        while port.locks == before:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
    asked += [written.submit(Note(text="x", key=key(f"k{number}")), soon()) for number in range(1, count)]
    await holder.let_go(held)
    return asked


async def largest(store: RealStore) -> int:
    return int(max(commands for (commands,) in await store.rows("select commands from batch order by commands")))


async def test_a_batch_grows_while_it_waits_for_another_process(store: RealStore) -> None:
    port = store.faulty()
    holder, written = Holder(store), store.shard(port=port)
    await written.submit(Note(text="before"), soon())
    await waited(holder, written)
    asked = await asked_while_it_waits(holder, written, port, 30)
    assert {result.answer and result.answer.status for result in await asyncio.gather(*asked)} == {201}
    assert await largest(store) == 30
    await asyncio.gather(written.stop(), holder.shard.stop())


async def test_a_batch_that_waits_for_nobody_is_sent_as_it_is(store: RealStore) -> None:
    port = store.faulty()
    written = store.shard(port=port)
    await asyncio.gather(*(written.submit(Note(text="x"), soon()) for _ in range(3)))
    assert not written._contended and port.locks == 0
    holder = Holder(store)
    await waited(holder, written)
    assert port.locks == 0
    await written.submit(Note(text="behind it"), soon())
    await written.submit(Note(text="alone again"), soon())
    assert (written._contended, port.locks) == (False, 1), "once it looked whether it has to wait, and did not"
    await asyncio.gather(written.stop(), holder.shard.stop())


async def test_what_has_joined_a_batch_that_is_lost_runs_again_with_it(store: RealStore) -> None:
    port = store.faulty()
    holder, written = Holder(store), store.shard(port=port)
    await written.submit(Note(text="before"), soon())
    await waited(holder, written)
    port.moments["between"] = kill
    asked = await asked_while_it_waits(holder, written, port, 5)
    assert {result.answer and result.answer.status for result in await asyncio.gather(*asked)} == {201}
    assert port.happened == ["between"] and await largest(store) == 5
    await asyncio.gather(written.stop(), holder.shard.stop())
