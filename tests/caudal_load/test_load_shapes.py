"""Arrivals: as many as the shape says, where it says, evenly or at random, and shared out without a gap."""

from itertools import islice, pairwise
from pathlib import Path
from statistics import fmean, pstdev

import pytest

from caudal_load.shapes import Phase, arrivals, constant, diurnal, ramp, read_rates, spike, staircase


def moments_s(*phases: Phase, seed: int = 1) -> list[float]:
    return [moment / 1e9 for moment in arrivals(phases, seed)]


def count(moments: list[float], begin_s: float, end_s: float) -> int:
    return sum(begin_s <= moment < end_s for moment in moments)


def test_an_even_load_is_a_clock() -> None:
    assert moments_s(constant("", 1.0, 8.0)) == [0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875]


def test_a_ramp_has_as_many_as_the_line_encloses_in_each_half() -> None:
    moments = moments_s(Phase(name="", pieces=ramp(10.0, 0.0, 100.0)))
    assert (count(moments, 0, 5), count(moments, 5, 10)) == (125, 375)


def test_a_ramp_down_ends_where_it_should() -> None:
    moments = moments_s(Phase(name="", pieces=ramp(4.0, 100.0, 0.0)))
    assert (len(moments), count(moments, 0, 2)) == (200, 150)
    assert moments[-1] < 4


def test_a_staircase_stays_on_each_step() -> None:
    moments = moments_s(Phase(name="", pieces=staircase(3.0, 10.0, 30.0, 3)))
    assert [count(moments, step - 1e-6, step + 1 - 1e-6) for step in range(3)] == [10, 20, 30]


def test_a_spike_stands_in_the_middle() -> None:
    moments = moments_s(Phase(name="", pieces=spike(10.0, 10.0, 100.0, 2.0)))
    assert [count(moments, *part) for part in ((0, 3.999), (3.999, 5.999), (5.999, 10))] == [40, 200, 40]


def test_phases_follow_each_other_and_owe_no_arrival() -> None:
    moments = moments_s(constant("", 1.05, 10.0), constant("", 1.0, 10.0))
    assert [round(after - before, 9) for before, after in pairwise(moments)] == [0.1] * 20


def test_poisson_gaps_vary_as_much_as_they_are_long_and_the_rate_is_kept() -> None:
    moments = moments_s(constant("", 100.0, 200.0, poisson=True))
    gaps = [after - before for before, after in pairwise(moments)]
    assert len(moments) == pytest.approx(20_000, rel=0.02)
    assert pstdev(gaps) / fmean(gaps) == pytest.approx(1.0, abs=0.05)


def test_random_arrivals_are_the_same_for_the_same_seed() -> None:
    phase = constant("", 1.0, 500.0, poisson=True)
    assert moments_s(phase, seed=7) == moments_s(phase, seed=7) != moments_s(phase, seed=8)


def test_processes_share_a_schedule_without_a_gap() -> None:
    phases = (constant("", 1.0, 100.0, poisson=True),)
    parts = [list(islice(arrivals(phases, 1), first, None, 3)) for first in range(3)]
    assert sorted(moment for part in parts for moment in part) == list(arrivals(phases, 1))


def test_a_recorded_day_is_compressed_and_its_rates_are_stretched(tmp_path: Path) -> None:
    path = tmp_path / "day.csv"
    path.write_text("time,rate\n00:00,0\n12:00:00,10\n24:00,0\n")
    pieces = diurnal(20.0, read_rates(path), 2.0)
    assert [(piece.seconds, piece.first, piece.last) for piece in pieces] == [(10, 0, 20), (10, 20, 0)]
    assert count(moments_s(Phase(name="", pieces=pieces)), 5, 15) == 150


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("at,rate\n0,1\n1,1\n", "first line"),
        ("time,rate\n0,1\n", "two rows"),
        ("time,rate\n0,0\n1,0\n", "above 0"),
        ("time,rate\n0,1\n0,2\n", "go up"),
        ("time,rate\n0,1\nnoon,2\n", "no moment"),
        ("time,rate\n0,1\n25:00,2\n", "no moment"),
        ("time,rate\n0,1\n1,-2\n", "between"),
        ("time,rate\n0,1,2\n1,1\n", "no moment"),
    ],
)
def test_a_record_that_is_none_is_refused(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "day.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=says):
        read_rates(path)
