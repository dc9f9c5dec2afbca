"""`make soak`: the long proofs, ten minutes of faults, five failovers and 100,000 simulated histories, and a page.

The page is docs/proof/<date>-<commit>.md, written whatever came of it, also where a part ended without a report; it is
committed with the state that it is about. What the faults left stays in a temporary directory, named there, unless all
went well.
Exit code 1 when something was lost, doubled, stuck or wrong, a planned fault never happened, the rate was back too late
after a kill, traffic did not go on after a failover, or a history failed.
"""

from __future__ import annotations

import argparse
import json
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

from caudal_load.processes import commit

ROOT: Final = Path(__file__).parents[1]
PROOF: Final = ROOT / "docs" / "proof"
SECONDS, EACH, FAILOVERS, HISTORIES, WORKERS = 600, 5, 5, 100_000, 2
BACK_S: Final = {"web": 5.0, "worker": 5.0, "postgres": 15.0}
"""So many seconds after a kill the rate is back at 90 % of what it was, at the latest."""
Result = dict[str, Any]


class Simulated(NamedTuple):
    """What the simulation said, and whether every history was as it must be."""

    command: str
    said: str
    passed: bool


def faults(seconds: float, each: int, seed: int, kinds: str, kept: Path) -> Result:
    """A run under faults, kept in this directory; its report."""
    options = ["--seconds", f"{seconds:g}", "--each", f"{each}", "--seed", f"{seed}", "--keep", f"{kept}", "--json"]
    return told("faults", *options, *(["--kinds", kinds] if kinds else []))


def failovers(number: int) -> list[Result]:
    """So many, with a world and a standby each: by turns the primary is killed, or stands still and comes back."""
    return [told("failover", "--json", *(["--pause"] if turn % 2 else [])) for turn in range(number)]


def told(*asked: str) -> Result:
    """What a command of `caudal-load` reports; one that ends without a report has `none`, why, and has not passed."""
    done = subprocess.run([sys.executable, "-m", "caudal_load", *asked], stdout=subprocess.PIPE, text=True, check=False)
    try:
        result: Result = json.loads(done.stdout)
    except ValueError:
        none = f"`caudal-load {' '.join(asked)}` ended without a report, exit code {done.returncode}"
        return {"none": none, "passed": False}
    return result


def simulated(histories: int, seed: int) -> Simulated:
    """Histories from this seed on."""
    asked = f"--histories {histories} --workers {WORKERS} --seed {seed}"
    command = [sys.executable, "-m", "caudal_simulation", *asked.split()]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    print(done.stdout)
    return Simulated(f".venv/bin/python -m caudal_simulation {asked}", done.stdout.rstrip(), done.returncode == 0)


def page(
    report: Result, simulation: Simulated | None, day: str, promoted: Sequence[Result] = (), kept: Path | None = None
) -> str:
    """The proof, for people: what was run, on what, and what came of it; where it is kept unless all went well."""
    passed = has_passed(report, simulation, promoted)
    lines = [f"# {'Passed' if passed else 'FAILED'}: {day}, commit {commit_of(report)}", ""]
    lines += [f"**{report['none']}.**"] if "none" in report else _under_faults(report)
    if kept is not None and not passed:
        lines += ["", f"Logs, requests and answers of the faults are kept in `{kept}` of that machine."]
    if promoted:
        lines += [
            "",
            "`caudal-load failover`, by turns with `--pause`: a primary fails and its synchronous standby is promoted.",
            "",
        ]
        lines += _table(("primary", "acknowledged", "refused", *_OF_FAILOVER), _failovers(promoted))
        lines += [f"- **{one['none']}**" for one in promoted if "none" in one]
    if simulation is not None:
        lines += ["", f"`{simulation.command}`:", "", "```text", simulation.said, "```"]
    return "\n".join(lines).rstrip() + "\n"


def commit_of(report: Result) -> str:
    """The commit that was run."""
    return commit() if "none" in report else str(report["commit"])


