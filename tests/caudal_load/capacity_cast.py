"""Systems of known law: a chain of batches that takes `ALONE` seconds and `EACH` second a payment, on two cores."""

import msgspec

from caudal_load.capacity.kept import Disk, Kept, KeptStep

ALONE, EACH = 0.004, 0.000_1
"""Of a batch, and of a payment in it: a limit of 10,000 payments a second."""
WEB, POSTGRES = (0.05, 0.000_08), (0.1, 0.000_06)
"""Cores at rest, and core seconds a payment."""
CONNECTIONS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
RATES = (500.0, 1000.0, 2000.0, 4000.0, 6000.0, 7000.0, 8000.0)


def closed(connections: int, rate: float | None = None) -> KeptStep:
    """A closed loop: each batch has all connections."""
    cycle_s = ALONE + EACH * connections
    return _step(connections / cycle_s if rate is None else rate, cycle_s * 1e3, connections=connections)


def opened(offered: float, stretch: float = 1.0) -> KeptStep:
    """An open loop: a batch has what came while its predecessor went on; p50 is 1.5 and p99 twice what it takes."""
    return _step(offered, ALONE * 1e3 / (1 - offered * EACH), offered=offered, stretch=stretch)


def missed(offered: float) -> KeptStep:
    """More than can be kept up with."""
    return _step(0.9 / EACH, 5000.0, offered=offered)


def _step(
    rate: float, cycle_ms: float, connections: int | None = None, offered: float | None = None, stretch: float = 1.0
) -> KeptStep:
    return KeptStep(
        connections=connections,
        offered=offered,
        rate=rate,
        seconds=4.0,
        mean_ms=1.5 * cycle_ms,
        p50_ms=(1 + 1.5 * cycle_ms) * stretch,
        p99_ms=(1 + 2 * cycle_ms) * stretch,
        p999_ms=(1 + 3 * cycle_ms) * stretch,
        error_share=0.0,
        cores={
            "web": (WEB[0] + WEB[1] * rate) * stretch,
            "postgres": POSTGRES[0] + POSTGRES[1] * rate,
            "worker": 0.01 + 0.000_01 * rate,
            "generator": 0.000_02 * rate,
        },
        memory_mb={"web": 100.0, "worker": 50.0, "postgres": 200.0},
        wal_bytes=4000.0,
        disk_bytes=12_000.0,
        growth={"rows": 2000.0, "indexes": 1000.0, "in key": 600.0},
    )


def kept(*steps: KeptStep, shards: int = 1) -> Kept:
    """A run of steps; without any those of the whole staircase."""
    whole = [closed(n) for n in CONNECTIONS] + [opened(r) for r in RATES] + [missed(12_000.0)]
    return Kept(
        scenario="spei-create",
        began="2026-11-27T20:00:00Z",
        commit="abc",
        machine={"cpu": "a thought", "cores": 2, "kernel": "none"},
        web_processes=1,
        shards=shards,
        generators=1,
        disk=Disk(mb_per_s=240.0, flush_ms=1.0),
        steps=list(steps) or whole,
    )


def above() -> Kept:
    """A run one of whose steps, with 128 connections, had 9,905/s, which is more than the most of its law."""
    *lower, best, last = kept().closed
    return kept(*lower, msgspec.structs.replace(best, rate=best.rate * 1.3), last, *kept().open)
