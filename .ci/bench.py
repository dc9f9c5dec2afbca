"""`make bench`: the figures of the README, measured, each beside its target; at the end they stand there as its table.

Every run starts a caudal of its own on an empty directory and looks afterwards for every payin that was acknowledged.
Server, database and load share this machine, and its speed changes by the hour: ratios are from interleaved sides.
`--long` adds what takes minutes. Exit code 1 when a run failed or lost something, never for a missed target.
"""

from __future__ import annotations

import contextlib
import json
import operator
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
BIN: Final = Path(sys.executable).parent
SIGNS: Final = {"≥": operator.ge, "≤": operator.le}
PATIENCE_S: Final = 600.0
Result = dict[str, Any]


class RunFailed(Exception):
    """A run ended without its figures, or found something lost."""


class Figure(NamedTuple):
    """One number of a run and what it should be. `field` is its place in the result, with dots."""

    field: str
    unit: str
    sign: str
    target: float
    what: str
    """As the README names it."""


class Run(NamedTuple):
    """One measurement: its figures stand in what `measure` answers."""

    title: str
    measure: Callable[[], Result]
    figures: tuple[Figure, ...]


class Measured(NamedTuple):
    """A figure with its value; None if there was none."""

    title: str
    figure: Figure
    value: float | None

    @property
    def met(self) -> bool:
        """Whether it is as it should be."""
        return self.value is not None and bool(SIGNS[self.figure.sign](self.value, self.figure.target))


def load(options: str, scenario: str = "spei-create") -> Callable[[], Result]:
    """A run on a caudal of its own; `wall_s` is what it took from beginning to end."""
    return lambda: _loaded("run", scenario, "--up", "--json", *options.split())


def bare(options: str) -> Callable[[], Result]:
    """The product beside the bare write path."""
    return lambda: _loaded("bare", *options.split())


def _loaded(*arguments: str) -> Result:
    began_s = time.monotonic()
    done = subprocess.run([BIN / "caudal-load", *arguments], stdout=subprocess.PIPE, text=True, check=False)
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
            Figure("rate", "/s", "≥", 4000, "Payins a second, 64 connections"),
            Figure("p99_ms", " ms", "≤", 40, "… their 99th percentile"),
            Figure("cpu_us_per_request.generator", " µs", "≤", 40, "… of that CPU for the load generator, a request"),
        ),
    ),
    Run(
        "256 connections",
        load("--connections 256 --seconds 8"),
        (Figure("rate", "/s", "≥", 6000, "Payins a second, 256 connections"),),
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
        (Figure("rate", "/s", "≥", 1000, "Card payins captured a second, 64 connections"),),
    ),
    Run(
        "the product against the bare path",
        bare("--connections 64 --seconds 8"),
        (Figure("ratio", "", "≥", 0.65, "Share of the bare write path's rate, 64 in flight"),),
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
        "two web processes against one",
        load("--connections 256 --seconds 16 --merchants 8 --web-processes 2 --versus web_processes=1"),
        (
            Figure("ratio", "", "≥", 1, "Two API processes on one shard against one"),
            Figure("least_connection_share", "", "≥", 0.5, "… the slowest connection's share of the mean"),
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
        "six flows mixed, three minutes",
        load("--connections 64 --seconds 180", "mixed"),
        (
            Figure("rate", "/s", "≥", 600, "Payins a second in six flows, for three minutes"),
            Figure("paid_rate", "/s", "≥", 600, "… paid a second"),
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
    measured, machine, failed = list[Measured](), dict[str, Any](), 0
    for run in RUNS + (LONG_RUNS if "--long" in arguments else ()):
        try:
            result = run.measure()
        except RunFailed as error:
            result = {"failed": True}
            print(f"{run.title:<34} {error}", file=sys.stderr)
        failed += result.get("failed", False)
        machine = result.get("machine", machine)
        values = [Measured(run.title, figure, value_of(result, figure.field)) for figure in run.figures]
        measured += values
        print("\n".join([*map(line, values), *proof(result)]), flush=True)
    print("\n" + table(measured, machine))
    return 1 if failed else 0


def value_of(result: Result, field: str) -> float | None:
    """What stands at a place like `cpu_us_per_request.generator`."""
    found: Any = result
    for name in field.split("."):
        found = found.get(name) if isinstance(found, dict) else None
    return found


def line(measured: Measured) -> str:
    """One figure for whoever watches."""
    figure = measured.figure
    verdict = "ok" if measured.met else "MISSED"
    goal = f"target {_target(figure):<14} {verdict}"
    return f"{measured.title:<34} {figure.field:<29} {_value(measured):>12}   {goal}"


def proof(result: Result) -> Iterator[str]:
    """What else a run of the load generator showed."""
    if result.get("failed"):
        yield f"{'':<34} FAILED"
    if "acknowledged" in result:
        counts = f"{result['acknowledged']:,} acknowledged, {result['lost']} lost, {result['doubled']} double"
        if result.get("disagreeing") is not None:
            counts += f", {result['disagreeing']} disagreeing, {result['unpaid']} unpaid"
        cpu = ", ".join(f"{name} {used} µs" for name, used in result["cpu_us_per_request"].items())
        yield f"{'':<34} {counts}; median batch {result['median_batch']}; CPU per request: {cpu}"
        if result.get("webhooks"):
            heard = (f"{name} {value:,}" for name, value in result["webhooks"].items() if value is not None)
            yield f"{'':<34} webhooks: {', '.join(heard)}"
        if len(result["rate_by_process"]) > 1:
            held = result["connections_by_process"]
            shares = (f"{name} {rate:,.0f}/s on {held[name]}" for name, rate in result["rate_by_process"].items())
            yield f"{'':<34} {', '.join(shares)} connections; {result['thin_connections']} with too few for a p99"


def table(measured: list[Measured], machine: Result) -> str:
    """The figures as the README has them, and the machine."""
    lines = ["| figure | target | measured |", "|---|---|---|"]
    for one in measured:
        lines.append(f"| {one.figure.what} | {_target(one.figure)} | {_value(one)}{'' if one.met else ' (missed)'} |")
    if machine:
        lines += ["", f"Measured on {machine['cpu']}, {machine['cores']} cores, Linux {machine['kernel']}."]
    return "\n".join(lines)


def _target(figure: Figure) -> str:
    return f"{figure.sign} {figure.target:,.10g}{figure.unit}"


def _value(measured: Measured) -> str:
    if measured.value is None:
        return "none"
    digits = 0 if measured.value >= 100 else 1 if measured.value >= 10 else 2
    return f"{measured.value:,.{digits}f}{measured.figure.unit}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
