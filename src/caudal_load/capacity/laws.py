"""The three laws that a caudal is held against.

**Throughput against concurrency**, the Universal Scalability Law (Gunther, *Guerrilla Capacity Planning*, 2007):
X(N) = λN / (1 + σ(N−1) + κN(N−1)). A chain of batches is a case of it: with N connections a batch has N payments and
takes a + bN, so X = N / (a + bN): λ = 1 / (a + b), σ = b / (a + b), and κ is what comes on top.

**Delay against rate.** At r payments a second a batch has r times as many as its predecessor took seconds,
C = a + b·r·C, so batches take C = a / (1 − r/limit), limit = 1/b: the 1 / (1 − utilisation) of M/G/1. A payment waits
for what is left of one batch and for its own, one to two batches, so each percentile is base + wait / (1 − r/limit),
with one limit for all.

**CPU against rate**: cores = each × rate + batch × batches a second. At a low rate each payment is a batch of its own;
batches grow with the rate, to n = 1 + alone × r / (1 − r/limit) commands, so a payment costs less: there are
commands × r / n batches a second, with so many commands of a payment. Where it is not known how large batches are it is
cores = base + each × rate.

All are fitted by least squares of relative errors, so that a small step counts as much as a large one.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from caudal_load.capacity.solve import Unsolvable, nonnegative

_LEAST_CLOSED, _LEAST_OPEN = 4, 4
_NEAR, _FAR = 1.02, 8.0
"""Nobody tells utilisations above 0.98 from each other within the seconds of a step."""
_GRID, _REFINED = 24, 14
_STEPS = 200
_GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Scalability:
    """The Universal Scalability Law with its three factors."""

    lambda_: float
    """Payments per second of one connection alone."""
    sigma: float
    """Contention: the share of the work for which all wait."""
    kappa: float
    """Coherence: what each pair of payments costs."""

    def rate(self, connections: float) -> float:
        """Payments per second at this concurrency."""
        return (
            self.lambda_
            * connections
            / (1 + self.sigma * (connections - 1) + self.kappa * connections * (connections - 1))
        )

    @property
    def peak(self) -> tuple[float, float] | None:
        """At which concurrency there is most, and how much; None where it grows for ever or never did."""
        if self.kappa <= 0 or self.sigma >= 1:
            return None
        connections = math.sqrt((1 - self.sigma) / self.kappa)
        return connections, self.rate(connections)

    @property
    def most(self) -> float | None:
        """The highest rate at any concurrency; None where nothing bounds it."""
        if self.peak is not None:
            return self.peak[1]
        return self.lambda_ / self.sigma if self.sigma > 0 else None


def scalability(connections: Sequence[float], rates: Sequence[float]) -> Scalability:
    """Fit it. N/X is linear in what is unknown: 1/λ + σ/λ (N−1) + κ/λ N(N−1). Raises Unsolvable."""
    if len(set(connections)) < _LEAST_CLOSED:
        raise Unsolvable(f"the law of scalability needs {_LEAST_CLOSED} different numbers of connections")
    columns = [[1.0] * len(rates), [n - 1.0 for n in connections], [n * (n - 1.0) for n in connections]]
    (alone, shared, pairs), _ = nonnegative(columns, [n / x for n, x in zip(connections, rates, strict=True)])
    if alone <= 0:
        raise Unsolvable("more connections do more than in proportion: there is no such law")
    return Scalability(lambda_=1 / alone, sigma=shared / alone, kappa=pairs / alone)


@dataclass(frozen=True, kw_only=True, slots=True)
class Delay:
    """Percentiles of latency, milliseconds, by the rate that is offered."""

    limit: float
    """The rate at which utilisation would be 1 and waiting never end."""
    parts: Mapping[str, tuple[float, float]]
    """By percentile: base and wait, ms."""

    def ms(self, percentile: str, rate: float) -> float:
        """The latency at this rate; without end from the limit on."""
        base, wait = self.parts[percentile]
        return base + wait / (1 - rate / self.limit) if rate < self.limit else math.inf

    def rate_at(self, percentile: str, ms: float) -> float:
        """The highest rate at which the percentile is within `ms`; 0 where none is."""
        base, wait = self.parts[percentile]
        if base + wait > ms:
            return 0.0
        return self.limit if wait == 0 else self.limit * (1 - wait / (ms - base))


def delay(rates: Sequence[float], latencies_ms: Mapping[str, Sequence[float]], below: float | None = None) -> Delay:
    """Fit it: the limit by search, base and wait of each percentile directly. Raises Unsolvable.

    `below` is a rate that was offered and could not be kept up with, so that the limit is no higher.
    """
    if len(set(rates)) < _LEAST_OPEN:
        raise Unsolvable(f"the law of delay needs {_LEAST_OPEN} different rates that are kept up with")
    low = max(rates) * _NEAR
    high = max(low * _NEAR, max(rates) * _FAR if below is None else below)

    def tried(limit: float) -> tuple[float, dict[str, tuple[float, float]]]:
        stretched = [1 / (1 - rate / limit) for rate in rates]
        error, parts = 0.0, {}
        for name, values in latencies_ms.items():
            (base, wait), one = nonnegative([[1.0] * len(rates), stretched], values)
            parts[name] = base, wait
            error += one
        return error, parts

    grid = [low * (high / low) ** (place / (_GRID - 1)) for place in range(_GRID)]
    errors = [tried(limit)[0] for limit in grid]
    best = min(range(_GRID), key=errors.__getitem__)
    first, last = grid[max(0, best - 1)], grid[min(_GRID - 1, best + 1)]
    for _ in range(_REFINED):
        step = (last - first) * _GOLDEN
        if tried(last - step)[0] <= tried(first + step)[0]:
            last = first + step
        else:
            first = last - step
    limit = (first + last) / 2
    return Delay(limit=limit, parts=tried(limit)[1])


@dataclass(frozen=True, kw_only=True, slots=True)
class Batches:
    """How many batches there are at a rate."""

    limit: float = math.inf
    alone: float = 0.0
    """Seconds of arrivals that are in a batch besides the one that began it, where nothing waits."""
    commands: float = 1.0
    """Of a payment, workers' too."""

    def size(self, rate: float) -> float:
        """Commands in a batch; without end from the limit on."""
        return 1 + self.alone * rate / (1 - rate / self.limit) if rate < self.limit else math.inf

    def per_s(self, rate: float) -> float:
        """Batches per second."""
        return self.commands * rate / self.size(rate)


