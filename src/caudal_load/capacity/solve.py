"""Least squares for a handful of columns, none of which may count negatively.

Problems here have at most three columns and some ten rows. Which of the columns are zero is tried out, and the normal
equations of the rest are solved by elimination: exact, without iteration and without a library.
"""

from collections.abc import Sequence
from itertools import combinations

_LEAST_PIVOT = 1e-12


class Unsolvable(ValueError):
    """There are too few different rows for the columns."""


def nonnegative(columns: Sequence[Sequence[float]], values: Sequence[float]) -> tuple[list[float], float]:
    """Factors ≥ 0, one for each column, with the least sum of squared *relative* errors, and that sum.

    `values` are above 0. Raises Unsolvable where fewer than two rows differ from each other.
    """
    if any(value <= 0 for value in values):
        raise Unsolvable("a value is not above 0")
    scaled = [[entry / value for entry, value in zip(column, values, strict=True)] for column in columns]
    best: tuple[list[float], float] | None = None
    for count in range(len(columns), 0, -1):
        for chosen in combinations(range(len(columns)), count):
            factors = _solved([scaled[place] for place in chosen])
            if factors is None or any(factor < 0 for factor in factors):
                continue
            error = _error([scaled[place] for place in chosen], factors)
            if best is None or error < best[1]:
                whole = [0.0] * len(columns)
                for place, factor in zip(chosen, factors, strict=True):
                    whole[place] = factor
                best = whole, error
        if best is not None and count == len(columns):
            return best  # without any bound it is the best of all
    if best is None:
        raise Unsolvable("too few steps that differ")
    return best


def _error(columns: Sequence[Sequence[float]], factors: Sequence[float]) -> float:
    error = 0.0
    for row in zip(*columns, strict=True):
        error += (sum(factor * entry for factor, entry in zip(factors, row, strict=True)) - 1) ** 2
    return error


def _solved(columns: Sequence[Sequence[float]]) -> list[float] | None:
    """The factors that bring the columns nearest to 1 in every row; None where they cannot be told apart."""
    norms = [sum(entry * entry for entry in column) ** 0.5 for column in columns]
    if not all(norms):
        return None
    units = [[entry / norm for entry in column] for column, norm in zip(columns, norms, strict=True)]
    rows = [[sum(map(float.__mul__, one, other)) for other in units] + [sum(one)] for one in units]
    size = len(rows)
    for place in range(size):
        pivot = max(range(place, size), key=lambda row: abs(rows[row][place]))
        if abs(rows[pivot][place]) < _LEAST_PIVOT:
            return None
        rows[place], rows[pivot] = rows[pivot], rows[place]
        for row in range(size):
            if row != place:
                share = rows[row][place] / rows[place][place]
                rows[row] = [entry - share * above for entry, above in zip(rows[row], rows[place], strict=True)]
    return [rows[place][size] / rows[place][place] / norms[place] for place in range(size)]
