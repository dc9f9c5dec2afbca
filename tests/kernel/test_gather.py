"""Many look-ups become few, and each of them is as good as one alone."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from caudal.kernel.errors import Retry
from caudal.kernel.gather import Gathered


class Table:
    """Answers with the square of a number, of even ones alone, when it is let to."""

    def __init__(self) -> None:
        self.looks, self.may = list[list[int]](), asyncio.Event()
        self.error: Exception | None = None
        self.gathered = Gathered(self.look)

    async def look(self, keys: Sequence[int]) -> Mapping[int, int]:
        self.looks.append([*keys])
        await self.may.wait()
        if self.error is not None:
            raise self.error
        return {key: key * key for key in keys if key % 2 == 0}

    async def ask(self, *keys: int) -> list[asyncio.Task[int | None]]:
        tasks = [asyncio.create_task(self.gathered.get(key)) for key in keys]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return tasks


@pytest.fixture
async def table() -> Table:
    return Table()


async def test_who_asks_alone_is_asked_for_at_once(table: Table) -> None:
    table.may.set()
    assert [await table.gathered.get(key) for key in (4, 3)] == [16, None]
    assert table.looks == [[4], [3]]


async def test_what_queues_while_a_look_is_under_way_is_the_next_look(table: Table) -> None:
    first = await table.ask(2)
    rest = await table.ask(4, 2, 5, 4)
    assert table.looks == [[2]], "who asks for the same again does not see what was read before"
    table.may.set()
    assert await asyncio.gather(*first, *rest) == [4, 16, 4, None, 16]
    assert table.looks == [[2], [4, 2, 5]]


async def test_a_look_has_an_end(table: Table) -> None:
    first = await table.ask(0)
    rest = await table.ask(*range(1, 151))
    table.may.set()
    await asyncio.gather(*first, *rest)
    assert [len(look) for look in table.looks] == [1, 100, 50]


async def test_one_that_gives_up_leaves_the_others_their_answers(table: Table) -> None:
    gone, here = await table.ask(2, 2)
    gone.cancel()
    table.may.set()
    assert await here == 4
    assert gone.cancelled() or gone.cancelling()


@pytest.mark.parametrize("error", [Retry("database_unavailable", "gone", after_s=3.0), RuntimeError("a defect")])
async def test_everybody_hears_what_went_wrong_and_the_next_look_goes_on(table: Table, error: Exception) -> None:
    table.error = error
    asked = await table.ask(2, 4)
    table.may.set()
    told = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(one) for one in told] == [type(error)] * 2
    if isinstance(error, Retry):
        assert told[0] is not told[1] and [getattr(one, "after_s", 0) for one in told] == [3.0, 3.0]
    table.error = None
    assert await table.gathered.get(6) == 36
