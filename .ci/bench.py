"""`make bench`: the figures of the README, measured, each beside its target.

Every run starts a caudal of its own on an empty directory and looks afterwards for every payin that was acknowledged.
Server, database and load share this machine, and its speed changes by the hour: ratios are from interleaved sides.
`--long` adds what takes minutes. Exit code 1 when a run failed or lost something, never for a missed target.
"""

import json
import operator
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

LOAD = [str(Path(sys.executable).with_name("caudal-load")), "run", "spei-create", "--up", "--json"]
SIGNS = {"≥": operator.ge, "≤": operator.le}


class Figure(NamedTuple):
    """One number of a run and what it should be."""

    field: str
    unit: str
    sign: str
    target: float


class Run(NamedTuple):
    """One call of the load generator."""

    title: str
    options: str
    figures: tuple[Figure, ...]


RUNS = (
    Run(
        "64 connections",
        "--connections 64 --seconds 8",
        (Figure("rate", "/s", "≥", 4000), Figure("p99_ms", " ms", "≤", 40)),
    ),
    Run("256 connections", "--connections 256 --seconds 8", (Figure("rate", "/s", "≥", 6000),)),
    Run("one connection", "--connections 1 --seconds 5", (Figure("p50_ms", " ms", "≤", 4),)),
    Run("open loop, 1,000/s", "--rate 1000 --seconds 10", (Figure("p99_ms", " ms", "≤", 20),)),
    Run(
        "batches against single commits",
        "--connections 64 --seconds 8 --versus max_batch=1",
        (Figure("ratio", "", "≥", 3),),
    ),
    Run(
        "one merchant against a thousand",
        "--connections 64 --seconds 8 --versus merchants=1000",
        (Figure("ratio", "", "≥", 0.9),),
    ),
    Run(
        "two web processes against one",
        "--connections 64 --seconds 8 --web-processes 2 --versus web_processes=1",
        (Figure("ratio", "", "≥", 0.8),),
    ),
)
LONG_RUNS = (Run("a million requests", "--connections 256 --seconds 240", (Figure("web_rss_mb", " MB", "≤", 200),)),)


def main(arguments: list[str]) -> int:
    failed = 0
    for run in RUNS + (LONG_RUNS if "--long" in arguments else ()):
        done = subprocess.run([*LOAD, *run.options.split()], stdout=subprocess.PIPE, text=True, check=False)
        result = json.loads(done.stdout) if done.stdout.strip() else None
        if done.returncode != 0 or result is None:
            failed += 1
            print(f"{run.title:<34} FAILED with exit code {done.returncode}", flush=True)
        if result is not None:
            print_figures(run, result)
    return 1 if failed else 0


def print_figures(run: Run, result: dict[str, Any]) -> None:
    """One line per figure, and one that says what the run proved."""
    for figure in run.figures:
        value = result[figure.field]
        met = value is not None and SIGNS[figure.sign](value, figure.target)
        shown = "none" if value is None else f"{value:,.2f}{figure.unit}"
        target = f"{figure.sign} {figure.target:,g}{figure.unit}"
        print(f"{run.title:<34} {figure.field:<12} {shown:>16}   target {target:<12} {'ok' if met else 'MISSED'}")
    batch = result["median_batch"]
    cpu = ", ".join(f"{name} {used} µs" for name, used in result["cpu_us_per_request"].items())
    proof = f"{result['acknowledged']:,} acknowledged, {result['lost']} lost, {result['doubled']} double"
    print(f"{'':<34} {proof}; median batch {batch}; CPU per request: {cpu}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
