"""The laws, fitted to systems of which they are known: what comes out is what was put in."""

import math
from random import Random

import pytest

from caudal_load.capacity.laws import Batches, Delay, Line, Scalability, batches, delay, line, scalability
from caudal_load.capacity.solve import Unsolvable, nonnegative

NUMBERS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0)
RATES = (100.0, 200.0, 400.0, 800.0, 900.0)


@pytest.mark.parametrize(
    "truth",
    [
        Scalability(lambda_=500.0, sigma=0.02, kappa=0.0001),
        Scalability(lambda_=41.0, sigma=0.3, kappa=0.0),
        Scalability(lambda_=900.0, sigma=0.0, kappa=0.002),
        Scalability(lambda_=7.0, sigma=0.0, kappa=0.0),
    ],
)
def test_a_scalability_is_found_again(truth: Scalability) -> None:
    found = scalability(NUMBERS, [truth.rate(n) for n in NUMBERS])
    assert found.lambda_ == pytest.approx(truth.lambda_, rel=1e-6)
    assert found.sigma == pytest.approx(truth.sigma, abs=1e-7)
    assert found.kappa == pytest.approx(truth.kappa, abs=1e-9)


def test_the_most_is_at_the_peak_or_far_away_or_nowhere() -> None:
    peaked = Scalability(lambda_=100.0, sigma=0.19, kappa=0.0001)
    assert peaked.peak is not None and peaked.peak[0] == pytest.approx(90.0)
    assert peaked.most == pytest.approx(max(peaked.rate(n) for n in range(1, 400)), rel=1e-6)
    assert Scalability(lambda_=100.0, sigma=0.2, kappa=0.0).most == pytest.approx(500)
    assert Scalability(lambda_=100.0, sigma=0.0, kappa=0.0).most is None


def test_a_delay_is_found_again_with_its_limit() -> None:
    truth = Delay(limit=1000.0, parts={"p50": (2.0, 3.0), "p99": (5.0, 8.0)})
    found = delay(RATES, {name: [truth.ms(name, rate) for rate in RATES] for name in truth.parts})
    assert found.limit == pytest.approx(1000, rel=0.002)
    for name, parts in truth.parts.items():
        assert list(found.parts[name]) == pytest.approx(list(parts), rel=0.05)
    assert found.rate_at("p99", 45.0) == pytest.approx(800, rel=0.005)
    assert truth.rate_at("p99", 45.0) == pytest.approx(800), "5 + 8 / (1 − 0.8)"


def test_a_delay_has_no_rate_for_what_is_less_than_its_least_and_no_end_at_its_limit() -> None:
    truth = Delay(limit=1000.0, parts={"p99": (5.0, 8.0)})
    assert truth.rate_at("p99", 12.9) == 0
    assert truth.ms("p99", 1000.0) == math.inf
    assert Delay(limit=1000.0, parts={"p99": (5.0, 0.0)}).rate_at("p99", 6.0) == 1000


def test_what_was_missed_bounds_the_limit() -> None:
    truth = Delay(limit=3000.0, parts={"p99": (5.0, 8.0)})
    seen = {"p99": [truth.ms("p99", rate) for rate in RATES]}
    assert delay(RATES, seen, below=1500.0).limit <= 1500
    assert delay(RATES, seen).limit == pytest.approx(3000, rel=0.01)


def test_a_line_is_found_again_and_says_when_it_is_used_up() -> None:
    found = line(RATES, [0.1 + 0.001 * rate for rate in RATES])
    assert found.base == pytest.approx(0.1) and found.each == pytest.approx(0.001)
    assert found.reaches(1.0) == pytest.approx(900) and found.at(900) == pytest.approx(1.0)
    assert (found + Line(base=0.1, each=0.001)).reaches(2.0) == pytest.approx(900)
    assert line(RATES, [0.0] * 5).reaches(1.0) == math.inf