def _under_faults(report: Result) -> list[str]:
    machine = ", ".join(f"{name} {value}" for name, value in report["machine"].items())
    lacks = "".join(f"; {what}" for what in report["lacks"])
    return [
        f"`caudal-load faults --seconds {report['seconds']:g} --connections {report['connections']} --seed"
        f" {report['seed']}` on {machine}.",
        "",
        f"**{report['lost']} lost, {report['doubled']} doubled, {report['stuck']} stuck, {report['wrong']} wrong**"
        f"{lacks}. {report['events']:,} events, {report['messages']:,} messages to endpoints,"
        f" {report['transfers']:,} postings; all at rest {report['quiet_s']:.0f} s after the last fault was healed;"
        f" {report['asked_again']:,} answers were asked for once more. Payins went on to another provider"
        f" {report['later_attempts']:,} times, {report['later_taken']:,} of these attempts took money.",
        "",
        *_table(("fault", "planned", "happened"), _faults(report)),
        *_table(("request", "sent", "acknowledged", "refused", "nothing happened", "unknown first"), _ops(report)),
        *_table(("killed", "times", "median s", "longest s", "at most", "never"), _recovery(report)),
        *(f"- {one['process']}, killed at {one['at_s']:g} s: {_too_late(one)}" for one in above(report)),
        *(f"- check {one['check']}: {one['harm']}: {one['what']}" for one in report["violations"][:50]),
    ]


def has_passed(report: Result, simulation: Simulated | None, promoted: Sequence[Result]) -> bool:
    """Whether all of it went as it must."""
    return (
        bool(report["passed"])
        and not above(report)
        and (simulation is None or simulation.passed)
        and all(one["passed"] for one in promoted)
    )


def above(report: Result) -> list[Result]:
    """The kills after which the rate was back too late, or never."""
    return [
        one for one in report.get("recovery", []) if one["seconds"] is None or one["seconds"] > BACK_S[one["process"]]
    ]


def _too_late(one: Result) -> str:
    came = "never came back" if one["seconds"] is None else f"was back after {one['seconds']:g} s"
    return f"the rate of {one['former_per_s']:.0f}/s {came}; at most {BACK_S[one['process']]:g} s are promised"


_OF_FAILOVER: Final = ("unknown first", "lost", "doubled", "s without service", "s until 9/10 of the rate")


def _failovers(promoted: Sequence[Result]) -> list[tuple[str, ...]]:
    counts = ("acknowledged", "refused", "unknown", "lost", "doubled", "without_service_s")
    return [
        (
            {"kill": "killed", "pause": "frozen, and back"}[one["fault"]],
            *(f"{one[name]:,}" for name in counts),
            "never" if one["recovered_s"] is None else f"{one['recovered_s']:g}",
        )
        for one in promoted
        if "none" not in one
    ]


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> list[str]:
    ruled = [head, ("---", *("---:" for _ in head[1:])), *rows]
    return [*("| " + " | ".join(row) + " |" for row in ruled), ""]


def _faults(report: Result) -> list[tuple[str, ...]]:
    return [
        (f"`{name}`", f"{number:,}", f"{report['happened'].get(name, 0):,}")
        for name, number in report["planned"].items()
    ]


def _ops(report: Result) -> list[tuple[str, ...]]:
    names = ("requests", "acknowledged", "refused", "nothing", "unknown")
    return [(op, *(f"{of[name]:,}" for name in names)) for op, of in report["ops"].items()]


def _recovery(report: Result) -> list[tuple[str, ...]]:
    rows = []
    for process in dict.fromkeys(one["process"] for one in report["recovery"]):
        of = [one for one in report["recovery"] if one["process"] == process]
        back = sorted(one["seconds"] for one in of if one["seconds"] is not None)
        seconds = (f"{back[len(back) // 2]:.1f}", f"{back[-1]:.1f}") if back else ("–", "–")
        rows.append((process, f"{len(of)}", *seconds, f"{BACK_S[process]:g}", f"{len(of) - len(back)}"))
    return rows


def main() -> int:
    """Run, write the page, and say where it is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of faults")
    parser.add_argument("--each", type=int, default=EACH, help="how often each fault happens")
    parser.add_argument("--kinds", default="", help="some kinds of faults only")
    parser.add_argument("--failovers", type=int, default=FAILOVERS, help="of a database with a standby; 0: none")
    parser.add_argument("--histories", type=int, default=HISTORIES, help="to simulate; 0: none")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31), help="of both")
    asked = parser.parse_args()
    kept = Path(tempfile.mkdtemp(prefix="caudal-soak-"))
    report = faults(asked.seconds, asked.each, asked.seed, asked.kinds, kept / "run")
    promoted = failovers(asked.failovers)
    simulation = simulated(asked.histories, asked.seed) if asked.histories else None
    passed, day = has_passed(report, simulation, promoted), datetime.now(UTC).date().isoformat()
    PROOF.mkdir(exist_ok=True)
    path = PROOF / f"{day}-{commit_of(report)}.md"
    path.write_text(page(report, simulation, day, promoted, kept))
    print(path)
    if passed:
        shutil.rmtree(kept)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
