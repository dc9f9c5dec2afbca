"""`make bench`: the figures of the README, measured, each beside its target; at the end they stand there as its table.

Every run starts a caudal of its own on an empty directory and looks afterwards for every payin that was acknowledged.
Server, database and load share this machine, and its speed changes by the hour: ratios are from interleaved sides.
`--long` adds what takes minutes, `--times 5` measures everything five times and takes the medians. Exit code 1 when a
run failed or lost something, never for a missed target.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from figures import Figure, Measured, Result, Run, line, median_of, proof, table

ROOT: Final = Path(__file__).parents[1]
BIN: Final = Path(sys.executable).parent
PATIENCE_S: Final = 600.0


class RunFailed(Exception):
    """A run ended without its figures, or found something lost."""


def load(options: str, scenario: str = "spei-create", **settings: str) -> Callable[[], Result]:
    """A run on a caudal of its own with these settings; `wall_s` is what it took from beginning to end."""
    return lambda: _loaded("run", scenario, "--up", "--json", *options.split(), **settings)


def other(command: str) -> Callable[[], Result]:
    """Another command of the load generator, which prints its figures by itself."""
    return lambda: _loaded(*command.split())


def at_half() -> Result:
    """SPEI payins that arrive half as often as 64 or 256 connections have had them answered just before: the higher."""
    before = [load(f"--connections {connections} --seconds 8")() for connections in (64, 256)]
    highest_rate = max(one["rate"] for one in before)
    result = load(f"--rate {max(1, round(highest_rate / 2))} --seconds 20")()
    result["highest_rate"] = highest_rate
    result["failed"] = result["failed"] or any(one["failed"] for one in before)
    return result


def with_telemetry() -> Result:
    """A hundredth of all traces and all metrics go to a collector; beside it one that counts metrics and sends nothing.

    So the metrics' counting (0.4 µs a request, docs/telemetry.md) is on both sides.
    """
    result = load("--connections 64 --seconds 24 --versus telemetry=0.01")()
    if result["ratio"]:
        result["kept"] = round(1 / result["ratio"], 3)
    return result


def _loaded(*arguments: str, **settings: str) -> Result:
    began_s = time.monotonic()
    done = subprocess.run(
        [BIN / "caudal-load", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env=os.environ | settings,
    )
    if not done.stdout.strip():
        raise RunFailed(f"exit code {done.returncode}")
    result: Result = json.loads(done.stdout)
    result["wall_s"] = round(time.monotonic() - began_s, 1)
    result["failed"] = done.returncode != 0
    return result


def started() -> Result:
    """Seconds until `caudal up` is ready: on an empty directory, and again on its data."""
    with _open_directory() as home:
        command, environment = [str(BIN / "caudal"), "up"], {"CAUDAL_VAR": str(home / "var")}
        first_s = _seconds_until_ready(command, ROOT, environment, home)
        return {"first_s": first_s, "again_s": _seconds_until_ready(command, ROOT, environment, home)}


def installed() -> Result:
    """Seconds until `make up` is ready in a fresh copy of the repository, where nothing is installed yet."""
    with _open_directory() as home:
        files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
        for name in files.decode().rstrip("\0").split("\0"):
            (home / "copy" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, home / "copy" / name)
        environment = {"CAUDAL_VAR": str(home / "var")}
        return {"install_s": _seconds_until_ready(["make", "up"], home / "copy", environment, home)}


@contextlib.contextmanager
def _open_directory() -> Iterator[Path]:
    """A directory that the database's own user can reach, for as long as the block."""
    home = Path(tempfile.mkdtemp(prefix="caudal-bench-"))
    home.chmod(0o711)
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _seconds_until_ready(command: list[str], where: Path, more: dict[str, str], home: Path) -> float:
    """From the command until its up.json; then it is interrupted. Raises RunFailed with what it said."""
    outside = {name: value for name, value in os.environ.items() if not name.startswith("CAUDAL_")}
    began_s = time.monotonic()
    with (home / "up.log").open("wb") as log:
        process = subprocess.Popen(
            command, cwd=where, env=outside | more, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    try:
        while not (home / "var" / "up.json").exists():
            if process.poll() is not None or time.monotonic() - began_s > PATIENCE_S:
                raise RunFailed(f"{' '.join(command)} did not become ready:\n{(home / 'up.log').read_text()}")
            time.sleep(0.02)
        return round(time.monotonic() - began_s, 1)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        process.wait(60)


RUNS: Final = (
    Run(
        "64 connections",
        load("--connections 64 --seconds 8"),
        (
            Figure("rate", "/s", "≥", 6000, "Payins a second, 64 connections"),
            Figure("p99_ms", " ms", "≤", 25, "… their 99th percentile"),
            Figure("cpu_us_per_request.generator", " µs", "≤", 40, "… of that CPU for the load generator, a request"),
        ),
    ),
    Run(
        "256 connections",
        load("--connections 256 --seconds 8"),
        (Figure("rate", "/s", "≥", 8000, "Payins a second, 256 connections"),),
    ),
    Run(
        "half of the highest rate",
        at_half,
        (
            Figure(
                "rate", "/s", "≥", None, "Payins a second, half of the higher of 64 and 256 connections just before"
            ),
            Figure("p50_ms", " ms", "≤", 5, "… their median"),
            Figure("p99_ms", " ms", "≤", 15, "… the 99th percentile of that half"),
            Figure("p999_ms", " ms", "≤", 40, "… the 99.9th"),
        ),
    ),
    Run(
        "one connection",
        load("--connections 1 --seconds 5"),
        (Figure("p50_ms", " ms", "≤", 4, "Median alone, one connection"),),
    ),
    Run(
        "open loop, 1,000/s",
        load("--rate 1000 --seconds 10"),
        (Figure("p99_ms", " ms", "≤", 20, "99th percentile at 1,000 arrivals a second"),),
    ),
    Run(
        "card-captured, 64 connections",
        load("--connections 64 --seconds 8", "card-captured"),
        (Figure("rate", "/s", "≥", 1800, "Card payins captured a second, 64 connections"),),
    ),
    Run(
        "card-captured, 256 connections",
        load("--connections 256 --seconds 8", "card-captured"),
        (Figure("rate", "/s", "≥", 1800, "Card payins captured a second, 256 connections"),),
    ),
    Run(
        "many payins a request",
        other("bulk --seconds 8"),
        (
            Figure("payins_per_s", "/s", "≥", 12_000, "Payins a second, 500 a request on 4 connections"),
            Figure("request_p99_ms", " ms", "≤", None, "… 99th percentile of a request"),
        ),
    ),
    Run(
        "looking at payins",
        load("--connections 64 --seconds 8", "reads"),
        (Figure("rate", "/s", "≥", 5000, "`GET /v1/payins/{id}` a second, 64 connections"),),
    ),
    Run(
        "the product against the bare path",
        other("bare --connections 64 --seconds 8"),
        (Figure("ratio", "", "≥", 0.65, "Share of the bare write path's rate, 64 in flight"),),
    ),
    Run(
        "the product against pgbench",
        other("tpcb --connections 64 --seconds 16"),
        (
            Figure("ratio.spread", "", "≥", 3, "Rate against pgbench's TPC-B, 64 clients, a branch for each"),
            Figure("ratio.prepared", "", "≥", 3, "… with prepared statements, too"),
            Figure("ratio.one_branch", "", "≥", 3, "… with one branch"),
        ),
    ),
    Run(
        "batches against single commits",
        load("--connections 64 --seconds 8 --versus max_batch=1"),
        (
            Figure("ratio", "", "≥", 3, "Rate against one command a commit"),
            Figure("wall_s", " s", "≤", 50, "… both sides started, loaded, verified and ended"),
        ),
    ),
    Run(
        "one merchant against a thousand",
        load("--connections 64 --seconds 8 --versus merchants=1000"),
        (Figure("ratio", "", "≥", 0.9, "One merchant with all traffic against a thousand"),),
    ),
    Run(
        "telemetry",
        with_telemetry,
        (
            Figure(
                "kept", "", "≥", 0.95, "Rate with a hundredth of traces and metrics sent, against metrics counted alone"
            ),
        ),
    ),
    Run(
        "two web processes against one",
        load("--connections 256 --seconds 16 --merchants 8 --web-processes 2 --versus web_processes=1"),
        (
            Figure("ratio", "", "≥", 1, "Two API processes on one shard against one"),
            Figure("least_connection_share", "", "≥", 0.5, "… the slowest connection's share of the mean"),
            Figure("worst_connection_p99_ms", " ms", "≤", None, "… the worst connection's 99th percentile"),
            Figure("other.worst_connection_p99_ms", " ms", "≤", None, "… the same with one process"),
        ),
    ),
    Run(
        "two shards against one",
        load(
            "--connections 256 --seconds 16 --merchants 8 --web-processes 2 --versus web_processes=1,shards=1",
            CAUDAL_SHARDS="2",
        ),
        (
            Figure("ratio", "", "≥", 1.2, "Two API processes on two shards against one on one"),
            Figure("least_connection_share", "", "≥", 0.5, "… the slowest connection's share of the mean, two shards"),
            Figure("worst_connection_p99_ms", " ms", "≤", None, "… the worst connection's 99th percentile, two shards"),
        ),
    ),
    Run(
        "ready",
        started,
        (
            Figure("first_s", " s", "≤", 15, "`make up` ready, on an empty directory"),
            Figure("again_s", " s", "≤", 15, "… and the next time"),
        ),
    ),
)
LONG_RUNS: Final = (
    Run(
        "a million requests",
        load("--connections 256 --requests 1000000 --seconds 1200"),
        (
            Figure("acknowledged", "", "≥", 1_000_000, "Acknowledged in the long run"),
            Figure("web_rss_mb", " MB", "≤", 200, "… memory of the API process after it"),
        ),
    ),
    Run(
        "five million payins there",
        load("--connections 64 --seconds 8 --seed 5000000 --versus seed=0"),
        (Figure("ratio", "", "≥", 0.85, "With 5 million payins there, against none"),),
    ),
    Run(
        "ten million payins there",
        load("--rate 100 --seconds 30 --warm-up 5 --seed 10000000", "lists"),
        (
            Figure(
                "requests_by_kind.list.p99_ms",
                " ms",
                "≤",
                20,
                "A page of the newest, 99th percentile, 10 million payins there",
            ),
            Figure("requests_by_kind.search.p99_ms", " ms", "≤", 20, "… a search for one of 300 new ones"),
        ),
    ),
    Run(
        "six flows mixed, ten minutes",
        load("--connections 64 --seconds 600", "mixed"),
        (
            Figure("rate", "/s", "≥", 1000, "Payins a second in six flows, for ten minutes"),
            Figure("paid_rate", "/s", "≥", 1000, "… paid a second"),
            Figure("webhooks.lag_max_ms", " ms", "≤", 1000, "… the longest way of an event to its receiver"),
            Figure("memory_growth_mb", " MB", "≤", 40, "… growth of the process that grew most"),
        ),
    ),
    Run(
        "installing",
        installed,
        (Figure("install_s", " s", "≤", 180, "`make up` ready in a fresh clone"),),
    ),
)


def main(arguments: list[str]) -> int:
    """Measure, print each run as it ends, and the table. The exit status."""
    times = int(arguments[arguments.index("--times") + 1]) if "--times" in arguments else 1
    measured, machine, failed = list[Measured](), dict[str, Any](), 0
    for run in RUNS + (LONG_RUNS if "--long" in arguments else ()):
        results = [_measured(run) for _ in range(times)]
        failed += sum(result.get("failed", False) for result in results)
        machine = next((result["machine"] for result in results if "machine" in result), machine)
        values = [Measured(run.title, figure, median_of(results, figure.field)) for figure in run.figures]
        measured += values
        print("\n".join([*map(line, values), *(said for result in results for said in proof(result))]), flush=True)
    print("\n" + table(measured, machine))
    if times > 1:
        print(f"Medians of {times} runs.")
    return 1 if failed else 0


def _measured(run: Run) -> Result:
    try:
        return run.measure()
    except RunFailed as error:
        print(f"{run.title:<34} {error}", file=sys.stderr)
        return {"failed": True}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