def test_batches_that_grow_are_found_again_and_what_one_costs() -> None:
    truth = Batches(limit=1000.0, alone=0.01)
    found = batches(RATES, [truth.size(rate) for rate in RATES], 1000.0)
    assert found.alone == pytest.approx(0.01)
    assert truth.size(500) == pytest.approx(11) and truth.per_s(500) == pytest.approx(500 / 11)
    assert truth.per_s(1000) == 0, "they grow without end"
    cores = [0.0001 * rate + 0.002 * truth.per_s(rate) for rate in RATES]
    cost = line(RATES, cores, found)
    assert cost.base == 0 and cost.each == pytest.approx(0.0001) and cost.batch == pytest.approx(0.002)
    assert cost.at(500) == pytest.approx(0.05 + 1 / 11)


def test_a_line_with_batches_is_used_up_where_they_are_most_or_far_above_their_limit() -> None:
    cost = Line(base=0.0, each=0.0001, batch=0.02, batches=Batches(limit=1000.0, alone=0.01))
    assert cost.at(cost.reaches(0.9)) == pytest.approx(0.9, rel=0.02) and cost.reaches(0.9) < 100
    assert cost.reaches(20.0) == pytest.approx(200_000)
    both = cost + Line(base=0.1, each=0.0001)
    assert both.at(500) == pytest.approx(cost.at(500) + 0.15)


def test_no_factor_is_negative_and_the_others_are_the_best_without_it() -> None:
    falling = [1.0, 0.9, 0.8, 0.7]
    (base, each), _ = nonnegative([[1.0] * 4, [1.0, 2.0, 3.0, 4.0]], falling)
    assert each == 0
    assert base == pytest.approx(sum(1 / y for y in falling) / sum(1 / y**2 for y in falling))


@pytest.mark.parametrize(
    ("columns", "values"),
    [([[1.0, 1.0], [0.0, 0.0]], [1.0, 0.0]), ([[0.0, 0.0]], [1.0, 1.0]), ([[-1.0, -1.0]], [1.0, 1.0])],
)
def test_what_cannot_be_solved_is_said(columns: list[list[float]], values: list[float]) -> None:
    with pytest.raises(Unsolvable):
        nonnegative(columns, values)


def test_too_few_steps_are_no_law() -> None:
    with pytest.raises(Unsolvable, match="4 different numbers of connections"):
        scalability([1, 2, 4, 4], [1, 2, 3, 3])
    with pytest.raises(Unsolvable, match="4 different rates"):
        delay([1, 2, 4, 4], {"p99": [1, 2, 3, 3]})


def test_a_chain_of_batches_that_is_played_is_predicted_where_nothing_was_fitted() -> None:
    """Arrivals at random, a batch of all that wait, 4 ms and 0.1 ms a payment: nobody told the law of it."""
    played = {rate: _played(rate, Random(7)) for rate in (500.0, 1000.0, 2000.0, 4000.0, 6000.0, 8000.0)}
    for held in (1000.0, 4000.0, 6000.0):
        others = {rate: both for rate, both in played.items() if rate != held}
        law = delay(list(others), {name: [both[name] for both in others.values()] for name in ("p50", "p99")})
        for name, measured in played[held].items():
            assert law.ms(name, held) == pytest.approx(measured, rel=0.15), (held, name)


def _played(rate: float, random: Random) -> dict[str, float]:
    arrivals, at = list[float](), 0.0
    while at < 6.0:
        at += random.expovariate(rate)
        arrivals.append(at)
    latencies, now, first = list[float](), 0.0, 0
    while first < len(arrivals):
        now = max(now, arrivals[first])
        upto = first
        while upto < len(arrivals) and arrivals[upto] <= now:
            upto += 1
        now += 0.004 + 0.0001 * (upto - first)
        latencies += [now - each for each in arrivals[first:upto]]
        first = upto
    latencies.sort()
    return {name: latencies[int(len(latencies) * share)] * 1e3 for name, share in (("p50", 0.5), ("p99", 0.99))}