def batches(rates: Sequence[float], sizes: Sequence[float], limit: float, commands: float = 1.0) -> Batches:
    """Fit it to the sizes that were seen: means, of commands."""
    pairs = [(rate / (1 - rate / limit) / size, (size - 1) / size) for rate, size in zip(rates, sizes, strict=True)]
    whole = sum(column * column for column, _ in pairs)
    alone = max(0.0, sum(column * value for column, value in pairs) / whole if whole else 0.0)
    return Batches(limit=limit, alone=alone, commands=commands)


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """What grows with the rate: cores of a kind of process."""

    base: float
    each: float
    """Core seconds per payment."""
    batch: float = 0.0
    """Core seconds per batch."""
    batches: Batches = Batches()

    def at(self, rate: float) -> float:
        """Cores at this rate."""
        return self.base + self.each * rate + self.batch * self.batches.per_s(rate)

    def reaches(self, cores: float) -> float:
        """The lowest rate at which so many cores are used; without end where none are."""
        last = max(0.0, cores - self.base) / self.each if self.each > 0 else math.inf
        if self.batch > 0:
            upto = min(last, self.batches.limit)
            tried = (upto * place / _STEPS for place in range(_STEPS)) if math.isfinite(upto) else iter(())
            last = next((rate for rate in tried if self.at(rate) >= cores), last)
        return last

    def __add__(self, other: "Line") -> "Line":
        return Line(
            base=self.base + other.base,
            each=self.each + other.each,
            batch=self.batch + other.batch,
            batches=self.batches if self.batch else other.batches,
        )


def line(rates: Sequence[float], cores: Sequence[float], law: Batches | None = None) -> Line:
    """Fit it: with what a batch costs where it is known how many there are, else with what is used at rest.

    Raises Unsolvable.
    """
    pairs = [(rate, used) for rate, used in zip(rates, cores, strict=True) if used > 0]
    if not pairs:
        return Line(base=0.0, each=0.0)
    values, each_s = [used for _, used in pairs], [rate for rate, _ in pairs]
    if law is None:
        (base, each), _ = nonnegative([[1.0] * len(pairs), each_s], values)
        return Line(base=base, each=each)
    (each, batch), _ = nonnegative([each_s, [law.per_s(rate) for rate in each_s]], values)
    return Line(base=0.0, each=each, batch=batch, batches=law)
