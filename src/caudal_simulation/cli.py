"""The command line: so many histories from a seed on, or one of them shown.

    --histories N      how many (1,000)
    --seed S           the first seed (1); the others follow it
    --workers W        processes, each with its part of the seeds (1)
    --show             prints what happened in the history of --seed, and the end's checks
    --without CHECK    leaves a check out; may be given more than once
    --plant FILE       plants a fault in the code first (docs/simulation.md)
    --plants           tries every planted fault: is it caught, and does it survive without the checks that catch it?
    --table            prints every planted fault, its seed and the checks that catch it there
    --find             with --plants: where a fault's seed does not catch it, looks for one that does and writes it down
    --mirror URL       carries out on this PostgreSQL, a database of today's schema that loses its rows, what each
                       history has committed; compares every answer and, at the end, every table
    --until-caught     ends at the first violation

Ends with 0 where no check found anything, with 1 where one did, with 2 for arguments that mean nothing.
"""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Final

from caudal_simulation.plants import CHECKS, PlantError, is_sown, prepare, read
from caudal_simulation.trying import table, try_all

if TYPE_CHECKING:
    from caudal_simulation.history import History

_SHOWN_MAX: Final = 20
_SWEPT_EVERY: Final = 50  # histories between two collections of what they left


class Tally:
    """What came of some seeds."""

    def __init__(self) -> None:
        self.histories = 0
        self.lengths: Counter[int] = Counter()
        self.faults: Counter[str] = Counter()
        self.checks: Counter[str] = Counter()
        self.violations: list[tuple[int, str, str]] = []  # seed, check, what is wrong
        self.faultless = 0
        self.seconds = self.cpu_s = 0.0

    def add(self, history: History) -> None:
        """One more history."""
        self.histories += 1
        self.lengths[history.commands] += 1
        self.faults += history.faults
        self.faultless += not history.faults
        self.checks.update({check for check, _ in history.violations})
        self.violations += [(history.seed, check, wrong) for check, wrong in history.violations]

    def join(self, other: Tally) -> None:
        """Those of another process."""
        self.histories += other.histories
        self.lengths += other.lengths
        self.faults += other.faults
        self.faultless += other.faultless
        self.checks += other.checks
        self.violations += other.violations
        self.cpu_s += other.cpu_s

    @property
    def median_length(self) -> int:
        """Commands of the history in the middle."""
        lengths = sorted(self.lengths.elements())
        return lengths[len(lengths) // 2] if lengths else 0


def played(seeds: range, off: frozenset[str], plant: Path | None = None, *, until_caught: bool = False) -> Tally:
    """Plays the histories of some seeds in this process."""
    sown = None if plant is None else read(plant)
    prepare(sown)
    from caudal_simulation.history import beginning, play

    is_sown(sown)
    beginning()
    gc.collect()
    gc.freeze()
    gc.disable()
    tally, began, began_cpu = Tally(), perf_counter(), process_time()
    for seed in seeds:
        tally.add(play(seed, off=off))
        if until_caught and tally.violations:
            break
        if not tally.histories % _SWEPT_EVERY:
            gc.collect()
    tally.seconds, tally.cpu_s = perf_counter() - began, process_time() - began_cpu
    return tally


def _all(asked: argparse.Namespace) -> Tally:
    first, count, off = asked.seed, asked.histories, frozenset(asked.without)
    if asked.workers == 1:
        return played(range(first, first + count), off, asked.plant, until_caught=asked.until_caught)
    parts = [range(first + number, first + count, asked.workers) for number in range(asked.workers)]
    whole, began = Tally(), perf_counter()
    with ProcessPoolExecutor(asked.workers) as pool:
        for tally in pool.map(played, parts, [off] * len(parts), [asked.plant] * len(parts)):
            whole.join(tally)
    whole.seconds = perf_counter() - began
    return whole


def _report(tally: Tally) -> None:
    by_clock, by_core = (tally.histories / seconds * 60 for seconds in (tally.seconds, tally.cpu_s))
    print(f"histories        {tally.histories}")
    print(f"per minute       {by_clock:.0f}")
    print(f"per core-minute  {by_core:.0f}")
    print(f"median length    {tally.median_length} commands")
    print(f"without a fault  {tally.faultless}")
    print(f"violations       {len({seed for seed, _, _ in tally.violations})} histories")
    print()
    for fault, times in sorted(tally.faults.items()):
        print(f"  {fault:34} {times:>8}")
    for check, times in sorted(tally.checks.items()):
        print(f"violated in {times} histories: {check}")
    for seed, check, wrong in tally.violations[:_SHOWN_MAX]:
        print(f"seed {seed}: {check}: {wrong}")


def _show(seed: int, off: frozenset[str], plant: Path | None) -> int:
    sown = None if plant is None else read(plant)
    prepare(sown)
    from caudal_simulation.history import play

    is_sown(sown)
    history = play(seed, off=off, shown=True)
    print("\n".join(history.told))
    print(f"\nseed {seed}: {history.commands} commands; {dict(sorted(history.faults.items()))}")
    for check, wrong in history.violations:
        print(f"{check}: {wrong}")
    return 1 if history.violations else 0


def _arguments(given: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="caudal_simulation", description="Histories from seeds.")
    parser.add_argument("--histories", type=int, default=1_000, help="how many")
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--show", action="store_true", help="prints what happened in the history of --seed")
    parser.add_argument("--without", action="append", default=[], metavar="CHECK", help="leaves a check out")
    parser.add_argument("--plant", type=Path, default=None, metavar="FILE", help="plants a fault first")
    parser.add_argument("--plants", action="store_true", help="tries every planted fault")
    parser.add_argument("--table", action="store_true", help="prints the planted faults")
    parser.add_argument("--find", action="store_true", help="with --plants: looks for seeds that catch")
    parser.add_argument("--mirror", metavar="URL", help="compares with a real PostgreSQL")
    parser.add_argument("--until-caught", action="store_true", help="ends at the first violation")
    asked = parser.parse_args(given)
    if asked.histories < 1 or asked.workers < 1 or asked.workers > (os.cpu_count() or 1) * 4:
        parser.error("--histories and --workers are 1 or more, and workers no more than four a core")
    if strange := [name for name in asked.without if name not in CHECKS]:
        parser.error(f"--without: there is no check {', '.join(strange)}; there is: {', '.join(CHECKS)}")
    if asked.find and not asked.plants:
        parser.error("--find: only --plants looks for seeds")
    if asked.plant is not None:
        try:
            read(asked.plant)
        except PlantError as error:
            parser.error(f"--plant: {error}")
    return asked


def main(given: Sequence[str]) -> int:
    """Runs what was asked for; the exit code."""
    asked = _arguments(given)
    try:
        return _done(asked)
    except PlantError as error:  # its line is not in the code, or its code not in a history
        print(f"caudal_simulation: --plant: {error}", file=sys.stderr)
        return 2


def _done(asked: argparse.Namespace) -> int:
    if asked.mirror:
        prepare()
        from caudal_simulation.mirror import mirror

        return mirror(asked.mirror, range(asked.seed, asked.seed + asked.histories))
    if asked.table:
        print(table())
        return 0
    if asked.plants:
        return try_all(find=asked.find)
    if asked.show:
        return _show(asked.seed, frozenset(asked.without), asked.plant)
    tally = _all(asked)
    _report(tally)
    return 1 if tally.violations else 0
