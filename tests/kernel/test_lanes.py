"""What the queue lets in by the rate at which it drains, and how much goes into one batch."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from time import monotonic

import pytest

from caudal.kernel.commit import Lane
from caudal.kernel.commit.lanes import Lanes, Limits, Waiting
from caudal.kernel.commit.model import Result
from caudal.kernel.errors import Overloaded
from tests.kernel.toy import Note, soon


class Clock:
    """Monotonic seconds, as a test sets them."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def filled(lanes: Lanes, count: int, book: Callable[[int], int] = lambda number: number) -> Lanes:
    for number in range(count):
        future = asyncio.get_running_loop().create_future()
        lanes.push(Waiting(command=Note(text="x", book=book(number)), future=future, deadline=soon()))
    return lanes


async def test_there_is_room_for_what_drains_in_half_of_the_time_that_is_left() -> None:
    lanes = filled(Lanes(Limits(), Clock()), 300)
    lanes.drain_per_s = 1_000.0
    assert lanes.refusal(7, 0.61) is None
    refusal = lanes.refusal(7, 0.59)
    assert refusal is not None and (refusal.code, refusal.after_s) == ("overloaded", 0.3)


async def test_a_queue_that_stands_lets_in_fewer_until_it_was_short() -> None:
    clock = Clock()
    lanes = filled(Lanes(Limits(max_batch=32), clock), 200)
    lanes.drain_per_s = 1_000.0
    clock.now += 0.5
    assert lanes.refusal(7, 1.0) is None, "a crowd that has just come"
    clock.now += 0.1
    refusal = lanes.refusal(7, 1.0)
    assert refusal is not None and (refusal.code, refusal.after_s) == ("overloaded", 0.2)
    assert lanes.refusal(7, 2.1) is None, "a tenth of what is left is more than the queue takes"
    lanes.drain_per_s = 9_000.0
    assert lanes.refusal(7, 1.0) is None, "it is short"
    lanes.drain_per_s = 1_000.0
    assert lanes.refusal(7, 1.0) is None, "and may have grown at once"


async def test_two_batches_may_wait_in_any_queue_that_leaves_them_time() -> None:
    clock = Clock()
    lanes = filled(Lanes(Limits(max_batch=256), clock), 300)
    lanes.drain_per_s = 1_000.0
    clock.now += 10.0
    assert lanes.refusal(7, 1.1) is None
    assert lanes.refusal(7, 0.59) is not None, "half of its time is less"
    filled(lanes, 250)
    assert lanes.refusal(7, 1.1) is not None


async def test_who_is_on_the_way_is_ahead() -> None:
    lanes = filled(Lanes(Limits(), Clock()), 300)
    lanes.drain_per_s = 1_000.0
    assert lanes.refusal(7, 0.81, ahead=100) is None
    refusal = lanes.refusal(7, 0.79, ahead=100)
    assert refusal is not None and refusal.after_s == 0.4


async def test_a_merchant_has_its_share_of_the_time_not_of_the_places() -> None:
    lanes = filled(Lanes(Limits(queue_limit=8192, merchant_share=0.5), Clock()), 400, book=lambda number: 2)
    lanes.drain_per_s = 1_000.0
    assert lanes.refusal(2, 8.1) is None
    refusal = lanes.refusal(2, 7.9)
    assert refusal is not None and refusal.code == "too_many_requests"
    assert lanes.refusal(4, 1.5) is None, "the others have their share"
    assert lanes.refusal(None, 1.5) is None, "whose it is, is not known yet"
    alone = filled(Lanes(Limits(merchant_share=1.0), Clock()), 2_000, book=lambda number: 2)
    alone.drain_per_s = 1_000.0
    assert alone.refusal(2, 4.1) is None, "nothing is kept for others"


async def test_the_least_time_that_somebody_came_with_lately_is_everybodys_measure() -> None:
    clock = Clock()
    lanes = filled(Lanes(Limits(), clock), 400, book=lambda number: 2)
    lanes.drain_per_s = 1_000.0
    assert lanes.refusal(2, 60.0) is None, "500 drain in a twentieth of the usual time"
    assert lanes.refusal(4, 2.0) is None
    refusal = lanes.refusal(2, 60.0)
    assert refusal is not None and refusal.code == "too_many_requests"
    clock.now += 10.1
    assert lanes.refusal(2, 60.0) is None, "and it is forgotten"


