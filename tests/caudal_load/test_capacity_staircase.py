"""Which steps are taken: by doubling until it gets no better, by bisection around the knee, twice where one misses."""

from caudal_load.capacity.kept import KeptStep, Level
from caudal_load.capacity.staircase import Climb, climb
from tests.caudal_load.capacity_cast import closed, missed, opened


class Chain:
    """Answers as a chain of batches does, from 4,000/s on no faster, and remembers what it was asked."""

    def __init__(self, *stalls: float, most: float = 4000.0) -> None:
        self.asked: list[Level] = []
        self._stalls, self._most = list(stalls), most

    async def ask(self, level: Level) -> KeptStep:
        self.asked.append(level)
        if level.rate is None:
            step = closed(level.connections or 1)
            return step if step.rate < self._most else closed(level.connections or 1, self._most)
        if level.rate in self._stalls:
            self._stalls.remove(level.rate)
            return opened(level.rate, stretch=20.0)
        return opened(level.rate) if level.rate < 9000 else missed(level.rate)

    @property
    def connections(self) -> list[int]:
        return [level.connections for level in self.asked if level.connections is not None]

    @property
    def rates(self) -> list[float]:
        return [level.rate for level in self.asked if level.rate is not None]


async def test_connections_double_until_two_doublings_bring_nothing_and_the_knee_is_looked_at_from_both_sides() -> None:
    chain = Chain()
    steps = await climb(chain.ask, Climb())
    assert chain.connections == [1, 2, 4, 8, 16, 32, 64, 128, 24, 48], "4,000/s are there from 27 on"
    assert [step.connections for step in steps if step.offered is None] == chain.connections


async def test_no_more_connections_are_asked_for_than_wanted() -> None:
    chain = Chain(most=1e9)
    await climb(chain.ask, Climb(most=32))
    assert chain.connections == [1, 2, 4, 8, 16, 32, 24]


async def test_rates_double_from_an_eighth_of_the_most_while_they_are_kept_up_with_and_the_slo_is_bisected() -> None:
    chain = Chain()
    steps = await climb(chain.ask, Climb(slo_ms=20.0, between=3))
    # 1 + 8 / (1 − r / 10,000) ms is 20 at 5,790/s
    assert chain.rates == [500, 1000, 2000, 4000, 8000, 8000, 16000, 16000, 6000, 6000, 5000, 5500]
    within = [step.level for step in steps if step.within(20.0)]
    assert max(within) == 5500 and [step.level for step in steps if step.offered].count(6000) == 2


async def test_one_stall_is_no_limit() -> None:
    chain = Chain(1000.0)
    await climb(chain.ask, Climb(slo_ms=20.0, between=0))
    assert chain.rates == [500, 1000, 1000, 2000, 4000, 8000, 8000, 16000, 16000]


async def test_where_the_first_rate_is_too_much_already_lower_ones_are_looked_for() -> None:
    chain = Chain()
    steps = await climb(chain.ask, Climb(slo_ms=8.9, between=3))
    assert chain.rates[12:] == [250, 250, 125, 125, 62.5, 62.5] and max(chain.rates) == 16_000
    assert not any(step.within(8.9) for step in steps)


async def test_doubling_ends_where_nothing_is_ever_missed() -> None:
    chain = Chain(most=8.0)
    await climb(chain.ask, Climb(slo_ms=1e6))
    assert chain.rates == [1, 2, 4, 8, 16, 32], "six of them, whatever comes"
