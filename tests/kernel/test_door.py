"""A door turns away who would wait too long behind it, and only then."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from caudal.kernel.door import Door
from caudal.kernel.errors import Overloaded


class Crowd:
    """A door, those inside, and a clock."""

    def __init__(self, reserve_s: float = 0.0) -> None:
        self.now, self._inside = 100.0, list[ExitStack]()
        self.door = Door("a provider", reserve_s=reserve_s, now=lambda: self.now)

    def enter(self, count: int, within_s: float = 1e6) -> None:
        for _ in range(count):
            stack = ExitStack()
            stack.enter_context(self.door.entered(self.now + within_s))
            self._inside.append(stack)

    def leave(self, count: int) -> None:
        for _ in range(count):
            self._inside.pop(0).close()

    def flow(self, per_s: int, seconds: int) -> None:
        """As many come as go."""
        for _ in range(seconds * 10):
            self.now += 0.1
            self.enter(per_s // 10)
            self.leave(per_s // 10)


def test_who_finds_few_inside_comes_in_whatever_the_deadline() -> None:
    crowd = Crowd()
    crowd.enter(96, within_s=0.0)
    with pytest.raises(Overloaded):
        crowd.enter(1, within_s=0.0)
    assert (crowd.door.inside, crowd.door.turned_away) == (96, 1)


@pytest.mark.parametrize("per_s", [50, 200, 2_000])
def test_it_learns_how_many_come_out_and_lets_in_what_comes_through_in_half_of_the_time(per_s: int) -> None:
    crowd = Crowd()
    crowd.enter(100)
    crowd.flow(per_s, seconds=5)
    assert crowd.door.rate_per_s == pytest.approx(per_s, rel=0.05)
    wait_s = 100 / per_s
    assert crowd.door.refusal(crowd.now + 2.2 * wait_s) is None
    refusal = crowd.door.refusal(crowd.now + 1.8 * wait_s)
    assert refusal is not None and refusal.after_s == pytest.approx(wait_s, rel=0.05)


def test_what_a_deadline_keeps_back_is_not_for_waiting() -> None:
    crowd = Crowd(reserve_s=0.75)
    crowd.enter(100)  # 0.2 s at the rate that is guessed first
    assert crowd.door.refusal(crowd.now + 1.2) is None
    assert crowd.door.refusal(crowd.now + 1.1) is not None


def test_where_nobody_comes_out_fewer_and_fewer_come_in() -> None:
    crowd = Crowd()
    crowd.enter(100)
    for _ in range(100):
        crowd.now += 0.2
        crowd.door.refusal(crowd.now + 10)
    assert crowd.door.refusal(crowd.now + 10) is not None


def test_an_idle_door_forgets_nothing() -> None:
    crowd = Crowd()
    crowd.enter(100)
    crowd.flow(2_000, seconds=5)
    crowd.leave(100)
    crowd.flow(10, seconds=60)
    assert crowd.door.rate_per_s == pytest.approx(2_000, rel=0.05)