async def test_who_has_hardly_any_time_makes_nobodys_share_small() -> None:
    lanes = filled(Lanes(Limits(), Clock()), 240, book=lambda number: 2)
    lanes.drain_per_s = 1_000.0
    assert lanes.refusal(4, 0.001) is not None
    assert lanes.refusal(2, 10.0) is None


class Flood:
    """Book 2 takes all the room that it is let into, however much time it names, and the queue drains meanwhile."""

    def __init__(self, drain_per_s: float, names_s: float, at_most: int = 100_000) -> None:
        self._clock, self._names_s, self._at_most = Clock(), names_s, at_most
        self.lanes = Lanes(Limits(), self._clock)
        self.lanes.drain_per_s = drain_per_s
        self._one = Waiting(command=Note(text="x", book=2), future=_future(), deadline=soon())
        self.refused = list[str]()

    def pours(self, seconds: float) -> None:
        for _ in range(round(seconds / 0.05)):
            self._clock.now += 0.05
            for _ in range(min(len(self.lanes), round(self.lanes.drain_per_s * 0.05))):
                self.lanes._leave(self.lanes._lanes[Lane.NORMAL].popleft().command)
            while len(self.lanes) < self._at_most:
                if (refusal := self.lanes.refusal(2, self._names_s)) is not None:
                    self.refused.append(refusal.code)
                    break
                self.lanes.push(self._one)


@pytest.mark.parametrize("drain_per_s", [600, 6_000])
@pytest.mark.parametrize("names_s", [1.0, 10.0, 60.0])
async def test_in_a_queue_that_stands_a_merchant_leaves_room_for_others_whatever_time_it_names(
    drain_per_s: int, names_s: float
) -> None:
    flood = Flood(drain_per_s, names_s)
    for _ in range(10):
        flood.pours(0.1)
        assert flood.lanes.refusal(4, 10.0) is None, "whoever has the usual time always finds room"
    flood.lanes.refusal(4, 1.0)
    flood.pours(0.5)
    for _ in range(10):
        flood.pours(0.1)
        assert flood.lanes.refusal(4, 1.0) is None, "and who has less, when it was seen that he has"
    assert {*flood.refused} == {"too_many_requests"}
    assert len(flood.lanes) >= min(256, 0.25 * drain_per_s), "there is a batch of its own for whenever one begins"


@pytest.mark.parametrize("drain_per_s", [150, 1_000, 6_000])
@pytest.mark.parametrize("connections", [64, 256])
async def test_a_merchant_alone_with_so_many_connections_is_never_refused(drain_per_s: int, connections: int) -> None:
    flood = Flood(drain_per_s, 10.0, at_most=connections)
    flood.pours(1.5)
    assert not flood.refused and len(flood.lanes) == connections


async def test_a_few_commands_are_nobodys_crowd() -> None:
    lanes = filled(Lanes(Limits()), 63, book=lambda number: 2)
    lanes.drain_per_s = 1_000.0
    assert lanes.refusal(2, 0.13) is None and not lanes.is_crowded


def bulk(lanes: Lanes, count: int, *, recorded: bool = False) -> Lanes:
    for _ in range(count):
        future = asyncio.get_running_loop().create_future()
        command = Note(text="bulk", book=2, lane=Lane.BULK, recorded=recorded)
        lanes.push(Waiting(command=command, future=future, deadline=soon()))
    return lanes


def taken(lanes: Lanes) -> tuple[int, int]:
    """How many commands of others and of bulk the next batch has."""
    batch = lanes.take()
    many = sum(waiting.command.lane is Lane.BULK for waiting in batch)
    return len(batch) - many, many


async def test_bulk_work_shares_a_batch_with_others_by_its_time_and_every_second_one() -> None:
    lanes = bulk(Lanes(Limits(max_batch=256, bulk_hold_s=0.005)), 500)
    lanes.drain_per_s = 10_000.0
    assert taken(filled(lanes, 3)) == (3, 50)
    assert taken(filled(lanes, 3)) == (3, 0)
    assert taken(filled(lanes, 3)) == (3, 50)
    lanes.drain_per_s = 100.0
    assert taken(lanes) == (0, 256), "somebody waits for it, and nobody for anything else"


