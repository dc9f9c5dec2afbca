"""Latencies in log-linear buckets, so that a billion of them cost the memory of four thousand counters.

Every power of two is cut into 128 equal buckets: a bucket is at most 1/128 of its value wide, and the middle of it,
which is what a percentile answers, is within 0.4 % of every value counted there. Values below 256 ns are exact, values
above 18 minutes are counted as 18 minutes. The scheme is that of HdrHistogram (hdrhistogram.org) with two significant
digits.
"""

from array import array
from collections.abc import Iterable

BUCKETS_PER_OCTAVE_BITS = 7
LARGEST_NS = (1 << 40) - 1
_EXACT_BITS = BUCKETS_PER_OCTAVE_BITS + 1
_BUCKETS = ((40 - _EXACT_BITS) << BUCKETS_PER_OCTAVE_BITS) + (1 << _EXACT_BITS)


class Histogram:
    """Counts of durations in nanoseconds."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts = array("Q", bytes(8 * _BUCKETS))

    def record(self, value_ns: int) -> None:
        """Count one duration of `value_ns` ≥ 0 nanoseconds."""
        self.counts[bucket_of(value_ns)] += 1

    def merge(self, other: "Histogram") -> None:
        """Add everything that `other` counted."""
        for index, count in enumerate(other.counts):
            if count:
                self.counts[index] += count

    @property
    def total(self) -> int:
        """How many durations were counted."""
        return sum(self.counts)

    def pairs(self) -> list[tuple[int, int]]:
        """Every bucket that counted something, with its count."""
        return [(index, count) for index, count in enumerate(self.counts) if count]

    def add_pairs(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Add what `pairs` said. Raises IndexError, TypeError or ValueError if they are not of such a histogram."""
        for index, count in pairs:
            if index < 0:
                raise IndexError(index)
            self.counts[index] += count

    def percentile_ns(self, percent: float) -> int | None:
        """The smallest counted duration that at least `percent` (0–100) of all do not exceed, in ns.

        None if nothing was counted.
        """
        total = self.total
        if not total:
            return None
        wanted = max(1, -int(-(total * percent) // 100))
        seen = 0
        for index, count in enumerate(self.counts):
            seen += count
            if seen >= wanted:
                return middle_ns(index)
        raise AssertionError("the counts of a histogram add up to its total")


def bucket_of(value_ns: int) -> int:
    """Where a duration of `value_ns` ≥ 0 nanoseconds is counted."""
    shift = value_ns.bit_length() - _EXACT_BITS
    if shift <= 0:
        return value_ns
    if value_ns > LARGEST_NS:
        return _BUCKETS - 1
    return (shift << BUCKETS_PER_OCTAVE_BITS) + (value_ns >> shift)


def middle_ns(index: int) -> int:
    """The value that stands for a bucket."""
    if index < 1 << _EXACT_BITS:
        return index
    shift = (index >> BUCKETS_PER_OCTAVE_BITS) - 1
    lowest = (index - (shift << BUCKETS_PER_OCTAVE_BITS)) << shift
    return lowest + (1 << shift >> 1)
