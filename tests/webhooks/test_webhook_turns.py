"""Who may send next: merchants in turns, endpoints in turns, and whoever is slow among its like."""

from __future__ import annotations

from uuid import UUID

from caudal.webhooks.lane import Habit, Lane, Pace
from caudal.webhooks.turns import Turns

QUICK_US, SLOW_US = 20_000, 14_000_000


def lane(number: int) -> Lane:
    return Lane(UUID(int=number), habit=None, widest=16, failing_since=None)


def test_merchants_take_turns_and_so_do_their_endpoints() -> None:
    turns, lanes = Turns(places=100), [lane(number) for number in range(4)]
    for book, waiting in ((2, lanes[0]), (2, lanes[1]), (2, lanes[2]), (4, lanes[3])):
        turns.wait(book, waiting)
    assert [turn[1] for turn in iter(turns.next, None)] == [lanes[0], lanes[3], lanes[1], lanes[2]]


def test_no_merchant_gets_more_than_half_of_what_is_free() -> None:
    turns, books = Turns(places=60), (2, 4, 6, 8)
    for book in books:
        for number in range(100):
            turns.wait(book, lane(number))
    got = [book for book, _ in iter(turns.next, None)]
    assert [got.count(book) for book in books] == [10, 10, 10, 10], "a third is left for others"
    turns.wait(10, other := lane(20))
    assert turns.next() == (10, other) and turns.next() is None
    turns.back(2)
    turns.back(2)
    turns.back(4)
    assert turns.next() is not None


def test_no_place_no_turn() -> None:
    turns = Turns(places=1)
    turns.wait(2, first := lane(1))
    turns.wait(4, second := lane(2))
    assert turns.next() == (2, first) and turns.next() is None
    turns.back(2)
    assert turns.next() == (4, second)


def test_an_endpoint_is_known_by_its_last_answer() -> None:
    one = lane(1)
    assert one.pace is Pace.NEW and one.habit is None
    for _ in range(6):
        one.answered(accepted=True, duration_us=QUICK_US)
    assert (one.pace, one.window) == (Pace.QUICK, 16)
    one.answered(accepted=True, duration_us=SLOW_US)
    assert (one.pace, one.window) == (Pace.SLOW, 4), "who takes its time stays narrow"
    one.answered(accepted=False, duration_us=QUICK_US)
    assert one.habit == Habit(1, Pace.SLOW)
    one.answered(accepted=True, duration_us=QUICK_US)
    assert (one.pace, one.window) == (Pace.QUICK, 2)