async def test_bulk_work_that_nobody_waits_for_takes_its_time_alone_too() -> None:
    lanes = bulk(Lanes(Limits(max_batch=256, bulk_hold_s=0.005)), 200, recorded=True)
    lanes.drain_per_s = 10_000.0
    assert taken(lanes) == (0, 50)
    lanes = bulk(Lanes(Limits(max_batch=256, bulk_hold_s=0.005)), 200)
    lanes.drain_per_s = 100.0
    assert taken(filled(lanes, 1)) == (1, 32), "a batch has its cost, however few it is for"


async def test_bulk_work_takes_no_room_of_others_and_they_take_its_own() -> None:
    lanes = bulk(Lanes(Limits()), 3_000)
    lanes.drain_per_s = 1_000.0
    assert lanes.refusal(2, 1.0) is None, "a single command of the same merchant goes before them all"
    refusal = lanes.refusal(4, 5.9, Lane.BULK)
    assert refusal is not None and (refusal.code, refusal.after_s) == ("overloaded", 3.0)
    refusal = lanes.refusal(2, 10.0, Lane.BULK)
    assert refusal is not None and refusal.code == "too_many_requests"
    filled(lanes, 1_000)
    refusal = lanes.refusal(4, 7.9, Lane.BULK)
    assert refusal is not None and refusal.after_s == 4.0
    while len(lanes):
        lanes.take()
    assert (lanes.admitted, lanes.bulk_admitted) == (0, 0) and lanes.refusal(2, 1.0, Lane.BULK) is None


async def test_what_lies_between_two_batches_counts_when_they_follow_each_other() -> None:
    lanes = Lanes(Limits())
    for number in range(50):
        lanes.drained(100, began=number * 0.1 + 0.0005, ended=(number + 1) * 0.1)
    assert lanes.drain_per_s == pytest.approx(1_000, rel=0.01)
    waited = Lanes(Limits())
    for number in range(50):
        waited.drained(100, began=number * 0.1 + 0.05, ended=(number + 1) * 0.1)
    assert waited.drain_per_s == pytest.approx(2_000, rel=0.01), "the queue was empty in between"


@pytest.mark.parametrize(("each_us", "room"), [(20, 256), (100, 160), (1_000, 32)])
async def test_a_batch_is_no_larger_than_is_decided_while_the_others_wait(each_us: int, room: int) -> None:
    lanes = filled(Lanes(Limits(max_batch=256)), 300)
    for _ in range(60):
        lanes.decided(100, 100 * each_us / 1e6)
    assert lanes.room == pytest.approx(room, abs=1)
    assert len(lanes.take()) == lanes.room


async def test_what_would_be_answered_too_late_is_not_run_and_is_told_so() -> None:
    lanes = Lanes(Limits())
    for number in range(50):
        lanes.drained(10, began=number * 10.0, ended=number * 10.0 + 5.0)
    waiting = [
        Waiting(command=Note(text="x", book=2, recorded=recorded), future=_future(), deadline=monotonic() + left_s)
        for recorded, left_s in ((False, 4.0), (False, 1e6), (True, 4.0))
    ]
    for one in waiting:
        lanes.push(one)
    assert lanes.take() == [waiting[1], waiting[2]]
    error = waiting[0].future.exception()
    assert isinstance(error, Overloaded) and error.code == "overloaded"
    assert error.detail == "its turn comes too late for the request's deadline", "which has not passed yet"


async def test_a_batch_that_took_long_once_keeps_nobody_out_for_ever() -> None:
    lanes = Lanes(Limits())
    for number in range(50):
        lanes.drained(10, began=number * 1e4, ended=number * 1e4 + 5e3)
    taken = 0
    for _ in range(12):
        one = Waiting(command=Note(text="x", book=2), future=_future(), deadline=monotonic() + 100.0)
        lanes.push(one)
        taken += len(lanes.take())
        one.future.cancel()
        with suppress(BaseException):
            one.future.exception()
    assert taken == 6, "the first six halve it"


def _future() -> asyncio.Future[Result]:
    return asyncio.get_running_loop().create_future()
