"""Histograms: at most 1 % beside the truth, at every size of value, merged or not."""

import math
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from caudal_load.histogram import LARGEST_NS, Histogram

DURATIONS = st.lists(st.integers(0, LARGEST_NS), min_size=1, max_size=300)
PERCENTS = st.floats(0, 100, allow_nan=False)


def histogram_of(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.record(value)
    return histogram


def exact_percentile(values: list[int], percent: float) -> int:
    return sorted(values)[max(1, math.ceil(len(values) * percent / 100)) - 1]


@given(DURATIONS, PERCENTS)
def test_a_percentile_is_within_one_percent_of_the_truth(values: list[int], percent: float) -> None:
    answer = histogram_of(values).percentile_ns(percent)
    assert answer is not None
    assert abs(answer - exact_percentile(values, percent)) <= exact_percentile(values, percent) * 0.01


@given(DURATIONS, DURATIONS)
def test_merged_histograms_are_the_histogram_of_everything(first: list[int], second: list[int]) -> None:
    merged = histogram_of(first)
    merged.merge(histogram_of(second))
    assert merged.counts == histogram_of(first + second).counts
    assert merged.total == len(first) + len(second)


@given(st.integers(0, LARGEST_NS))
def test_one_value_is_every_percentile(value: int) -> None:
    histogram = histogram_of([value])
    assert len({histogram.percentile_ns(percent) for percent in (0, 50, 99.9, 100)}) == 1


def test_buckets_follow_each_other_without_gap_or_overlap() -> None:
    values = [value for octave in range(6, 20) for value in range(1 << octave, (1 << octave) + 300)]
    answers = [histogram_of([value]).percentile_ns(50) or 0 for value in sorted(values)]
    assert all(earlier <= later for earlier, later in pairwise(answers))


def test_small_values_are_exact() -> None:
    assert [histogram_of([value]).percentile_ns(50) for value in range(256)] == list(range(256))


def test_what_is_too_long_counts_as_the_longest() -> None:
    longest = histogram_of([LARGEST_NS]).percentile_ns(50)
    assert histogram_of([LARGEST_NS * 1000]).percentile_ns(50) == longest


def test_nothing_counted_has_no_percentile() -> None:
    assert Histogram().percentile_ns(99) is None
